//! A server in memory that keeps the promises of the real one, with switches to keep them badly: connections
//! and mailboxes. Its accounts and its groups are in files beside this one.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use godwit_base::{AccountId, DeviceId, DeviceNumber, Handle, MessageId, Seq};
use godwit_link::{Responder, ServerKeys, StaticKey, TicketKeys, Transport};
use godwit_wire::frame::{self, Header, KEEPALIVE};
use godwit_wire::preface::{ClientPreface, Mode, ServerPreface};
use godwit_wire::{Refusal, ToClient, ToServer, v1};

use crate::server_accounts::{Account, mismatch};
use crate::server_groups::{Logged, Reach, Said};

/// What lies in a mailbox.
#[derive(Clone)]
pub(crate) enum Entry {
    Message { from: DeviceId, counter: u64, kind: i32, body: Vec<u8> },
    Receipt { by: DeviceId, origin: u32, up_to: u64 },
    News { group: Vec<u8>, epoch: u64 },
    Post { from: DeviceId, counter: u64, group: Vec<u8>, epoch: u64, body: Vec<u8> },
    Reach { group: Vec<u8>, origin: u32, posts: Vec<v1::PostReach> },
}

/// One end of a connection, as the server sees it.
#[derive(Default)]
pub(crate) struct Connection {
    incoming: Vec<u8>,
    pub(crate) outgoing: Vec<u8>,
    transport: Option<Transport>,
    pub(crate) device: Option<DeviceId>,
    link_key: Vec<u8>,
    attached: bool,
    /// Go-back-N: everything is refused until this counter comes again.
    awaited: Option<u64>,
    /// How long it said that it is quiet.
    pub(crate) interval_s: Option<u32>,
}

/// What the server does wrong, or is made to refuse, from now on.
#[derive(Default)]
pub(crate) struct Mischief {
    /// So many of the next submissions are refused as busy.
    pub(crate) busy: u32,
    /// So many of the next submissions are in a batch that fails: each of them is refused for now.
    pub(crate) fails: u32,
    /// With this instead of Busy.
    pub(crate) busy_with: Option<Refusal>,
    /// So many of the next fetches are refused as rate limited.
    pub(crate) fetch_limited: u32,
    /// So many of the next fetches are refused with this number and no delay.
    pub(crate) fetch_refused: (u32, u32),
    /// Whoever asks for such an account on such a connection is told to ask again.
    pub(crate) hides: BTreeSet<(usize, AccountId)>,
    /// So the next messages for a rendezvous are refused, with these delays, the last one first.
    pub(crate) relay_refused: Vec<(Refusal, u32)>,
    /// Whoever is asked for, a key bundle that its device did not sign comes along.
    pub(crate) bad_bundle: bool,
    /// These counters are refused with a mailbox full.
    pub(crate) full_for: BTreeSet<u64>,
    /// Messages of these ids are handed over with a flipped bit.
    pub(crate) damage: BTreeSet<MessageId>,
    /// One-time keys are not given out.
    pub(crate) no_one_time: bool,
    /// Whoever asks for this handle is told of that account.
    pub(crate) answers_for: Option<(Handle, AccountId)>,
    /// Tickets are not taken.
    pub(crate) no_tickets: bool,
    /// Somebody on the way answers each handshake with this number and delay.
    pub(crate) forged_refusal: Option<(u16, u32)>,
    /// Lists that these accounts publish are taken, and shown to nobody.
    pub(crate) freezes: BTreeSet<AccountId>,
    /// So many of the next lists are refused with this.
    pub(crate) list_refused: Option<(u32, Refusal, u32)>,
    /// So many of the next changes of groups are refused as stale.
    pub(crate) stale: u32,
    /// So many of the next changes and logs of groups are refused for a while.
    pub(crate) groups_limited: u32,
    /// So many of the next changes of groups are stored and not confirmed.
    pub(crate) unconfirmed: u32,
    /// Whoever asks for the log of one of these groups is shown that instead.
    pub(crate) shows_log: BTreeMap<Vec<u8>, Logged>,
    /// The next wishes for tickets are refused with these and delays, the last one first.
    pub(crate) media_refused: Vec<(Refusal, u32)>,
    /// Whoever asks for a log is told that it goes to this epoch.
    pub(crate) claims_epoch: Option<u64>,
    /// So many of the next reads of posts are refused for a while.
    pub(crate) reads_limited: u32,
    /// So many of the next reads of posts are stored and not answered.
    pub(crate) reads_unanswered: u32,
    /// So many of the next submissions to groups are refused as of an old epoch.
    pub(crate) stale_posts: u32,
    /// Posts of these ids are handed over as of that group.
    pub(crate) misleads: BTreeMap<MessageId, Vec<u8>>,
}

