//! `godwit listen`: everything that arrives, each message once, across restarts.

use std::pin::pin;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use godwit_base::Handle;
use godwit_client::{
    Arrived, Client, ConnectionState, Event, EventStream, InboxReader, MessageState, Reach, Since,
};

use super::people::person_line;
use super::presence;
use crate::arguments::Listen;
use crate::failure::Failure;
use crate::output::{self, Output};
use crate::record::{
    Happened, Heard, Kind, Message, Names, Person, change_line, happened_line, history_line,
    message_line, presence_line, reach_line,
};
use crate::text::one_line;
use crate::time::{LocalTime, now_ms};

/// Prints until the number, the time, or the reader of our output has come to an end.
pub(super) async fn listen(
    client: &Client,
    listen: &Listen,
    output: &mut Output,
) -> Result<(), Failure> {
    let events = client.events(Since::Now);
    let inbox = client.inbox()?;
    let time = LocalTime::of_machine();
    let names = Names::known_to(client).await?;
    let mut ear = Ear { client, listen, output, inbox, time, names, heard: 0, is_offline: false };
    let limit = listen.timeout;
    let ended = super::within(limit, ear.hear(events)).await;
    let heard = ear.heard;
    for with in &listen.presence {
        client.close_chat(with).await?;
    }
    match ended {
        Some(ended) => ended,
        None if heard >= listen.count => Ok(()),
        None => Err(Failure::TimedOut(format!(
            "{} of {} messages came in time: listen again for the rest, nothing is lost",
            heard, listen.count
        ))),
    }
}

struct Ear<'a> {
    client: &'a Client,
    listen: &'a Listen,
    output: &'a mut Output,
    inbox: InboxReader,
    time: LocalTime,
    names: Names,
    heard: u64,
    is_offline: bool,
}

