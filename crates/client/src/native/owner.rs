//! How the owner serves the other processes of its home.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use tokio::io::{ReadHalf, WriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, broadcast, mpsc, oneshot, watch};
use tokio::task::JoinSet;

use super::home::Home;
use super::host::Call;
use super::ipc::{self, ToAttached, ToOwner, VERSION};
use super::request::{Answer, Request};
use crate::{ConnectionState, Error, Event, LinkId, Me};

/// Processes served at once; one more waits to be taken.
const ATTACHED_MAX: usize = 64;

/// Calls of one process that are being answered; more wait in its socket.
const CALLS_MAX: usize = 256;

/// What a served process is given.
#[derive(Debug, Clone)]
pub(crate) struct Offer {
    pub(crate) me: Option<Me>,
    pub(crate) calls: mpsc::WeakSender<Call>,
    pub(crate) events: broadcast::Sender<Event>,
    pub(crate) connection: watch::Receiver<ConnectionState>,
}

/// Opens the home's socket. Only the holder of the lock calls it, so that a socket which is there
/// is a dead one. It gets its name when nobody but its owner can use it.
pub(crate) fn listen(home: &Home) -> Result<UnixListener, Error> {
    let (path, unready) = (home.socket(), home.unready_socket());
    let open = || -> io::Result<UnixListener> {
        match std::fs::remove_file(&unready) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(&unready)?;
        std::fs::set_permissions(&unready, std::fs::Permissions::from_mode(0o600))?;
        std::fs::rename(&unready, &path)?;
        Ok(listener)
    };
    open().map_err(|error| home.io(&error))
}

/// Takes processes and serves them until dropped.
pub(crate) async fn serve(listener: UnixListener, offer: Offer) {
    let places = Arc::new(Semaphore::new(ATTACHED_MAX));
    let mut served = JoinSet::new();
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let taken = tokio::select! {
            taken = listener.accept() => taken,
            Some(_) = served.join_next() => continue,
        };
        let Ok((stream, _)) = taken else {
            // Out of file descriptors: some will be free when a served process ends.
            served.join_next().await;
            continue;
        };
        let offer = offer.clone();
        served.spawn(async move {
            // Whatever ends the conversation, the other side sees its socket close.
            let _ = converse(stream, offer).await;
            drop(place);
        });
    }
}

async fn converse(stream: UnixStream, offer: Offer) -> io::Result<()> {
    let (mut from, mut to) = tokio::io::split(stream);
    let events = offer.events.subscribe();
    match ipc::read(&mut from).await? {
        Some(ToOwner::Hello { version: VERSION }) => {}
        _ => {
            let connection = offer.connection.borrow().clone();
            let welcome = ToAttached::Welcome { version: VERSION, me: None, connection };
            return ipc::write(&mut to, &welcome).await;
        }
    }
    let connection = offer.connection.borrow().clone();
    let welcome = ToAttached::Welcome { version: VERSION, me: offer.me.clone(), connection };
    ipc::write(&mut to, &welcome).await?;
    let (answers, answered) = mpsc::channel(CALLS_MAX);
    let mut begun = None;
    let ended = tokio::select! {
        ended = hear(from, &offer.calls, answers, &mut begun) => ended,
        ended = speak(to, answered, events) => ended,
    };
    if let (Some(link), Some(calls)) = (begun, offer.calls.upgrade()) {
        // Nobody compares its digits any more, and another linking is not to wait for it.
        let (answer, _) = oneshot::channel();
        let _ = calls.send(Call { request: Request::AbandonLink { link }, answer }).await;
    }
    ended
}

/// Takes calls, and sees to it that each is answered. `begun`: the linking last asked for.
async fn hear(
    mut from: ReadHalf<UnixStream>,
    calls: &mpsc::WeakSender<Call>,
    answers: mpsc::Sender<(u64, Answer)>,
    begun: &mut Option<LinkId>,
) -> io::Result<()> {
    let mut open: JoinSet<()> = JoinSet::new();
    while let Some(said) = ipc::read(&mut from).await? {
        let ToOwner::Call { number, request } = said else { continue };
        while open.len() >= CALLS_MAX {
            open.join_next().await;
        }
        while open.try_join_next().is_some() {}
        if let Request::ApproveLink { code } = &request {
            *begun = LinkId::of_code(code).ok().or(*begun);
        }
        let (answer, answered) = oneshot::channel();
        // In the order of arrival: a sender's commands keep theirs.
        let Some(calls) = calls.upgrade() else { return Ok(()) };
        if calls.send(Call { request, answer }).await.is_err() {
            return Ok(());
        }
        let answers = answers.clone();
        open.spawn(async move {
            // No answer: the owner ends. The other side asks the next owner.
            if let Ok(answer) = answered.await {
                let _ = answers.send((number, answer)).await;
            }
        });
    }
    Ok(())
}

