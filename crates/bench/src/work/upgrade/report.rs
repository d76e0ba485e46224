//! What upgrades did to who was there, and the verdict.

use std::time::Duration;

use serde::Serialize;

use super::{Asked, Plan};
use crate::machine::Conditions;
use crate::server::Upgrade;
use crate::work::chat::tally::Tally;

/// What upgrades did. Names are stable.
#[derive(Debug, Serialize)]
pub struct Report {
    workload: &'static str,
    /// Sessions that went on, at the upgrade with the fewest.
    pub sessions: Option<u64>,
    /// Upgrades after which another process served,
    pub upgrades: u32,
    /// and those after which the old one went on, because the new one was made to die.
    pub rolled_back: u32,
    /// Connections that ended.
    pub resets: u64,
    /// Of these, by a frame that their client could not open: a counter was used twice, or passed over.
    pub sealed_failed: u64,
    /// Sessions that asked something after an upgrade and had no answer.
    pub unanswered: u64,
    /// Messages that were accepted and did not come.
    pub lost: u64,
    /// Messages that were not accepted, or of which their sender did not hear that they came.
    pub undecided: u64,
    /// Messages that came again.
    pub duplicated: u64,
    /// Messages that came after a later one of the same sender.
    pub out_of_order: u64,
    /// Sessions that the server sent home.
    pub dropped: u64,
    /// The longest that somebody who chats waited for an answer, over all upgrades.
    pub longest_silence_ms: f64,
    /// The same for each ten thousand sessions.
    pub silence_ms_per_10k: Option<f64>,
    /// The longest as the server tells it.
    pub server_silence_ms: u64,
    /// The longest from a wish to the end of its upgrade.
    pub took_ms: u64,
    /// Frozen sessions that had got half a frame, at the upgrade with the fewest,
    pub half_frames: Option<u64>,
    /// that had sealed bytes which their socket did not take,
    pub unsent: Option<u64>,
    /// that had a full inbox,
    pub full_inboxes: Option<u64>,
    /// that were on WebSockets.
    pub websockets: Option<u64>,
    /// Messages that got all their ticks.
    pub messages: u64,
    /// Why upgrades failed that were to succeed, or what was to fail and did not.
    pub failures: Vec<String>,
    conditions: Conditions,
}

impl Report {
    pub(super) fn new(conditions: Conditions) -> Self {
        Self {
            workload: "upgrade",
            sessions: None,
            upgrades: 0,
            rolled_back: 0,
            resets: 0,
            sealed_failed: 0,
            unanswered: 0,
            lost: 0,
            undecided: 0,
            duplicated: 0,
            out_of_order: 0,
            dropped: 0,
            longest_silence_ms: 0.0,
            silence_ms_per_10k: None,
            server_silence_ms: 0,
            took_ms: 0,
            half_frames: None,
            unsent: None,
            full_inboxes: None,
            websockets: None,
            messages: 0,
            failures: Vec::new(),
            conditions,
        }
    }

    /// An upgrade, and the longest that somebody waited for an answer; whether it was to fail.
    pub(super) fn note(&mut self, upgrade: &Upgrade, silence: Duration, crashes: bool) {
        self.longest_silence_ms = self.longest_silence_ms.max(silence.as_secs_f64() * 1e3);
        match (upgrade.ok, crashes) {
            (false, true) => self.rolled_back += 1,
            (true, false) => self.succeeded(upgrade),
            (false, false) => self.failures.push(upgrade.error.clone()),
            (true, true) => self.failures.push("a process that was to die serves".to_owned()),
        }
    }

    fn succeeded(&mut self, upgrade: &Upgrade) {
        self.upgrades += 1;
        self.dropped += upgrade.dropped;
        self.server_silence_ms = self.server_silence_ms.max(upgrade.silence_ms);
        self.took_ms = self.took_ms.max(upgrade.took_ms);
        fewest(&mut self.sessions, Some(upgrade.sessions));
        fewest(&mut self.half_frames, upgrade.half_frames);
        fewest(&mut self.unsent, upgrade.unsent);
        fewest(&mut self.full_inboxes, upgrade.full_inboxes);
        fewest(&mut self.websockets, upgrade.websockets);
        let silence = self.longest_silence_ms;
        self.silence_ms_per_10k = self.sessions.map(|count| silence * 1e4 / count.max(1) as f64);
    }

    /// What came of asking all who only stay.
    pub(super) fn note_asked(&mut self, asked: Asked, connections: u32) {
        self.unanswered += u64::from(connections).saturating_sub(asked.answered);
        self.sealed_failed += asked.unopened;
    }

    /// What some pairs saw, at the end.
    pub(super) fn note_tally(&mut self, tally: &Tally) {
        let (lost, duplicated, out_of_order) = tally.verdict();
        self.lost += lost;
        self.duplicated += duplicated;
        self.out_of_order += out_of_order;
        self.undecided += tally.on_their_way() + tally.failed.get();
        self.resets += tally.broken.get();
        self.sealed_failed += tally.unopened.get();
        self.messages += tally.done();
    }

