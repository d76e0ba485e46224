//! The world: one queue of what happens when, one server, phones, and the network and disk between them. One
//! thread; whatever is drawn is drawn from the seed, so a case is its seed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;

use anyhow::{Context as _, Result, bail};
use fastrand::Rng;
use godwit_base::{GroupId, JoinLink};
use tempfile::TempDir;

use crate::check::People;
use crate::disk::{End, SimDisk};
use crate::facts::{Fact, Facts, Plant};
use crate::house::{House, Read};
use crate::net::Link;
use crate::phone::Phone;
use crate::pipe::pipe;
use crate::plan::{Act, Scenario};
use crate::replay::{at, note};

/// The longest step of time while something is under way, and when nothing has been for a while. Within a step
/// the server works alone: what it says in it is taken as said at its end.
const STEP_MS: u64 = 10;
const CALM_STEP_MS: u64 = 250;
/// Nothing was under way for so long: calm.
const CALM_AFTER_MS: u64 = 200;

/// When somebody starts a server again that did not come up.
const AGAIN_MS: u64 = 1_000;

/// Within so much time everybody has joined, or linked a phone, while nothing goes wrong.
const BEGINNING_MS: u64 = 60_000;

/// How long a phone waits for a network that does not answer.
const DIAL_MS: u64 = 10_000;

/// The names of people.
const NAMES: [&str; 10] =
    ["alice", "bob", "carol", "dave", "erin", "frank", "grace", "heidi", "ivan", "judy"];

/// All that happens by itself.
enum Happens {
    /// Of the plan.
    Planned(Act),
    /// Bytes, or the end, of a connection reach the server.
    Up(u64, Vec<u8>),
    UpEnd(u64, bool),
    /// The same to the phone.
    Down(u64, Vec<u8>),
    DownEnd(u64),
    /// A phone's attempt to dial reaches the server, or nobody.
    Dialled {
        phone: usize,
        dial: u64,
        answered: bool,
    },
    /// A phone's commit is durable.
    Committed {
        phone: usize,
        life: u64,
    },
    PhoneReturns(usize),
    /// The store's writer has its turn.
    Writes(u64),
    /// A read of bodies is done.
    Reads(u64, Read),
    HouseReturns,
    /// A hand-over goes on.
    Moves(u64),
    /// What a hand-over does to connections has shown.
    WatchEnds(u64),
    /// What was wrong with the disk is over.
    DiskHeals,
    SpeedsUp,
}

/// Everything there is.
pub struct World {
    now_ms: u64,
    rng: Rng,
    queue: BTreeMap<(u64, u64), Happens>,
    queued: u64,
    last_busy_ms: u64,
    disk: SimDisk,
    data: TempDir,
    off_ms: Arc<AtomicI64>,
    house: Option<House>,
    /// How the server ends when its fuse has burnt down, and for how long.
    doom: (End, u64),
    house_life: u64,
    /// Another process takes the server's place.
    moving: Option<moves::Moving>,
    /// Connections that a hand-over must keep, with their phones.
    watched: BTreeMap<u64, usize>,
    /// It is not healed yet.
    is_doomed: bool,
    /// Panics of this process that are told already.
    panics: u64,
    writes: bool,
    slow_ms: u64,
    latency_ms: (u64, u64),
    join: JoinLink,
    phones: Vec<Phone>,
    /// The group of all, if there is one.
    group: Option<GroupId>,
    links: BTreeMap<u64, Link>,
    linked: u64,
    /// What was observed.
    pub facts: Facts,
    /// Who there is.
    pub people: People,
}

