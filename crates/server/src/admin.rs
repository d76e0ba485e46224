//! The operator's way in: a Unix socket in the data folder that only the server's user may open. One
//! JSON line asks, one JSON line answers; what takes long says lines of progress before.

mod ask;
mod commands;
mod session;

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use godwit_actor::{ChildContext, Exit};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use crate::node::Node;
use crate::pulse::Pulse;

pub use ask::{AskError, ask, ask_and_hear};
pub(crate) use commands::invite;

const SOCKET: &str = "admin.sock";

/// What the system takes as the path of a Unix socket: 108 bytes on Linux, 104 on FreeBSD.
const PATH_BYTES_MAX: usize = 100;

/// Longest question.
const QUESTION_BYTES_MAX: u64 = 16 * 1_024;

/// Questions at once: operators are few.
const QUESTIONS_MAX: usize = 16;

/// Pause after the system refused to accept, for example because no file descriptor is free.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Where a test has this part go wrong.
const POINT: &str = "fault::admin";

/// Time to ask. The answer may take longer: a backup does.
const ASK_TIMEOUT: Duration = Duration::from_secs(5);

/// What an operator may ask of a running server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case", deny_unknown_fields)]
pub enum Question {
    /// Counts and health.
    Status,
    /// The supervision tree.
    Tree,
    /// The sessions of somebody.
    Session {
        /// A handle, a device, an account, or the number of a session.
        id: String,
    },
    /// A new invite code.
    Invite {
        /// Registrations that it is good for.
        uses: u32,
        /// Days that it is good for.
        days: u32,
    },
    /// A new server key, in use from the answer on.
    RotateKey,
    /// Hand everything over to a process of this program, or of the one that serves.
    Upgrade {
        /// The program, absolute.
        binary: Option<PathBuf>,
    },
    /// A snapshot of everything into a new file.
    Backup {
        /// The file, absolute.
        to: PathBuf,
    },
}

/// Where the socket of a data folder is.
fn socket_path(data: &Path) -> PathBuf {
    data.join(SOCKET)
}

/// Answers until told to stop.
pub(crate) async fn run(child: ChildContext, node: Arc<Node>) -> Exit {
    let path = socket_path(&node.data);
    if path.as_os_str().len() > PATH_BYTES_MAX {
        tracing::warn!(
            path = %path.display(),
            "no admin socket: its path is too long for the system; use a shorter data folder"
        );
        node.up.notify_one();
        return Pulse::new(&child, POINT).until_stopped().await;
    }
    let listener = match bind(&path) {
        Ok(listener) => listener,
        Err(error) => return Exit::failed(format_args!("{}: {error}", path.display())),
    };
    node.up.notify_one();
    let answers = |stream| {
        let node = Arc::clone(&node);
        async move {
            if let Err(error) = serve(&node, stream).await {
                tracing::debug!(%error, "admin question not answered");
            }
        }
    };
    let mut pulse = Pulse::new(&child, POINT);
    let exit = hear(&listener, pulse.until_stopped(), answers).await;
    let _ = fs::remove_file(&path);
    exit
}

