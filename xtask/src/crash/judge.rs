//! The judge: what senders were told against what receivers were shown, message by message.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, Result};

use super::person::{Ended, LAST, Receiver, history};

/// A message as a receiver was shown it.
pub(super) struct Shown {
    pub(super) id: String,
    pub(super) from: String,
    pub(super) text: String,
}

/// The outcome, in numbers.
#[derive(Default, Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    /// Messages that showed a tick at their sender.
    ticked: usize,
    /// Of these, never shown at the recipient.
    lost: usize,
    /// Shown more than once.
    repeated: usize,
    /// Shown after a later one of the same sender.
    out_of_order: usize,
    /// Shown, but not in the recipient's history exactly once.
    history_differs: usize,
    /// Ids that a sender was told, but that its history does not show as ticked.
    forgotten: usize,
}

impl Verdict {
    /// Nothing lost, repeated, out of order or forgotten, and there was something to judge.
    pub(super) fn is_clean(&self) -> bool {
        let faults =
            [self.lost, self.repeated, self.out_of_order, self.history_differs, self.forgotten];
        self.ticked > 0 && faults.iter().all(|count| *count == 0)
    }
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { ticked, lost, repeated, out_of_order, history_differs, forgotten } = self;
        write!(
            f,
            "{ticked} messages ticked: {lost} lost, {repeated} repeated, {out_of_order} out of order, \
             {history_differs} differ in the recipient's history, {forgotten} forgotten by their sender"
        )
    }
}

/// What `godwit listen --json` wrote into `path`. A line that a kill cut short is no showing.
pub(super) fn shown(path: &Path) -> Result<Vec<Shown>> {
    let text = std::fs::read_to_string(path)?;
    let objects =
        text.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    objects
        .filter(|object| object["event"] == "message")
        .map(|object| {
            let field = |name: &str| {
                object[name]
                    .as_str()
                    .map(str::to_owned)
                    .with_context(|| format!("no {name}: {object}"))
            };
            Ok(Shown { id: field("id")?, from: field("from")?, text: field("text")? })
        })
        .collect()
}

/// Compares all senders with all receivers.
pub(super) fn judge(senders: &[Ended], receivers: &[Receiver]) -> Result<Verdict> {
    let mut verdict = Verdict::default();
    for receiver in receivers {
        let shown = shown(&receiver.shown)?;
        for sender in senders {
            let ticked = ticked(&history(&sender.home, receiver.handle())?);
            let kept: Vec<String> = history(&receiver.home, &sender.handle)?
                .iter()
                .filter_map(|message| message["id"].as_str().map(str::to_owned))
                .collect();
            let from_sender: Vec<&Shown> =
                shown.iter().filter(|m| m.from == sender.handle).collect();
            compare(&mut verdict, &ticked, &from_sender, &kept);
        }
    }
    for sender in senders {
        let mut all = BTreeSet::new();
        for peer in &sender.peers {
            all.extend(ticked(&history(&sender.home, peer)?));
        }
        let told = std::fs::read_to_string(&sender.told)?;
        // The last line may have been cut by a kill.
        let whole = told.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
        verdict.forgotten += whole.filter(|id| !all.contains(*id)).count();
    }
    Ok(verdict)
}

/// Ids that a sender's history shows with at least one tick.
fn ticked(history: &[serde_json::Value]) -> BTreeSet<String> {
    let has_tick = |state: &str| matches!(state, "accepted" | "delivered" | "read");
    let ticked = history.iter().filter(|message| message["state"].as_str().is_some_and(has_tick));
    ticked.filter_map(|message| message["id"].as_str().map(str::to_owned)).collect()
}

/// One sender, one receiver.
fn compare(verdict: &mut Verdict, ticked: &BTreeSet<String>, shown: &[&Shown], kept: &[String]) {
    let mut times = BTreeMap::<&str, usize>::new();
    for message in shown {
        *times.entry(&message.id).or_default() += 1;
    }
    let mut kept_times = BTreeMap::<&str, usize>::new();
    for id in kept {
        *kept_times.entry(id).or_default() += 1;
    }
    verdict.ticked += ticked.len();
    verdict.lost += ticked.iter().filter(|id| !times.contains_key(id.as_str())).count();
    verdict.repeated += times.values().map(|times| times - 1).sum::<usize>();
    verdict.history_differs += times.keys().filter(|id| kept_times.get(*id) != Some(&1)).count();
    verdict.out_of_order += out_of_order(shown);
}

/// Numbered lines that do not come after the one before; repeats are counted elsewhere.
fn out_of_order(shown: &[&Shown]) -> usize {
    let number =
        |message: &&&Shown| message.text.split(' ').nth(1).and_then(|n| n.parse::<u64>().ok());
    let numbers: Vec<u64> =
        shown.iter().filter(|m| m.text != LAST).filter_map(|m| number(&m)).collect();
    numbers.windows(2).filter(|pair| matches!(pair, [before, after] if after < before)).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(id: &str, number: u32) -> Shown {
        Shown { id: id.into(), from: "s".into(), text: format!("s {number}") }
    }

    fn verdict_of(ticked: &[&str], shown: &[Shown], kept: &[&str]) -> Verdict {
        let mut verdict = Verdict::default();
        let ticked = ticked.iter().map(|id| (*id).to_owned()).collect();
        let kept: Vec<String> = kept.iter().map(|id| (*id).to_owned()).collect();
        compare(&mut verdict, &ticked, &shown.iter().collect::<Vec<_>>(), &kept);
        verdict
    }

    #[test]
    fn a_clean_run_is_clean() {
        let verdict = verdict_of(&["a", "b"], &[message("a", 1), message("b", 2)], &["a", "b"]);
        assert!(verdict.is_clean(), "{verdict}");
    }

    #[test]
    fn nothing_to_judge_is_not_clean() {
        assert!(!verdict_of(&[], &[], &[]).is_clean());
    }

    #[test]
    fn each_planted_fault_is_caught() {
        let lost = verdict_of(&["a", "b"], &[message("a", 1)], &["a"]);
        assert_eq!((lost.lost, lost.is_clean()), (1, false));
        let repeated = verdict_of(&["a"], &[message("a", 1), message("a", 1)], &["a"]);
        assert_eq!((repeated.repeated, repeated.is_clean()), (1, false));
        let swapped = verdict_of(&["a", "b"], &[message("b", 2), message("a", 1)], &["a", "b"]);
        assert_eq!((swapped.out_of_order, swapped.is_clean()), (1, false));
        let twice_kept = verdict_of(&["a"], &[message("a", 1)], &["a", "a"]);
        assert_eq!((twice_kept.history_differs, twice_kept.is_clean()), (1, false));
    }
}
