//! The owner of the home: feeds the core with commands, bytes and time, and does what it says, in
//! its order.

mod files;

use std::time::{Duration, Instant};

use godwit_base::{Clock, DeviceNumber, SystemClock};
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio::task::JoinSet;

use super::database::{self, Owner, Writer};
use super::home::{Home, Ownership};
use super::host::Call;
use super::moving::{Ended, Moving};
use super::request::{Answer, Request, Response, Words};
use super::socket::{Happened, Socket};
use super::storage::Storage;
use crate::core::{Asked, Batch, Core, LinkOrder, Now, Vault};
use crate::{ChatId, ConnectionState, Error, Event, Me, Recipients};

/// Commands whose commit is awaited; more wait in the queue before. 1,024 answers of a few bytes.
const ANSWERS_MAX: usize = 1_024;

/// Bytes from the server that are taken while a commit runs, 1 MiB: about 7,000 short messages in
/// one commit. Beyond it the socket is not read, and the server feels it.
const UNCOMMITTED_BYTES_MAX: usize = 1024 * 1024;

/// How many wait at once for the server to have what was set; each is a command that has not ended.
const TOLD_WAITING_MAX: usize = 64;

/// Questions answered at once.
const QUESTIONS_MAX: usize = 64;

/// Longest that the end is held up so that acknowledgements, read receipts and what was just sent
/// still leave: three round trips of a 2G line. What does not make it goes out the next time.
const PARTING: Duration = Duration::from_secs(2);

/// Longest the engine sleeps without a reason.
const IDLE: Duration = Duration::from_secs(3_600);

/// Where the engine tells what happens.
#[derive(Debug, Clone)]
pub(crate) struct Voice {
    pub(crate) events: broadcast::Sender<Event>,
    pub(crate) connection: watch::Sender<ConnectionState>,
}

impl Voice {
    pub(crate) fn say(&self, event: Event) {
        if let Event::Connection(state) = &event {
            self.connection.send_replace(state.clone());
        }
        // Nobody listening is no fault.
        let _ = self.events.send(event);
    }
}

/// The owner of a home.
pub(crate) struct Engine {
    core: Core,
    storage: Storage,
    socket: Socket,
    voice: Voice,
    started: Instant,
    /// Answers that go out when the next batch is durable.
    answers: Vec<(oneshot::Sender<Answer>, Answer)>,
    /// Who waits for what only the server can say; as many as the core takes on.
    later: Vec<(Later, oneshot::Sender<Answer>)>,
    running: Option<Running>,
    uncommitted_bytes: usize,
    questions: JoinSet<()>,
    moving: Moving,
    _ownership: Ownership,
}

/// A commit on its way, and what follows it.
struct Running {
    committed: oneshot::Receiver<Result<Vec<Event>, Error>>,
    batch: Batch,
    answers: Vec<(oneshot::Sender<Answer>, Answer)>,
}

/// What the core tells when the server has said it, by its number.
#[derive(Debug, Clone, Copy)]
enum Later {
    /// What came of a change of a group.
    Change(u64),
    /// Who has a message to a group.
    Recipients(u64),
    /// Whether somebody has a handle.
    Find(u64),
    /// That it has what was set.
    Told,
}

/// How far the engine is from its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Takes calls.
    Serving,
    /// Takes no calls; the link still works.
    Parting,
    /// Only the running commit is still awaited.
    Ending,
}

/// What the engine has taken on and not finished.
#[derive(Debug, Clone, Copy)]
struct Load {
    uncommitted_bytes: usize,
    answers: usize,
    questions: usize,
}

impl Load {
    /// Whether there is room for what the server says.
    const fn reads(self) -> bool {
        self.uncommitted_bytes < UNCOMMITTED_BYTES_MAX
    }

    /// Whether there is room for another call.
    const fn takes_calls(self) -> bool {
        self.answers < ANSWERS_MAX && self.questions < QUESTIONS_MAX
    }
}

/// Everything that wakes the engine.
enum Wake {
    Committed(Result<Vec<Event>, Error>),
    Link(Happened),
    Call(Option<Call>),
    Moved(Ended),
    Due,
    Stop,
}