/// Takes [`QUESTIONS_MAX`] connections at a time; the next ones wait in the system's queue. It stops
/// when it is told to, also while all places are taken by connections that say nothing.
async fn hear<F>(
    listener: &UnixListener,
    ending: impl Future<Output = Exit>,
    answers: impl Fn(UnixStream) -> F,
) -> Exit
where
    F: Future<Output = ()> + Send + 'static,
{
    let places = Arc::new(Semaphore::new(QUESTIONS_MAX));
    let next = async || {
        let place = Arc::clone(&places).acquire_owned().await;
        (place, listener.accept().await)
    };
    let mut ending = pin!(ending);
    loop {
        tokio::select! {
            biased;
            exit = &mut ending => return exit,
            (place, asked) = next() => match asked {
                Ok((stream, _)) => {
                    let answering = answers(stream);
                    tokio::spawn(async move {
                        let _place = place;
                        answering.await;
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "admin connection not accepted");
                    sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
}

/// The socket has its permissions before it has its name. One left by a killed server is replaced:
/// the store's lock says that no other lives on this folder.
fn bind(path: &Path) -> io::Result<UnixListener> {
    let next = path.with_extension("new");
    let _ = fs::remove_file(&next);
    let listener = UnixListener::bind(&next)?;
    fs::set_permissions(&next, fs::Permissions::from_mode(0o600))?;
    fs::rename(&next, path)?;
    Ok(listener)
}

async fn serve(node: &Arc<Node>, mut stream: UnixStream) -> io::Result<()> {
    let (read, mut write) = stream.split();
    let mut line = String::new();
    let mut read = BufReader::new(read.take(QUESTION_BYTES_MAX));
    timeout(ASK_TIMEOUT, read.read_line(&mut line)).await??;
    let answer = match serde_json::from_str(&line) {
        Ok(Question::Upgrade { binary }) => {
            return commands::upgrade(node, binary, &mut write).await;
        }
        Ok(question) => commands::answer(node, question).await,
        Err(error) => Err(format!("not a question: {error}")),
    };
    write.write_all(commands::said(answer).as_bytes()).await
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;
    use tokio::sync::{mpsc, oneshot};
    use tokio::task::JoinHandle;

    use super::*;

    /// The loop with answers that take as long as the test wants.
    struct Desk {
        /// Each connection that has a place; it has it until this is dropped.
        taken: mpsc::UnboundedReceiver<oneshot::Sender<()>>,
        stop: oneshot::Sender<()>,
        hears: JoinHandle<()>,
        data: TempDir,
    }

    impl Desk {
        fn open() -> Self {
            let data = TempDir::new().unwrap();
            let listener = bind(&socket_path(data.path())).unwrap();
            let (takes, taken) = mpsc::unbounded_channel();
            let (stop, stopping) = oneshot::channel::<()>();
            let hears = tokio::spawn(async move {
                let stopping = async {
                    drop(stopping.await);
                    Exit::Stopped
                };
                let answers = |stream: UnixStream| {
                    let (place, given_back) = oneshot::channel::<()>();
                    takes.send(place).unwrap();
                    async move {
                        let _ = given_back.await;
                        drop(stream);
                    }
                };
                assert_eq!(hear(&listener, stopping, answers).await, Exit::Stopped);
            });
            Self { taken, stop, hears, data }
        }

        async fn is_asked(&self, times: usize) -> Vec<UnixStream> {
            let mut streams = Vec::new();
            for _ in 0..times {
                streams.push(UnixStream::connect(socket_path(self.data.path())).await.unwrap());
            }
            streams
        }

        async fn takes(&mut self, times: usize) -> Vec<oneshot::Sender<()>> {
            let mut places = Vec::new();
            while places.len() < times {
                let place = timeout(Duration::from_secs(60), self.taken.recv()).await;
                places.push(place.expect("a place is free").unwrap());
            }
            places
        }

        async fn stops(self) {
            self.stop.send(()).unwrap();
            timeout(Duration::from_secs(60), self.hears).await.expect("it hears it").unwrap();
        }
    }

    #[tokio::test]
    async fn so_many_connections_have_a_place_and_the_next_waits() {
        let mut desk = Desk::open();
        let _asked = desk.is_asked(QUESTIONS_MAX).await;
        let mut places = desk.takes(QUESTIONS_MAX).await;
        let _one_more = desk.is_asked(1).await;
        // It is in the queue, and the loop has had every chance to take it.
        for _ in 0..1_000 {
            tokio::task::yield_now().await;
        }
        assert!(desk.taken.try_recv().is_err(), "all places are taken");
        drop(places.pop());
        assert_eq!(desk.takes(1).await.len(), 1, "the next has the place that one gave back");
        desk.stops().await;
    }

    #[tokio::test]
    async fn it_stops_while_all_places_are_taken() {
        let mut desk = Desk::open();
        let _asked = desk.is_asked(QUESTIONS_MAX).await;
        let _places = desk.takes(QUESTIONS_MAX).await;
        desk.stops().await;
    }

    #[tokio::test]
    async fn it_stops_while_a_place_is_free() {
        let mut desk = Desk::open();
        let _asked = desk.is_asked(QUESTIONS_MAX - 1).await;
        let _places = desk.takes(QUESTIONS_MAX - 1).await;
        desk.stops().await;
    }
}
