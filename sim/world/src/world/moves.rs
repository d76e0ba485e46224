//! A hand-over: the server freezes everybody, another process opens the store, and they go on there; or in the
//! one that was, when the other dies before it may use them. The steps are those of decision 0156.

use std::collections::BTreeMap;

use godwit_client::core::Core;
use godwit_server::Moved;

use super::{AGAIN_MS, Happens, World};
use crate::disk::End;
use crate::facts::{Fact, Plant};
use crate::house::House;
use crate::net::Link;
use crate::pipe::ServerEnd;
use crate::plan::Midway;
use crate::replay::note;

/// How long after a hand-over nobody's connection may end by it: what was under way has arrived by then.
const WATCH_MS: u64 = 2_000;

/// A hand-over that is under way.
pub(super) struct Moving {
    step: Step,
    /// Where the new process dies.
    dies: Option<Midway>,
    /// How long a step takes at most.
    by_ms: u64,
    /// Who came meanwhile: the port is open, and they wait there.
    waits: Vec<ServerEnd>,
}

enum Step {
    /// Sessions settle what is under way; the old process has them.
    Freezing,
    /// Nobody serves, and the store is closed.
    Yours(Moved),
    /// The new process has the store open.
    Ready(Moved, Box<House>),
    /// The sessions have their turns in the new one, and the old one has not heard of it.
    Serving { sessions: usize },
    /// A step is being done.
    Between,
}

impl World {
    /// Begins a hand-over, unless the server is busy with its end or with another one.
    pub(super) fn hand_over(&mut self, dies: Option<Midway>, by_ms: u64) {
        if self.moving.is_some() || !self.house.as_mut().is_some_and(House::freeze) {
            return;
        }
        self.moving = Some(Moving { step: Step::Freezing, dies, by_ms, waits: Vec::new() });
        for (at, phone) in self.phones.iter().enumerate() {
            let link = phone.link.filter(|id| self.links.get(id).is_some_and(Link::is_well));
            let core = phone.device.core.as_ref();
            let is_here = !phone.is_removed && core.is_some_and(Core::is_caught_up);
            if let (true, Some(id)) = (is_here, link) {
                self.watched.insert(id, at);
            }
        }
        self.unwatch_if_slow();
    }

    /// On a slow disk sessions may not settle in time and are sent home, and a phone that is not answered
    /// gives its connection up.
    pub(super) fn unwatch_if_slow(&mut self) {
        if self.slow_ms > 0 {
            self.watched.clear();
        }
    }

    /// Something else is wrong with a phone's connection: that a hand-over keeps it is not promised.
    pub(super) fn spoil(&mut self, phone: usize) {
        if let Some(id) = self.phones.get(phone).and_then(|phone| phone.link) {
            self.watched.remove(&id);
            if let Some(link) = self.links.get_mut(&id) {
                link.is_spoiled = true;
            }
        }
    }

    /// Whether nobody takes connections from the port at present: the server hands over.
    pub(super) fn queues_at_port(&mut self) -> Option<&mut Vec<ServerEnd>> {
        let moving = self.moving.as_mut()?;
        match moving.step {
            Step::Serving { .. } => None,
            Step::Freezing | Step::Yours(_) | Step::Ready(..) | Step::Between => {
                Some(&mut moving.waits)
            }
        }
    }

    /// The old process has frozen everybody, and ends.
    pub(super) fn all_frozen(&mut self) {
        let Some(house) = self.house.take() else { return };
        let mut moved = house.leave();
        self.house_life += 1;
        self.panics = 0;
        self.writes = false;
        note(format_args!("{} frozen, {} dropped", moved.sessions(), moved.dropped()), &[]);
        self.unwatch_if_slow();
        if self.disk.is_dead() {
            drop(moved);
            let (end, ms) = self.doom;
            return self.house_dies(end, ms);
        }
        match self.facts.plant() {
            Plant::MoveLoses => moved.lose_one(),
            Plant::MoveDamages => moved.damage_one(),
            Plant::MoveTurnsBack => moved.turn_back(),
            _ => {}
        }
        if !moved.is_whole() {
            self.facts.add(Fact::NotWhole(moved.sessions()));
        }
        self.goes_on(Step::Yours(moved));
    }

