//! The judge: what senders were told against what receivers were shown, message by message.
//!
//! For the reader a placeholder ("this message could not be opened") is no message: what was only
//! ever shown so is lost. One that is filled later is shown under its old id, and counts as shown
//! once, and as out of order if later ones came before it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;

use super::person::{Ended, LAST, Receiver, history};

/// A message as a receiver was shown it, or as it stands in the history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Shown {
    pub(super) id: String,
    pub(super) from: String,
    pub(super) content: Content,
}

/// What stands under an id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Content {
    Text(String),
    /// No text, but why: `waiting`, `lost`, `update_needed`.
    Note(String),
}

/// The outcome, in numbers.
#[derive(Default, Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    /// Messages that showed a tick at their sender.
    ticked: usize,
    /// Of these, never shown at the recipient, or only as a placeholder.
    lost: usize,
    /// The lost ones by what stands in their place: a kind of note, or [`NOTHING`].
    instead: BTreeMap<String, usize>,
    /// Shown more than once.
    repeated: usize,
    /// Shown after a later one of the same sender.
    out_of_order: usize,
    /// Shown as a placeholder first and with its text later; for information.
    filled: usize,
    /// Shown, but not in the recipient's history exactly once and as it was shown last.
    history_differs: usize,
    /// Ids that a sender was told, but that its history shows neither as ticked nor as failed.
    forgotten: usize,
}

/// What stands in the place of a lost message that left no trace.
const NOTHING: &str = "nothing";

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
        let Self {
            ticked,
            lost,
            instead,
            repeated,
            out_of_order,
            filled,
            history_differs,
            forgotten,
        } = self;
        write!(f, "{ticked} messages ticked: {lost} lost")?;
        if !instead.is_empty() {
            let kinds: Vec<String> =
                instead.iter().map(|(kind, count)| format!("{kind} {count}")).collect();
            write!(f, " (in their place: {})", kinds.join(", "))?;
        }
        write!(
            f,
            ", {repeated} repeated, {out_of_order} out of order, {filled} placeholders filled later, \
             {history_differs} differ in the recipient's history, {forgotten} forgotten by their sender"
        )
    }
}

impl Shown {
    /// One object of `listen` or `history`.
    fn of(object: &Value) -> Result<Self> {
        let field = |name: &str| object[name].as_str().map(str::to_owned);
        let wanted = |name: &str| field(name).with_context(|| format!("no {name}: {object}"));
        let content = match field("text") {
            Some(text) => Content::Text(text),
            None => Content::Note(wanted("note").context("neither text nor note")?),
        };
        Ok(Self { id: wanted("id")?, from: wanted("from")?, content })
    }

    /// Whether this is the last message of its sender.
    pub(super) fn is_last(&self) -> bool {
        matches!(&self.content, Content::Text(text) if text == LAST)
    }

    /// Whether this stands for a message that may still come.
    pub(super) fn is_waiting(&self) -> bool {
        matches!(&self.content, Content::Note(note) if note == "waiting")
    }

    /// The number that its sender gave it; the last message has none.
    fn number(&self) -> Option<u64> {
        match &self.content {
            Content::Text(text) => text.split(' ').nth(1)?.parse().ok(),
            Content::Note(_) => None,
        }
    }
}

/// What `godwit listen --json` wrote into `path`. A line that a kill cut short is no showing.
pub(super) fn shown(path: &Path) -> Result<Vec<Shown>> {
    listened(&std::fs::read_to_string(path)?)
}

fn listened(text: &str) -> Result<Vec<Shown>> {
    let objects = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let messages = objects.filter(|object| object["event"] == "message");
    messages.map(|object| Shown::of(&object)).collect()
}

/// What a receiver's history keeps of a sender.
pub(super) fn kept(receiver: &Receiver, sender: &Ended) -> Result<Vec<Shown>> {
    history(&receiver.home, &sender.handle)?.iter().map(Shown::of).collect()
}

