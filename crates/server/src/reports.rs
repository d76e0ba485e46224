//! What people report to the operator: a file of JSON lines in the data folder, bounded.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use godwit_base::{AccountId, DeviceId};
use godwit_wire::v1;
use serde::{Deserialize, Serialize};

/// Bytes of one file, 32 MiB: 700 of the largest reports, 100,000 with a reason alone. When it is full
/// it becomes the older one, and what was the older one goes: 64 MiB in all.
const FILE_BYTES_MAX: u64 = 32 * 1024 * 1024;

/// The file that is written, and the one before it.
const FILE: &str = "reports.jsonl";
const OLDER_FILE: &str = "reports.older.jsonl";

/// Longest line that is read back: 20 texts of 2 KiB, each byte escaped as six, and their frame.
const LINE_BYTES_MAX: u64 = 512 * 1024;

/// A report as it lies in the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Report {
    /// When it came, unix milliseconds.
    pub(crate) at_ms: u64,
    /// Which device reports.
    pub(crate) by: String,
    /// Which account is reported.
    pub(crate) account: String,
    /// Its handle, when it was reported.
    pub(crate) handle: String,
    /// What the reporter says.
    pub(crate) reason: String,
    /// What the reporter chose, oldest first. Only the reporter's word says that it is genuine.
    pub(crate) messages: Vec<Message>,
}

/// A reported message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Message {
    /// Its device and counter: `1.42`.
    pub(crate) id: String,
    /// When its sender says that it was sent, unix milliseconds.
    pub(crate) sent_at_ms: u64,
    /// What it says, or its beginning.
    pub(crate) text: String,
}

impl Report {
    pub(crate) fn new(at_ms: u64, by: DeviceId, handle: String, report: v1::Report) -> Self {
        let message = |message: v1::ReportedMessage| Message {
            id: format!("{}.{}", message.device, message.counter),
            sent_at_ms: message.sent_at_ms,
            text: message.text,
        };
        Self {
            at_ms,
            by: by.to_string(),
            account: AccountId(report.account).to_string(),
            handle,
            reason: report.reason,
            messages: report.messages.into_iter().map(message).collect(),
        }
    }
}

/// Where reports are kept.
#[derive(Debug)]
pub(crate) struct Reports {
    data: PathBuf,
    file_bytes_max: u64,
    /// One writer at a time.
    writing: Mutex<()>,
}

impl Reports {
    /// In a data folder.
    pub(crate) fn of(data: &Path) -> Self {
        Self { data: data.to_owned(), file_bytes_max: FILE_BYTES_MAX, writing: Mutex::default() }
    }

    /// Adds one; it is on the disk when this returns. Waits for the disk.
    ///
    /// # Errors
    /// Of the file; it may hold a part of a line then, which reading passes over.
    pub(crate) fn add(&self, report: &Report) -> io::Result<()> {
        let mut line = serde_json::to_vec(report)?;
        line.push(b'\n');
        let _one_at_a_time = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut file = self.open()?;
        let length = file.metadata()?.len();
        if length > 0 && length.saturating_add(line.len() as u64) > self.file_bytes_max {
            std::fs::rename(self.data.join(FILE), self.data.join(OLDER_FILE))?;
            file = self.open()?;
        }
        file.write_all(&line)?;
        file.sync_all()?;
        File::open(&self.data)?.sync_all()
    }

    fn open(&self) -> io::Result<File> {
        // What people wrote is for the operator's eyes alone.
        OpenOptions::new().create(true).append(true).mode(0o600).open(self.data.join(FILE))
    }
}