impl World {
    /// A world with one server and so many people, who have joined it.
    ///
    /// # Errors
    /// When not even that works.
    pub fn new(scenario: &Scenario, people: usize, rng: Rng, plant: Plant) -> Result<Self> {
        let mut rng = rng;
        let disk = SimDisk::new(rng.fork());
        let data = tempfile::tempdir()?;
        let off_ms = Arc::new(AtomicI64::new(0));
        let house = House::start(data.path(), &disk, 0, &off_ms)?;
        let latency_ms = match rng.u8(0..3) {
            0 => (1, 3),
            1 => (1, 60),
            _ => (50, 400),
        };
        let mut world = Self {
            now_ms: 0,
            rng,
            queue: BTreeMap::new(),
            queued: 0,
            last_busy_ms: 0,
            join: house.join(),
            disk,
            data,
            off_ms,
            house: Some(house),
            doom: (End::Kill, 0),
            house_life: 0,
            moving: None,
            watched: BTreeMap::new(),
            is_doomed: true,
            panics: 0,
            writes: false,
            slow_ms: 0,
            latency_ms,
            phones: Vec::new(),
            group: None,
            links: BTreeMap::new(),
            linked: 0,
            facts: Facts::new(plant),
            people: People::default(),
        };
        for name in NAMES.iter().take(people) {
            world.people.phones.push(vec![world.phones.len()]);
            world.phones.push(Phone::new(name, &world.join, 0));
        }
        if !world.run_until_done(BEGINNING_MS)? {
            bail!("not everybody has joined within a minute");
        }
        for _ in 1..scenario.phones {
            (0..people).try_for_each(|person| world.links_phone(person))?;
        }
        if scenario.group_percent > 0 {
            world.founds_group()?;
        }
        match (plant, &world.house) {
            (Plant::LyingDisk, _) => world.disk.lie(),
            (Plant::Ruins, _) => world.disk.ruin(),
            (Plant::Strands, _) => {
                world.cut(0, true, true, true);
                world.strand();
            }
            (Plant::Panics, Some(house)) => house.panic(),
            _ => {}
        }
        Ok(world)
    }

    /// Adds a plan, whose times are counted from now.
    pub fn plan(&mut self, plan: Vec<(u64, Act)>) {
        for (in_ms, act) in plan {
            self.after(in_ms, Happens::Planned(act));
        }
    }

    /// The world's time, milliseconds since it began.
    pub fn now_ms(&self) -> u64 {
        self.now_ms
    }

    /// Lets so much time pass.
    ///
    /// # Errors
    /// A fault of the simulation itself.
    pub fn run(&mut self, ms: u64) -> Result<()> {
        let until_ms = self.now_ms + ms;
        while self.now_ms < until_ms {
            self.step(until_ms)?;
        }
        Ok(())
    }

    /// Lets time pass until everybody is done, at most so much. Whether they are.
    ///
    /// # Errors
    /// A fault of the simulation itself.
    pub fn run_until_done(&mut self, ms: u64) -> Result<bool> {
        let until_ms = self.now_ms + ms;
        while !self.is_done() {
            if self.now_ms >= until_ms {
                return Ok(false);
            }
            self.step(until_ms)?;
        }
        Ok(true)
    }

    /// Whether everybody is here by a connection that works, has everything, and knows that everything came.
    fn is_done(&self) -> bool {
        let works = |phone: &Phone| {
            let link = phone.link.and_then(|id| self.links.get(&id));
            link.is_some_and(Link::works)
        };
        let mut phones = self.phones.iter().filter(|phone| !phone.is_removed);
        self.house.is_some()
            && self.moving.is_none()
            && phones.all(|phone| works(phone) && phone.is_done())
    }

    /// Everything is well from here on, as far as somebody would mend it. Connections on which bytes vanish
    /// stay as they are: whoever has them must find out.
    pub fn heal(&mut self) {
        note(format_args!("heals"), &[]);
        self.is_doomed = false;
        self.disk.fuse(None);
        self.mend_disk();
        self.slow_ms = 0;
        self.phones.iter_mut().for_each(|phone| phone.away_until_ms = 0);
        if self.facts.plant() == Plant::Strands {
            self.strand();
        }
    }

    /// Planted: the first phone has no network for ever.
    fn strand(&mut self) {
        if let Some(phone) = self.phones.first_mut() {
            phone.away_until_ms = u64::MAX;
        }
    }