pub(crate) struct Server {
    keys: ServerKeys,
    pub(crate) public: [u8; 32],
    tickets: TicketKeys,
    pub(crate) accounts: BTreeMap<AccountId, Account>,
    pub(crate) mailboxes: BTreeMap<DeviceId, VecDeque<(Seq, Entry)>>,
    stored: BTreeMap<(DeviceId, u64), u64>,
    pub(crate) connections: BTreeMap<usize, Connection>,
    seq: Seq,
    pub(crate) now_ms: u64,
    pub(crate) mischief: Mischief,
    pub(crate) resumed: u32,
    pub(crate) fetches: u32,
    pub(crate) submitted: Vec<Vec<u8>>,
    pub(crate) reports: Vec<v1::Report>,
    /// Devices that left their lists, by link key.
    pub(crate) revoked: BTreeMap<Vec<u8>, DeviceId>,
    /// Every device list that was offered, with its version.
    pub(crate) lists: Vec<(u64, Vec<u8>)>,
    pub(crate) groups: BTreeMap<Vec<u8>, Logged>,
    /// Changes of groups, and questions for their logs.
    pub(crate) group_requests: u32,
    /// What was said about presence, and on which connection.
    pub(crate) presence: Vec<(usize, ToServer)>,
    /// Files by name: length, how many devices are to fetch it, and which said that they have it.
    pub(crate) files: BTreeMap<Vec<u8>, Filed>,
    /// Every submission to a group that was stored: by whom, and of how many copies; 0 is one for all.
    pub(crate) posts: Vec<(DeviceId, u64, usize)>,
    /// Every submission to a group that was stored, as it was then.
    pub(crate) said: Vec<Said>,
    /// Who has and has read what was posted to a group, by device.
    pub(crate) reached: BTreeMap<(Vec<u8>, DeviceId), Reach>,
    /// Everything that was said to be read, by whom; also what was refused or not answered.
    pub(crate) group_reads: Vec<(DeviceId, v1::GroupRead)>,
    /// Everything that was said at a rendezvous; also what was refused.
    pub(crate) relayed: Vec<v1::Relay>,
}

/// What a backup of the server holds of messages.
pub(crate) struct Backup {
    mailboxes: BTreeMap<DeviceId, VecDeque<(Seq, Entry)>>,
    stored: BTreeMap<(DeviceId, u64), u64>,
    reached: BTreeMap<(Vec<u8>, DeviceId), Reach>,
}

/// A file that somebody asked to upload.
#[derive(Default)]
pub(crate) struct Filed {
    pub(crate) bytes: u64,
    pub(crate) fetchers: u32,
    pub(crate) had_by: BTreeSet<DeviceId>,
}

impl Server {
    pub(crate) fn new(now_ms: u64) -> Self {
        let key = StaticKey::generate().unwrap();
        Self {
            public: key.public().0,
            keys: ServerKeys::new(key, None),
            tickets: TicketKeys::generate().unwrap(),
            accounts: BTreeMap::new(),
            mailboxes: BTreeMap::new(),
            stored: BTreeMap::new(),
            connections: BTreeMap::new(),
            seq: Seq::ZERO,
            now_ms,
            mischief: Mischief::default(),
            resumed: 0,
            fetches: 0,
            submitted: Vec::new(),
            reports: Vec::new(),
            revoked: BTreeMap::new(),
            lists: Vec::new(),
            groups: BTreeMap::new(),
            group_requests: 0,
            files: BTreeMap::new(),
            presence: Vec::new(),
            posts: Vec::new(),
            said: Vec::new(),
            reached: BTreeMap::new(),
            group_reads: Vec::new(),
            relayed: Vec::new(),
        }
    }