/// What an engine is made of.
pub(crate) struct Parts {
    pub(crate) core: Core,
    pub(crate) vault: Vault,
    pub(crate) db: rusqlite::Connection,
    pub(crate) ownership: Ownership,
}

impl Engine {
    pub(crate) fn start(parts: Parts, home: &Home, voice: Voice) -> Result<Self, Error> {
        let Parts { core, vault, db, ownership } = parts;
        let owner = Owner {
            handle: core.handle().clone(),
            device: core.device(),
            given_up_to: core.given_up_to(),
        };
        let reader = database::open_reader(&home.database(), vault.clone(), owner.clone())?;
        let storage = Storage::start(Writer::new(db, vault, owner), reader)?;
        let moving = Moving::start(home.files()?, core.server(), voice.clone())?;
        let mut engine = Self {
            core,
            moving,
            storage,
            socket: Socket::default(),
            voice,
            started: Instant::now(),
            answers: Vec::new(),
            later: Vec::new(),
            running: None,
            uncommitted_bytes: 0,
            questions: JoinSet::new(),
            _ownership: ownership,
        };
        let now = engine.now();
        engine.core.start(now);
        engine.resume_uploads();
        Ok(engine)
    }

    pub(crate) fn core(&self) -> &Core {
        &self.core
    }

    /// Tells everybody who waits that their command was not carried out. Questions only read: they are
    /// answered still.
    pub(crate) fn fail(&mut self, error: &Error) {
        self.questions.detach_all();
        let running = self.running.take().map(|running| running.answers);
        for (asker, _) in running.into_iter().flatten().chain(self.answers.drain(..)) {
            let _ = asker.send(Err(error.clone()));
        }
        for (_, asker) in self.later.drain(..) {
            let _ = asker.send(Err(error.clone()));
        }
    }

    pub(crate) fn me(&self) -> Option<Me> {
        self.core.me()
    }

    /// Runs until the callers are gone or `stop` says so; what was commanded is durable then.
    pub(crate) async fn run(
        &mut self,
        calls: &mut mpsc::Receiver<Call>,
        stop: &mut watch::Receiver<bool>,
    ) -> Result<(), Error> {
        while !self.turn(calls, stop, Stage::Serving).await? {}
        // Out of patience is no error: the outbox is durable.
        if let Ok(parted) = tokio::time::timeout(PARTING, self.part(calls, stop)).await {
            parted?;
        }
        while self.running.is_some() {
            self.turn(calls, stop, Stage::Ending).await?;
        }
        self.socket.close();
        Ok(())
    }

    /// Lets out what the link can still take. Takes no more calls.
    async fn part(
        &mut self,
        calls: &mut mpsc::Receiver<Call>,
        stop: &mut watch::Receiver<bool>,
    ) -> Result<(), Error> {
        while self.running.is_some() || self.core.has_unsent() {
            self.turn(calls, stop, Stage::Parting).await?;
        }
        self.socket.drain().await;
        Ok(())
    }

    /// One wake-up. Returns whether to stop.
    pub(crate) async fn turn(
        &mut self,
        calls: &mut mpsc::Receiver<Call>,
        stop: &mut watch::Receiver<bool>,
        stage: Stage,
    ) -> Result<bool, Error> {
        self.give_history().await?;
        self.flush().await?;
        match self.wake(calls, stop, stage).await {
            Wake::Committed(Ok(events)) => self.finish(events),
            Wake::Committed(Err(error)) => {
                self.fail(&error);
                return Err(error);
            }
            Wake::Link(happened) => self.on_link(happened),
            Wake::Call(Some(call)) => self.on_call(call),
            Wake::Moved(ended) => {
                let next = self.moving.on_ended(ended);
                self.follow(next);
            }
            Wake::Call(None) | Wake::Stop => {
                self.core.depart();
                self.flush().await?;
                return Ok(true);
            }
            Wake::Due => {
                let now = self.now();
                self.core.tick(now);
            }
        }
        Ok(false)
    }

    /// A new device is given what was said before it was linked, as far as there is room now.
    async fn give_history(&mut self) -> Result<(), Error> {
        while let Some(wanted) = self.core.history_wanted() {
            let now = self.now();
            let asked = self.storage.ask(Request::Past(wanted), self.core.wall_ms(now));
            let Response::Past(page) = asked.await? else {
                return Err(Error::OtherVersion);
            };
            self.core.give_history(page, now);
        }
        Ok(())
    }