    fn mend_disk(&mut self) {
        self.disk.fill(None);
        self.disk.spoil_syncs(0);
    }

    /// What is to be told when a case does not end.
    pub fn status(&self) -> String {
        let of = |phone: &Phone| {
            let core = phone.device.core.as_ref();
            let up = core.map_or("down", |core| if core.is_caught_up() { "up" } else { "behind" });
            let why = core.and_then(|core| core.stopped_because()).unwrap_or_default();
            format!("{} {up} {why}", phone.device.handle)
        };
        let phones: Vec<String> = self.phones.iter().map(of).collect();
        let house = if self.house.is_some() { "up" } else { "down" };
        format!("server {house}; {}", phones.join("; "))
    }

    fn after(&mut self, ms: u64, what: Happens) {
        self.queued += 1;
        self.queue.insert((self.now_ms + ms, self.queued), what);
    }

    fn latency(&mut self) -> u64 {
        let (least, most) = self.latency_ms;
        self.rng.u64(least..=most)
    }

    /// All that is due now; then time passes, at most until `until_ms`.
    fn step(&mut self, until_ms: u64) -> Result<()> {
        at(self.now_ms);
        while let Some(entry) = self.queue.first_entry()
            && entry.key().0 <= self.now_ms
        {
            let what = entry.remove();
            self.happen(what)?;
        }
        self.tend_phones();
        self.tend_store();
        let next = self.queue.first_key_value().map(|((at_ms, _), _)| *at_ms);
        let deadlines = self.phones.iter().filter(|phone| !phone.commits);
        let deadline = deadlines.filter_map(Phone::deadline).min();
        let is_calm = self.now_ms.saturating_sub(self.last_busy_ms) > CALM_AFTER_MS;
        let most = self.now_ms + if is_calm { CALM_STEP_MS } else { STEP_MS };
        let to_ms = [next, deadline].into_iter().flatten().fold(most.min(until_ms), u64::min);
        let ms = to_ms.saturating_sub(self.now_ms).max(1);
        if let Some(house) = &self.house {
            house.run(ms);
        }
        self.now_ms += ms;
        at(self.now_ms);
        self.collect();
        match (self.house.as_ref().is_some_and(House::is_drained), &self.moving) {
            (true, Some(_)) => self.all_frozen(),
            (true, None) => {
                let (_, ms) = self.doom;
                self.house_dies(End::Kill, ms);
            }
            (false, _) => {}
        }
        Ok(())
    }

    fn happen(&mut self, what: Happens) -> Result<()> {
        if !matches!(what, Happens::Planned(_)) {
            self.last_busy_ms = self.now_ms;
        }
        match what {
            Happens::Planned(act) => self.act(act),
            Happens::Up(link, bytes) => self.arrive_up(link, &bytes),
            Happens::UpEnd(link, reset) => self.end_up(link, reset),
            Happens::Down(link, bytes) => self.arrive_down(link, &bytes),
            Happens::DownEnd(link) => self.end_down(link),
            Happens::Dialled { phone, dial, answered } => self.dialled(phone, dial, answered),
            Happens::Committed { phone, life } => self.committed(phone, life),
            Happens::PhoneReturns(phone) => self.phone_returns(phone),
            Happens::Writes(life) if life == self.house_life => self.write(),
            Happens::Reads(life, read) if life == self.house_life => {
                note(format_args!("reads"), &[]);
                if let Some(house) = &self.house {
                    house.read(read);
                }
            }
            Happens::Moves(life) if life == self.house_life => self.moves(),
            Happens::WatchEnds(life) if life == self.house_life => self.watch_ends(),
            Happens::Writes(_) | Happens::Reads(..) | Happens::Moves(_) | Happens::WatchEnds(_) => {
            }
            Happens::HouseReturns => self.house_returns()?,
            Happens::DiskHeals => self.mend_disk(),
            Happens::SpeedsUp => self.slow_ms = 0,
        }
        Ok(())
    }

    // The server and its disk.