async fn speak(
    mut to: WriteHalf<UnixStream>,
    mut answered: mpsc::Receiver<(u64, Answer)>,
    mut events: broadcast::Receiver<Event>,
) -> io::Result<()> {
    loop {
        let said = tokio::select! {
            biased;
            // Events first: a state is told before the answer to a question that saw it.
            event = events.recv() => match event {
                Ok(event) => ToAttached::Event(event),
                Err(broadcast::error::RecvError::Lagged(dropped)) => {
                    ToAttached::Event(Event::Lagged(dropped))
                }
                Err(broadcast::error::RecvError::Closed) => return Ok(()),
            },
            answer = answered.recv() => match answer {
                Some((number, answer)) => ToAttached::Answer { number, answer },
                None => return Ok(()),
            },
        };
        ipc::write(&mut to, &said).await?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::native::request::Response;

    /// Serves a home in a folder of its own until dropped.
    struct Stage {
        folder: tempfile::TempDir,
        calls: mpsc::Receiver<Call>,
        _serving: JoinSet<()>,
        _sender: mpsc::Sender<Call>,
        _connection: watch::Sender<ConnectionState>,
    }

    impl Stage {
        fn new() -> Self {
            let folder = tempfile::TempDir::new().unwrap();
            let listener = listen(&Home::at(folder.path())).unwrap();
            // More room than one process may use.
            let (sender, calls) = mpsc::channel(2 * CALLS_MAX);
            let (connection, watched) = watch::channel(ConnectionState::Connecting);
            let offer = Offer {
                me: None,
                calls: sender.downgrade(),
                events: broadcast::channel(1).0,
                connection: watched,
            };
            let mut serving = JoinSet::new();
            serving.spawn(serve(listener, offer));
            Self { folder, calls, _serving: serving, _sender: sender, _connection: connection }
        }

        /// Calls on the owner.
        async fn visit(&self) -> UnixStream {
            let home = Home::at(self.folder.path());
            let mut stream = UnixStream::connect(home.socket()).await.unwrap();
            ipc::write(&mut stream, &ToOwner::Hello { version: VERSION }).await.unwrap();
            stream
        }
    }

    async fn is_welcome(stream: &mut UnixStream) -> bool {
        let said = ipc::read::<ToAttached>(stream).await.unwrap();
        matches!(said, Some(ToAttached::Welcome { .. }))
    }

    async fn call(stream: &mut UnixStream, number: u64) {
        let call = ToOwner::Call { number, request: Request::Chats };
        ipc::write(stream, &call).await.unwrap();
    }

    /// Lets every other task of this thread do whatever it can.
    async fn everybody_else() {
        for _ in 0..1_000 {
            tokio::task::yield_now().await;
        }
    }

    /// Whoever watches the folder sees the socket under its name only when it is its owner's alone: the
    /// name leads to what was bound under another one.
    #[tokio::test]
    async fn the_socket_has_its_name_when_it_is_its_owners_alone() {
        let folder = tempfile::TempDir::new().unwrap();
        let home = Home::at(folder.path());
        // Left by a process that was killed on the way.
        drop(std::os::unix::net::UnixListener::bind(home.unready_socket()).unwrap());
        let first = listen(&home).unwrap();
        let bound = first.local_addr().unwrap();
        assert_eq!(bound.as_pathname(), Some(home.unready_socket().as_path()));
        let mode = std::fs::metadata(home.socket()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        drop(first);
        // A dead one that is there is replaced.
        let _second = listen(&home).unwrap();
        assert!(UnixStream::connect(home.socket()).await.is_ok());
        assert!(!home.unready_socket().exists());
    }

    #[tokio::test]
    async fn so_many_are_served_and_one_more_waits_for_a_place() {
        let stage = Stage::new();
        let mut served = Vec::new();
        for _ in 0..ATTACHED_MAX {
            let mut stream = stage.visit().await;
            assert!(is_welcome(&mut stream).await);
            served.push(stream);
        }
        let mut waiting = stage.visit().await;
        everybody_else().await;
        let heard = waiting.try_read(&mut [0]).map_err(|error| error.kind());
        assert_eq!(heard, Err(io::ErrorKind::WouldBlock), "there was no place");
        served.pop();
        assert!(is_welcome(&mut waiting).await);
    }

    #[tokio::test]
    async fn so_many_calls_of_one_process_are_open_and_one_more_waits_for_an_answer() {
        let mut stage = Stage::new();
        let mut stream = stage.visit().await;
        assert!(is_welcome(&mut stream).await);
        let mut open = Vec::new();
        for number in 0..=CALLS_MAX as u64 {
            call(&mut stream, number).await;
        }
        for _ in 0..CALLS_MAX {
            open.push(stage.calls.recv().await.unwrap());
        }
        everybody_else().await;
        assert!(stage.calls.try_recv().is_err(), "too many calls are open");
        open.pop().unwrap().answer.send(Ok(Response::Done)).unwrap();
        assert!(stage.calls.recv().await.is_some());
    }
}
