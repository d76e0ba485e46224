//! What the server is told in the clear beside a signed entry: the difference that it makes.

use godwit_base::AccountId;
use godwit_seal::{Group, InviteOffer, Member};
use godwit_wire::v1;

/// Who comes, goes or has another role after an entry.
pub(super) fn members(before: Option<&Group>, after: &Group) -> Vec<v1::GroupMember> {
    let role_before = |account| before.and_then(|group| group.member(account)).map(role);
    let row = |account: AccountId, role: v1::GroupRole| v1::GroupMember {
        account: account.0,
        role: role.into(),
    };
    let changed = after
        .members()
        .filter(|(account, member)| role_before(*account) != Some(role(member)))
        .map(|(account, member)| row(account, role(member)));
    let gone = before
        .into_iter()
        .flat_map(Group::members)
        .filter(|(account, _)| after.member(*account).is_none())
        .map(|(account, _)| row(account, v1::GroupRole::None));
    changed.chain(gone).collect()
}

/// The settings, if the entry changes one.
pub(super) fn settings(before: Option<&Group>, after: &Group) -> Option<v1::GroupSettings> {
    let of = |group: &Group| {
        let door = group.invite().map(InviteOffer::door);
        (group.only_admins_write(), door.map(|door| door.to_vec()).unwrap_or_default())
    };
    let now = of(after);
    let was = before.map_or((false, Vec::new()), of);
    (now != was).then(|| v1::GroupSettings { only_admins_write: now.0, invite_hash: now.1.into() })
}

fn role(member: &Member) -> v1::GroupRole {
    if member.is_admin() { v1::GroupRole::Admin } else { v1::GroupRole::Member }
}

#[cfg(test)]
mod tests {
    use godwit_base::DeviceNumber;
    use godwit_seal::{
        AccountKey, AccountPublic, Change, DeviceKeys, DeviceList, GroupSecret, InviteSecret,
        Trust, Verified,
    };

    use super::*;

    const NOW_MS: u64 = 1_800_000_000_000;

    fn person() -> (AccountPublic, DeviceKeys, Verified<DeviceList>) {
        let key = AccountKey::generate();
        let device = DeviceKeys::create(&key.public(), DeviceNumber(1), NOW_MS);
        let signed = DeviceList::sign(&key, None, &[device.describe()], NOW_MS).unwrap();
        let trust = Trust::FirstUse(key.public().id());
        let list = DeviceList::verify(&signed, trust, None, NOW_MS).unwrap();
        (key.public(), device, list)
    }

    fn told(before: Option<&Group>, after: &Group) -> Vec<(u64, i32)> {
        members(before, after).into_iter().map(|row| (row.account, row.role)).collect()
    }

    #[test]
    fn the_server_is_told_the_difference_and_who_follows_the_last_admin() {
        let ((alice, device, list), bob, carol) = (person(), person().0, person().0);
        let changes = [Change::Add(bob), Change::Add(carol)];
        let (_, mut group) = Group::create(&device, &list, &changes, NOW_MS).unwrap();
        let mut first = vec![(alice.id().0, 2), (bob.id().0, 1), (carol.id().0, 1)];
        first.sort_unstable();
        assert_eq!(told(None, &group), first);
        assert_eq!(settings(None, &group), None);

        let before = group.clone();
        let leaves = group.sign(&device, &list, &[Change::Remove(alice.id())], NOW_MS).unwrap();
        group.apply(&leaves).unwrap();
        assert_eq!(told(Some(&before), &group), [(bob.id().0, 2), (alice.id().0, 0)]);
    }

    #[test]
    fn settings_are_told_whole_when_one_changes() {
        let (_, device, list) = person();
        let link = InviteSecret::generate().unwrap();
        let offer = link.offer(&GroupSecret::generate(1).unwrap()).unwrap();
        let door = offer.door().to_vec();
        let (_, mut group) = Group::create(&device, &list, &[], NOW_MS).unwrap();
        let mut told = |changes: &[Change]| {
            let before = group.clone();
            let entry = group.sign(&device, &list, changes, NOW_MS).unwrap();
            group.apply(&entry).unwrap();
            settings(Some(&before), &group)
                .map(|told| (told.only_admins_write, told.invite_hash.to_vec()))
        };
        assert_eq!(told(&[Change::Invite(Some(offer))]), Some((false, door.clone())));
        assert_eq!(told(&[Change::OnlyAdminsWrite(true)]), Some((true, door)));
        assert_eq!(told(&[Change::Add(person().0)]), None);
        assert_eq!(told(&[Change::Invite(None)]), Some((true, Vec::new())));
    }
}