    pub(crate) fn backs_up(&self) -> Backup {
        let (mailboxes, stored) = (self.mailboxes.clone(), self.stored.clone());
        Backup { mailboxes, stored, reached: self.reached.clone() }
    }

    /// It died, and begins anew from a backup: without one-time keys, as the real one does.
    pub(crate) fn is_put_back(&mut self, backup: Backup) {
        self.connections.clear();
        (self.mailboxes, self.stored) = (backup.mailboxes, backup.stored);
        self.reached = backup.reached;
        self.accounts.values_mut().for_each(Account::loses_one_time_keys);
    }

    /// Bytes of connection `at`. Closes it when they are wrong.
    pub(crate) fn receive(&mut self, at: usize, bytes: &[u8]) {
        let Some(mut connection) = self.connections.remove(&at) else { return };
        connection.incoming.extend_from_slice(bytes);
        if connection.transport.is_none() && !self.shake(&mut connection) {
            self.connections.insert(at, connection);
            return;
        }
        let mut said = Vec::new();
        while let Some(plaintext) = next_frame(&mut connection) {
            said.extend(ToServer::decode_all(plaintext.as_slice()).map(Result::unwrap));
        }
        self.connections.insert(at, connection);
        for message in said {
            self.on_message(at, message);
        }
    }

    /// Answers the handshake; false while it is not whole or was refused.
    fn shake(&mut self, connection: &mut Connection) -> bool {
        let incoming = connection.incoming.clone();
        let Some(parsed) = ClientPreface::parse(&incoming).unwrap() else { return false };
        connection.incoming.drain(..parsed.consumed);
        let preface = parsed.preface;
        if let Some((code, retry_after_ms)) = self.mischief.forged_refusal {
            let refused = ServerPreface::Refused { code, retry_after_ms };
            refused.encode_into(&mut connection.outgoing).unwrap();
            return false;
        }
        let arrival = match preface.mode {
            Mode::Full => Responder::ik(&self.keys, preface.key_hint, preface.message).unwrap(),
            Mode::Resume if self.mischief.no_tickets => {
                let code = Refusal::BadTicket.number();
                let refused = ServerPreface::Refused { code, retry_after_ms: 0 };
                refused.encode_into(&mut connection.outgoing).unwrap();
                return false;
            }
            Mode::Resume => {
                self.resumed += 1;
                Responder::resume(&self.tickets, self.now_ms, preface.message).unwrap()
            }
        };
        connection.link_key = arrival.peer.0.to_vec();
        let device = self.holder_of(&connection.link_key);
        let was_one = self.revoked.get(&connection.link_key).copied();
        connection.device = device;
        let expires_ms = self.now_ms + 3_600_000;
        let welcome = v1::Welcome {
            version: 1,
            features: 0,
            standing: device.map_or(if was_one.is_some() { 3 } else { 2 }, |_| 1),
            account: device.or(was_one).map_or(0, |d| d.account.0),
            device: device.or(was_one).map_or(0, |d| d.number.0),
            time_ms: self.now_ms,
            keepalive_s: 30,
            keepalive_max_s: 240,
            ticket: self.tickets.issue(&arrival.peer, expires_ms).unwrap().into(),
            ticket_expires_ms: expires_ms,
            highest_counter: device.map_or(0, |device| self.highest_counter(device)),
        };
        let (reply, established) = arrival.responder.reply(&godwit_wire::encode(&welcome)).unwrap();
        ServerPreface::Reply(&reply).encode_into(&mut connection.outgoing).unwrap();
        connection.transport = Some(established.transport);
        true
    }

    pub(crate) fn say(&mut self, at: usize, message: impl Into<ToClient>) {
        let Some(connection) = self.connections.get_mut(&at) else { return };
        let Some(transport) = &mut connection.transport else { return };
        let mut plaintext = Vec::new();
        message.into().encode_into(&mut plaintext);
        frame::encode_header(plaintext.len() + 16, &mut connection.outgoing).unwrap();
        transport.seal_into(&plaintext, &mut connection.outgoing).unwrap();
    }

