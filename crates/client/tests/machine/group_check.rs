//! What must hold after anything that happened to a group: see `group_model`.

use std::collections::{BTreeMap, BTreeSet};

use godwit_base::limits::GROUP_RECEIPT_POSTS_MAX;
use godwit_base::{AccountId, DeviceId, MessageId};
use godwit_client::{ChatId, Event, Failure, HistoryItem, MessageState, Reach, WarningKind};

use crate::device::Device;
use crate::group_model::Model;
use crate::server::Entry;
use crate::server_groups::Said;

/// Rounds of waiting in which whatever a client asks for again is answered: a post whose key did not come
/// is asked for after 10 to 20 minutes.
const ASKING_ROUNDS: usize = 4;
const ASKING_MS: u64 = 601_000;

impl Model {
    pub(crate) fn check(&mut self) {
        self.check_messages();
        self.check_accounts();
        (0..self.world.devices.len()).for_each(|at| self.check_order(at));
        self.check_membership();
        self.check_calm();
        self.check_last();
    }

    fn account_at(&self, at: usize) -> AccountId {
        self.world.devices[at].id().account
    }

    /// The devices that are ones of their accounts.
    fn standing(&self) -> Vec<usize> {
        (0..self.world.devices.len()).filter(|at| !self.world.is_revoked(*at)).collect()
    }

    fn items(&self, at: usize) -> impl Iterator<Item = &HistoryItem> {
        let items = self.world.devices[at].history.items.values();
        items.filter(|item| item.with == ChatId::Group(self.group))
    }

    /// Id and text of what the server took, as its sender has it.
    fn as_sent(&self, said: &Said) -> (MessageId, String) {
        let sender = self.world.devices.iter().position(|device| device.id() == said.from).unwrap();
        let device = &self.world.devices[sender];
        let mut own = self.items(sender).filter(|item| item.id.device == said.from);
        let item = own.find(|item| device.travels_as(item.id.counter) == said.counter);
        let item = item.unwrap_or_else(|| panic!("{} did not send {}", said.from, said.counter));
        (item.id, item.text.clone().unwrap())
    }

    /// Each message that the server took is on every device that it was for, once and with its text, and on
    /// no other; and nothing else is.
    fn check_messages(&self) {
        let said: Vec<_> =
            self.world.server.said.iter().map(|said| (said, self.as_sent(said))).collect();
        let ids: BTreeSet<MessageId> = said.iter().map(|(_, (id, _))| *id).collect();
        assert_eq!(ids.len(), said.len(), "the server took a message twice");
        for (at, device) in self.world.devices.iter().enumerate() {
            let there: BTreeMap<MessageId, Option<&str>> =
                self.items(at).map(|item| (item.id, item.text.as_deref())).collect();
            for (said, (id, text)) in &said {
                let is_for = said.devices.contains(&device.id()) || device.id() == said.from;
                let has = there.get(id);
                if !is_for {
                    assert_eq!(has, None, "device {at} has {id}, which is not for it");
                } else if !self.world.is_revoked(at) {
                    let knows = device.core.as_ref().and_then(|core| core.group(self.group));
                    let knows = knows.map(|info| (info.epoch, info.is_member));
                    assert_eq!(
                        has,
                        Some(&Some(text.as_str())),
                        "device {at} lacks {id}, of epoch {}; it is at {knows:?}; told {:?}",
                        said.epoch,
                        warnings(device)
                    );
                }
            }
            let is_known = |id: &MessageId| ids.contains(id) || id.device == device.id();
            let unknown = there.keys().find(|id| !is_known(id));
            assert_eq!(unknown, None, "device {at} shows what the server never took");
        }
    }