/// Every report in a data folder, oldest first. Lines that are cut or damaged are passed over.
///
/// # Errors
/// A file is there and cannot be read.
pub(crate) fn read(data: &Path) -> io::Result<Vec<Report>> {
    let mut reports = Vec::new();
    for name in [OLDER_FILE, FILE] {
        let file = match File::open(data.join(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            file => file?,
        };
        let mut from = BufReader::new(file);
        let mut line = Vec::new();
        loop {
            line.clear();
            let read = io::Read::take(&mut from, LINE_BYTES_MAX).read_until(b'\n', &mut line)?;
            if read == 0 {
                break;
            }
            reports.extend(serde_json::from_slice::<Report>(&line));
        }
    }
    Ok(reports)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(n: u64, text: &str) -> Report {
        let message = Message { id: "1.1".to_owned(), sent_at_ms: 1, text: text.to_owned() };
        Report {
            at_ms: n,
            by: "a.1".to_owned(),
            account: "b".to_owned(),
            handle: "bob".to_owned(),
            reason: String::new(),
            messages: vec![message],
        }
    }

    #[test]
    fn what_was_added_is_read_and_a_cut_line_passed_over() {
        let data = tempfile::tempdir().unwrap();
        assert_eq!(read(data.path()).unwrap(), []);
        let reports = Reports::of(data.path());
        reports.add(&report(1, "one\ntwo")).unwrap();
        let mut file = OpenOptions::new().append(true).open(data.path().join(FILE)).unwrap();
        file.write_all(b"{\"at_ms\":\n").unwrap();
        reports.add(&report(2, "three")).unwrap();
        assert_eq!(read(data.path()).unwrap(), [report(1, "one\ntwo"), report(2, "three")]);
    }

    #[test]
    fn a_full_file_becomes_the_older_one_and_two_are_all_there_are() {
        let data = tempfile::tempdir().unwrap();
        let bytes = serde_json::to_vec(&report(1, "x")).unwrap().len() as u64 + 1;
        let reports = Reports { file_bytes_max: 2 * bytes, ..Reports::of(data.path()) };
        let numbers = || -> Vec<u64> {
            read(data.path()).unwrap().into_iter().map(|report| report.at_ms).collect()
        };
        (1..=2).for_each(|n| reports.add(&report(n, "x")).unwrap());
        assert!(!data.path().join(OLDER_FILE).exists());
        (3..=4).for_each(|n| reports.add(&report(n, "x")).unwrap());
        assert_eq!(numbers(), [1, 2, 3, 4]);
        reports.add(&report(5, "x")).unwrap();
        assert_eq!(numbers(), [3, 4, 5]);
    }

    #[test]
    fn a_file_is_filled_to_its_last_byte() {
        let data = tempfile::tempdir().unwrap();
        let file = data.path().join(FILE);
        let bytes = serde_json::to_vec(&report(1, "x")).unwrap().len() as u64 + 1;
        // A hole counts as bytes and takes no room.
        File::create(&file).unwrap().set_len(FILE_BYTES_MAX - bytes).unwrap();
        let reports = Reports::of(data.path());
        reports.add(&report(1, "x")).unwrap();
        assert_eq!(file.metadata().unwrap().len(), FILE_BYTES_MAX);
        assert!(!data.path().join(OLDER_FILE).exists());
        reports.add(&report(2, "x")).unwrap();
        assert_eq!(file.metadata().unwrap().len(), bytes);
        let older = data.path().join(OLDER_FILE).metadata().unwrap();
        assert_eq!(older.len(), FILE_BYTES_MAX);
    }

    #[test]
    fn the_largest_report_is_a_line_that_is_read() {
        use godwit_wire::{REPORTED_MESSAGES_MAX, REPORTED_TEXT_BYTES_MAX};
        let data = tempfile::tempdir().unwrap();
        // Each of these bytes is written as six.
        let worst = report(1, &"\u{1}".repeat(REPORTED_TEXT_BYTES_MAX)).messages.remove(0);
        let worst = Report { messages: vec![worst; REPORTED_MESSAGES_MAX], ..report(1, "") };
        Reports::of(data.path()).add(&worst).unwrap();
        assert_eq!(read(data.path()).unwrap(), [worst]);
    }
}