/// Compares all senders with all receivers.
pub(super) fn judge(senders: &[Ended], receivers: &[Receiver]) -> Result<Verdict> {
    let mut verdict = Verdict::default();
    for receiver in receivers {
        let shown = shown(&receiver.shown)?;
        for sender in senders {
            let ticked = ticked(&history(&sender.home, receiver.handle())?);
            let from_sender: Vec<&Shown> =
                shown.iter().filter(|m| m.from == sender.handle).collect();
            compare(&mut verdict, &ticked, &from_sender, &kept(receiver, sender)?);
        }
    }
    for sender in senders {
        let mut all = BTreeSet::new();
        for peer in &sender.peers {
            all.extend(settled(&history(&sender.home, peer)?));
        }
        verdict.forgotten += forgotten(&std::fs::read_to_string(&sender.told)?, &all);
    }
    Ok(verdict)
}

/// Ids that a sender was told, one a line, and that are not among those that it remembers. The last line may have
/// been cut by a kill.
fn forgotten(told: &str, settled: &BTreeSet<String>) -> usize {
    let whole = told.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
    whole.filter(|id| !settled.contains(*id)).count()
}

/// Ids that a sender's history shows with at least one tick.
fn ticked(history: &[Value]) -> BTreeSet<String> {
    ids(history, |state| matches!(state, "accepted" | "delivered" | "read"))
}

/// Ids that a sender's history shows with a tick, or with why there never will be one.
fn settled(history: &[Value]) -> BTreeSet<String> {
    ids(history, |state| matches!(state, "accepted" | "delivered" | "read" | "failed"))
}

fn ids(history: &[Value], is_so: impl Fn(&str) -> bool) -> BTreeSet<String> {
    let wanted = history.iter().filter(|message| message["state"].as_str().is_some_and(&is_so));
    wanted.filter_map(|message| message["id"].as_str().map(str::to_owned)).collect()
}

/// One sender, one receiver.
fn compare(verdict: &mut Verdict, ticked: &BTreeSet<String>, shown: &[&Shown], kept: &[Shown]) {
    let mut showings = BTreeMap::<&str, Vec<&Content>>::new();
    for message in shown {
        showings.entry(&message.id).or_default().push(&message.content);
    }
    let mut rows = BTreeMap::<&str, Vec<&Content>>::new();
    for message in kept {
        rows.entry(&message.id).or_default().push(&message.content);
    }
    verdict.ticked += ticked.len();
    for id in ticked {
        let seen = showings.get(id.as_str()).map(Vec::as_slice).unwrap_or_default();
        if seen.iter().any(|content| matches!(content, Content::Text(_))) {
            continue;
        }
        verdict.lost += 1;
        let left = rows.get(id.as_str()).and_then(|row| row.last()).or(seen.last());
        let kind = match left {
            Some(Content::Note(note)) => note.clone(),
            Some(Content::Text(_)) => "in the history, not shown".to_owned(),
            None => NOTHING.to_owned(),
        };
        *verdict.instead.entry(kind).or_default() += 1;
    }
    for (id, seen) in &showings {
        let is_filled = matches!(seen.as_slice(), [Content::Note(_), Content::Text(_), ..]);
        verdict.filled += usize::from(is_filled);
        verdict.repeated += seen.len() - 1 - usize::from(is_filled);
        let row = rows.get(id).map(Vec::as_slice).unwrap_or_default();
        let agrees = row.len() == 1 && row.last() == seen.last();
        verdict.history_differs += usize::from(!agrees);
    }
    verdict.out_of_order += out_of_order(shown);
}

