//! Two real clients, each behind a bad network of its own: texts and a photo must arrive once, in order, with
//! the right ticks.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use godwit_base::JoinLink;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

use crate::error::LoadError;
use crate::figures::{Latencies, Percentiles};
use crate::machine::Conditions;
use crate::proxy::{Counts, Profile, Proxy};
use crate::server::{Site, beside_this, data_folder};

/// Joining is tried so often: a cut in the middle of it is to be expected.
const JOINS_MAX: u32 = 10;

/// Between two looks at the ticks, and two attempts to join.
const PAUSE: Duration = Duration::from_millis(500);

/// Most bytes of the photo: at 5 KB/s 17 minutes.
pub const PHOTO_BYTES_MAX: u32 = 5_000_000;

/// What to do.
#[derive(Debug, Clone)]
pub struct Plan {
    /// How many texts.
    pub texts: u32,
    /// Size of the photo, sent behind the texts; 0 is none.
    pub photo_bytes: u32,
    /// What each of the two networks is like.
    pub profile: Profile,
    /// Which segments are lost.
    pub seed: u64,
    /// When it is given up.
    pub seconds: u64,
    /// The client's program; beside this program unless set.
    pub client: Option<PathBuf>,
}

/// How the texts came through. Names are stable.
#[derive(Debug, Serialize)]
pub struct Report {
    workload: &'static str,
    profile: Profile,
    seed: u64,
    texts: u32,
    photo_bytes: u32,
    /// From the first text typed to the last message printed at the other side, the photo's included.
    all_arrived_s: f64,
    /// From then to the photo's last byte on the recipient's disk.
    photo_saved_s: Option<f64>,
    /// Whether it has the bytes that were sent.
    pub photo_same: Option<bool>,
    /// Until the last tick.
    all_read_s: f64,
    /// From when all texts were handed to the client to each one's arrival.
    arrival_ms: Option<Percentiles>,
    /// Never printed.
    pub lost: u64,
    /// Printed again.
    pub duplicated: u64,
    /// Printed after a later one.
    pub out_of_order: u64,
    /// Texts that the sender's history does not show as read at the end.
    pub without_ticks: u64,
    /// On both networks, both ways, joining apart.
    bytes: u64,
    /// Of a run without a photo.
    bytes_per_text: Option<f64>,
    sender: Counts,
    recipient: Counts,
    conditions: Conditions,
}

/// A client behind its network.
struct Client {
    program: PathBuf,
    home: PathBuf,
    proxy: Proxy,
}

/// A line of `listen` or `history`.
#[derive(Deserialize)]
struct Line {
    #[serde(default)]
    id: String,
    #[serde(default)]
    event: String,
    #[serde(default)]
    text: String,
    #[serde(default)]
    state: String,
    #[serde(default)]
    media: Option<serde::de::IgnoredAny>,
}

/// What was printed at the recipient.
#[derive(Default)]
struct HeardAll {
    texts: Vec<String>,
    /// Ids of messages with a file.
    photos: Vec<String>,
}

/// The link of a server, by way of a proxy.
pub fn join_link(site: &Site, proxy: &Proxy) -> JoinLink {
    JoinLink {
        host: proxy.address().ip().to_string(),
        port: proxy.address().port(),
        server_key: site.endpoint().key.0,
    }
}

/// Sends the texts.
///
/// # Errors
/// [`LoadError`] when clients cannot join or do not end in time; what goes wrong with texts is counted.
///
/// # Cancel safety
/// Dropping the future kills the clients.
pub async fn run(site: &Site, plan: &Plan, conditions: Conditions) -> Result<Report, LoadError> {
    let late = LoadError::TimedOut { what: "arrival of all texts", seconds: plan.seconds };
    let running = run_here(site, plan, conditions);
    timeout(Duration::from_secs(plan.seconds), running).await.map_err(|_| late)?
}

