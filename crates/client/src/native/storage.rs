//! The database on threads of its own: nothing that waits for a disk runs on the executor.

use std::thread;

use tokio::sync::{mpsc, oneshot};

use super::database::{Reader, Writer};
use super::request::{Answer, Passed, Request, Response};
use crate::core::Write;
use crate::{Error, Event};

/// Questions that wait for the reading thread; more make the askers wait.
const QUESTIONS_MAX: usize = 64;

/// What is asked, when by the asker's clock (unix milliseconds), and whom to tell.
type Question = (Request, u64, oneshot::Sender<Answer>);

type Committed = Result<Vec<Event>, Error>;

/// Handle on the two threads. They end when the last handle is dropped.
#[derive(Debug, Clone)]
pub(crate) struct Storage {
    commits: mpsc::Sender<(Vec<Write>, oneshot::Sender<Committed>)>,
    questions: mpsc::Sender<Question>,
}

impl Storage {
    /// Starts the threads.
    pub(crate) fn start(mut writer: Writer, mut reader: Reader) -> Result<Self, Error> {
        // One commit at a time: what gathers meanwhile is the next one.
        let (commits, mut to_commit) = mpsc::channel::<(Vec<Write>, oneshot::Sender<_>)>(1);
        let (questions, mut to_answer) = questions();
        spawn("godwit-write", move || {
            while let Some((writes, done)) = to_commit.blocking_recv() {
                let _ = done.send(writer.commit(writes));
            }
        })?;
        spawn("godwit-read", move || {
            while let Some((request, now_ms, answer)) = to_answer.blocking_recv() {
                reader.is_now(now_ms);
                let _ = answer.send(read(&reader, &request));
            }
        })?;
        Ok(Self { commits, questions })
    }

    /// Begins a commit. What it returns resolves when everything is on the disk.
    ///
    /// # Cancel safety
    /// Safe: dropped before it returns, nothing is committed.
    pub(crate) async fn begin(
        &self,
        writes: Vec<Write>,
    ) -> Result<oneshot::Receiver<Committed>, Error> {
        let (done, committed) = oneshot::channel();
        self.commits.send((writes, done)).await.map_err(|_| gone())?;
        Ok(committed)
    }

    /// Answers a question about what is stored, and at `now_ms` not yet over.
    ///
    /// # Cancel safety
    /// Safe: it only reads.
    pub(crate) async fn ask(&self, request: Request, now_ms: u64) -> Answer {
        let (answer, answered) = oneshot::channel();
        self.questions.send((request, now_ms, answer)).await.map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
    }
}

fn questions() -> (mpsc::Sender<Question>, mpsc::Receiver<Question>) {
    mpsc::channel(QUESTIONS_MAX)
}

fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> Result<(), Error> {
    thread::Builder::new()
        .name(name.to_owned())
        .spawn(body)
        .map(drop)
        .map_err(|error| Error::Storage(error.to_string()))
}

fn gone() -> Error {
    Error::Storage("its thread has ended".to_owned())
}

fn read(reader: &Reader, request: &Request) -> Answer {
    match request {
        Request::State { id } => reader.state(*id).map(Response::State),
        Request::FileOf { id } => {
            reader.file_of(*id).map(|media| Response::File(Box::new(Passed::from(&media))))
        }
        Request::History { with, before, limit } => {
            reader.history(with, *before, *limit).map(Response::Messages)
        }
        Request::HistoryAfter { with, after, limit } => {
            reader.history_after(with, *after, *limit).map(Response::Messages)
        }
        Request::ArrivedAfter { row, limit } => {
            reader.arrived_after(*row, *limit).map(Response::Arrived)
        }
        Request::Past(wanted) => reader.past(*wanted).map(Response::Past),
        Request::Message { id } => {
            reader.message(*id).map(|found| Response::Messages(found.into_iter().collect()))
        }
        Request::Chats => reader.chats().map(Response::Chats),
        Request::Search { text, limit } => reader.search(text, *limit).map(Response::Messages),
        _ => Err(Error::OtherVersion),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[tokio::test]
    async fn so_many_questions_wait_and_the_next_one_waits_for_room() {
        let (commits, _to_commit) = mpsc::channel(1);
        let (questions, mut to_answer) = questions();
        let storage = Storage { commits, questions };
        for _ in 0..QUESTIONS_MAX {
            assert!(storage.ask(Request::Chats, 1).now_or_never().is_none(), "nobody answers");
        }
        assert_eq!(to_answer.len(), QUESTIONS_MAX);
        let next = storage.ask(Request::Chats, 1);
        tokio::pin!(next);
        assert!(next.as_mut().now_or_never().is_none());
        assert_eq!(to_answer.len(), QUESTIONS_MAX, "it is not among them");
        to_answer.recv().await.unwrap();
        assert!(next.as_mut().now_or_never().is_none());
        assert_eq!(to_answer.len(), QUESTIONS_MAX, "it took the place of the first");
    }
}
