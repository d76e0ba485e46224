//! The machine as data, for another process. Only between two conversations with the store: nothing of it
//! is in flight then.

use godwit_base::{AccountId, DeviceId, DeviceNumber, Seq};

use super::super::refusals::Refusals;
use super::{Machine, Peer, Stranger};
use crate::handover::{Damaged, SessionRecord, StrangerRecord, WhoRecord};
use crate::rate::Meter;

impl Machine {
    /// Writes everything down that decides what the device hears next.
    pub(in crate::session) fn pack(&self, record: &mut SessionRecord) {
        let who = match &self.peer {
            Peer::Stranger(who) => {
                let claims = who.claims.map(|account| account.0);
                let stranger = StrangerRecord::new(who.link_key, who.address, claims);
                record.stranger = Some(Box::new(stranger));
                WhoRecord::Stranger
            }
            Peer::Device(_) => WhoRecord::Device,
            Peer::Attached(_) => WhoRecord::Attached,
            Peer::Revoked => WhoRecord::Revoked,
        };
        record.set_who(who);
        if let Some(device) = self.device() {
            (record.account, record.device) = (device.account.0, device.number.0);
        }
        record.last_sent = self.last_sent.0;
        record.caught_up = self.caught_up;
        record.submitted_paid_at_ns = self.submitted.paid_at_ns();
        self.refusals.pack(record);
    }

    /// The machine that was written down.
    ///
    /// # Errors
    /// [`Damaged`].
    pub(in crate::session) fn unpack(record: &SessionRecord) -> Result<Self, Damaged> {
        let number = DeviceNumber(record.device);
        let device = DeviceId { account: AccountId(record.account), number };
        let peer = match record.who() {
            WhoRecord::Unspecified => return Err(Damaged("nobody speaks on it")),
            WhoRecord::Stranger => {
                let stranger = record.stranger.as_ref().ok_or(Damaged("no stranger"))?;
                let (link_key, address) = stranger.parts()?;
                let claims = stranger.claims.map(AccountId);
                Peer::Stranger(Box::new(Stranger { link_key, address, claims }))
            }
            WhoRecord::Device => Peer::Device(device),
            WhoRecord::Attached => Peer::Attached(device),
            WhoRecord::Revoked => Peer::Revoked,
        };
        Ok(Self {
            peer,
            last_sent: Seq(record.last_sent),
            refusals: Refusals::unpack(record),
            submitted: Meter::paid_at(record.submitted_paid_at_ns),
            in_flight: 0,
            requests: 0,
            caught_up: record.caught_up,
        })
    }

    /// The device whose mailbox is read on this link.
    pub(in crate::session) fn attached(&self) -> Option<DeviceId> {
        match self.peer {
            Peer::Attached(device) => Some(device),
            Peer::Device(_) | Peer::Stranger(_) | Peer::Revoked => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;
    use crate::rate::Rate;

    const NOW: u64 = 9_000_000_000;
    fn rate() -> Rate {
        Rate::per_second(10, 5)
    }

    fn carried(machine: &Machine) -> Machine {
        let mut record = SessionRecord::default();
        machine.pack(&mut record);
        Machine::unpack(&record).unwrap()
    }

    #[test]
    fn whoever_speaks_goes_on_speaking() {
        let device = DeviceId::new(7, 2);
        let address: IpAddr = "2001:db8::1".parse().unwrap();
        let stranger = Stranger { link_key: [3; 32], address, claims: Some(AccountId(7)) };
        for peer in [
            || Peer::Device(DeviceId::new(7, 2)),
            || Peer::Attached(DeviceId::new(7, 2)),
            || Peer::Revoked,
        ] {
            assert_eq!(carried(&Machine::new(peer())).peer, peer());
        }
        let same = carried(&Machine::new(Peer::Stranger(Box::new(stranger.clone()))));
        assert_eq!(same.peer, Peer::Stranger(Box::new(stranger)));
        let attached = |peer| carried(&Machine::new(peer)).attached();
        assert_eq!(attached(Peer::Attached(device)), Some(device));
        assert_eq!(attached(Peer::Device(device)), None);
    }

    #[test]
    fn what_was_sent_refused_and_used_is_not_forgotten() {
        let mut machine = Machine::new(Peer::Attached(DeviceId::new(7, 2)));
        assert!(carried(&machine).submitted.is_new(), "a device that has not submitted yet");
        machine.last_sent = Seq(41);
        assert!(machine.caught_up().is_some());
        machine.submitted.take_many(5, rate(), NOW).unwrap();
        machine.not_taken(12, 1_000, NOW);
        let mut goes_on = carried(&machine);
        assert_eq!(goes_on.last_sent(), Seq(41));
        assert_eq!(goes_on.caught_up(), None, "it was told");
        assert_eq!(goes_on.refusals.hold_up(12, NOW), None);
        assert_eq!(goes_on.refusals.hold_up(13, NOW), Some(1_000), "until 12 comes again");
        let left = |machine: &mut Machine| machine.submitted.take(rate(), NOW);
        assert_eq!(left(&mut goes_on), left(&mut machine));
        assert!(goes_on.is_settled());
    }
}