async fn run_here(site: &Site, plan: &Plan, conditions: Conditions) -> Result<Report, LoadError> {
    let folder = data_folder(None)?;
    let [alice, bob] = ["alice", "bob"];
    let sender = Client::join(site, plan, folder.path(), alice, plan.seed).await?;
    let recipient = Client::join(site, plan, folder.path(), bob, plan.seed.wrapping_add(1)).await?;
    let before = (sender.proxy.counts(), recipient.proxy.counts());
    let texts: Vec<String> = (1..=plan.texts).map(|n| format!("text number {n:08}")).collect();
    let mut listening = recipient.start(&["listen", "--json", "--read"], Stdio::null())?;
    let began = Instant::now();
    let mut sending = sender.start(&["send", bob, "--lines", "--wait", "read"], Stdio::piped())?;
    if let Some(mut input) = sending.stdin.take() {
        let lines = texts.join("\n") + "\n";
        input.write_all(lines.as_bytes()).await.map_err(LoadError::io("writing texts"))?;
    }
    let photo = Photo::make(folder.path(), plan.photo_bytes)?;
    let mut sending_photo = match &photo {
        Some(photo) => Some(sender.sends(bob, photo)?),
        None => None,
    };
    let mut arrival = Latencies::default();
    let photos = usize::from(photo.is_some());
    let heard = hear(&mut listening, texts.len(), photos, began, &mut arrival).await?;
    let all_arrived_s = began.elapsed().as_secs_f64();
    let saved = match (&photo, heard.photos.first()) {
        (Some(photo), Some(id)) => Some(recipient.saves(id, photo).await?),
        _ => None,
    };
    for child in [Some(&mut sending), sending_photo.as_mut()].into_iter().flatten() {
        let ended = child.wait().await.map_err(LoadError::io("waiting for the sender"))?;
        if !ended.success() {
            return Err(LoadError::Client { what: "send", said: ended.to_string() });
        }
    }
    let all_read_s = began.elapsed().as_secs_f64();
    let without_ticks = sender.unread(bob).await?;
    let _ = listening.kill().await;
    let (sender, recipient) =
        (sender.proxy.counts().since(before.0), recipient.proxy.counts().since(before.1));
    let bytes = [sender.up_bytes, sender.down_bytes, recipient.up_bytes, recipient.down_bytes];
    let bytes = bytes.iter().sum::<u64>();
    let mut verdict = Verdict::of(&texts, &heard.texts);
    verdict.duplicated += heard.photos.len().saturating_sub(photos) as u64;
    Ok(Report {
        workload: "2g",
        profile: plan.profile,
        seed: plan.seed,
        texts: plan.texts,
        photo_bytes: plan.photo_bytes,
        all_arrived_s,
        photo_saved_s: saved.as_ref().map(|saved| saved.seconds),
        photo_same: saved.map(|saved| saved.same),
        all_read_s,
        arrival_ms: arrival.percentiles(),
        lost: verdict.lost,
        duplicated: verdict.duplicated,
        out_of_order: verdict.out_of_order,
        without_ticks,
        bytes,
        bytes_per_text: photo.is_none().then(|| bytes as f64 / f64::from(plan.texts)),
        sender,
        recipient,
        conditions,
    })
}

/// What is printed, until as many different texts and photos came as were sent.
async fn hear(
    listening: &mut Child,
    count: usize,
    photos: usize,
    began: Instant,
    arrival: &mut Latencies,
) -> Result<HeardAll, LoadError> {
    let output = listening.stdout.take().ok_or(LoadError::Closed)?;
    let mut lines = BufReader::new(output).lines();
    let (mut heard, mut different) = (HeardAll::default(), HashSet::new());
    while different.len() < count || heard.photos.len() < photos {
        let line = lines.next_line().await.map_err(LoadError::io("reading what is heard"))?;
        let line = line.ok_or(LoadError::Closed)?;
        let Ok(line) = serde_json::from_str::<Line>(&line) else { continue };
        if line.event != "message" {
            continue;
        }
        if line.media.is_some() {
            heard.photos.push(line.id);
        } else {
            arrival.record(began.elapsed());
            different.insert(line.text.clone());
            heard.texts.push(line.text);
        }
    }
    Ok(heard)
}

/// A file as large as a photo, of bytes that cannot be made smaller.
struct Photo {
    path: PathBuf,
    saved: PathBuf,
}

struct Saved {
    seconds: f64,
    same: bool,
}

impl Photo {
    /// Writes it; nothing if it has no bytes.
    fn make(folder: &Path, bytes: u32) -> Result<Option<Self>, LoadError> {
        if bytes == 0 {
            return Ok(None);
        }
        let word = |at: u32| u64::from(at).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes();
        let all = (0..bytes.div_ceil(8)).flat_map(word);
        let content: Vec<u8> = all.take(bytes as usize).collect();
        let (path, saved) = (folder.join("photo.jpg"), folder.join("saved.jpg"));
        std::fs::write(&path, content).map_err(LoadError::io("writing the photo"))?;
        Ok(Some(Self { path, saved }))
    }

