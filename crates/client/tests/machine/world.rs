//! Devices, the server and the wires between them; time moves only when told.

use godwit_base::{AccountId, DeviceId, Handle, JoinLink, MessageId};
use godwit_client::core::{LinkOrder, Now, Seat};
use godwit_client::{Event, MessageState, WarningKind};

use godwit_link::StaticKey;
use godwit_seal::{AccountPublic, DeviceKeys, DeviceList, Trust};

use crate::device::Device;
use crate::replay::note;
use crate::server::{Connection, Server};

/// When the world begins: some day in 2026.
pub(crate) const BEGIN_MS: u64 = 1_790_000_000_000;

pub(crate) struct World {
    pub(crate) server: Server,
    pub(crate) devices: Vec<Device>,
    pub(crate) mono_ms: u64,
    /// How far the devices' clocks are off the server's.
    pub(crate) skew_ms: i64,
}

/// A device that its main one is about to put on the list of their account.
pub(crate) struct Newcomer {
    pub(crate) handle: Handle,
    pub(crate) keys: DeviceKeys,
    link_key: StaticKey,
}

impl World {
    pub(crate) fn new() -> Self {
        Self { server: Server::new(BEGIN_MS), devices: Vec::new(), mono_ms: 0, skew_ms: 0 }
    }

    /// A world where these people have joined.
    pub(crate) fn with(handles: &[&str]) -> Self {
        let mut world = Self::new();
        for handle in handles {
            world.add(handle);
        }
        world.settle();
        world
    }

    pub(crate) fn link(&self) -> JoinLink {
        JoinLink { host: "memory".into(), port: 1, server_key: self.server.public }
    }

    pub(crate) fn add(&mut self, handle: &str) -> usize {
        let device = Device::new(handle, &self.link(), self.now());
        self.devices.push(device);
        self.devices.len() - 1
    }

    pub(crate) fn now(&self) -> Now {
        Now {
            wall_ms: (BEGIN_MS + self.mono_ms).saturating_add_signed(self.skew_ms),
            mono_ms: self.mono_ms,
        }
    }

    pub(crate) fn pass(&mut self, ms: u64) {
        self.mono_ms += ms;
        self.server.now_ms += ms;
        let now = self.now();
        for device in &mut self.devices {
            if let Some(core) = &mut device.core {
                core.tick(now);
            }
        }
    }

    pub(crate) fn device(&mut self, handle: &str) -> &mut Device {
        self.devices.iter_mut().find(|device| device.handle.as_str() == handle).unwrap()
    }

    pub(crate) fn send(&mut self, from: &str, to: &str, text: &str) -> MessageId {
        let now = self.now();
        self.device(from).send(&handle(to), text, now)
    }

    /// Gives the account of `of` another device. Returns where it is among the devices.
    pub(crate) fn add_device(&mut self, of: &str) -> usize {
        let newcomer = self.list_device(of);
        assert!(self.begins(newcomer).is_none(), "the server has the list");
        self.settle();
        self.devices.len() - 1
    }

    /// Puts another device on the list of the account of `of`. It has not yet said a word.
    pub(crate) fn list_device(&mut self, of: &str) -> Newcomer {
        let newcomer = self.offers(self.index(of)).expect("room on the list");
        self.settle();
        newcomer
    }

    /// The main device at `main` wants another one on the list, if it may now.
    pub(crate) fn offers(&mut self, main: usize) -> Option<Newcomer> {
        let now = self.now();
        let account_key = self.account_key(self.devices[main].id().account);
        let number = self.devices[main].core().next_device();
        let keys = DeviceKeys::create(&account_key, number, now.wall_ms);
        let link_key = StaticKey::generate().unwrap();
        let (entry, first_keys) = (keys.describe(), keys.upload());
        let core = self.devices[main].core();
        core.add_device(entry, link_key.public().0, first_keys, now).ok()?;
        Some(Newcomer { handle: self.devices[main].handle.clone(), keys, link_key })
    }

    /// A newcomer that the server has on the list begins; one that is not there yet comes back.
    pub(crate) fn begins(&mut self, newcomer: Newcomer) -> Option<Newcomer> {
        let Newcomer { handle, keys, link_key } = newcomer;
        let DeviceId { account, number } = keys.id();
        if !self.server.accounts[&account].numbers().contains(&number.0) {
            return Some(Newcomer { handle, keys, link_key });
        }
        let now = self.now();
        let account_key = self.account_key(account);
        let signed = self.server.accounts[&account].signed_list.clone();
        let trust = Trust::Pinned(&account_key);
        let list = DeviceList::verify(&signed, trust, None, now.wall_ms).unwrap();
        let seat = Seat { keys, link_key, list };
        self.devices.push(Device::linked(&handle, &self.link(), seat, now));
        self.drive(self.devices.len() - 1);
        None
    }