    fn goes_on(&mut self, step: Step) {
        let Some(moving) = &mut self.moving else { return };
        moving.step = step;
        let ms = self.rng.u64(0..=moving.by_ms);
        self.after(ms.max(1), Happens::Moves(self.house_life));
    }

    /// The next step of a hand-over.
    pub(super) fn moves(&mut self) {
        let Some(moving) = &mut self.moving else { return };
        let dies = moving.dies;
        match std::mem::replace(&mut moving.step, Step::Between) {
            Step::Freezing => moving.step = Step::Freezing,
            Step::Between => {}
            Step::Yours(moved) if dies == Some(Midway::Yours) => self.takes_back(moved),
            Step::Yours(moved) => match self.opens(Some(&moved)) {
                Some(house) => self.goes_on(Step::Ready(moved, Box::new(house))),
                None => self.takes_back(moved),
            },
            Step::Ready(moved, house) => match dies {
                Some(Midway::Ready) => {
                    self.new_one_dies(*house);
                    self.takes_back(moved);
                }
                Some(Midway::Go) => {
                    // Both have let go of them: the old one on purpose, the new one by its death.
                    drop(moved);
                    self.new_one_dies(*house);
                    self.house_dies(End::Kill, 1);
                }
                Some(Midway::Yours | Midway::Serving) | None => {
                    let sessions = self.serves(*house, moved);
                    self.goes_on(Step::Serving { sessions });
                }
            },
            // The links end with it, and the old one opens port and store again.
            Step::Serving { .. } if dies == Some(Midway::Serving) => {
                self.house_dies(End::Kill, 1);
            }
            Step::Serving { sessions } => self.has_moved(sessions, false),
        }
    }

    fn opens(&mut self, moved: Option<&Moved>) -> Option<House> {
        let opened = House::open(self.data.path(), &self.disk, self.now_ms, &self.off_ms, moved);
        match opened {
            Ok(house) if !self.disk.is_dead() => Some(house),
            Ok(_) => None,
            Err(error) => {
                note(format_args!("does not take over: {error:#}"), &[]);
                None
            }
        }
    }

    /// The process that took over is killed. Its store was open.
    fn new_one_dies(&mut self, house: House) {
        note(format_args!("who takes over dies"), &[]);
        self.disk.die();
        drop(house);
        self.disk.revive(End::Kill);
    }

    /// The old one opens store and port again, and all go on there.
    fn takes_back(&mut self, moved: Moved) {
        note(format_args!("all go back"), &[]);
        match self.opens(Some(&moved)) {
            Some(house) => {
                let sessions = self.serves(house, moved);
                self.has_moved(sessions, true);
            }
            // It does not start again either: its process ends, and somebody starts another.
            None => {
                drop(moved);
                let end = if self.disk.is_dead() { self.doom.0 } else { End::Kill };
                self.house_dies(end, AGAIN_MS);
            }
        }
    }

    fn serves(&mut self, house: House, moved: Moved) -> usize {
        let mut house = house;
        let sessions = moved.sessions();
        let lost = house.serve(Some(moved));
        if lost > 0 {
            self.facts.add(Fact::NotWhole(lost));
        }
        let waits = self.moving.as_mut().map(|moving| std::mem::take(&mut moving.waits));
        waits.into_iter().flatten().for_each(|end| house.enter(end));
        self.house = Some(house);
        sessions
    }

    fn has_moved(&mut self, sessions: usize, back: bool) {
        self.moving = None;
        self.facts.add(Fact::HandedOver { sessions, back });
        self.after(WATCH_MS, Happens::WatchEnds(self.house_life));
    }

    /// Whoever was watched is still there.
    pub(super) fn watch_ends(&mut self) {
        if self.moving.is_some() {
            return; // the next one watches them too
        }
        for (id, phone) in std::mem::take(&mut self.watched) {
            let has = |phone: &crate::phone::Phone| phone.link == Some(id);
            let lives = self.links.get(&id).is_some_and(|link| !link.has_ended && !link.is_orphan);
            if !(lives && self.phones.iter().any(has)) {
                self.facts.add(Fact::Dropped { phone });
            }
        }
    }

    /// The machine, or both processes, are gone.
    pub(super) fn moves_no_more(&mut self) {
        self.moving = None;
        self.watched = BTreeMap::new();
    }
}
