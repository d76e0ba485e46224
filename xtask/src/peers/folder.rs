//! What was measured, on disk as soon as it was: one file a run, and the table made anew from all of
//! them after each, so a comparison that is cut short leaves what it had, and a later one goes on.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::{Map, Value, json};

use super::kind::Kind;
use super::load::{Contender, Job};
use super::table;

/// Where the runs are, inside of the folder.
const RUNS: &str = "runs";

/// The folder of one comparison.
pub(super) struct Folder {
    out: PathBuf,
    quick: bool,
    /// What our own programs are and how they are called, the same in all runs.
    terms: Value,
    /// The others' versions, by name: each run of theirs says with which it was.
    versions: BTreeMap<&'static str, String>,
    missing: Vec<&'static str>,
    /// All runs that are there, by the names of their files.
    runs: BTreeMap<String, Value>,
}

impl Folder {
    /// Opens the folder, with the runs of earlier calls if this one goes on with them.
    ///
    /// # Errors
    /// If it has runs and nobody said to go on, or if they were of the other size; the disk's.
    pub(super) fn open(out: &Path, quick: bool, resume: bool) -> Result<Self> {
        let runs = read(&out.join(RUNS))?;
        let dir = out.display();
        if !runs.is_empty() && !resume {
            bail!("{dir} has {} runs: --resume goes on, or name another folder", runs.len());
        }
        if runs.values().any(|run| run["quick"] != quick) {
            bail!("{dir} has runs of the other size: quick and full ones are not compared");
        }
        std::fs::create_dir_all(out.join(RUNS))?;
        let (versions, missing, terms) = Default::default();
        Ok(Self { out: out.to_owned(), quick, terms, versions, missing, runs })
    }

    /// Says on which terms everything is measured from now on.
    ///
    /// # Errors
    /// If a run that is there was measured on others, or does not say on which: ratios of figures of two
    /// builds, or with and without a flag, are ratios of nothing.
    pub(super) fn agree(&mut self, terms: Value) -> Result<()> {
        let measured = self.runs.iter().filter(|(_, run)| run["report"].is_object());
        for (name, run) in measured {
            let differs: Vec<&str> = terms
                .as_object()
                .into_iter()
                .flatten()
                .filter(|(term, value)| run["terms"].get(term.as_str()) != Some(value))
                .map(|(term, _)| term.as_str())
                .collect();
            if !differs.is_empty() {
                let (dir, differs) = (self.out.display(), differs.join(", "));
                bail!("{dir} has {name} with another {differs}: name another folder by --out");
            }
        }
        self.terms = terms;
        Ok(())
    }

