//! Rows about groups: the group, its log, and what was posted to it.

use std::sync::Arc;

use bytes::Bytes;
use godwit_base::limits::GROUP_RECEIPT_POSTS_MAX;
use godwit_base::{AccountId, DeviceId, DeviceNumber, GroupId, Seq};

use super::fields::{Fields, Writing};
use crate::embedded::fault::Fault;
use crate::embedded::groups::Group;
use crate::embedded::posts::Posted;
use crate::embedded::reach::{Holder, Reach};
use crate::{Entry, GroupSettings, Post, PostReach, Role};

const ROLE_MEMBER: u8 = 1;
const ROLE_ADMIN: u8 = 2;

/// A group's row; the signed entries are rows of their own.
pub(crate) fn put_group(id: GroupId, group: &Group) -> Vec<u8> {
    let mut out = Vec::with_capacity(64 + 9 * group.members.len());
    let mut row = Writing::start(&mut out);
    row.u64(group.epoch);
    row.u64(group.log_bytes);
    row.u8(u8::from(group.settings.only_admins_write));
    row.u8(u8::from(group.settings.invite_hash.is_some()));
    row.bytes(&group.settings.invite_hash.unwrap_or_default());
    for (account, role) in &group.members {
        row.u64(account.0);
        row.u8(match role {
            Role::Member => ROLE_MEMBER,
            Role::Admin => ROLE_ADMIN,
        });
    }
    row.seal(&id.0);
    out
}

pub(crate) fn group(id: &[u8; 16], row: &[u8]) -> Result<Group, Fault> {
    let mut fields = Fields::open(id, row, "group")?;
    let (epoch, log_bytes) = (fields.u64()?, fields.u64()?);
    let (only_admins_write, any_link) = (fields.u8()? != 0, fields.u8()? != 0);
    let invite_hash = *fields.chunk()?;
    let settings =
        GroupSettings { only_admins_write, invite_hash: any_link.then_some(invite_hash) };
    let mut members = Vec::new();
    while !fields.is_empty() {
        let account = AccountId(fields.u64()?);
        let role = match fields.u8()? {
            ROLE_MEMBER => Role::Member,
            ROLE_ADMIN => Role::Admin,
            other => return Err(Fault::damaged(format!("a group row has a role {other}"))),
        };
        members.push((account, role));
    }
    Ok(Group { epoch, settings, log_bytes, members })
}

/// An entry of a membership log: who brought it, and its signed form.
pub(crate) fn put_entry(key: &[u8], by: AccountId, signed: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(12 + signed.len());
    let mut row = Writing::start(&mut out);
    row.u64(by.0);
    row.bytes(signed);
    row.seal(key);
    out
}

pub(crate) fn log_entry(key: &[u8], row: &[u8]) -> Result<(AccountId, Bytes), Fault> {
    let mut fields = Fields::open(key, row, "group log")?;
    let by = AccountId(fields.u64()?);
    Ok((by, Bytes::copy_from_slice(fields.rest())))
}

/// A bare number: the epoch at which an account left a group, the version of a set of devices.
pub(crate) fn put_number(key: &[u8], number: u64) -> Vec<u8> {
    let mut out = Vec::with_capacity(12);
    let mut row = Writing::start(&mut out);
    row.u64(number);
    row.seal(key);
    out
}

pub(crate) fn number(key: &[u8], row: &[u8]) -> Result<u64, Fault> {
    let mut fields = Fields::open(key, row, "number")?;
    let number = fields.u64()?;
    fields.end()?;
    Ok(number)
}

/// Writes a post's row into `out`, which is cleared first.
pub(crate) fn put_post(out: &mut Vec<u8>, post: Seq, posted: &Posted, epoch: u64, body: &[u8]) {
    let mut row = Writing::start(out);
    row.device(posted.from);
    row.u64(posted.counter);
    row.bytes(&posted.group.0);
    row.u64(epoch);
    row.bytes(body);
    row.seal(&post.0.to_be_bytes());
}

/// A post without holders, its epoch, and its body as it lies in the row.
pub(crate) fn post(post: Seq, row: &[u8]) -> Result<(Posted, u64, &[u8]), Fault> {
    let mut fields = Fields::open(&post.0.to_be_bytes(), row, "post")?;
    let from = fields.device()?;
    let counter = fields.u64()?;
    let group = GroupId(*fields.chunk()?);
    let epoch = fields.u64()?;
    let body = fields.rest();
    let body_bytes = u32::try_from(body.len()).unwrap_or(u32::MAX);
    Ok((Posted { group, from, counter, body_bytes, holders: 0 }, epoch, body))
}

/// What a mailbox's record of a post says; copies the body.
pub(crate) fn post_entry(at: Seq, row: &[u8]) -> Result<Entry, Fault> {
    let (Posted { from, counter, group, .. }, epoch, body) = post(at, row)?;
    let body = Bytes::copy_from_slice(body);
    Ok(Entry::Post(Arc::new(Post { from, counter, group, epoch, body })))
}