    /// The writer and the readers have their turns, as fast as the disk is.
    fn tend_store(&mut self) {
        let Some(house) = &mut self.house else { return };
        let mut reads = Vec::new();
        while let Some(read) = house.next_read() {
            reads.push(read);
        }
        let writes = !self.writes && house.has_to_write();
        for read in reads {
            let ms = self.disk_ms();
            self.after(ms, Happens::Reads(self.house_life, read));
        }
        if writes {
            self.writes = true;
            let ms = self.disk_ms();
            self.after(ms, Happens::Writes(self.house_life));
        }
    }

    fn disk_ms(&mut self) -> u64 {
        self.rng.u64(0..=3) + self.rng.u64(0..=self.slow_ms)
    }

    fn write(&mut self) {
        self.writes = false;
        let Some(house) = &mut self.house else { return };
        let before = house.batches();
        house.write();
        let has_told = house.batches() > before;
        note(format_args!("writes, {} steps", self.disk.steps()), &[]);
        if self.disk.is_dead() {
            let (end, ms) = self.doom;
            return self.house_dies(end, ms);
        }
        let unsynced = self.disk.unsynced_bytes();
        if has_told && unsynced > 0 {
            self.facts.add(Fact::Unsynced(unsynced));
        }
    }

    fn house_dies(&mut self, end: End, ms: u64) {
        if self.house.is_none() && self.moving.is_none() {
            return;
        }
        note(format_args!("server dies: {end:?}"), &[]);
        self.disk.die();
        self.house = None;
        self.moves_no_more();
        self.house_life += 1;
        self.panics = 0;
        self.writes = false;
        self.doom.0 = end;
        for link in self.links.values_mut() {
            link.is_orphan = true;
        }
        if end == End::Kill {
            // The system ends the connections of a process.
            for link in self.links.keys().copied().collect::<Vec<_>>() {
                self.down_end(link);
            }
        }
        self.after(ms.max(1), Happens::HouseReturns);
    }

    fn house_returns(&mut self) -> Result<()> {
        self.disk.revive(self.doom.0);
        if self.is_doomed && self.rng.u8(0..4) == 0 {
            // It may die again while it comes back, or right after.
            self.disk.fuse(Some(self.rng.u32(0..30)));
        }
        note(format_args!("server returns"), &[]);
        let noes = self.disk.noes();
        match House::start(self.data.path(), &self.disk, self.now_ms, &self.off_ms) {
            Ok(house) => self.house = Some(house),
            Err(_) if self.disk.is_dead() || self.disk.noes() > noes => {
                note(format_args!("and dies again"), &[]);
                self.disk.die();
                self.after(AGAIN_MS, Happens::HouseReturns);
            }
            Err(why) => {
                let why = format!("{why:#}");
                self.facts.add(Fact::NoStart(why.clone()));
                bail!("the server does not start again: {why}");
            }
        }
        Ok(())
    }

    /// Takes what the server said.
    fn collect(&mut self) {
        let panics = self.house.as_ref().map_or(0, House::panics);
        if panics > self.panics {
            self.panics = panics;
            self.facts.add(Fact::Panicked);
        }
        for id in self.links.keys().copied().collect::<Vec<_>>() {
            let Some(link) = self.links.get_mut(&id) else { continue };
            if link.is_orphan {
                continue;
            }
            let (bytes, ends) = link.hand.take();
            if !bytes.is_empty() {
                self.down(id, &bytes);
            }
            let ended =
                self.links.get_mut(&id).map(|link| std::mem::replace(&mut link.has_ended, ends));
            if ends && ended == Some(false) {
                self.down_end(id);
            }
        }
    }

    // The phones.

    fn tend_phones(&mut self) {
        for at in 0..self.phones.len() {
            let now_ms = self.now_ms;
            let Some(phone) = self.phones.get_mut(at) else { continue };
            let now = phone.now(now_ms);
            if phone.deadline().is_some_and(|at_ms| at_ms <= now_ms)
                && let Some(core) = &mut phone.device.core
            {
                core.tick(now);
            }
            if phone.commits || !phone.device.has_batch(now) {
                continue;
            }
            phone.commits = true;
            let life = phone.life;
            let ms =
                if self.rng.u8(0..40) == 0 { self.rng.u64(0..300) } else { self.rng.u64(0..3) };
            self.after(ms, Happens::Committed { phone: at, life });
        }
    }

