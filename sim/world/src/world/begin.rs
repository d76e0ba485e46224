//! What there is before anything goes wrong: further phones, and a group.

use anyhow::{Context as _, Result, bail};
use godwit_client::core::{GroupCommand, Seat};
use godwit_link::StaticKey;
use godwit_seal::{DeviceKeys, DeviceList, Trust};

use super::{BEGINNING_MS, World, handle};
use crate::phone::Phone;

impl World {
    /// Who has a phone.
    pub(super) fn person_of(&self, phone: usize) -> usize {
        let is_theirs = |phones: &Vec<usize>| phones.contains(&phone);
        self.people.phones.iter().position(is_theirs).unwrap_or_default()
    }

    /// A person puts another phone on the list of their account.
    pub(super) fn links_phone(&mut self, person: usize) -> Result<()> {
        let main = *self.people.phones.get(person).and_then(|all| all.first()).context("nobody")?;
        let now_ms = self.now_ms;
        let phone = self.phones.get_mut(main).context("no phone")?;
        let now = phone.now(now_ms);
        let core = phone.device.core.as_mut().context("no process")?;
        let account = core.device().account;
        let house = self.house.as_mut().context("no server")?;
        let signed = house.list_of(account).context("no list")?;
        let list = DeviceList::verify(&signed, Trust::FirstUse(account), None, now.wall_ms)?;
        let number = core.next_device();
        let keys = DeviceKeys::create(list.account_key(), number, now.wall_ms);
        let link_key = StaticKey::generate()?;
        core.add_device(keys.describe(), link_key.public().0, keys.upload(), now)?;
        let signed = self.until_listed(account, number)?;
        let now_ms = self.now_ms;
        let phone = self.phones.get(main).context("no phone")?;
        let now = phone.now(now_ms);
        let list = DeviceList::verify(&signed, Trust::FirstUse(account), None, now.wall_ms)?;
        let seat = Seat { keys, link_key, list };
        let linked = Phone::linked(&phone.device.handle, &self.join, seat, now_ms);
        let at = self.phones.len();
        self.phones.push(linked);
        if let Some(phones) = self.people.phones.get_mut(person) {
            phones.push(at);
        }
        match self.run_until_done(BEGINNING_MS)? {
            true => Ok(()),
            false => bail!("a linked phone is not here within a minute"),
        }
    }

    /// The account's list, once it has this device.
    fn until_listed(
        &mut self,
        account: godwit_base::AccountId,
        number: godwit_base::DeviceNumber,
    ) -> Result<Vec<u8>> {
        let until_ms = self.now_ms + BEGINNING_MS;
        while self.now_ms < until_ms {
            self.run(100)?;
            let house = self.house.as_mut().context("no server")?;
            let signed = house.list_of(account).context("no list")?;
            let now_ms = crate::house::BEGIN_MS + self.now_ms;
            let list = DeviceList::verify(&signed, Trust::FirstUse(account), None, now_ms)?;
            if list.entries().iter().any(|entry| entry.number() == number) {
                return Ok(signed);
            }
        }
        bail!("a list is not taken within a minute")
    }

    /// The first person makes a group of all.
    pub(super) fn founds_group(&mut self) -> Result<()> {
        let with = (1..self.people.phones.len()).map(handle).collect::<Result<_>>()?;
        let command = GroupCommand::Create { name: "all".to_owned(), with };
        let number = self.founder()?.change_group(command)?;
        let until_ms = self.now_ms + BEGINNING_MS;
        while self.group.is_none() {
            if self.now_ms >= until_ms {
                bail!("no group within a minute");
            }
            self.run(100)?;
            if let Some(outcome) = self.founder()?.take_group_outcome(number) {
                self.group = Some(outcome?.group);
            }
        }
        // Everybody has heard of it.
        self.run(5_000)?;
        match self.run_until_done(BEGINNING_MS)? {
            true => Ok(()),
            false => bail!("not everybody knows the group within a minute"),
        }
    }

    fn founder(&mut self) -> Result<&mut godwit_client::core::Core> {
        let phone = self.phones.first_mut().context("nobody")?;
        phone.device.core.as_mut().context("no process")
    }
}