/// The first byte of a row of reach. Rows of schema 2 begin with a version of eight bytes, whose first is 0:
/// nothing changes 2^56 times.
const REACH_WITH_READERS: u8 = 1;

/// How far posts of one device to one group have come.
pub(crate) fn put_reach(key: &[u8], reach: &Reach) -> Vec<u8> {
    let mut out = Vec::with_capacity(25 + 16 * reach.posts.len() + 28 * reach.holders.len());
    let mut row = Writing::start(&mut out);
    row.u8(REACH_WITH_READERS);
    row.u64(reach.version);
    row.u64(reach.changed_ms);
    row.u32(u32::try_from(reach.posts.len()).unwrap_or(u32::MAX));
    for post in &reach.posts {
        row.u64(post.counter);
        row.u32(post.accounts);
        row.u32(post.readers);
    }
    for holder in &reach.holders {
        row.u64(holder.account.0);
        row.u64(holder.up_to);
        row.u64(holder.read_up_to);
        row.u32(holder.had);
    }
    row.seal(key);
    out
}

pub(crate) fn reach(key: &[u8], row: &[u8]) -> Result<Reach, Fault> {
    let mut fields = Fields::open(key, row, "reach")?;
    match fields.u8()? {
        0 => reach_without_readers(&mut fields),
        REACH_WITH_READERS => reach_with_readers(&mut fields),
        other => Err(Fault::damaged(format!("a reach row has the form {other}"))),
    }
}

fn reach_with_readers(fields: &mut Fields<'_>) -> Result<Reach, Fault> {
    let (version, changed_ms) = (fields.u64()?, fields.u64()?);
    let mut reach = Reach { version, changed_ms, ..Reach::default() };
    for _ in 0..count_of_posts(fields)? {
        let (counter, accounts, readers) = (fields.u64()?, fields.u32()?, fields.u32()?);
        reach.posts.push(PostReach { counter, accounts, readers });
    }
    while !fields.is_empty() {
        let account = AccountId(fields.u64()?);
        let (up_to, read_up_to, had) = (fields.u64()?, fields.u64()?, fields.u32()?);
        reach.holders.push(Holder { account, up_to, read_up_to, had });
    }
    Ok(reach)
}

fn count_of_posts(fields: &mut Fields<'_>) -> Result<u32, Fault> {
    match fields.u32()? {
        count if count as usize <= GROUP_RECEIPT_POSTS_MAX => Ok(count),
        count => Err(Fault::damaged(format!("a reach row has {count} posts"))),
    }
}

/// As schema 2 wrote it. Who has which post was not kept: an account is taken to have all up to its newest.
fn reach_without_readers(fields: &mut Fields<'_>) -> Result<Reach, Fault> {
    let [a, b, c, d, e, f, g] = *fields.chunk::<7>()?;
    let version = u64::from_be_bytes([0, a, b, c, d, e, f, g]);
    let mut reach = Reach { version, changed_ms: fields.u64()?, ..Reach::default() };
    for _ in 0..count_of_posts(fields)? {
        let (counter, accounts) = (fields.u64()?, fields.u32()?);
        reach.posts.push(PostReach { counter, accounts, readers: 0 });
    }
    while !fields.is_empty() {
        let (account, up_to) = (AccountId(fields.u64()?), fields.u64()?);
        let posts = reach.posts.iter().enumerate();
        let had = posts.filter(|(_, post)| post.counter <= up_to);
        let had = had.fold(0, |had, (place, _)| had | 1 << place);
        reach.holders.push(Holder { account, up_to, read_up_to: 0, had });
    }
    Ok(reach)
}

/// Writes into `out`, which is cleared first, that a post waits in a mailbox.
pub(crate) fn put_holding(out: &mut Vec<u8>, seq: Seq, owner: DeviceId, post: Seq) {
    let mut row = Writing::start(out);
    row.u8(super::KIND_POST);
    row.device(owner);
    row.u64(post.0);
    row.seal(&seq.0.to_be_bytes());
}

/// Writes into `out`, which is cleared first, that a group has a newer entry.
pub(crate) fn put_news(
    out: &mut Vec<u8>,
    seq: Seq,
    owner: DeviceId,
    group: GroupId,
    epoch: u64,
    missed: bool,
) {
    let mut row = Writing::start(out);
    row.u8(super::KIND_NEWS);
    row.device(owner);
    row.bytes(&group.0);
    row.u64(epoch);
    row.u8(u8::from(missed));
    row.seal(&seq.0.to_be_bytes());
}