impl Ear<'_> {
    async fn hear(&mut self, mut events: EventStream) -> Result<(), Failure> {
        let mut closed = pin!(output::closed());
        let (client, watched) = (self.client, &self.listen.presence);
        let found = watched.iter().map(async |with| (with, client.find(with).await));
        let mut found: FuturesUnordered<_> = found.collect();
        let mut open_again = presence::open_again();
        while !self.is_full() {
            tokio::select! {
                biased;
                () = &mut closed => return Err(Failure::OutputClosed),
                // Before messages: their channel is short, while the inbox waits on disk.
                event = events.next() => match event {
                    Some(event) => self.event(event).await?,
                    None => return Err(godwit_client::Error::Closed.into()),
                },
                _ = open_again.tick() => self.open_chats().await?,
                Some((with, found)) = found.next() => {
                    if let Err(error) = found {
                        self.warning(Kind::Command("presence"), Some(with), &error.to_string())?;
                    }
                }
                arrived = self.inbox.next() => self.arrived(&arrived?).await?,
            }
        }
        Ok(())
    }

    /// Those whose presence is to be printed.
    async fn open_chats(&self) -> Result<(), Failure> {
        for with in &self.listen.presence {
            self.client.open_chat(with).await?;
        }
        Ok(())
    }

    fn is_full(&self) -> bool {
        self.listen.count > 0 && self.heard >= self.listen.count
    }

    /// Prints, then remembers: killed in between, the line comes once more and is not lost.
    async fn arrived(&mut self, arrived: &Arrived) -> Result<(), Failure> {
        let time = &self.time;
        match arrived {
            Arrived::Message(item) => {
                let message = Message::heard(item).named(&self.names);
                let heard = Heard::Message(Box::new(message));
                self.output.record(&heard, |_| message_line(item, time))?;
                self.heard += 1;
            }
            Arrived::Changed(changed) => {
                if let Some(heard) = Heard::change(changed) {
                    self.output.record(&heard, |_| change_line(changed, time))?;
                }
            }
        }
        self.inbox.shown(arrived)?;
        match arrived {
            Arrived::Message(item) if self.listen.read && !item.outgoing => {
                match item.with.group() {
                    Some(group) => Ok(self.client.mark_read(group).await?),
                    None => Ok(self.client.mark_message_read(item.id).await?),
                }
            }
            _ => Ok(()),
        }
    }

    async fn event(&mut self, event: Event) -> Result<(), Failure> {
        match event {
            // Of our own messages, and told by the other side: the server's tick is no receipt.
            Event::State {
                id,
                with,
                by,
                state: state @ (MessageState::Delivered | MessageState::Read),
                at_ms,
            } if with == by => {
                let state = state.as_str();
                self.output.record(&Heard::Receipt { id, by: &by, state, at_ms }, |_| {
                    format!("{id} {state} by {by}")
                })
            }
            Event::Reach { id, with, reach } => {
                let Reach { delivered, read, of } = reach;
                let heard = Heard::Reach { id, group: with.group(), delivered, read, of };
                self.output.record(&heard, |_| format!("{id} {}", reach_line(reach)))
            }
            Event::Expired { id, .. } => {
                self.output.record(&Heard::Expired { id }, |_| format!("{id} has disappeared"))
            }
            Event::Group { group, news } => {
                let news = news.as_ref();
                let heard = Heard::Group(Happened::to(group, news));
                self.output.record(&heard, |_| happened_line(group, news))
            }
            Event::Presence { with, presence } => {
                let time = &self.time;
                self.output.record(&Heard::presence(&with, &presence), |_| {
                    format!("-- {with}: {}", presence_line(&presence, time, now_ms()))
                })
            }
            Event::Contact(contact) => {
                self.names.learn(&contact);
                self.output.record(&Heard::Contact(Person::new(&contact)), |_| {
                    format!("-- {}", person_line(&contact))
                })
            }
            Event::History(progress) => self.output.record(&Heard::History(progress), |_| {
                format!("-- device {}, {}", progress.device, history_line(&progress))
            }),
            Event::CaughtUp => self.caught_up().await,
            Event::Connection(state) => self.connection(&state),
            Event::Warning { kind, with, text } => {
                self.warning(Kind::Client(kind), with.as_ref(), &text)
            }
            Event::Lagged(0) => Ok(()), // another process owns the home now
            Event::Lagged(dropped) => self.warning(
                Kind::Command("lagged"),
                None,
                &format!(
                    "{dropped} events were dropped, no message: read states with `godwit history`"
                ),
            ),
            _ => Ok(()), // messages come from the inbox; what later versions add, they print
        }
    }

    /// The backlog is stored; it must be printed before we say so.
    async fn caught_up(&mut self) -> Result<(), Failure> {
        while !self.is_full() {
            match self.inbox.try_next().await? {
                Some(arrived) => self.arrived(&arrived).await?,
                None => {
                    return self.output.record(&Heard::CaughtUp, |_| {
                        "-- all messages have been received".to_owned()
                    });
                }
            }
        }
        Ok(())
    }

    /// A broken connection is said once, not at each attempt. One that will not be tried again is the
    /// end: whoever supervises this process must see it.
    fn connection(&mut self, state: &ConnectionState) -> Result<(), Failure> {
        match state {
            ConnectionState::Offline { retry_in_ms: None, reason } => {
                Err(Failure::Refused(one_line(reason).into_owned()))
            }
            ConnectionState::Offline { reason, .. } if !self.is_offline => {
                self.is_offline = true;
                self.warning(Kind::Command("offline"), None, reason)
            }
            ConnectionState::Online if self.is_offline => {
                self.is_offline = false;
                self.warning(Kind::Command("online"), None, "the server is reachable again")
            }
            _ => Ok(()),
        }
    }

    fn warning(&mut self, kind: Kind, with: Option<&Handle>, text: &str) -> Result<(), Failure> {
        self.output.record(&Heard::Warning { kind, with, text }, |_| {
            let with = with.map(|with| format!("{with}: ")).unwrap_or_default();
            format!("!! {with}{}", one_line(text))
        })
    }
}