/// Numbered lines that do not come after the one before; repeats are counted elsewhere.
fn out_of_order(shown: &[&Shown]) -> usize {
    let numbers: Vec<u64> = shown.iter().filter_map(|message| message.number()).collect();
    numbers.windows(2).filter(|pair| matches!(pair, [before, after] if after < before)).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A line that `listen --json` prints of a message that came.
    fn text(id: &str, number: u32) -> String {
        format!(
            r#"{{"event":"message","id":"{id}","from":"s","to":"r","text":"s {number}","sent_at_ms":1,"received_at_ms":1}}"#
        )
    }

    /// A line of one that could not be opened.
    fn note(id: &str, note: &str) -> String {
        format!(
            r#"{{"event":"message","id":"{id}","from":"s","to":"r","note":"{note}","sent_at_ms":1,"received_at_ms":1}}"#
        )
    }

    fn lines(lines: &[String]) -> Vec<Shown> {
        listened(&lines.join("\n")).unwrap()
    }

    fn verdict_of(ticked: &[&str], shown: &[String], kept: &[String]) -> Verdict {
        let mut verdict = Verdict::default();
        let ticked = ticked.iter().map(|id| (*id).to_owned()).collect();
        let shown = lines(shown);
        compare(&mut verdict, &ticked, &shown.iter().collect::<Vec<_>>(), &lines(kept));
        verdict
    }

    fn instead(verdict: &Verdict) -> Vec<(&str, usize)> {
        verdict.instead.iter().map(|(kind, count)| (kind.as_str(), *count)).collect()
    }

    /// Exactly these faults, and therefore not clean.
    #[track_caller]
    fn faults(verdict: &Verdict, lost: usize, repeated: usize, out_of_order: usize, differ: usize) {
        let found = (verdict.lost, verdict.repeated, verdict.out_of_order, verdict.history_differs);
        assert_eq!(found, (lost, repeated, out_of_order, differ), "{verdict}");
        assert!(!verdict.is_clean(), "{verdict}");
    }

    #[test]
    fn a_clean_run_is_clean() {
        let all = [text("a", 1), text("b", 2)];
        let verdict = verdict_of(&["a", "b"], &all, &all);
        assert!(verdict.is_clean(), "{verdict}");
    }

    #[test]
    fn what_was_shown_before_its_sender_saw_the_tick_is_no_fault() {
        let all = [text("a", 1), text("b", 2)];
        let verdict = verdict_of(&["a"], &all, &all);
        assert!(verdict.is_clean(), "{verdict}");
    }

    #[test]
    fn nothing_to_judge_is_not_clean() {
        assert!(!verdict_of(&[], &[], &[]).is_clean());
    }

    #[test]
    fn a_lost_message_is_caught() {
        let verdict = verdict_of(&["a", "b"], &[text("a", 1)], &[text("a", 1)]);
        faults(&verdict, 1, 0, 0, 0);
        assert_eq!(instead(&verdict), [(NOTHING, 1)]);
        let all = [text("a", 1), text("b", 2)];
        let unshown = verdict_of(&["a", "b"], &all[..1], &all);
        faults(&unshown, 1, 0, 0, 0);
    }

    #[test]
    fn a_repeated_message_is_caught() {
        let verdict = verdict_of(&["a"], &[text("a", 1), text("a", 1)], &[text("a", 1)]);
        faults(&verdict, 0, 1, 0, 0);
    }

    #[test]
    fn swapped_messages_are_caught() {
        let swapped = [text("b", 2), text("a", 1)];
        faults(&verdict_of(&["a", "b"], &swapped, &swapped), 0, 0, 1, 0);
    }

    #[test]
    fn a_history_that_keeps_twice_or_not_at_all_or_something_else_is_caught() {
        let a = [text("a", 1)];
        faults(&verdict_of(&["a"], &a, &[text("a", 1), text("a", 1)]), 0, 0, 0, 1);
        faults(&verdict_of(&["a"], &a, &[]), 0, 0, 0, 1);
        faults(&verdict_of(&["a"], &a, &[text("a", 2)]), 0, 0, 0, 1);
        faults(&verdict_of(&["a"], &a, &[note("a", "lost")]), 0, 0, 0, 1);
    }

    #[test]
    fn an_id_that_its_sender_forgot_is_caught() {
        let ticked = ["a".to_owned()].into();
        assert_eq!(forgotten("a\n", &ticked), 0);
        assert_eq!(forgotten("a\nb\n", &ticked), 1);
        assert_eq!(forgotten("a\nb", &ticked), 0, "cut by a kill");
        let verdict = Verdict { ticked: 1, forgotten: 1, ..Verdict::default() };
        assert!(!verdict.is_clean());
    }

    #[test]
    fn what_failed_is_not_ticked_and_not_forgotten() {
        let of = |id: &str, state: &str| serde_json::json!({"id": id, "state": state});
        let history = [of("a", "delivered"), of("b", "failed"), of("c", "pending")];
        assert_eq!(ticked(&history), ["a".to_owned()].into());
        assert_eq!(settled(&history), ["a".to_owned(), "b".to_owned()].into());
    }

    #[test]
    fn a_placeholder_never_filled_is_lost_and_counted_by_its_kind() {
        // `listen` does not print those that may still come: they stand in the history alone.
        let shown = [text("a", 1), note("c", "lost"), note("d", "update_needed")];
        let kept = [
            text("a", 1),
            note("b", "waiting"),
            note("e", "waiting"),
            note("c", "lost"),
            note("d", "update_needed"),
        ];
        let verdict = verdict_of(&["a", "b", "c", "d", "e"], &shown, &kept);
        faults(&verdict, 4, 0, 0, 0);
        assert_eq!(instead(&verdict), [("lost", 1), ("update_needed", 1), ("waiting", 2)]);
        let said = verdict.to_string();
        let expected = "4 lost (in their place: lost 1, update_needed 1, waiting 2)";
        assert!(said.contains(expected), "{said}");
    }

    #[test]
    fn a_placeholder_filled_in_its_turn_is_shown_once() {
        let shown = [note("a", "lost"), text("a", 1), text("b", 2)];
        let verdict = verdict_of(&["a", "b"], &shown, &shown[1..]);
        assert_eq!((verdict.filled, verdict.lost, verdict.repeated), (1, 0, 0));
        assert!(verdict.is_clean(), "{verdict}");
    }

    #[test]
    fn a_placeholder_filled_late_is_not_lost_and_not_repeated_but_out_of_order() {
        let printed = [note("a", "lost"), text("b", 2), text("a", 1)];
        faults(&verdict_of(&["a", "b"], &printed, &printed[1..]), 0, 0, 1, 0);
        // The same with a placeholder that was not printed.
        faults(&verdict_of(&["a", "b"], &printed[1..], &printed[1..]), 0, 0, 1, 0);
    }

    #[test]
    fn showing_again_after_filling_is_repeating() {
        let row = [text("a", 1)];
        let twice = [note("a", "lost"), text("a", 1), text("a", 1)];
        faults(&verdict_of(&["a"], &twice, &row), 0, 1, 0, 0);
        let placeholders = [note("a", "lost"), note("a", "lost")];
        faults(&verdict_of(&["a"], &placeholders, &placeholders[1..]), 1, 1, 0, 0);
        let undone = [text("a", 1), note("a", "lost")];
        faults(&verdict_of(&["a"], &undone, &undone[1..]), 0, 1, 0, 0);
    }

    #[test]
    fn a_line_cut_by_a_kill_is_no_showing_and_other_events_are_none_either() {
        let a = text("a", 1);
        let printed = format!("{}\n{{\"event\":\"caught_up\"}}\n{a}\n", &a[..a.len() / 2]);
        assert_eq!(listened(&printed).unwrap(), lines(&[a]));
    }

    #[test]
    fn a_message_without_text_and_note_is_an_error_of_the_client() {
        assert!(listened(r#"{"event":"message","id":"a","from":"s"}"#).is_err());
    }
}