    fn committed(&mut self, at: usize, life: u64) {
        let Some(phone) = self.phones.get_mut(at).filter(|phone| phone.life == life) else {
            return;
        };
        phone.commits = false;
        phone.device.commit(false);
        self.learn(at);
        self.carry_out(at);
    }

    /// Takes down what a phone has committed.
    fn learn(&mut self, at: usize) {
        let Some(phone) = self.phones.get_mut(at) else { return };
        for fact in phone.news(at) {
            self.facts.add(fact);
        }
    }

    /// What follows a commit: bytes, then what is to become of the connection.
    fn carry_out(&mut self, at: usize) {
        let Some(phone) = self.phones.get_mut(at) else { return };
        let bytes = std::mem::take(&mut phone.device.to_server);
        let order = phone.device.order.take();
        if let (Some(id), false) = (phone.link, bytes.is_empty()) {
            self.up(id, &bytes);
        }
        match order {
            Some(godwit_client::core::LinkOrder::Dial) => self.dial(at),
            Some(godwit_client::core::LinkOrder::Close) => self.close(at, false),
            None => {}
        }
    }

    fn dial(&mut self, at: usize) {
        let (there, back) = (self.latency(), self.latency());
        let is_up = self.house.is_some() || self.moving.is_some();
        let now_ms = self.now_ms;
        let Some(phone) = self.phones.get_mut(at) else { return };
        phone.dials += 1;
        let dial = phone.dials;
        let is_away = phone.away_until_ms > now_ms;
        // A machine without power answers nobody; one whose process is away refuses at once.
        let is_dark = is_away || (!is_up && self.doom.0 == End::Power);
        let ms = if is_dark { DIAL_MS } else { there + back };
        self.after(ms, Happens::Dialled { phone: at, dial, answered: !is_dark });
    }

    fn dialled(&mut self, at: usize, dial: u64, answered: bool) {
        let is_up = self.house.is_some() || self.moving.is_some();
        let now_ms = self.now_ms;
        let Some(phone) = self.phones.get_mut(at).filter(|phone| phone.dials == dial) else {
            return;
        };
        let now = phone.now(now_ms);
        let Some(core) = &mut phone.device.core else { return };
        if phone.away_until_ms > now_ms || !answered || !is_up {
            return core.disconnected("no answer", now);
        }
        let (end, hand) = pipe();
        self.linked += 1;
        let id = self.linked;
        note(format_args!("{at} connects by {id}"), &[]);
        phone.link = Some(id);
        phone.device.to_server.clear();
        core.connected(now);
        self.links.insert(id, Link::new(at, hand));
        match self.queues_at_port() {
            Some(queue) => queue.push(end),
            None => {
                if let Some(house) = &self.house {
                    house.enter(end);
                }
            }
        }
    }

    /// The phone ends its connection.
    fn close(&mut self, at: usize, reset: bool) {
        let Some(phone) = self.phones.get_mut(at) else { return };
        phone.dials += 1; // whatever was under way is forgotten
        if let Some(id) = phone.link.take() {
            self.up_end(id, reset);
        }
    }

    fn phone_returns(&mut self, at: usize) {
        let now_ms = self.now_ms;
        let Some(phone) = self.phones.get_mut(at) else { return };
        if phone.device.core.is_none() && phone.dead_until_ms <= now_ms {
            note(format_args!("{at} returns"), &[]);
            let now = phone.now(now_ms);
            phone.device.restart(now);
        }
    }
}

mod acts;
mod begin;
mod moves;
mod network;

/// A plan needs at least two people.
fn handle(at: usize) -> Result<godwit_base::Handle> {
    let name = NAMES.get(at).context("a person without a name")?;
    name.parse().ok().context("a name that is no handle")
}