    fn is_same(&self) -> Result<bool, LoadError> {
        let read = |path: &Path| std::fs::read(path).map_err(LoadError::io("reading the photo"));
        Ok(read(&self.path)? == read(&self.saved)?)
    }
}

impl Client {
    /// Sends a photo and waits until it was read.
    fn sends(&self, to: &str, photo: &Photo) -> Result<Child, LoadError> {
        let mut command = self.command(&["send", to, "--wait", "read", "--file"]);
        command.arg(&photo.path).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().map_err(LoadError::io("running godwit"))
    }

    async fn saves(&self, id: &str, photo: &Photo) -> Result<Saved, LoadError> {
        let began = Instant::now();
        let saving = self.command(&["save", id, "--out"]).arg(&photo.saved).output().await;
        let saving = saving.map_err(LoadError::io("running godwit"))?;
        if !saving.status.success() {
            let said = String::from_utf8_lossy(&saving.stderr).trim().to_owned();
            return Err(LoadError::Client { what: "save", said });
        }
        Ok(Saved { seconds: began.elapsed().as_secs_f64(), same: photo.is_same()? })
    }

    async fn join(
        site: &Site,
        plan: &Plan,
        folder: &Path,
        handle: &str,
        seed: u64,
    ) -> Result<Self, LoadError> {
        let program = match &plan.client {
            Some(program) => program.clone(),
            None => beside_this("godwit")?,
        };
        let proxy = Proxy::start(plan.profile, site.endpoint().address, seed).await?;
        let client = Self { program, home: folder.join(handle), proxy };
        let link = join_link(site, &client.proxy).to_string();
        let mut said = String::new();
        for _ in 0..JOINS_MAX {
            let joining = client.command(&["join", &link, "--as", handle]).output().await;
            let joined = joining.map_err(LoadError::io("running godwit"))?;
            if joined.status.success() {
                return Ok(client);
            }
            said = String::from_utf8_lossy(&joined.stderr).trim().to_owned();
            sleep(PAUSE).await;
        }
        Err(LoadError::Client { what: "join", said })
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("--home").arg(&self.home).args(arguments).kill_on_drop(true);
        command
    }

    fn start(&self, arguments: &[&str], input: Stdio) -> Result<Child, LoadError> {
        let mut command = self.command(arguments);
        command.stdin(input).stdout(Stdio::piped()).stderr(Stdio::null());
        command.spawn().map_err(LoadError::io("running godwit"))
    }

    /// Texts of the chat that are not shown as read.
    async fn unread(&self, with: &str) -> Result<u64, LoadError> {
        let history = self.command(&["history", with, "--json"]).output().await;
        let history = history.map_err(LoadError::io("running godwit"))?;
        let lines = String::from_utf8_lossy(&history.stdout).into_owned();
        let states = lines.lines().filter_map(|line| serde_json::from_str::<Line>(line).ok());
        Ok(states.filter(|line| line.state != "read").count() as u64)
    }
}

/// What became of the texts.
#[derive(Debug, Default, PartialEq, Eq)]
struct Verdict {
    lost: u64,
    duplicated: u64,
    out_of_order: u64,
}

impl Verdict {
    fn of(sent: &[String], heard: &[String]) -> Self {
        let mut verdict = Self::default();
        let mut seen = HashSet::new();
        let mut newest: Option<&String> = None;
        for text in heard {
            if !seen.insert(text) {
                verdict.duplicated += 1;
            } else if newest.is_some_and(|newest| newest > text) {
                verdict.out_of_order += 1;
            }
            newest = newest.max(Some(text));
        }
        verdict.lost = sent.iter().filter(|text| !seen.contains(text)).count() as u64;
        verdict
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lost_repeated_or_out_of_order_is_seen() {
        let texts = |numbers: &[u32]| numbers.iter().map(|n| format!("{n:08}")).collect::<Vec<_>>();
        let sent = texts(&[1, 2, 3, 4]);
        assert_eq!(Verdict::of(&sent, &sent), Verdict::default());
        let verdict = Verdict::of(&sent, &texts(&[1, 3, 2, 3]));
        assert_eq!(verdict, Verdict { lost: 1, duplicated: 1, out_of_order: 1 });
    }
}
