//! Somebody with a device. Nothing is sealed: the "ciphertext" is the text, the signed list a word.

use bytes::Bytes;
use godwit_base::{AccountId, JoinLink};
use godwit_link::StaticKey;
use godwit_wire::{Refusal, ToClient, ToServer, v1};

use super::link::{Link, NoLink};

pub(crate) struct Person {
    pub(crate) join: JoinLink,
    pub(crate) handle: String,
    pub(crate) link_key: StaticKey,
    pub(crate) account_key: [u8; 32],
    pub(crate) link: Option<Link>,
    pub(crate) counter: u64,
    requests: u32,
}

/// A text on its way.
pub(crate) struct Sending<'a> {
    person: &'a mut Person,
    text: String,
}

impl Sending<'_> {
    /// Submits it; returns its counter.
    pub(crate) async fn to(self, to: &Person) -> u64 {
        self.person.counter += 1;
        let counter = self.person.counter;
        let submit = to.sealed(counter, &self.text);
        self.person.link().says(&[submit]).await;
        counter
    }
}

impl Person {
    pub(crate) fn new(join: &JoinLink, handle: &str) -> Self {
        let link_key = StaticKey::generate().unwrap();
        Self {
            join: join.clone(),
            handle: handle.to_owned(),
            account_key: *StaticKey::generate().unwrap().to_bytes(),
            link_key,
            link: None,
            counter: 0,
            requests: 0,
        }
    }

    pub(crate) fn account(&self) -> AccountId {
        AccountId::of_key(&self.account_key)
    }

    pub(crate) fn link(&mut self) -> &mut Link {
        self.link.as_mut().expect("dialled")
    }

    pub(crate) fn request(&mut self) -> u32 {
        self.requests += 1;
        self.requests
    }

    pub(crate) async fn dials(&mut self) -> Result<&v1::Welcome, NoLink> {
        self.link = Some(Link::dial(&self.join, &self.link_key).await?);
        Ok(&self.link().welcome)
    }

    pub(crate) fn hangs_up(&mut self) {
        self.link = None;
    }

    /// The registration that this person would send.
    pub(crate) fn registration(&mut self) -> v1::Register {
        v1::Register {
            request: self.request(),
            handle: self.handle.clone(),
            invite: String::new(),
            account_key: Bytes::copy_from_slice(&self.account_key),
            list: Some(v1::DeviceListUpload {
                version: 1,
                devices: vec![v1::DeviceRow {
                    number: 1,
                    link_key: Bytes::copy_from_slice(&self.link_key.public().0),
                }],
                signed: Bytes::from(format!("list of {}", self.handle)),
            }),
            keys: Some(v1::KeyUpload {
                one_time: (1..=3)
                    .map(|id| v1::OneTimeKey { id, signed: Bytes::from(format!("key {id}")) })
                    .collect(),
                fallback: Bytes::from_static(b"fallback"),
            }),
        }
    }

    /// The next list of this account as its owner would publish it, and keys for every device on it.
    pub(crate) fn publication(&mut self, list: v1::DeviceListUpload) -> v1::PublishDeviceList {
        let keys = || v1::KeyUpload {
            one_time: vec![v1::OneTimeKey { id: 1, signed: Bytes::from_static(b"first key") }],
            fallback: Bytes::from_static(b"first fallback"),
        };
        let keys_of =
            |row: &v1::DeviceRow| v1::FirstKeys { device: row.number, keys: Some(keys()) };
        let first_keys = list.devices.iter().map(keys_of).collect();
        v1::PublishDeviceList { request: self.request(), list: Some(list), first_keys }
    }

    pub(crate) async fn registers(&mut self) -> Result<v1::Registered, Refusal> {
        let registration = self.registration();
        self.registers_as(registration).await
    }

