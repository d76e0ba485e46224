//! The people around one act: Ada, whose group it is; Bob, for whom something waits; and the caller.

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use bytes::Bytes;
use godwit_base::claim_bytes;
use godwit_wire::{ToClient, ToServer, v1};
use sha2::{Digest, Sha256};

use crate::person::Person;
use crate::world::World;

/// Of the link to the group.
pub(super) const SECRET: [u8; 32] = [7; 32];

/// What waits for Bob, from Ada.
pub(super) const WAITS: &str = "waits for bob";

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Caller {
    /// A link key that nobody has.
    Stranger,
    /// A stranger who showed to have the key of Ada's account.
    Claimant,
    /// A member's device that did not attach.
    Unattached,
    /// A member's device, removed from its account while its link stood; it never attached.
    Removed,
    /// A member's device that came back after it was removed.
    Revoked,
    /// Its account is in the group.
    Member,
    /// Another device of a member, whose first one is attached as well.
    Second,
    /// Its account leads the group, as Ada does.
    Admin,
    /// Its account was never in the group.
    Outsider,
    /// Its account was put out of the group.
    Ejected,
}

/// What must stay as it is when the answer is no.
#[derive(Debug, PartialEq)]
pub(super) struct Look {
    roster: v1::Roster,
    lists: Vec<(u64, Bytes)>,
}

pub(super) struct Scene {
    pub(super) ada: Person,
    pub(super) ada_key: Ed25519KeyPair,
    pub(super) bob: Person,
    pub(super) caller: Person,
    /// The other device of the caller's account, and the versions of its list so far.
    main: Option<Person>,
    pub(super) list_version: u64,
    pub(super) is_known: bool,
    /// The request that the act is.
    pub(super) request: u32,
    pub(super) group: Bytes,
    pub(super) epoch: u64,
    pub(super) roster: v1::Roster,
}

impl Caller {
    pub(super) const ALL: [Self; 10] = [
        Self::Stranger,
        Self::Claimant,
        Self::Unattached,
        Self::Removed,
        Self::Revoked,
        Self::Member,
        Self::Second,
        Self::Admin,
        Self::Outsider,
        Self::Ejected,
    ];

    /// Its column in the table.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Stranger => "stranger",
            Self::Claimant => "claimant",
            Self::Unattached => "not attached",
            Self::Removed => "removed",
            Self::Revoked => "revoked",
            Self::Member => "member",
            Self::Second => "second device",
            Self::Admin => "admin",
            Self::Outsider => "outsider",
            Self::Ejected => "ejected",
        }
    }
}

pub(super) fn row(number: u32, of: &Person) -> v1::DeviceRow {
    v1::DeviceRow { number, link_key: Bytes::copy_from_slice(&of.link_key.public().0) }
}

pub(super) fn list(version: u64, devices: Vec<v1::DeviceRow>) -> v1::DeviceListUpload {
    v1::DeviceListUpload { version, devices, signed: Bytes::from(format!("list {version}")) }
}

async fn publishes(by: &mut Person, list: v1::DeviceListUpload) {
    let publication = by.publication(list);
    let request = publication.request;
    let answer = asks(by, request, publication.into()).await;
    assert!(matches!(answer, ToClient::DeviceListPublished(_)), "{answer:?}");
}

/// Says it and waits for the answer, whatever comes before it.
async fn asks(by: &mut Person, request: u32, message: ToServer) -> ToClient {
    by.link().says(&[message]).await;
    loop {
        let heard = by.link().hears().await;
        let is_no = matches!(&heard, ToClient::Refused(no) if no.request == request);
        if is_no || super::answers(&heard, request, u64::MAX) {
            return heard;
        }
    }
}

/// Another device of the same account: other link key, everything else the same.
fn another_device(of: &Person) -> Person {
    let mut device = Person::new(&of.join, &of.handle);
    device.account_key = of.account_key;
    device
}

impl Scene {
    /// Everybody in place. The numbers of a world's scenes differ.
    pub(super) async fn set(world: &World, caller: Caller, number: u32) -> Self {
        let mut seed = [9; 32];
        seed[..4].copy_from_slice(&number.to_be_bytes());
        let ada_key = Ed25519KeyPair::from_seed_unchecked(&seed).unwrap();
        let mut ada = Person::new(&world.join, &format!("ada{number}"));
        ada.account_key = ada_key.public_key().as_ref().try_into().unwrap();
        ada.dials().await.unwrap();
        ada.registers().await.unwrap();
        ada.attaches().await;
        let mut bob = world.joins(&format!("bob{number}")).await;
        let counter = ada.sends(WAITS).to(&bob).await;
        ada.sees_tick(counter).await;
        bob.hangs_up();
        let mut group = vec![5; 16];
        group[..4].copy_from_slice(&number.to_be_bytes());
        let mut scene = Self {
            ada,
            ada_key,
            bob,
            caller: Person::new(&world.join, &format!("caller{number}")),
            main: None,
            list_version: 1,
            is_known: false,
            request: 0,
            group: group.into(),
            epoch: 0,
            roster: v1::Roster::default(),
        };
        scene.founds().await;
        scene.caller.dials().await.unwrap();
        scene.enters(caller).await;
        scene.roster = scene.sees_roster().await;
        scene.request = scene.caller.request();
        scene.caller.counter += 1;
        scene
    }

    async fn founds(&mut self) {
        let settings = v1::GroupSettings {
            only_admins_write: false,
            invite_hash: Bytes::copy_from_slice(&Sha256::digest(SECRET)),
        };
        let ada = self.ada.account().0;
        let change = self.change(vec![(ada, v1::GroupRole::Admin)]);
        self.ada_changes(v1::GroupChange { settings: Some(settings), ..change }).await;
    }