    async fn wake(
        &mut self,
        calls: &mut mpsc::Receiver<Call>,
        stop: &mut watch::Receiver<bool>,
        stage: Stage,
    ) -> Wake {
        let load = Load {
            uncommitted_bytes: self.uncommitted_bytes,
            answers: self.answers.len(),
            questions: self.questions.len(),
        };
        let is_serving = stage == Stage::Serving;
        let has_link = stage != Stage::Ending;
        let is_committing = self.running.is_some();
        let now_ms = self.now().mono_ms;
        let wait = self
            .core
            .deadline()
            .map_or(IDLE, |at_ms| Duration::from_millis(at_ms.saturating_sub(now_ms)).min(IDLE));
        tokio::select! {
            biased;
            // What is durable goes out before anything else is begun.
            events = committed(&mut self.running) => Wake::Committed(events),
            () = stopped(stop), if is_serving => Wake::Stop,
            happened = self.socket.next(load.reads()), if has_link => Wake::Link(happened),
            call = calls.recv(), if is_serving && load.takes_calls() => Wake::Call(call),
            Some(_) = self.questions.join_next() => Wake::Due,
            ended = self.moving.next(), if is_serving => Wake::Moved(ended),
            () = tokio::time::sleep(wait), if has_link || !is_committing => Wake::Due,
        }
    }

    /// Begins the next commit, unless one is running; then it gathers.
    pub(crate) async fn flush(&mut self) -> Result<(), Error> {
        while self.running.is_none() {
            let now = self.now();
            let mut batch = self.core.flush(now)?;
            self.gather_outcomes();
            let answers = std::mem::take(&mut self.answers);
            if batch.is_empty() && answers.is_empty() {
                return Ok(());
            }
            self.uncommitted_bytes = 0;
            let writes = std::mem::take(&mut batch.writes);
            if writes.is_empty() {
                self.carry_out(batch, answers, Vec::new());
                continue;
            }
            let committed = self.storage.begin(writes).await?;
            self.running = Some(Running { committed, batch, answers });
        }
        Ok(())
    }

    /// What the server has said: told when what came with it is durable.
    fn gather_outcomes(&mut self) {
        for (later, asker) in std::mem::take(&mut self.later) {
            match self.outcome(later) {
                Some(answer) => self.answers.push((asker, answer)),
                None => self.later.push((later, asker)),
            }
        }
    }

    /// Makes room of those who have gone: without a server what they waited for may never come. A change of a
    /// group is made all the same, and its outcome taken.
    fn forget_gone(&mut self) {
        for (later, asker) in std::mem::take(&mut self.later) {
            match later {
                Later::Find(number) if asker.is_closed() => self.core.forget_find(number),
                Later::Recipients(number) if asker.is_closed() => {
                    self.core.forget_recipients(number);
                }
                Later::Told if asker.is_closed() => {}
                _ => self.later.push((later, asker)),
            }
        }
    }

    fn outcome(&mut self, later: Later) -> Option<Answer> {
        Some(match later {
            Later::Change(number) => self.core.take_group_outcome(number)?.map(Response::Group),
            Later::Recipients(number) => {
                Ok(Response::Recipients(self.core.take_recipients(number)?))
            }
            Later::Find(number) => self.core.take_found(number)?.map(|()| Response::Done),
            Later::Told => self.core.is_told().then_some(Ok(Response::Flag(true)))?,
        })
    }

    fn finish(&mut self, events: Vec<Event>) {
        if let Some(Running { batch, answers, .. }) = self.running.take() {
            self.carry_out(batch, answers, events);
        }
    }

    /// Does what waited for the commit: bytes, link, answers, events.
    fn carry_out(
        &mut self,
        batch: Batch,
        answers: Vec<(oneshot::Sender<Answer>, Answer)>,
        events: Vec<Event>,
    ) {
        self.socket.send(&batch.send);
        match batch.link {
            Some(LinkOrder::Dial) => {
                let (host, port) = self.core.server();
                self.socket.dial(host, port);
            }
            Some(LinkOrder::Close) => self.socket.close(),
            None => {}
        }
        for ticket in batch.tickets {
            let next = self.moving.on_ticket(ticket);
            self.follow(next);
        }
        for event in events.into_iter().chain(batch.events) {
            self.voice.say(event);
        }
        for (asker, answer) in answers {
            // Who asked may have gone; what was asked is done.
            let _ = asker.send(answer);
        }
    }