/// Writes into `out`, which is cleared first, that posts of device `origin` have come further.
pub(crate) fn put_reached(
    out: &mut Vec<u8>,
    seq: Seq,
    owner: DeviceId,
    group: GroupId,
    origin: DeviceNumber,
    version: u64,
) {
    let mut row = Writing::start(out);
    row.u8(super::KIND_REACHED);
    row.device(owner);
    row.bytes(&group.0);
    row.u32(origin.0);
    row.u64(version);
    row.seal(&seq.0.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::embedded::row::{Head, Kind};
    use proptest::prelude::*;

    #[test]
    fn a_post_in_a_mailbox_takes_less_than_its_share() {
        let mut row = Vec::new();
        put_holding(&mut row, Seq(7), DeviceId::new(1, 1), Seq(6));
        assert_eq!(row.len() + size_of::<u64>(), 33, "with its key; at most 48 are allowed");
    }

    #[test]
    fn records_about_groups_survive() {
        let (mut row, owner, group) = (Vec::new(), DeviceId::new(1, 2), GroupId([9; 16]));
        let mut written = |put: &dyn Fn(&mut Vec<u8>), kind| {
            put(&mut row);
            assert_eq!(super::super::record(Seq(7), &row).unwrap().0, Head { owner, kind });
            row.push(0);
            assert!(super::super::record(Seq(7), &row).is_err());
        };
        let post = Seq(6);
        written(&|row| put_holding(row, Seq(7), owner, post), Kind::Post { post });
        let news = Kind::News { group, epoch: 5, missed: true };
        written(&|row| put_news(row, Seq(7), owner, group, 5, true), news);
        let origin = DeviceNumber(3);
        let reached = Kind::Reached { group, origin, version: 4 };
        written(&|row| put_reached(row, Seq(7), owner, group, origin, 4), reached);
    }

    proptest! {
        #[test]
        fn groups_survive(
            epoch: u64,
            log_bytes: u64,
            only_admins_write: bool,
            invite_hash: Option<[u8; 32]>,
            accounts in prop::collection::btree_map(any::<u64>(), any::<bool>(), 0..20),
        ) {
            let role = |admin| if admin { Role::Admin } else { Role::Member };
            let members = accounts.into_iter().map(|(id, admin)| (AccountId(id), role(admin)));
            let settings = GroupSettings { only_admins_write, invite_hash };
            let written = Group { epoch, settings, log_bytes, members: members.collect() };
            let row = put_group(GroupId([3; 16]), &written);
            prop_assert_eq!(group(&[3; 16], &row).unwrap(), written);
            prop_assert!(group(&[4; 16], &row).is_err());
        }

        #[test]
        fn reaches_survive(
            version: u64,
            changed_ms: u64,
            posts in prop::collection::vec(any::<(u64, u32, u32)>(), 0..=GROUP_RECEIPT_POSTS_MAX),
            holders: Vec<(u64, u64, u64, u32)>,
        ) {
            let posts = posts.into_iter();
            let posts = posts.map(|(counter, accounts, readers)| PostReach { counter, accounts, readers });
            let holders = holders.into_iter().map(|(account, up_to, read_up_to, had)| Holder {
                account: AccountId(account),
                up_to,
                read_up_to,
                had,
            });
            let written = Reach {
                version,
                changed_ms,
                posts: posts.collect(),
                holders: holders.collect(),
            };
            prop_assert_eq!(reach(b"key", &put_reach(b"key", &written)).unwrap(), written);
        }

        /// What the schema before wrote is read on, with what an account has filled in.
        #[test]
        fn reaches_without_readers_are_read(
            version in 0..1_u64 << 56,
            changed_ms: u64,
            counters in prop::collection::btree_set(any::<u64>(), 0..=GROUP_RECEIPT_POSTS_MAX),
            accounts: Vec<(u64, u64)>,
        ) {
            let mut old = Vec::new();
            let mut row = Writing::start(&mut old);
            row.u64(version);
            row.u64(changed_ms);
            row.u32(counters.len().try_into().unwrap());
            for counter in &counters {
                row.u64(*counter);
                row.u32(9);
            }
            for (account, up_to) in &accounts {
                row.u64(*account);
                row.u64(*up_to);
            }
            row.seal(b"key");
            let read = reach(b"key", &old).unwrap();
            prop_assert_eq!((read.version, read.changed_ms), (version, changed_ms));
            let posts: Vec<_> = counters.iter().map(|counter| (*counter, 9, 0)).collect();
            let told = read.posts.iter().map(|post| (post.counter, post.accounts, post.readers));
            prop_assert_eq!(told.collect::<Vec<_>>(), posts);
            for (holder, (account, up_to)) in read.holders.iter().zip(&accounts) {
                let has = counters.iter().filter(|counter| *counter <= up_to).count();
                prop_assert_eq!((holder.account, holder.up_to), (AccountId(*account), *up_to));
                prop_assert_eq!(u64::from(holder.had), (1_u64 << has) - 1);
                prop_assert_eq!(holder.read_up_to, 0);
            }
            prop_assert_eq!(read.holders.len(), accounts.len());
        }

        #[test]
        fn any_bytes_are_a_row_or_damage(row: Vec<u8>) {
            let _ = group(&[0; 16], &row);
            let _ = log_entry(b"key", &row);
            let _ = post(Seq(1), &row);
            let _ = reach(b"key", &row);
        }
    }
}