    pub(crate) async fn registers_as(
        &mut self,
        registration: v1::Register,
    ) -> Result<v1::Registered, Refusal> {
        self.link().says(&[registration.into()]).await;
        match self.link().hears().await {
            ToClient::Registered(registered) => Ok(registered),
            ToClient::Refused(refused) => Err(Refusal::from_number(refused.code).unwrap()),
            other => panic!("{other:?}"),
        }
    }

    /// Takes the mailbox; returns what was in it.
    pub(crate) async fn attaches(&mut self) -> Vec<ToClient> {
        self.link().says(&[v1::Attach {}.into()]).await;
        let mut waiting = Vec::new();
        loop {
            match self.link().hears().await {
                ToClient::CaughtUp(_) => return waiting,
                other => waiting.push(other),
            }
        }
    }

    /// Dials and takes the mailbox.
    pub(crate) async fn comes_back(&mut self) -> Vec<ToClient> {
        self.dials().await.unwrap();
        self.attaches().await
    }

    pub(crate) fn sends(&mut self, text: &str) -> Sending<'_> {
        Sending { person: self, text: text.to_owned() }
    }

    /// A text for this person, under a counter of its sender.
    pub(crate) fn sealed(&self, counter: u64, text: &str) -> ToServer {
        let copy = v1::SealedCopy { device: 1, kind: 0, body: Bytes::from(text.to_owned()) };
        let recipient =
            v1::Recipient { account: self.account().0, list_version: 1, copies: vec![copy] };
        v1::Submit { counter, recipients: vec![recipient], group: None }.into()
    }

    /// One tick for that counter.
    pub(crate) async fn sees_tick(&mut self, counter: u64) {
        match self.link().hears().await {
            ToClient::Accepted(accepted) => assert_eq!(accepted.counter, counter),
            other => panic!("{} expected a tick, not {other:?}", self.handle),
        }
    }

    /// Two ticks up to that counter.
    pub(crate) async fn sees_delivered(&mut self, to: &Person, counter: u64) -> v1::Receipt {
        match self.link().hears().await {
            ToClient::Receipt(receipt) => {
                assert_eq!((receipt.account, receipt.device), (to.account().0, 1));
                assert_eq!(receipt.up_to, counter);
                receipt
            }
            other => panic!("{} expected a receipt, not {other:?}", self.handle),
        }
    }

    /// The next message is this text of that sender.
    pub(crate) async fn receives(&mut self, text: &str, from: &Person) -> v1::Deliver {
        let message = self.link().hears().await;
        is_text(message, text, from)
    }

    pub(crate) async fn acknowledges(&mut self, deliver: &v1::Deliver) {
        self.link().says(&[v1::Ack { up_to: deliver.seq }.into()]).await;
    }

    /// Sends it, and everything that follows is seen: the tick, the message, its acknowledgement, two ticks.
    pub(crate) async fn writes_to(&mut self, to: &mut Person, text: &str) {
        let counter = self.sends(text).to(to).await;
        self.sees_tick(counter).await;
        let deliver = to.receives(text, self).await;
        to.acknowledges(&deliver).await;
        self.sees_delivered(to, counter).await;
    }

    /// The server says no to that counter.
    pub(crate) async fn is_refused(&mut self, counter: u64) -> (Refusal, u32) {
        match self.link().hears().await {
            ToClient::Refused(refused) => {
                assert_eq!(refused.counter, counter);
                (Refusal::from_number(refused.code).unwrap(), refused.retry_after_ms)
            }
            other => panic!("{} expected a refusal, not {other:?}", self.handle),
        }
    }
}

pub(crate) fn is_text(message: ToClient, text: &str, from: &Person) -> v1::Deliver {
    match message {
        ToClient::Deliver(deliver) => {
            assert_eq!(String::from_utf8_lossy(&deliver.body), text);
            assert_eq!((deliver.account, deliver.device), (from.account().0, 1));
            deliver
        }
        other => panic!("expected {text:?}, not {other:?}"),
    }
}
