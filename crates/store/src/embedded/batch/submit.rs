//! A submission: decided whole, then stored for every recipient device or for none.

use godwit_base::DeviceId;
use godwit_base::limits::{BODY_BYTES_MAX, DEVICES_MAX, RECIPIENTS_MAX, RECORD_BODY_BYTES_MAX};
use redb::ReadableTable;

use super::Batch;
use crate::embedded::fault::Fault;
use crate::embedded::index::Load;
use crate::embedded::roll::RollChange;
use crate::embedded::row;
use crate::embedded::tables;
use crate::embedded::window::Verdict;
use crate::{Entry, Mismatch, Outcome, Recipient, Settled, Submission};

impl Batch<'_> {
    /// Decides a submission and stores it if nothing speaks against it.
    pub(crate) fn submit(&mut self, submission: Submission) -> Result<(), Fault> {
        // Noted first: if the batch fails below, its sender is told all the same.
        let Submission { token, counter, .. } = submission;
        self.out.settled.push(Settled { token, counter, outcome: Outcome::Unavailable });
        let outcome = match self.refusal(&submission)? {
            Some(refusal) => refusal,
            None => self.store(submission)?,
        };
        if let Some(settled) = self.out.settled.last_mut() {
            settled.outcome = outcome;
        }
        Ok(())
    }

    /// Refuses for now what follows on a refusal for now.
    pub(crate) fn hold(&mut self, submission: &Submission) {
        let Submission { token, counter, .. } = *submission;
        self.out.settled.push(Settled { token, counter, outcome: Outcome::Unavailable });
    }

    fn refusal(&self, submission: &Submission) -> Result<Option<Outcome>, Fault> {
        let origin = submission.origin;
        if !is_well_formed(submission) {
            return Ok(Some(Outcome::Malformed));
        }
        if !self.state.roster.has(origin) {
            return Ok(Some(Outcome::Revoked));
        }
        match self.state.windows.verdict(origin, submission.counter) {
            Verdict::New => {}
            Verdict::Repeat => {
                return Ok(Some(Outcome::Repeated { at_ms: self.terms.now_ms }));
            }
            Verdict::TooOld => return Ok(Some(Outcome::CounterTooOld)),
        }
        if let Some(refusal) = self.group_refusal(submission) {
            return Ok(Some(refusal));
        }
        if let Some(refusal) = self.wrong_devices(submission)? {
            return Ok(Some(refusal));
        }
        if self.state.index.marks(origin) >= self.terms.quotas.receipts {
            return Ok(Some(Outcome::ReceiptsWaiting));
        }
        if let Some(device) = self.full_mailbox(submission) {
            return Ok(Some(Outcome::MailboxFull(device)));
        }
        Ok(self.terms.disk_full.then_some(Outcome::DiskFull))
    }

    /// Checks the copies against the device lists of all recipients.
    fn wrong_devices(&self, submission: &Submission) -> Result<Option<Outcome>, Fault> {
        let mut mismatches = Vec::new();
        for to in &submission.recipients {
            let Some(listed) = self.state.roster.get(to.account) else {
                return Ok(Some(Outcome::UnknownAccount(to.account)));
            };
            let sender =
                (to.account == submission.origin.account).then_some(submission.origin.number);
            let copies = || to.copies.iter().map(|copy| copy.device);
            if listed.version == to.list_version && listed.is_exactly(copies(), sender) {
                continue;
            }
            let (missing, extra) = listed.differences(copies(), sender);
            if listed.version != to.list_version || !missing.is_empty() || !extra.is_empty() {
                mismatches.push(self.mismatch(to, missing, extra)?);
            }
        }
        Ok((!mismatches.is_empty()).then_some(Outcome::Mismatch(mismatches)))
    }

    fn mismatch(
        &self,
        to: &Recipient,
        missing: Vec<godwit_base::DeviceNumber>,
        extra: Vec<godwit_base::DeviceNumber>,
    ) -> Result<Mismatch, Fault> {
        let accounts = self.txn.open_table(tables::ACCOUNT)?;
        let account = accounts.get(to.account.0)?;
        let account = account.ok_or_else(|| Fault::damaged("a listed account is gone"))?;
        let list = row::account(to.account, account.value())?.list;
        let (list_version, signed) = (list.version, list.signed);
        Ok(Mismatch { account: to.account, list_version, signed, missing, extra })
    }

    /// The first device whose mailbox has no room.
    fn full_mailbox(&self, submission: &Submission) -> Option<DeviceId> {
        let (index, quotas) = (&self.state.index, &self.terms.quotas);
        let origin = submission.origin;
        let full = |to: &Recipient| {
            let account = to.account;
            to.copies.iter().find_map(|copy| {
                let device = DeviceId { account, number: copy.device };
                let room = index.has_room(device, origin.account, copy.body.len(), quotas);
                (!room).then_some(device)
            })
        };
        submission.recipients.iter().find_map(full)
    }

    fn store(&mut self, submission: Submission) -> Result<Outcome, Fault> {
        let Submission { origin: from, counter, recipients, post, .. } = submission;
        match post {
            Some(post) if post.is_shared() => self.store_post(from, counter, post)?,
            Some(post) => {
                let accounts: Vec<_> = recipients.iter().map(|to| to.account).collect();
                self.check_members(from.account, &post, &accounts);
                self.store_copies(from, counter, recipients)?;
            }
            None => self.store_copies(from, counter, recipients)?,
        }
        self.remember(from, counter);
        Ok(Outcome::Accepted { at_ms: self.state.last.unix_ms() })
    }

    fn store_copies(
        &mut self,
        from: DeviceId,
        counter: u64,
        recipients: Vec<Recipient>,
    ) -> Result<(), Fault> {
        for to in recipients {
            for copy in to.copies {
                let owner = DeviceId { account: to.account, number: copy.device };
                let load = Load::Message { from: from.account, body_bytes: copy.body.len() };
                let seq = self.next_seq();
                row::put_message(&mut self.out.row, seq, owner, from, counter, &copy.body);
                let entry = Entry::Message { from, counter, body: copy.body };
                self.append(seq, owner, load, entry)?;
            }
        }
        Ok(())
    }

    /// Notes the counter in window and journal. A message without copies (to oneself, on the only
    /// device) takes a place too, under which its batch is journalled.
    fn remember(&mut self, origin: DeviceId, counter: u64) {
        if self.state.last == self.before {
            self.next_seq();
        }
        self.state.windows.accept(origin, counter);
        self.out.roll.push(RollChange::Accepted(origin, counter));
        row::push_journal(&mut self.out.journal, origin, counter);
        self.accepted += 1;
        self.changed = true;
    }
}

/// The session checked all of this before; the store does not rely on it.
fn is_well_formed(submission: &Submission) -> bool {
    let recipients = &submission.recipients;
    let shared = submission.post.as_ref().map_or(0, |post| post.body.len());
    submission.counter > 0
        && (shared == 0) != recipients.is_empty()
        && shared <= BODY_BYTES_MAX
        && recipients.len() <= RECIPIENTS_MAX
        && recipients.iter().all(|to| {
            to.copies.len() <= DEVICES_MAX
                && to.copies.iter().all(|copy| copy.body.len() <= RECORD_BODY_BYTES_MAX)
        })
        && is_each_account_once(recipients)
}

fn is_each_account_once(recipients: &[Recipient]) -> bool {
    if recipients.len() < 2 {
        return true;
    }
    let mut accounts: Vec<_> = recipients.iter().map(|to| to.account).collect();
    accounts.sort_unstable();
    accounts.windows(2).all(|pair| pair[0] != pair[1])
}
