//! What a plan does to the world.

use std::sync::atomic::Ordering;

use godwit_client::ChatId;

use super::{Happens, World, handle};
use crate::disk::End;
use crate::facts::Fact;
use crate::plan::Act;
use crate::replay::note;

impl World {
    pub(super) fn act(&mut self, act: Act) {
        note(format_args!("{act:?}"), &[]);
        match act {
            Act::Say { phone, to } => self.say(phone, to),
            Act::Read { phone, with } => self.reads(phone, with),
            Act::Cut { phone, phone_knows, house_knows, rest_arrives } => {
                self.cut(phone, phone_knows, house_knows, rest_arrives);
            }
            Act::Silence { phone, up, down } => {
                self.spoil(phone);
                if let Some(link) = self.link_of(phone) {
                    link.up_lost |= up;
                    link.down_lost |= down;
                }
            }
            Act::Away { phone, ms } => {
                let until_ms = self.now_ms + ms;
                if let Some(phone) = self.phones.get_mut(phone) {
                    phone.away_until_ms = until_ms;
                }
                self.cut(phone, true, false, false);
            }
            Act::Garble { phone, up } => {
                self.spoil(phone);
                if let Some(link) = self.link_of(phone) {
                    link.up_garbled |= up;
                    link.down_garbled |= !up;
                }
            }
            Act::Storm => {
                (0..self.phones.len()).for_each(|phone| self.cut(phone, true, true, true));
            }
            Act::PhoneDies { phone, after_commit, house_knows, ms } => {
                self.phone_dies(phone, after_commit, house_knows, ms);
            }
            Act::HouseDies { end, steps: None, ms } => self.house_dies(end, ms),
            Act::HouseDies { end, steps: Some(steps), ms } => {
                if self.house.is_some() {
                    self.doom = (end, ms);
                    self.disk.fuse(Some(steps));
                }
            }
            Act::Drain { ms } => {
                if let (Some(house), None) = (&mut self.house, &self.moving) {
                    self.doom = (End::Kill, ms);
                    house.drain();
                }
            }
            Act::HandOver { dies, by_ms } => self.hand_over(dies, by_ms),
            Act::Remove { phone } => self.remove(phone),
            Act::Slow { by_ms, ms } => {
                self.slow_ms = by_ms;
                self.unwatch_if_slow();
                self.after(ms, Happens::SpeedsUp);
            }
            Act::FullDisk { full, ms } => {
                self.disk.fill(Some(full));
                self.after(ms, Happens::DiskHeals);
            }
            Act::BadSync { count } => self.disk.spoil_syncs(count),
            Act::Leap { phone: None, off_ms } => self.off_ms.store(off_ms, Ordering::Relaxed),
            Act::Leap { phone: Some(phone), off_ms } => {
                if let Some(phone) = self.phones.get_mut(phone) {
                    phone.off_ms = off_ms;
                }
            }
        }
    }

    fn link_of(&mut self, phone: usize) -> Option<&mut crate::net::Link> {
        let link = self.phones.get(phone)?.link?;
        self.links.get_mut(&link)
    }

    fn say(&mut self, at: usize, to: Option<usize>) {
        let now_ms = self.now_ms;
        let text = format!("{} by {at}", self.facts.all().len());
        let me = self.person_of(at);
        let (chat, to): (ChatId, Vec<usize>) = match (to.map(handle), to, self.group) {
            (Some(Ok(handle)), Some(to), _) => (handle.into(), vec![to]),
            (None, _, Some(group)) => {
                (group.into(), (0..self.people.phones.len()).filter(|to| *to != me).collect())
            }
            _ => return,
        };
        let Some(phone) = self.phones.get_mut(at) else { return };
        let (now, key) = (phone.now(now_ms), phone.device.key());
        // None: nobody is there to be asked.
        let Some(core) = &mut phone.device.core else { return };
        match core.send(key, &chat, std::slice::from_ref(&text), now) {
            Ok(ids) => {
                for id in ids {
                    let (to, text) = (to.clone(), text.clone());
                    self.facts.add(Fact::Asked { phone: at, id, to, text });
                }
            }
            Err(error) => note(format_args!("{at} does not send: {error}"), &[]),
        }
    }

    fn reads(&mut self, at: usize, with: usize) {
        let now_ms = self.now_ms;
        let (Some(phone), Ok(with)) = (self.phones.get_mut(at), handle(with)) else { return };
        let now = phone.now(now_ms);
        if let Some(core) = &mut phone.device.core {
            core.mark_read(&with.into(), now);
        }
    }

    fn remove(&mut self, at: usize) {
        let now_ms = self.now_ms;
        let person = self.person_of(at);
        let main = self.people.phones.get(person).and_then(|phones| phones.first()).copied();
        let Some(main) = main.filter(|main| *main != at) else { return };
        let Some(number) = self.phones.get(at).map(|phone| phone.device.id().number) else {
            return;
        };
        let Some(phone) = self.phones.get_mut(main) else { return };
        let now = phone.now(now_ms);
        let Some(core) = &mut phone.device.core else { return };
        match core.remove_device(number, now) {
            Ok(()) => {
                self.spoil(at);
                if let Some(phone) = self.phones.get_mut(at) {
                    phone.is_removed = true;
                }
                self.facts.add(Fact::Removed { phone: at });
            }
            Err(error) => note(format_args!("{main} does not remove {at}: {error}"), &[]),
        }
    }

    pub(super) fn cut(
        &mut self,
        at: usize,
        phone_knows: bool,
        house_knows: bool,
        rest_arrives: bool,
    ) {
        self.spoil(at);
        let Some(id) = self.phones.get(at).and_then(|phone| phone.link) else { return };
        if house_knows {
            self.up_end(id, true);
        }
        if let Some(link) = self.links.get_mut(&id) {
            // What comes after is lost on the way; the end itself is not.
            link.up_lost |= !rest_arrives && !house_knows;
            link.down_lost = true;
        }
        if phone_knows {
            self.lose(at, "cut");
        }
    }

    /// The phone learns that its connection is gone.
    fn lose(&mut self, at: usize, why: &str) {
        let now_ms = self.now_ms;
        let Some(phone) = self.phones.get_mut(at) else { return };
        phone.link = None;
        phone.device.to_server.clear();
        let now = phone.now(now_ms);
        if let Some(core) = &mut phone.device.core {
            core.disconnected(why, now);
        }
    }

    fn phone_dies(&mut self, at: usize, after_commit: bool, house_knows: bool, ms: u64) {
        let now_ms = self.now_ms;
        let Some(phone) = self.phones.get_mut(at) else { return };
        if phone.device.core.is_none() || !phone.device.is_born() {
            return;
        }
        self.spoil(at);
        let Some(phone) = self.phones.get_mut(at) else { return };
        if after_commit {
            phone.device.commit(true);
        }
        phone.device.crash();
        phone.device.order = None;
        phone.life += 1;
        phone.commits = false;
        phone.dead_until_ms = now_ms + ms;
        self.learn(at);
        if !house_knows && let Some(link) = self.link_of(at) {
            // Not even its system is there to say so.
            link.up_lost = true;
            link.down_lost = true;
        }
        self.close(at, true);
        self.after(ms, Happens::PhoneReturns(at));
    }
}
