//! The full-screen messenger: a [`model`] that takes wake-ups and returns effects, a [`view`] that
//! draws it, and this loop, the only part that waits.

mod bubble;
mod conversation;
mod effects;
mod field;
mod geometry;
mod help;
mod model;
#[cfg(test)]
mod sample;
mod screen;
mod view;

use std::io::{IsTerminal, stdin, stdout};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use crossterm::event::EventStream as Inputs;
use futures_util::{StreamExt, poll};
use godwit_client::{ChatId, Client, EventStream, Since};
use tokio::signal::unix::{Signal, SignalKind, signal};

use self::effects::Effects;
use self::model::{Effect, Model, Place, Wakeup};
use self::screen::Screen;
use crate::failure::Failure;
use crate::time::{LocalTime, now_ms};

/// Wake-ups taken into account before the screen is drawn again, so that a flood of messages does
/// not cost a picture each and a key never waits for more than these.
const WAKEUPS_PER_PICTURE: usize = 256;

/// How often the screen is brought up to date by itself: a countdown runs by seconds, days change
/// by half minutes.
const TICK_OFFLINE: Duration = Duration::from_secs(1);
const TICK: Duration = Duration::from_secs(30);

/// Runs the messenger until the user leaves.
pub(crate) async fn run(client: &Client, with: Option<ChatId>) -> Result<(), Failure> {
    if !(stdin().is_terminal() && stdout().is_terminal()) {
        return Err(Failure::Other(
            "chat needs a terminal: in scripts use `godwit send` and `godwit listen --json`"
                .to_owned(),
        ));
    }
    let cannot = |error: std::io::Error| Failure::io("cannot use this terminal", &error);
    let mut sources = Sources::new(client).map_err(cannot)?;
    let mut screen = Screen::enter().map_err(cannot)?;
    let size = screen.size().map_err(cannot)?;
    let (mut model, first) =
        Model::new(client.me().clone(), LocalTime::of_machine(), now_ms(), size);
    sources.effects.add(first);
    let state = client.connection().borrow().clone();
    let mut wakeup = Some(Wakeup::Client(godwit_client::Event::Connection(state)));
    if let Some(with) = with {
        model.open(&with, Place::Newest);
    }
    loop {
        let mut taken = 0;
        while let Some(next) = wakeup.take() {
            let effects = model.update(next, now_ms());
            if effects.contains(&Effect::Redraw) {
                screen.clear().map_err(cannot)?;
            }
            sources.effects.add(effects);
            taken += 1;
            if taken < WAKEUPS_PER_PICTURE {
                wakeup = sources.ready(&model).await;
            }
        }
        if model.is_over {
            return Ok(());
        }
        screen.draw(&model).map_err(cannot)?;
        wakeup = Some(sources.next(&model).await);
    }
}

/// Where wake-ups come from.
struct Sources<'a> {
    stops: [Signal; 3],
    inputs: Inputs,
    effects: Effects<'a>,
    events: EventStream,
}

impl<'a> Sources<'a> {
    fn new(client: &'a Client) -> std::io::Result<Self> {
        let kinds = [SignalKind::terminate(), SignalKind::hangup(), SignalKind::interrupt()];
        let [terminate, hangup, interrupt] = kinds.map(signal);
        Ok(Self {
            stops: [terminate?, hangup?, interrupt?],
            inputs: Inputs::new(),
            effects: Effects::new(client),
            events: client.events(Since::Now),
        })
    }

    /// A wake-up that is there already. Polled with this task's own waker: the inputs keep the
    /// waker of the first poll, and with another one a later key would wake nobody.
    async fn ready(&mut self, model: &Model) -> Option<Wakeup> {
        match poll!(pin!(self.next(model))) {
            Poll::Ready(wakeup) => Some(wakeup),
            Poll::Pending => None,
        }
    }

    /// The next wake-up. Safe to drop: each source keeps what was not taken.
    async fn next(&mut self, model: &Model) -> Wakeup {
        let tick = if model.retry_at_ms.is_some() { TICK_OFFLINE } else { TICK };
        let [terminate, hangup, interrupt] = &mut self.stops;
        tokio::select! {
            biased;
            // 1. the system's wish that we end
            _ = terminate.recv() => Wakeup::Stop,
            _ = hangup.recv() => Wakeup::Stop,
            _ = interrupt.recv() => Wakeup::Stop,
            // 2. what the user does
            input = self.inputs.next() => match input {
                Some(Ok(input)) => Wakeup::Input(input),
                Some(Err(_)) | None => Wakeup::Stop, // the terminal is gone
            },
            // 3. what they asked for
            outcome = self.effects.next() => Wakeup::Done(outcome),
            // 4. what happens elsewhere
            event = self.events.next() => match event {
                Some(event) => Wakeup::Client(event),
                None => Wakeup::Stop,
            },
            // 5. time
            () = tokio::time::sleep(tick) => Wakeup::Tick,
        }
    }
}