    /// All devices of an account end with the same history of the group, but for what one of them has not
    /// brought to the server, and for what was said before another came.
    fn check_accounts(&self) {
        let story = |at: usize| -> BTreeMap<MessageId, Option<String>> {
            let is_out = |state| !matches!(state, MessageState::Failed(_) | MessageState::Pending);
            let items = self.items(at).filter(|item| is_out(item.state));
            items.map(|item| (item.id, item.text.clone())).collect()
        };
        let mut of_account: BTreeMap<AccountId, (usize, BTreeMap<_, _>)> = BTreeMap::new();
        for at in self.standing().into_iter().filter(|at| *at < self.first_devices) {
            let (first, expected) =
                of_account.entry(self.account_at(at)).or_insert_with(|| (at, story(at)));
            assert_eq!(story(at), *expected, "device {at} and device {first} of one account");
        }
        for at in self.standing().into_iter().filter(|at| *at >= self.first_devices) {
            let (first, expected) = &of_account[&self.account_at(at)];
            for (id, text) in story(at) {
                assert_eq!(expected.get(&id), Some(&text), "{id} on device {at} and on {first}");
            }
        }
    }

    /// What one device said is shown in the order in which it said it.
    fn check_order(&self, at: usize) {
        let mut last: BTreeMap<DeviceId, u64> = BTreeMap::new();
        for item in self.world.devices[at].history.items.values() {
            let before = last.insert(item.id.device, item.id.counter);
            assert!(before < Some(item.id.counter), "device {at}: {} after {before:?}", item.id);
            assert!(item.text.is_some(), "device {at}: {} is {:?}", item.id, item.note);
        }
    }

    /// All devices of all members see the same group, and who is none knows that.
    fn check_membership(&mut self) {
        let group = self.group;
        let logged = &self.world.server.groups[group.0.as_slice()];
        let epoch = logged.log.len() as u64;
        let members: BTreeSet<_> = logged.members.keys().copied().collect();
        let mut first = None;
        for at in self.standing() {
            let is_member = members.contains(&self.account_at(at));
            let Some(mut seen) = self.world.devices[at].core().group(group) else {
                assert!(!is_member, "device {at} does not know the group");
                continue;
            };
            assert_eq!(seen.is_member, is_member, "device {at}");
            assert_eq!(seen.frozen, None, "device {at}");
            if !is_member {
                continue;
            }
            assert_eq!(seen.epoch, epoch, "device {at}");
            let there: BTreeSet<_> = seen.members.iter().map(|member| member.account).collect();
            assert_eq!(there, members, "device {at}");
            // Who was removed may have taken along what only it could give: the key of the name.
            let may_lack_name = self.world.devices.len() > self.standing().len();
            assert!(seen.name.is_some() || may_lack_name, "device {at} does not know the name");
            if may_lack_name {
                (seen.name, seen.picture) = (None, Vec::new());
            }
            seen.members.sort_by_key(|member| member.account);
            let (_, expected) = first.get_or_insert_with(|| (at, seen.clone()));
            assert_eq!(seen, *expected, "device {at}");
        }
    }

    /// Nothing waits, and no user was told of something amiss: nothing was.
    fn check_calm(&self) {
        for at in self.standing() {
            for item in self.world.devices[at].history.items.values() {
                let is_own = item.id.device == self.world.devices[at].id();
                assert!(!is_own || item.state != MessageState::Pending, "{} is pending", item.id);
            }
            let is_bad = |kind| matches!(kind, WarningKind::Undecryptable | WarningKind::Server);
            let told = &self.world.devices[at].told;
            let bad =
                told.iter().find(|e| matches!(e, Event::Warning { kind, .. } if is_bad(*kind)));
            assert_eq!(bad, None, "device {at}");
        }
    }

    /// The server took what a removed device says that it took, and did not take what that says did not go;
    /// nothing waits there.
    fn check_last(&self) {
        let ids: BTreeSet<MessageId> =
            self.world.server.said.iter().map(|said| self.as_sent(said).0).collect();
        for at in (0..self.world.devices.len()).filter(|at| self.world.is_revoked(*at)) {
            let own = self.world.devices[at].id();
            for item in self.items(at).filter(|item| item.id.device == own) {
                let (id, is_taken) = (item.id, ids.contains(&item.id));
                match item.state {
                    MessageState::Pending => panic!("{id} waits on device {at}, which was removed"),
                    MessageState::Failed(Failure::Unanswered) => {} // of them it may not know
                    MessageState::Failed(_) => assert!(!is_taken, "{id} was taken"),
                    _ => assert!(is_taken, "{id} was not taken"),
                }
            }
        }
    }