    fn on_link(&mut self, happened: Happened) {
        let now = self.now();
        match happened {
            Happened::Connected => {
                self.core.goes_through(self.socket.network());
                self.core.connected(now);
            }
            Happened::Received(count) => {
                self.uncommitted_bytes += count;
                self.core.on_bytes(self.socket.received(count), now);
            }
            Happened::Ended(reason) => self.core.disconnected(&reason, now),
        }
    }

    pub(crate) fn on_call(&mut self, call: Call) {
        let Call { request, answer: asker } = call;
        if request.is_question() {
            let (storage, now_ms) = (self.storage.clone(), self.core.wall_ms(self.now()));
            self.questions.spawn(async move {
                let _ = asker.send(storage.ask(request, now_ms).await);
            });
            return;
        }
        self.forget_gone();
        let later = match request {
            Request::ChangeGroup { command } => self.core.change_group(command).map(Later::Change),
            Request::Find { with } => self.core.find(&with).map(Later::Find),
            Request::IsTold => {
                let waiting = self.later.iter().filter(|(later, _)| matches!(later, Later::Told));
                if waiting.count() >= TOLD_WAITING_MAX {
                    return self.answers.push((asker, Ok(Response::Flag(false))));
                }
                Ok(Later::Told)
            }
            Request::Recipients { with: ChatId::Group(_), id } => {
                match self.core.ask_recipients(id) {
                    Asked::Later(number) => Ok(Later::Recipients(number)),
                    Asked::Now(found) => {
                        return self.answers.push((asker, Ok(Response::Recipients(found))));
                    }
                }
            }
            request => {
                let Some((request, asker)) = self.file_command(request, asker) else { return };
                let answer = self.command(request);
                return self.answers.push((asker, answer));
            }
        };
        match later {
            Ok(later) => self.later.push((later, asker)),
            Err(error) => self.answers.push((asker, Err(error))),
        }
    }

    fn command(&mut self, request: Request) -> Answer {
        let now = self.now();
        match request {
            Request::Send { key, to, texts } => {
                self.core.send(key, &to, &texts, now).map(Response::Sent)
            }
            Request::MarkRead { with } => {
                self.core.mark_read(&with, now);
                Ok(Response::Done)
            }
            Request::MarkMessageRead { id } => {
                self.core.mark_message_read(id, now).map(|()| Response::Done)
            }
            Request::SafetyNumber { with } => {
                self.core.safety_number(&with).map(Response::SafetyNumber)
            }
            Request::SetVerified { with, verified } => {
                self.core.set_verified(&with, verified).map(|()| Response::Done)
            }
            Request::Groups => Ok(Response::Groups(self.core.groups())),
            Request::SendWith { key, to, text, context } => {
                self.core.send_with(key, &to, &text, &context, now).map(sent)
            }
            Request::SendPoll { key, to, question, options, several } => {
                self.core.send_poll(key, &to, &question, &options, several, now).map(sent)
            }
            Request::Act { key, with, about, act } => {
                self.core.annotate(key, &with, about, &act, now).map(sent)
            }
            Request::SetTimer { key, with, timer_s } => {
                self.core.set_timer(key, &with, timer_s, now).map(sent)
            }
            Request::SetReceipts { on } => {
                self.core.set_receipts(on, now);
                Ok(Response::Done)
            }
            Request::Settings => Ok(Response::Settings(self.core.settings())),
            Request::IsUnsent { id } => Ok(Response::Flag(self.core.is_unsent(id))),
            Request::Recipients { with: ChatId::Contact(with), id } => {
                let list = self.core.recipients(&with, id);
                Ok(Response::Recipients(Recipients { list, unknown: None }))
            }
            Request::DialNow => {
                self.core.dial_now(now);
                Ok(Response::Done)
            }
            other => self.command_about_devices(other),
        }
    }