    /// The next entry of the group's log.
    pub(super) fn change(&self, members: Vec<(u64, v1::GroupRole)>) -> v1::GroupChange {
        let member = |(account, role)| v1::GroupMember { account, role: i32::from(role) };
        v1::GroupChange {
            request: self.request,
            group: self.group.clone(),
            epoch: self.epoch + 1,
            signed: Bytes::from_static(b"signed"),
            members: members.into_iter().map(member).collect(),
            settings: None,
            invite_secret: Bytes::new(),
        }
    }

    async fn ada_changes(&mut self, change: v1::GroupChange) {
        let request = self.ada.request();
        let change = v1::GroupChange { request, ..change };
        let answer = asks(&mut self.ada, request, change.into()).await;
        assert!(matches!(answer, ToClient::GroupChanged(_)), "{answer:?}");
        self.epoch += 1;
    }

    async fn ada_makes_caller(&mut self, role: v1::GroupRole) {
        let change = self.change(vec![(self.caller.account().0, role)]);
        self.ada_changes(change).await;
    }

    async fn enters(&mut self, caller: Caller) {
        match caller {
            Caller::Stranger => return,
            Caller::Claimant => {
                let request = self.caller.request();
                let claim = claim(&self.ada_key, &self.caller, request);
                let answer = asks(&mut self.caller, request, claim.into()).await;
                assert!(matches!(answer, ToClient::Bundles(_)), "{answer:?}");
                return;
            }
            Caller::Unattached
            | Caller::Removed
            | Caller::Revoked
            | Caller::Member
            | Caller::Second
            | Caller::Admin
            | Caller::Outsider
            | Caller::Ejected => {}
        }
        self.is_known = true;
        self.caller.registers().await.unwrap();
        self.caller.attaches().await;
        match caller {
            Caller::Outsider => {}
            Caller::Admin => self.ada_makes_caller(v1::GroupRole::Admin).await,
            _ => self.ada_makes_caller(v1::GroupRole::Member).await,
        }
        match caller {
            Caller::Ejected => self.ada_makes_caller(v1::GroupRole::None).await,
            Caller::Unattached => {
                self.caller.hangs_up();
                self.caller.dials().await.unwrap();
            }
            Caller::Second => {
                self.gets_a_second_device().await;
                self.caller.dials().await.unwrap();
                self.caller.attaches().await;
            }
            Caller::Removed => {
                self.gets_a_second_device().await;
                self.caller.dials().await.unwrap();
                self.is_removed().await;
            }
            Caller::Revoked => {
                self.gets_a_second_device().await;
                self.is_removed().await;
                let standing = self.caller.dials().await.unwrap().standing;
                assert_eq!(standing, i32::from(v1::Standing::Revoked));
            }
            Caller::Stranger
            | Caller::Claimant
            | Caller::Member
            | Caller::Admin
            | Caller::Outsider => {}
        }
    }

    /// The caller is a new device of its account from here on.
    async fn gets_a_second_device(&mut self) {
        let second = another_device(&self.caller);
        let mut main = std::mem::replace(&mut self.caller, second);
        let devices = vec![row(1, &main), row(2, &self.caller)];
        publishes(&mut main, list(2, devices)).await;
        self.list_version = 2;
        self.main = Some(main);
    }

    async fn is_removed(&mut self) {
        let main = self.main.as_mut().unwrap();
        let devices = vec![row(1, main)];
        publishes(main, list(3, devices)).await;
        self.list_version = 3;
    }

    /// The devices of the caller's account; of Ada's with the caller, if the caller has none.
    pub(super) fn devices(&self) -> Vec<v1::DeviceRow> {
        match (&self.main, self.is_known) {
            (Some(main), _) => vec![row(1, main), row(2, &self.caller)],
            (None, true) => vec![row(1, &self.caller)],
            (None, false) => vec![row(1, &self.ada), row(2, &self.caller)],
        }
    }

    async fn sees_roster(&mut self) -> v1::Roster {
        let request = self.ada.request();
        let ask = v1::GroupRoster { request, group: self.group.clone() };
        match asks(&mut self.ada, request, ask.into()).await {
            ToClient::Roster(roster) => roster,
            other => panic!("{other:?}"),
        }
    }

    /// What Ada sees of the group and of the accounts.
    pub(super) async fn looks(&mut self) -> Look {
        let roster = v1::Roster { request: 0, ..self.sees_roster().await };
        let mut accounts = vec![self.ada.account().0, self.bob.account().0];
        accounts.extend(self.is_known.then(|| self.caller.account().0));
        let mut lists = Vec::new();
        for account in accounts {
            let request = self.ada.request();
            let who = Some(v1::fetch::Who::Account(account));
            let fetch = v1::Fetch { request, who, keys: false, devices: Vec::new() };
            match asks(&mut self.ada, request, fetch.into()).await {
                ToClient::Bundles(bundles) => {
                    lists.push((bundles.list_version, bundles.signed_list));
                }
                other => panic!("{other:?}"),
            }
        }
        Look { roster, lists }
    }

    /// Messages that Bob finds in his mailbox.
    pub(super) async fn bob_finds(&mut self) -> Vec<ToClient> {
        let mut waiting = self.bob.comes_back().await;
        waiting.retain(|record| matches!(record, ToClient::Deliver(_)));
        waiting
    }
}

/// The claim that a key signs for the link of `by`.
pub(super) fn claim(key: &Ed25519KeyPair, by: &Person, request: u32) -> v1::Claim {
    let signature = key.sign(&claim_bytes(&by.link_key.public().0));
    v1::Claim {
        request,
        account_key: Bytes::copy_from_slice(key.public_key().as_ref()),
        signature: Bytes::copy_from_slice(signature.as_ref()),
    }
}