    fn on_message(&mut self, at: usize, message: ToServer) {
        match message {
            ToServer::Attach(_) => self.attach(at),
            ToServer::PresenceSet(_) | ToServer::PresenceWatch(_) => {
                self.presence.push((at, message));
            }
            ToServer::Submit(submit) => self.submit(at, &submit),
            ToServer::Ack(ack) => self.acknowledge(at, Seq(ack.up_to)),
            ToServer::Register(register) => self.register(at, register),
            ToServer::Fetch(fetch) => self.fetch(at, fetch),
            ToServer::PublishKeys(publish) => self.publish_keys(at, publish),
            ToServer::PublishDeviceList(publish) => self.publish_list(at, publish),
            ToServer::GroupChange(change) => self.change_group(at, &change),
            ToServer::GroupFetch(fetch) => self.fetch_group(at, &fetch),
            ToServer::MediaGrant(wish) => self.grant_media(at, &wish),
            ToServer::MediaFetched(fetched) => self.note_media(at, &fetched),
            ToServer::Report(report) => {
                let request = report.request;
                self.reports.push(report);
                self.say(at, v1::ReportTaken { request });
            }
            ToServer::Relay(relay) => self.relay(at, relay),
            ToServer::Terms(_) | ToServer::Claim(_) => {}
            ToServer::GroupRoster(roster) => self.show_roster(at, &roster),
            ToServer::GroupProgress(ask) => self.show_progress(at, &ask),
            ToServer::GroupRead(read) => self.take_read(at, &read),
            ToServer::KeepaliveInterval(interval) => {
                self.connections.get_mut(&at).unwrap().interval_s = Some(interval.seconds);
            }
        }
    }

    /// Any wish for a ticket is granted, unless the mischief says otherwise or there is no such file.
    fn grant_media(&mut self, at: usize, wish: &v1::MediaGrantRequest) {
        let (request, blob) = (wish.request, wish.blob.to_vec());
        if let Some((refusal, wait_ms)) = self.mischief.media_refused.pop() {
            return self.refuse(at, 0, request, refusal, wait_ms);
        }
        if wish.direction() == v1::MediaDirection::Up {
            let file = self.files.entry(blob.clone()).or_default();
            (file.bytes, file.fetchers) = (wish.bytes, wish.fetchers);
        }
        let Some(file) = self.files.get(&blob) else {
            return self.refuse(at, 0, request, Refusal::MediaGone, 0);
        };
        let ticket = b"ticket".as_slice().into();
        let bytes = file.bytes;
        self.say(at, v1::MediaGrant { request, ticket, bytes, ..v1::MediaGrant::default() });
    }

    fn note_media(&mut self, at: usize, fetched: &v1::MediaFetched) {
        let (request, device) = (fetched.request, self.connections[&at].device.unwrap());
        match self.files.get_mut(fetched.blob.as_ref()) {
            Some(file) => {
                file.had_by.insert(device);
                self.say(at, v1::MediaNoted { request });
            }
            None => self.refuse(at, 0, request, Refusal::MediaGone, 0),
        }
    }

    pub(crate) fn hang_up(&mut self, device: DeviceId) {
        self.connections.retain(|_, connection| connection.device != Some(device));
    }

    fn attach(&mut self, at: usize) {
        let device = self.connections[&at].device.unwrap();
        for (other, connection) in &mut self.connections {
            connection.attached &= *other == at || connection.device != Some(device);
        }
        self.connections.get_mut(&at).unwrap().attached = true;
        for record in self.mailboxes[&device].clone() {
            self.hand_over(at, &record);
        }
        let one_time_left = u32::try_from(self.one_time_left_of(device)).unwrap();
        self.say(at, v1::CaughtUp { one_time_left });
    }