    fn command_about_devices(&mut self, request: Request) -> Answer {
        let now = self.now();
        match request {
            Request::ApproveLink { code } => {
                self.core.approve_link(&code, now).map(|()| Response::Done)
            }
            Request::ConfirmLink { link, with_history } => {
                self.core.confirm_link(link, with_history, now).map(|()| Response::Done)
            }
            Request::IsCaughtUp => Ok(Response::Flag(self.core.is_caught_up())),
            Request::HistoryProgress => Ok(Response::HistoryProgress(self.core.history_progress())),
            Request::CancelLink { link } => {
                self.core.cancel_link(link);
                Ok(Response::Done)
            }
            Request::AbandonLink { link } => {
                self.core.abandon_link(link);
                Ok(Response::Done)
            }
            Request::Linking => Ok(Response::Linking(self.core.linking_state())),
            Request::Devices => Ok(Response::Devices(self.core.device_infos())),
            Request::RevokeDevice { device } => {
                self.core.remove_device(DeviceNumber(device), now).map(|()| Response::Done)
            }
            Request::RecoveryWords => {
                self.core.recovery_words().map(|words| Response::Words(Words::of(&words)))
            }
            other => self.command_about_people(other),
        }
    }

    fn command_about_people(&mut self, request: Request) -> Answer {
        let now = self.now();
        match request {
            Request::OpenChat { with } => Ok(Response::Presence(self.core.open_chat(&with, now))),
            Request::CloseChat { with } => {
                self.core.close_chat(&with);
                Ok(Response::Done)
            }
            Request::Types { with, on } => {
                self.core.types(&with, on, now);
                Ok(Response::Done)
            }
            Request::Visibility => Ok(Response::Visibility(self.core.visibility())),
            Request::SetVisibility { visibility, anew } => {
                self.core.set_visibility(visibility, anew, now).map(|()| Response::Done)
            }
            request => self.about_people(request, now),
        }
    }

    /// Commands about others and how this account is shown to them.
    fn about_people(&mut self, request: Request, now: Now) -> Answer {
        let done = |()| Response::Done;
        match request {
            Request::People => Ok(Response::People(self.core.people())),
            Request::SetBlocked { with, blocked } => {
                self.core.set_blocked(&with, blocked, now).map(done)
            }
            Request::SetMuted { with, until_ms } => {
                self.core.set_muted(&with, until_ms, now).map(done)
            }
            Request::Profile => Ok(Response::Profile(self.core.profile())),
            Request::SetProfile { name, about, picture } => {
                let (name, about) = (name.as_deref(), about.as_deref());
                self.core.set_profile(name, about, picture.as_deref(), now).map(done)
            }
            Request::PictureOf { with } => Ok(Response::Picture(self.core.picture_of(&with))),
            Request::Report { with, reason, messages } => {
                self.core.report(&with, &reason, &messages).map(done)
            }
            _ => Err(Error::OtherVersion),
        }
    }

    fn now(&self) -> Now {
        let mono_ms = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        Now { wall_ms: SystemClock.unix_ms(), mono_ms }
    }
}

fn sent(id: godwit_base::MessageId) -> Response {
    Response::Sent(vec![id])
}

async fn committed(running: &mut Option<Running>) -> Result<Vec<Event>, Error> {
    match running {
        Some(Running { committed, .. }) => match committed.await {
            Ok(events) => events,
            Err(_) => Err(Error::Storage("its thread has ended".to_owned())),
        },
        None => std::future::pending().await,
    }
}

/// Resolves when the host wants to stop.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    // An error means that the host itself is gone.
    let _ = stop.wait_for(|stop| *stop).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_of_what_is_taken_on() {
        let idle = Load { uncommitted_bytes: 0, answers: 0, questions: 0 };
        let reads = |uncommitted_bytes| Load { uncommitted_bytes, ..idle }.reads();
        assert!(reads(UNCOMMITTED_BYTES_MAX - 1) && !reads(UNCOMMITTED_BYTES_MAX));
        let answers = |answers| Load { answers, ..idle }.takes_calls();
        assert!(answers(ANSWERS_MAX - 1) && !answers(ANSWERS_MAX));
        let questions = |questions| Load { questions, ..idle }.takes_calls();
        assert!(questions(QUESTIONS_MAX - 1) && !questions(QUESTIONS_MAX));
    }
}