    /// Says who is compared from now on.
    pub(super) fn meet(&mut self, there: &[(Kind, String)], missing: &[&'static str]) {
        self.versions =
            there.iter().map(|(kind, version)| (kind.name(), version.clone())).collect();
        self.missing = missing.to_vec();
    }

    /// Whether a run is there. One that failed is not: it is tried again.
    pub(super) fn has(&self, job: Job, round: u8) -> bool {
        self.runs.get(&name(job, round)).is_some_and(|run| run["report"].is_object())
    }

    /// Writes a run, and then `peers.json` and `peers.md` anew.
    ///
    /// # Errors
    /// The disk's.
    pub(super) fn keep(&mut self, job: Job, round: u8, report: &Result<Value>) -> Result<()> {
        let (report, failure) = match report {
            Ok(report) => (Some(report), None),
            Err(error) => (None, Some(format!("{error:#}"))),
        };
        let version = match job.contender {
            Contender::Godwit => None,
            Contender::Peer { kind, .. } => self.versions.get(kind.name()),
        };
        let run = json!({
            "server": job.contender.name(), "load": job.load.name(), "round": round,
            "quick": self.quick, "date": today()?, "version": version, "terms": self.terms,
            "report": report, "failure": failure,
        });
        let name = name(job, round);
        put(&self.out.join(RUNS).join(&name), &serde_json::to_string_pretty(&run)?)?;
        self.runs.insert(name, run);
        self.tabulate().map(drop)
    }

    /// Writes `peers.json` and `peers.md` from all runs that are there, and returns the latter.
    ///
    /// # Errors
    /// The disk's.
    pub(super) fn tabulate(&self) -> Result<String> {
        let all = self.all();
        let markdown = table::markdown(&all);
        put(&self.out.join("peers.json"), &serde_json::to_string_pretty(&all)?)?;
        put(&self.out.join("peers.md"), &markdown)?;
        Ok(markdown)
    }

    /// How many runs are there, failed ones too.
    pub(super) fn len(&self) -> usize {
        self.runs.len()
    }

    fn all(&self) -> Value {
        let text =
            |field: &'static str| self.runs.values().filter_map(move |run| run[field].as_str());
        let date = match (text("date").min(), text("date").max()) {
            (Some(first), Some(last)) if first != last => format!("{first} to {last}"),
            (first, _) => first.unwrap_or_default().to_owned(),
        };
        let mut versions = Map::new();
        for run in self.runs.values() {
            let kind = run["server"].as_str().and_then(|server| server.split('-').next());
            if let (Some(kind), Some(version)) = (kind, run["version"].as_str()) {
                versions.insert(kind.to_owned(), json!(version));
            }
        }
        let missing: Vec<_> =
            self.missing.iter().filter(|kind| !versions.contains_key(**kind)).collect();
        let rounds = self.runs.values().filter_map(|run| run["round"].as_u64()).max();
        json!({
            "date": date, "quick": self.quick, "rounds": rounds.unwrap_or(0),
            "versions": versions, "missing": missing,
            "runs": self.runs.values().collect::<Vec<_>>(),
        })
    }
}

/// The file of a run: rounds first, so that a listing is in the order of time.
fn name(job: Job, round: u8) -> String {
    format!("{round:02}-{}-{}.json", job.contender.name(), job.load.name())
}

/// The runs in a folder; none if it is not there.
fn read(dir: &Path) -> Result<BTreeMap<String, Value>> {
    let mut runs = BTreeMap::new();
    if !dir.exists() {
        return Ok(runs);
    }
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        if name.ends_with(".json") {
            let text = std::fs::read_to_string(&path)?;
            let run = serde_json::from_str(&text);
            runs.insert(name.to_owned(), run.with_context(|| format!("no run: {name}"))?);
        }
    }
    Ok(runs)
}

/// Writes a file wholly or not at all, whenever the process is ended.
fn put(path: &Path, text: &str) -> Result<()> {
    let half = path.with_extension("half");
    std::fs::write(&half, text)?;
    std::fs::rename(&half, path).with_context(|| format!("cannot write {}", path.display()))
}

