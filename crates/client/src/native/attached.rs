//! A process that does not own the home: it asks the one that does.

use std::collections::BTreeMap;
use std::io;

use tokio::net::UnixStream;
use tokio::sync::{mpsc, watch};

use super::engine::Voice;
use super::home::Home;
use super::host::Call;
use super::ipc::{self, ToAttached, ToOwner, VERSION};
use crate::{Error, Event, Me};

/// Calls on their way to the owner; more wait in the queue before.
const CALLS_MAX: usize = 256;

/// A conversation with the owner.
#[derive(Debug)]
pub(crate) struct Attached {
    stream: UnixStream,
    pub(crate) me: Me,
}

/// Why the conversation ended.
pub(crate) enum Ended {
    /// Nobody asks any more.
    Stopped,
    /// The owner has ended. Perhaps it carried out some of these calls, perhaps not: asked of the
    /// next owner they have the same effect once.
    OwnerGone(Vec<Call>),
}

impl Attached {
    /// Calls on the owner; `None` when there is nobody (any more, or yet).
    pub(crate) async fn to(home: &Home, voice: &Voice) -> Result<Option<Self>, Error> {
        match Self::try_to(home).await {
            Ok(Some((stream, ToAttached::Welcome { version, me, connection }))) => {
                if version != VERSION {
                    return Err(Error::OtherVersion);
                }
                let me = me.ok_or_else(|| Error::NotJoined { home: home.name() })?;
                voice.say(Event::Connection(connection));
                Ok(Some(Self { stream, me }))
            }
            Ok(Some(_)) => Err(Error::OtherVersion),
            Ok(None) => Ok(None),
            Err(error) if is_absence(&error) => Ok(None),
            Err(error) => Err(home.io(&error)),
        }
    }

    async fn try_to(home: &Home) -> io::Result<Option<(UnixStream, ToAttached)>> {
        let mut stream = UnixStream::connect(home.socket()).await?;
        ipc::write(&mut stream, &ToOwner::Hello { version: VERSION }).await?;
        Ok(ipc::read(&mut stream).await?.map(|welcome| (stream, welcome)))
    }

    /// Carries calls and events until one side ends. `unanswered` are calls that an owner before
    /// left; they go first.
    pub(crate) async fn run(
        self,
        unanswered: Vec<Call>,
        calls: &mut mpsc::Receiver<Call>,
        stop: &mut watch::Receiver<bool>,
        voice: &Voice,
    ) -> Ended {
        let (mut from, mut to) = tokio::io::split(self.stream);
        let (heard, mut said) = mpsc::channel(CALLS_MAX);
        let reader = tokio::spawn(async move {
            while let Ok(Some(message)) = ipc::read::<ToAttached>(&mut from).await {
                if heard.send(message).await.is_err() {
                    return;
                }
            }
        });
        let mut open: BTreeMap<u64, Call> = BTreeMap::new();
        let mut next = 0;
        let mut waiting = unanswered.into_iter();
        let ended = loop {
            let call = tokio::select! {
                biased;
                message = said.recv() => match message {
                    Some(message) => {
                        hear(message, &mut open, voice);
                        continue;
                    }
                    None => break Ended::OwnerGone(Vec::new()),
                },
                _ = stop.wait_for(|stop| *stop) => break Ended::Stopped,
                Some(call) = async { waiting.next() } => call,
                call = calls.recv(), if open.len() < CALLS_MAX => match call {
                    Some(call) => call,
                    None => break Ended::Stopped,
                },
            };
            let said = ToOwner::Call { number: next, request: call.request.clone() };
            open.insert(next, call);
            next += 1;
            if ipc::write(&mut to, &said).await.is_err() {
                break Ended::OwnerGone(Vec::new());
            }
        };
        reader.abort();
        match ended {
            Ended::Stopped => Ended::Stopped,
            Ended::OwnerGone(_) => {
                // What the owner answered before it ended is done.
                while let Ok(message) = said.try_recv() {
                    hear(message, &mut open, voice);
                }
                Ended::OwnerGone(open.into_values().chain(waiting).collect())
            }
        }
    }
}

fn hear(message: ToAttached, open: &mut BTreeMap<u64, Call>, voice: &Voice) {
    match message {
        ToAttached::Answer { number, answer } => {
            if let Some(call) = open.remove(&number) {
                let _ = call.answer.send(answer);
            }
        }
        ToAttached::Event(event) => voice.say(event),
        ToAttached::Welcome { connection, .. } => voice.say(Event::Connection(connection)),
    }
}

fn is_absence(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::UnexpectedEof
    )
}

#[cfg(test)]
mod tests {
    use godwit_base::DeviceId;
    use tokio::sync::{broadcast, oneshot};

    use super::*;
    use crate::ConnectionState;
    use crate::native::request::{Request, Response};

    async fn number_of_next(stream: &mut UnixStream) -> u64 {
        match ipc::read(stream).await.unwrap() {
            Some(ToOwner::Call { number, .. }) => number,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn so_many_calls_are_on_their_way_and_one_more_waits_for_an_answer() {
        let device = DeviceId::new(1, 1);
        let me = Me { handle: "alice".parse().unwrap(), account: device.account, device };
        let (stream, mut owner) = UnixStream::pair().unwrap();
        let (to_attached, mut calls) = mpsc::channel(2 * CALLS_MAX);
        let (_stop, mut stopped) = watch::channel(false);
        let voice = Voice {
            events: broadcast::channel(1).0,
            connection: watch::channel(ConnectionState::Connecting).0,
        };
        let mut answers = Vec::new();
        for _ in 0..=CALLS_MAX {
            let (answer, answered) = oneshot::channel();
            answers.push(answered);
            to_attached.send(Call { request: Request::Chats, answer }).await.unwrap();
        }
        let attached = Attached { stream, me };
        let running = tokio::spawn(async move {
            attached.run(Vec::new(), &mut calls, &mut stopped, &voice).await
        });
        for number in 0..CALLS_MAX as u64 {
            assert_eq!(number_of_next(&mut owner).await, number);
        }
        for _ in 0..1_000 {
            tokio::task::yield_now().await;
        }
        let heard = owner.try_read(&mut [0]).map_err(|error| error.kind());
        assert_eq!(heard, Err(io::ErrorKind::WouldBlock), "too many calls are on their way");
        let answer = ToAttached::Answer { number: 7, answer: Ok(Response::Done) };
        ipc::write(&mut owner, &answer).await.unwrap();
        assert_eq!(number_of_next(&mut owner).await, CALLS_MAX as u64);
        running.abort();
    }
}