    fn hand_over(&mut self, at: usize, (seq, entry): &(Seq, Entry)) {
        match entry {
            Entry::Message { from, counter, kind, body } => {
                let id = MessageId { device: *from, counter: *counter };
                let body = self.damaged(id, body);
                self.say(
                    at,
                    v1::Deliver {
                        seq: seq.0,
                        account: from.account.0,
                        device: from.number.0,
                        counter: *counter,
                        kind: *kind,
                        body: body.into(),
                        ..v1::Deliver::default()
                    },
                );
            }
            Entry::News { group, epoch } => {
                let group = group.clone().into();
                self.say(at, v1::GroupNews { seq: seq.0, group, epoch: *epoch, missed: false });
            }
            Entry::Post { from, counter, group, epoch, body } => {
                let id = MessageId { device: *from, counter: *counter };
                let group = self.mischief.misleads.get(&id).unwrap_or(group).clone();
                let body = self.damaged(id, body);
                self.say(
                    at,
                    v1::Deliver {
                        seq: seq.0,
                        account: from.account.0,
                        device: from.number.0,
                        counter: *counter,
                        kind: v1::CopyKind::Group.into(),
                        body: body.into(),
                        group: group.into(),
                        epoch: *epoch,
                    },
                );
            }
            Entry::Reach { group, origin, posts } => {
                let (group, origin, posts) = (group.clone().into(), *origin, posts.clone());
                self.say(at, v1::GroupReceipt { seq: seq.0, group, origin, posts });
            }
            Entry::Receipt { by, origin, up_to } => self.say(
                at,
                v1::Receipt {
                    seq: seq.0,
                    account: by.account.0,
                    device: by.number.0,
                    up_to: *up_to,
                    origin: *origin,
                },
            ),
        }
    }

    pub(crate) fn append(&mut self, to: DeviceId, entry: Entry) {
        self.seq = self.seq.next(self.now_ms);
        let record = (self.seq, entry);
        self.mailboxes.entry(to).or_default().push_back(record.clone());
        let live = self.connections.iter().find(|(_, c)| c.attached && c.device == Some(to));
        if let Some((at, _)) = live {
            let at = *at;
            self.hand_over(at, &record);
        }
    }

    fn submit(&mut self, at: usize, submit: &v1::Submit) {
        let from = self.connections[&at].device.unwrap();
        let counter = submit.counter;
        let first = submit.recipients.first().and_then(|to| to.copies.first());
        self.submitted.extend(first.map(|copy| copy.body.to_vec()));
        let connection = self.connections.get_mut(&at).unwrap();
        assert!(connection.attached, "a submission before the mailbox was taken");
        if self.mischief.fails > 0 {
            self.mischief.fails -= 1;
            connection.awaited =
                Some(connection.awaited.map_or(counter, |first| first.min(counter)));
            return self.refuse(at, counter, 0, Refusal::Unavailable, 50);
        }
        if connection.awaited.is_some_and(|awaited| awaited != counter) {
            return self.refuse(at, counter, 0, Refusal::AfterRefusal, 50);
        }
        if self.mischief.busy > 0 {
            self.mischief.busy -= 1;
            connection.awaited = Some(counter);
            let why = self.mischief.busy_with.unwrap_or(Refusal::Busy);
            return self.refuse(at, counter, 0, why, 50);
        }
        connection.awaited = None;
        if let Some(at_ms) = self.stored.get(&(from, counter)) {
            let time_ms = *at_ms;
            return self.say(at, v1::Accepted { counter, time_ms });
        }
        assert!(counter + 128 > self.highest_counter(from), "a counter below the server's window");
        if let Some(refusal) = self.group_refusal(from, submit) {
            return self.refuse(at, counter, 0, refusal, 0);
        }
        let mut mismatches = Vec::new();
        for recipient in &submit.recipients {
            let account = AccountId(recipient.account);
            let Some(known) = self.accounts.get(&account) else {
                return self.refuse(at, counter, 0, Refusal::UnknownAccount, 0);
            };
            if let Some(mismatch) = mismatch(known, from, recipient) {
                mismatches.push(mismatch);
            }
        }
        if !mismatches.is_empty() {
            let code = Refusal::DeviceMismatch.number().into();
            return self.say(at, v1::Refused { counter, code, mismatches, ..Default::default() });
        }
        if self.mischief.full_for.contains(&counter) {
            return self.refuse(at, counter, 0, Refusal::MailboxFull, 0);
        }
        self.stored.insert((from, counter), self.now_ms);
        if let Some(post) = &submit.group {
            let copies = submit.recipients.iter().map(|to| to.copies.len()).sum();
            self.posts.push((from, counter, copies));
            self.note_said(from, submit, post);
            self.store_post(from, counter, post);
        }
        for recipient in &submit.recipients {
            for copy in &recipient.copies {
                let to = DeviceId::new(recipient.account, copy.device);
                let (kind, body) = (copy.kind, copy.body.to_vec());
                self.append(to, Entry::Message { from, counter, kind, body });
            }
        }
        let time_ms = self.now_ms;
        self.say(at, v1::Accepted { counter, time_ms });
    }