    /// Everybody looks; then whoever wrote knows that all whom it was for have read it, where all of them are
    /// members still and no device of theirs was taken away with what it had to tell.
    pub(crate) fn check_reads(&mut self) {
        let mut silent: BTreeSet<AccountId> = BTreeSet::new();
        for at in 0..self.world.devices.len() {
            if self.world.is_revoked(at) {
                silent.insert(self.account_at(at));
            } else {
                self.read(at);
            }
        }
        self.rest();
        let members = &self.world.server.groups[self.group.0.as_slice()].members;
        let is_there =
            |account: &AccountId| members.contains_key(account) && !silent.contains(account);
        let said = &self.world.server.said;
        for one in said.iter().filter(|one| one.members.iter().all(is_there)) {
            let newer = said.iter().filter(|other| {
                other.from == one.from && other.counter > one.counter && other.copies.is_empty()
            });
            let is_told = !one.copies.is_empty() || newer.count() < GROUP_RECEIPT_POSTS_MAX;
            let of = u32::try_from(one.members.len() - 1).unwrap();
            if of == 0 || !is_told || !is_there(&one.from.account) {
                continue;
            }
            let (id, _) = self.as_sent(one);
            let sender = self.world.devices.iter().find(|device| device.id() == one.from).unwrap();
            let item = sender.history.get(id).unwrap();
            let all = Reach { delivered: of, read: of, of };
            assert_eq!(item.details.reach, Some(all), "{id}, of epoch {}", one.epoch);
            assert_eq!(item.state, MessageState::Read, "{id}, of epoch {}", one.epoch);
        }
    }

    /// At last the server gives all that was said to those who were no members when it was, and to devices
    /// that had been removed: nothing of it opens.
    pub(crate) fn give_away(&mut self) {
        let said = self.world.server.said.clone();
        let texts: Vec<String> = said.iter().map(|said| self.as_sent(said).1).collect();
        for at in 0..self.world.devices.len() {
            if self.world.is_revoked(at) {
                let device = self.world.devices[at].id();
                self.world.devices[at].crash();
                self.world.obey(at);
                self.world.server.reinstate(device);
            }
        }
        let removed: BTreeSet<usize> = (0..self.world.devices.len())
            .filter(|at| self.world.devices[*at].core.is_none())
            .collect();
        let is_kept_from = |at: usize, account: AccountId, device: DeviceId, said: &Said| {
            let is_member = said.members.contains(&account) && !removed.contains(&at);
            !is_member && device != said.from && !said.devices.contains(&device)
        };
        let mut given = Vec::new();
        for (said, text) in said.iter().zip(&texts) {
            for at in 0..self.world.devices.len() {
                let device = self.world.devices[at].id();
                if is_kept_from(at, device.account, device, said) {
                    self.world.server.append(device, as_record(said, at));
                    given.push((at, text));
                }
            }
        }
        if given.is_empty() {
            return;
        }
        for _ in 0..ASKING_ROUNDS {
            self.world.settle();
            self.world.pass(ASKING_MS);
        }
        self.world.settle();
        for (at, text) in given {
            let opened = self.items(at).find(|item| item.text.as_ref() == Some(text));
            assert!(opened.is_none(), "device {at} opened {text}, which was not for it");
        }
    }
}

fn warnings(device: &Device) -> Vec<&Event> {
    device.told.iter().filter(|event| matches!(event, Event::Warning { .. })).collect()
}

/// A record of what was said, for the device at `at`: the one body, or one of the copies.
fn as_record(said: &Said, at: usize) -> Entry {
    let Said { from, counter, epoch, .. } = *said;
    let (group, body) = (said.group.clone(), said.body.clone());
    match said.copies.get(at % said.copies.len().max(1)) {
        Some((_, kind, body)) => Entry::Message { from, counter, kind: *kind, body: body.clone() },
        None => Entry::Post { from, counter, group, epoch, body },
    }
}