    /// How many of those who only stay broke.
    pub(super) fn note_broken(&mut self, broken: u64) {
        self.resets += broken;
    }

    /// What it shows that should not be; nothing if all is as promised and everything was forced.
    pub fn wrong(&self, plan: &Plan) -> Vec<String> {
        let zeros = [
            ("resets", self.resets),
            ("sealed_failed", self.sealed_failed),
            ("unanswered", self.unanswered),
            ("lost", self.lost),
            ("undecided", self.undecided),
            ("duplicated", self.duplicated),
            ("out_of_order", self.out_of_order),
            ("dropped", self.dropped),
        ];
        let forced = u64::from(plan.forced);
        let least = [
            ("half_frames", self.half_frames, forced),
            ("unsent", self.unsent, forced),
            ("full_inboxes", self.full_inboxes, forced),
            ("websockets", self.websockets, plan.web_sockets().into()),
            ("sessions", self.sessions, plan.sessions().into()),
            ("upgrades", Some(self.upgrades.into()), plan.successes().into()),
            ("rolled_back", Some(self.rolled_back.into()), plan.crash_at.iter().len() as u64),
        ];
        let not_zero = zeros.into_iter().filter(|(_, count)| *count > 0);
        let too_few = least.into_iter().filter(|(_, had, wanted)| had.unwrap_or(0) < *wanted);
        let not_zero = not_zero.map(|(name, count)| format!("{name} {count}"));
        let too_few = too_few
            .map(|(name, had, wanted)| format!("{name} {}, {wanted} were to be", had.unwrap_or(0)));
        not_zero.chain(too_few).chain(self.failures.iter().cloned()).collect()
    }
}

/// The smaller one of those that are told.
fn fewest(so_far: &mut Option<u64>, told: Option<u64>) {
    *so_far = (*so_far).into_iter().chain(told).min();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::Processes;

    fn plan() -> Plan {
        Plan {
            connections: 10,
            pairs: 2,
            upgrades: 3,
            forced: 2,
            binary: None,
            crash_at: Some("handover::ready".to_owned()),
        }
    }

    /// As it should be.
    fn good() -> Report {
        let upgrade = Upgrade {
            ok: true,
            sessions: 22,
            half_frames: Some(2),
            unsent: Some(2),
            full_inboxes: Some(2),
            websockets: Some(6),
            ..Upgrade::default()
        };
        let mut report = Report::new(Conditions::here(".".as_ref(), &Processes::default()));
        let silence = Duration::from_millis(11);
        report.note(&upgrade, silence, false);
        report.note(&Upgrade::default(), silence, true);
        report.note(&upgrade, silence, false);
        report.note_asked(Asked { answered: 10, unopened: 0 }, 10);
        report
    }

    fn wrong(change: impl FnOnce(&mut Report)) -> Vec<String> {
        let mut report = good();
        change(&mut report);
        report.wrong(&plan())
    }

    #[test]
    fn all_as_promised_is_no_complaint_and_everything_else_is_one() {
        assert_eq!(wrong(|_| {}), [""; 0]);
        assert_eq!(good().silence_ms_per_10k, Some(5_000.0));
        assert_eq!(wrong(|report| report.note_broken(3)), ["resets 3"]);
        let asked = Asked { answered: 9, unopened: 1 };
        let told = wrong(|report| report.note_asked(asked, 10));
        assert_eq!(told, ["sealed_failed 1", "unanswered 1"]);
        assert_eq!(wrong(|report| report.duplicated = 1), ["duplicated 1"]);
        assert_eq!(wrong(|report| report.half_frames = Some(1)), ["half_frames 1, 2 were to be"]);
        assert_eq!(wrong(|report| report.full_inboxes = None), ["full_inboxes 0, 2 were to be"]);
        assert_eq!(wrong(|report| report.rolled_back = 0), ["rolled_back 0, 1 were to be"]);
    }

    #[test]
    fn what_pairs_saw_counts() {
        let told = wrong(|report| {
            let tally = Tally::new(1);
            (0..3).for_each(|_| tally.submitted());
            tally.accepted(0, 1, Duration::ZERO);
            tally.finished(Duration::ZERO);
            tally.note_end(Err(crate::error::LoadError::Closed));
            report.note_tally(&tally);
        });
        assert_eq!(told, ["resets 1", "lost 1", "undecided 2"]);
    }

    #[test]
    fn an_upgrade_that_fails_or_does_not_when_it_should_is_told() {
        let failed = Upgrade { error: "no disk".to_owned(), ..Upgrade::default() };
        let told = wrong(|report| report.note(&failed, Duration::ZERO, false));
        assert_eq!(told, ["no disk"]);
        let serves = Upgrade { ok: true, ..Upgrade::default() };
        let told = wrong(|report| report.note(&serves, Duration::ZERO, true));
        assert_eq!(told, ["a process that was to die serves"]);
    }
}