    /// The account's key, as its list says.
    pub(crate) fn account_key(&self, account: AccountId) -> AccountPublic {
        let signed = &self.server.accounts[&account].signed_list;
        let trust = Trust::FirstUse(account);
        *DeviceList::verify(signed, trust, None, self.now().wall_ms).unwrap().account_key()
    }

    /// The driver of one device takes a batch and commits it.
    pub(crate) fn drive(&mut self, at: usize) {
        let now = self.now();
        self.devices[at].flush(now);
        self.devices[at].commit(false);
    }

    /// The driver of one device takes a step: commit, obey, move all bytes.
    pub(crate) fn step(&mut self, at: usize) {
        self.drive(at);
        self.obey(at);
        self.carry_up(at, usize::MAX);
        self.carry_down(at, usize::MAX);
    }

    /// Does what the core ordered about the link.
    pub(crate) fn obey(&mut self, at: usize) {
        match self.devices[at].order.take() {
            Some(LinkOrder::Dial) => {
                self.server.connections.insert(at, Connection::default());
                self.devices[at].to_server.clear();
                let now = self.now();
                self.devices[at].core().connected(now);
            }
            Some(LinkOrder::Close) => {
                self.server.connections.remove(&at);
                self.devices[at].to_server.clear();
            }
            None => {}
        }
    }

    pub(crate) fn carry_up(&mut self, at: usize, most: usize) {
        let waiting = &mut self.devices[at].to_server;
        let bytes: Vec<u8> = waiting.drain(..waiting.len().min(most)).collect();
        if !bytes.is_empty() {
            note(format_args!("up {at}"), &bytes);
            self.server.receive(at, &bytes);
        }
    }

    pub(crate) fn carry_down(&mut self, at: usize, most: usize) {
        let now = self.now();
        let Some(connection) = self.server.connections.get_mut(&at) else { return };
        let count = connection.outgoing.len().min(most);
        let bytes: Vec<u8> = connection.outgoing.drain(..count).collect();
        if let (false, Some(core)) = (bytes.is_empty(), &mut self.devices[at].core) {
            note(format_args!("down {at}"), &bytes);
            core.on_bytes(&bytes, now);
        }
    }

    /// The connection breaks; what was on its way is gone.
    pub(crate) fn cut(&mut self, at: usize) {
        self.server.connections.remove(&at);
        self.devices[at].to_server.clear();
        let now = self.now();
        if let Some(core) = &mut self.devices[at].core {
            core.disconnected("cut", now);
        }
    }

    /// Runs everybody until nothing moves for a while of several retries.
    pub(crate) fn settle(&mut self) {
        for _ in 0..60 {
            for at in 0..self.devices.len() {
                if self.devices[at].core.is_none() && self.devices[at].is_born() {
                    let now = self.now();
                    self.devices[at].restart(now);
                }
            }
            self.pass(50);
            for _ in 0..4 {
                (0..self.devices.len()).for_each(|at| self.step(at));
            }
        }
    }

    /// Where the main device of the account is whose device is at `at`.
    pub(crate) fn main_of(&self, at: usize) -> usize {
        self.index(self.devices[at].handle.as_str())
    }

    /// Whether the account of a device has taken it off its list.
    pub(crate) fn is_revoked(&self, at: usize) -> bool {
        let DeviceId { account, number } = self.devices[at].id();
        self.server.accounts.get(&account).is_some_and(|known| !known.numbers().contains(&number.0))
    }

    pub(crate) fn index(&self, handle: &str) -> usize {
        self.devices.iter().position(|device| device.handle.as_str() == handle).unwrap()
    }

    pub(crate) fn texts(&mut self, of: &str, from: &str) -> Vec<String> {
        self.device(of).texts_from(&handle(from))
    }

    pub(crate) fn state(&mut self, of: &str, id: MessageId) -> MessageState {
        self.device(of).state_of(id)
    }

    pub(crate) fn warnings(&mut self, of: &str, wanted: WarningKind) -> usize {
        let told = &self.device(of).told;
        told.iter().filter(|e| matches!(e, Event::Warning { kind, .. } if *kind == wanted)).count()
    }
}

pub(crate) fn handle(text: &str) -> Handle {
    text.parse().unwrap()
}