    fn highest_counter(&self, of: DeviceId) -> u64 {
        let highest = self.stored.range((of, 0)..=(of, u64::MAX)).last();
        highest.map_or(0, |((_, counter), _)| *counter)
    }

    fn acknowledge(&mut self, at: usize, up_to: Seq) {
        let device = self.connections[&at].device.unwrap();
        let mailbox = self.mailboxes.get_mut(&device).unwrap();
        let mut origins: BTreeMap<DeviceId, u64> = BTreeMap::new();
        let mut had: Vec<(Vec<u8>, DeviceId, u64)> = Vec::new();
        while mailbox.front().is_some_and(|(seq, _)| *seq <= up_to) {
            match mailbox.pop_front() {
                Some((_, Entry::Message { from, counter, .. })) => {
                    let highest = origins.entry(from).or_default();
                    *highest = (*highest).max(counter);
                }
                Some((_, Entry::Post { from, counter, group, .. })) => {
                    had.push((group, from, counter));
                }
                _ => {}
            }
        }
        self.note_had(device, had);
        for (sender, up_to) in origins {
            let Some(account) = self.accounts.get(&sender.account) else { continue };
            let numbers: Vec<u32> = account.devices.keys().copied().collect();
            for number in numbers {
                let to = DeviceId { account: sender.account, number: DeviceNumber(number) };
                let origin = sender.number.0;
                self.append(to, Entry::Receipt { by: device, origin, up_to });
            }
        }
    }

    pub(crate) fn refuse(
        &mut self,
        at: usize,
        counter: u64,
        request: u32,
        why: Refusal,
        retry_after_ms: u32,
    ) {
        let code = why.number().into();
        let mismatches = Vec::new();
        self.say(at, v1::Refused { counter, request, code, retry_after_ms, mismatches });
    }

    pub(crate) fn device_at(&self, at: usize) -> DeviceId {
        self.connections[&at].device.unwrap()
    }

    /// Puts a record into a mailbox that nobody has submitted.
    pub(crate) fn inject(
        &mut self,
        to: DeviceId,
        from: DeviceId,
        counter: u64,
        kind: i32,
        body: Vec<u8>,
    ) {
        self.append(to, Entry::Message { from, counter, kind, body });
    }

    /// What lies last in a mailbox, taken out.
    pub(crate) fn withhold(&mut self, of: DeviceId) -> Entry {
        self.mailboxes.get_mut(&of).unwrap().pop_back().unwrap().1
    }
}

fn next_frame(connection: &mut Connection) -> Option<Vec<u8>> {
    loop {
        match frame::decode_header(&connection.incoming).unwrap() {
            Header::Incomplete => return None,
            Header::Keepalive { consumed } => {
                connection.incoming.drain(..consumed);
                connection.outgoing.push(KEEPALIVE);
            }
            Header::Frame { header, body } => {
                if connection.incoming.len() < header + body {
                    return None;
                }
                let mut frame: Vec<u8> = connection.incoming.drain(..header + body).collect();
                let transport = connection.transport.as_mut().unwrap();
                let length = transport.open_in_place(&mut frame[header..]).unwrap();
                return Some(frame[header..header + length].to_vec());
            }
        }
    }
}