fn today() -> Result<String> {
    let date =
        Command::new("date").args(["-u", "+%Y-%m-%d"]).output().context("cannot run date")?;
    Ok(String::from_utf8_lossy(&date.stdout).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;
    use crate::peers::load::Load;

    const GODWIT: Job = Job { load: Load::Idle, contender: Contender::Godwit };

    fn idle(bytes: u32) -> Result<Value> {
        Ok(json!({ "user_bytes_per_connection": bytes }))
    }

    fn mosquitto() -> Job {
        let jobs = Job::all(&[Kind::Mosquitto], &[super::super::load::Part::Idle]);
        jobs.into_iter().find(|job| job.contender != Contender::Godwit).unwrap()
    }

    #[test]
    fn a_later_call_goes_on_with_what_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let mut first = Folder::open(dir.path(), false, false).unwrap();
        first.meet(&[(Kind::Mosquitto, "2.0.11".to_owned())], &["prosody"]);
        first.keep(GODWIT, 1, &idle(512)).unwrap();
        first.keep(mosquitto(), 1, &idle(1_024)).unwrap();
        drop(first);

        let mut later = Folder::open(dir.path(), false, true).unwrap();
        assert_eq!([1, 2].map(|round| later.has(GODWIT, round)), [true, false]);
        later.meet(&[], &["mosquitto", "ejabberd"]);
        later.keep(GODWIT, 2, &idle(514)).unwrap();
        let table = std::fs::read_to_string(dir.path().join("peers.md")).unwrap();
        assert!(table.contains("rounds: 2") && table.contains("mosquitto 2.0.11"), "{table}");
        assert!(table.contains("**Missing: ejabberd.**"), "who was met once is not: {table}");
        assert!(table.contains("bytes | 513 | 1,024 (2.00x) |"), "{table}");
    }

    #[test]
    fn a_failed_run_is_kept_and_tried_again() {
        let dir = tempfile::tempdir().unwrap();
        let mut folder = Folder::open(dir.path(), false, false).unwrap();
        folder.keep(GODWIT, 1, &Err(anyhow!("no port"))).unwrap();
        assert!(!folder.has(GODWIT, 1));
        let again = Folder::open(dir.path(), false, true).unwrap();
        assert_eq!((again.len(), again.has(GODWIT, 1)), (1, false));
        let json = std::fs::read_to_string(dir.path().join("peers.json")).unwrap();
        assert!(json.contains("no port"), "{json}");
        folder.keep(GODWIT, 1, &idle(512)).unwrap();
        assert_eq!((folder.len(), folder.has(GODWIT, 1)), (1, true), "in its place");
    }

    #[test]
    fn runs_of_another_build_or_with_other_flags_are_not_gone_on_with() {
        let dir = tempfile::tempdir().unwrap();
        let open = || Folder::open(dir.path(), false, true).unwrap();
        let terms = |keep_awake: bool, godwitd: &str| json!({ "keep_awake": keep_awake, "data": null, "godwitd": godwitd });
        let mut first = open();
        first.agree(terms(true, "aa")).unwrap();
        first.keep(GODWIT, 1, &idle(512)).unwrap();
        first.keep(mosquitto(), 1, &Err(anyhow!("no port"))).unwrap();
        assert!(open().agree(terms(true, "aa")).is_ok());
        for (other, named) in [(terms(false, "aa"), "keep_awake"), (terms(true, "bb"), "godwitd")] {
            let said = open().agree(other).unwrap_err().to_string();
            assert!(said.contains(&format!("with another {named}: name another")), "{said}");
        }

        let failed = tempfile::tempdir().unwrap();
        let mut folder = Folder::open(failed.path(), false, false).unwrap();
        folder.agree(terms(true, "aa")).unwrap();
        folder.keep(GODWIT, 1, &Err(anyhow!("no port"))).unwrap();
        assert!(folder.agree(terms(true, "bb")).is_ok(), "it is run again, on the new terms");
        folder.keep(GODWIT, 1, &idle(512)).unwrap();
        let mut again = Folder::open(failed.path(), false, true).unwrap();
        assert!(again.agree(terms(true, "aa")).is_err() && again.agree(terms(true, "bb")).is_ok());
    }

    #[test]
    fn a_run_that_does_not_say_its_terms_is_not_gone_on_with() {
        let dir = tempfile::tempdir().unwrap();
        Folder::open(dir.path(), false, true).unwrap().keep(GODWIT, 1, &idle(512)).unwrap();
        let mut later = Folder::open(dir.path(), false, true).unwrap();
        assert!(later.agree(json!({ "data": null })).is_err());
    }

    #[test]
    fn runs_are_neither_overwritten_unasked_nor_mixed_with_those_of_another_size() {
        let dir = tempfile::tempdir().unwrap();
        let open = |quick, resume| Folder::open(dir.path(), quick, resume);
        open(false, true).unwrap().keep(GODWIT, 1, &idle(512)).unwrap();
        assert!(open(false, false).is_err() && open(true, true).is_err());
        assert!(open(false, true).is_ok());
    }
}
