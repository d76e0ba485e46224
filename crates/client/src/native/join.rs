//! Making an account: the only time that the engine runs without a client.

use godwit_base::{Clock, Handle, JoinLink, SystemClock};
use tokio::sync::{broadcast, mpsc, watch};

use super::client::Joined;
use super::database;
use super::engine::{Engine, Parts, Stage, Voice};
use super::home::Home;
use super::host::{EVENTS_MAX, seed};
use crate::core::{Core, Now};
use crate::{ConnectionState, Error, Event};

/// Joins and lets go of the home.
pub(super) async fn join(
    home: &Home,
    link: &JoinLink,
    handle: &Handle,
    invite: Option<&str>,
) -> Result<Joined, Error> {
    home.create()?;
    let busy = || Error::HomeBusy { home: home.name() };
    let ownership = home.try_own()?.ok_or_else(busy)?;
    let vault = home.vault()?;
    let (db, rows) = database::open(&home.database())?;
    let restored = Core::restore(vault.clone(), rows, seed()?)?;
    if let Some(me) = restored.as_ref().and_then(Core::me) {
        return Err(Error::AlreadyJoined { home: home.name(), handle: me.handle });
    }
    let now = Now { wall_ms: SystemClock.unix_ms(), mono_ms: 0 };
    let mut core = match restored {
        Some(core) => core,
        None => Core::create(vault.clone(), link, handle, seed()?, now)?,
    };
    core.join(link, handle, invite);
    let (events, mut happens) = broadcast::channel(EVENTS_MAX);
    let (connection, _) = watch::channel(ConnectionState::Connecting);
    let voice = Voice { events, connection };
    let mut engine = Engine::start(Parts { core, vault, db, ownership }, home, voice)?;
    let (calls, mut no_calls) = mpsc::channel(1);
    let (stop, mut stopped) = watch::channel(false);
    loop {
        engine.turn(&mut no_calls, &mut stopped, Stage::Serving).await?;
        if let Some(result) = engine.core().join_result().cloned() {
            // What the server said is made durable before it is believed.
            stop.send_replace(true);
            engine.run(&mut no_calls, &mut stopped).await?;
            drop(calls);
            let device = engine.core().device();
            return result.map(|()| Joined { account: device.account, device });
        }
        // Said now: a link that is stopped for good wakes nobody again.
        engine.flush().await?;
        let mut lost = happened(&mut happens).filter_map(|event| match event {
            Event::Connection(ConnectionState::Offline { reason, .. }) => Some(reason),
            _ => None,
        });
        if let Some(reason) = lost.next() {
            return Err(Error::Unreachable { address: link.address(), reason });
        }
    }
}

/// What has happened by now, as far as there was room to tell it.
pub(super) fn happened(happens: &mut broadcast::Receiver<Event>) -> impl Iterator<Item = Event> {
    std::iter::from_fn(|| {
        loop {
            match happens.try_recv() {
                Ok(event) => return Some(event),
                Err(broadcast::error::TryRecvError::Lagged(_)) => {}
                Err(_) => return None,
            }
        }
    })
}
