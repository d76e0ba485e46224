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
use super::request::Answer;
use crate::{ConnectionState, Error, Event, Me};

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
/// is a dead one.
pub(crate) fn listen(home: &Home) -> Result<UnixListener, Error> {
    let path = home.socket();
    let open = || -> io::Result<UnixListener> {
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(&path)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
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
    tokio::select! {
        ended = hear(from, &offer.calls, answers) => ended,
        ended = speak(to, answered, events) => ended,
    }
}

/// Takes calls, and sees to it that each is answered.
async fn hear(
    mut from: ReadHalf<UnixStream>,
    calls: &mpsc::WeakSender<Call>,
    answers: mpsc::Sender<(u64, Answer)>,
) -> io::Result<()> {
    let mut open: JoinSet<()> = JoinSet::new();
    while let Some(said) = ipc::read(&mut from).await? {
        let ToOwner::Call { number, request } = said else { continue };
        while open.len() >= CALLS_MAX {
            open.join_next().await;
        }
        while open.try_join_next().is_some() {}
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
