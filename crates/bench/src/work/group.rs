//! One message for all devices of a group: one ciphertext up, one body on disk, a record for each.

use std::time::Duration;

use bytes::Bytes;
use godwit_base::AccountId;
use godwit_wire::{ToClient, ToServer, v1};
use serde::Serialize;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::conn::Conn;
use crate::crowd;
use crate::device::Cast;
use crate::error::LoadError;
use crate::figures::{Latencies, Percentiles};
use crate::machine::{Conditions, Processes};
use crate::progress;
use crate::server::Site;

/// Most members of a group.
pub const MEMBERS_MAX: u32 = 1_024;

/// Patience for one message to reach everybody.
const PATIENCE: Duration = Duration::from_secs(60);

/// What to do.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Members, one device each, all of them here.
    pub members: u32,
    /// Messages, one after another: each when everybody has acknowledged the one before.
    pub messages: u32,
    /// Bytes of the ciphertext.
    pub body_bytes: usize,
}

/// What a message to a whole group costs. Names are stable.
#[derive(Debug, Serialize)]
pub struct Report {
    workload: &'static str,
    members: u32,
    messages: u32,
    body_bytes: usize,
    /// From the sender to the server, for one message.
    up_bytes_per_message: f64,
    /// From the server to one recipient, for one message.
    down_bytes_per_recipient: f64,
    /// From the sender's write to its tick.
    accepted_ms: Option<Percentiles>,
    /// From the sender's write to the first recipient.
    first_ms: Option<Percentiles>,
    /// From the sender's write to the last recipient.
    last_ms: Option<Percentiles>,
    /// Up to the last recipient, its acknowledgement not counted.
    fan_out_server_cpu_us_per_recipient: Option<f64>,
    /// All acknowledge at once, up to the sender's receipt that counts everybody.
    acknowledge_server_cpu_us_per_recipient: Option<f64>,
    /// From the first acknowledgement to the receipt that counts everybody.
    counted_ms: Option<Percentiles>,
    /// Records of receipts that the sender got for one message.
    receipts_per_message: f64,
    /// Accounts that have read the last message, as its sender was told in the end.
    readers_told: u32,
    /// Delivered.
    pub delivered: u64,
    others_cpus: Option<f64>,
    conditions: Conditions,
}

/// Runs the load.
///
/// # Errors
/// [`LoadError`] when it cannot be set up or a connection breaks.
///
/// # Panics
/// Outside [`locally`](crate::work::locally).
///
/// # Cancel safety
/// Dropping the future of [`locally`](crate::work::locally) drops all connections.
pub async fn run(site: &Site, plan: &Plan, conditions: Conditions) -> Result<Report, LoadError> {
    let cast = Cast::new(rand::random());
    let mut members = crowd::arrive(site.endpoint(), cast, 0..plan.members).await?;
    let mut sender = members.swap_remove(0);
    let group = Bytes::copy_from_slice(&rand::random::<[u8; 16]>());
    create(&mut sender, cast, plan.members, &group).await?;
    let mut members = each(members, |conn| Box::pin(hear_news(conn))).await?.0;

    let me = Processes::me();
    let mut all = Tally::default();
    let bar = progress::bar("posting", plan.messages.into());
    let whole = conditions.stretch(site.processes(), &me);
    for counter in 1..=u64::from(plan.messages) {
        let up_before = sender.traffic().up_bytes;
        let down_before: u64 = members.iter().map(|conn| conn.traffic().down_bytes).sum();
        let stretch = conditions.stretch(site.processes(), &me);
        let accepted = post(&mut sender, counter, &group, plan.body_bytes);
        let arrived = each(members, move |conn| Box::pin(hear_post(conn, counter)));
        let ((conns, posts), (began, accepted)) = tokio::try_join!(arrived, accepted)?;
        all.fan_out_cpu = sum(all.fan_out_cpu, stretch.end().server_cpu);
        all.up_bytes += sender.traffic().up_bytes - up_before;
        all.accepted.record(accepted.duration_since(began));
        let times = || posts.iter().map(|(at, _)| at.duration_since(began));
        times().min().into_iter().for_each(|first| all.first.record(first));
        times().max().into_iter().for_each(|last| all.last.record(last));
        all.delivered += posts.len() as u64;
        let down: u64 = conns.iter().map(|conn| conn.traffic().down_bytes).sum();
        all.down_bytes += down - down_before;

        let stretch = conditions.stretch(site.processes(), &me);
        let began = Instant::now();
        let has = move |post: &v1::PostReach| {
            (post.counter, post.accounts) == (counter, plan.members - 1)
        };
        let counted = hear_reach(&mut sender, has);
        let (acknowledged, receipts) = tokio::join!(acknowledge(conns, posts), counted);
        members = acknowledged?;
        all.counted.record(began.elapsed());
        all.receipts += receipts?.0;
        all.acknowledge_cpu = sum(all.acknowledge_cpu, stretch.end().server_cpu);
        bar.inc(1);
    }
    all.others_cpus = whole.end().others_cpus;
    bar.finish_and_clear();
    let author = cast.device(0).account;
    all.readers_told = read_all(members, &mut sender, group, plan, author).await?;
    Ok(all.report(plan, conditions))
}

/// Makes the group with everybody in one change.
async fn create(by: &mut Conn, cast: Cast, members: u32, group: &Bytes) -> Result<(), LoadError> {
    let role = |number| if number == 0 { v1::GroupRole::Admin } else { v1::GroupRole::Member };
    let member = |number| v1::GroupMember {
        account: cast.device(number).account.0,
        role: role(number).into(),
    };
    let change = v1::GroupChange {
        request: 1,
        group: group.clone(),
        epoch: 1,
        signed: Bytes::from(vec![0; 38 * members as usize + 200]),
        members: (0..members).map(member).collect(),
        settings: None,
        invite_secret: Bytes::new(),
    };
    let changed = |message| matches!(message, ToClient::GroupChanged(_)).then_some(());
    by.ask("group", &ToServer::GroupChange(change), changed).await
}

/// Posts one and waits for its tick; when it was said and when it was taken. The server takes so many copies a
/// second of one device: what is refused for now is said again when the server says so.
async fn post(
    by: &mut Conn,
    counter: u64,
    group: &Bytes,
    body_bytes: usize,
) -> Result<(Instant, Instant), LoadError> {
    let body = Bytes::from(vec![7; body_bytes]);
    let post = v1::GroupPost { group: group.clone(), epoch: 1, devices_version: 0, body };
    let submit = v1::Submit { counter, recipients: Vec::new(), group: Some(post) };
    let submit = ToServer::Submit(submit);
    loop {
        by.say(&submit)?;
        by.flush().await?;
        let began = Instant::now();
        match hear_tick(by, counter).await {
            Err(LoadError::Refused { retry_after_ms, .. }) if retry_after_ms > 0 => {
                sleep(Duration::from_millis(retry_after_ms.into())).await;
            }
            taken => return Ok((began, taken?)),
        }
    }
}

/// Waits for the first message that `wanted` takes; a refusal ends it.
async fn hear<T>(
    conn: &mut Conn,
    what: &'static str,
    mut wanted: impl FnMut(ToClient) -> Option<T>,
) -> Result<T, LoadError> {
    let heard = async {
        loop {
            let (mut found, mut refused) = (None, None);
            conn.hear(|message| match message {
                ToClient::Refused(refusal) => {
                    refused = Some((refusal.code, refusal.retry_after_ms));
                }
                other => found = found.take().or_else(|| wanted(other)),
            })
            .await?;
            match (found, refused) {
                (_, Some((code, retry_after_ms))) => {
                    return Err(LoadError::Refused { what, code, retry_after_ms });
                }
                (Some(found), None) => return Ok(found),
                (None, None) => {}
            }
        }
    };
    let late = LoadError::TimedOut { what, seconds: PATIENCE.as_secs() };
    timeout(PATIENCE, heard).await.map_err(|_| late)?
}

async fn hear_tick(by: &mut Conn, counter: u64) -> Result<Instant, LoadError> {
    let tick = |message| match message {
        ToClient::Accepted(accepted) if accepted.counter == counter => Some(Instant::now()),
        _ => None,
    };
    hear(by, "tick", tick).await
}

async fn hear_news(conn: &mut Conn) -> Result<(), LoadError> {
    let news = |message| match message {
        ToClient::GroupNews(news) => Some(news.seq),
        _ => None,
    };
    let up_to = hear(conn, "news", news).await?;
    conn.say(&ToServer::Ack(v1::Ack { up_to }))?;
    conn.flush().await
}

/// When the post came, and where it lies.
async fn hear_post(conn: &mut Conn, counter: u64) -> Result<(Instant, u64), LoadError> {
    let post = |message| match message {
        ToClient::Deliver(deliver) if deliver.counter == counter => {
            Some((Instant::now(), deliver.seq))
        }
        _ => None,
    };
    hear(conn, "post", post).await
}

/// Waits for the receipt that `wanted` takes a post of; gives how many receipts it took, and the readers of
/// that post.
async fn hear_reach(
    by: &mut Conn,
    wanted: impl Fn(&v1::PostReach) -> bool,
) -> Result<(u64, u32), LoadError> {
    let mut receipts = 0;
    loop {
        let receipt = |message| match message {
            ToClient::GroupReceipt(receipt) => Some(receipt),
            _ => None,
        };
        let receipt = hear(by, "receipt", receipt).await?;
        receipts += 1;
        by.say(&ToServer::Ack(v1::Ack { up_to: receipt.seq }))?;
        by.flush().await?;
        if let Some(post) = receipt.posts.iter().find(|post| wanted(post)) {
            return Ok((receipts, post.readers));
        }
    }
}

/// All say once that they have read everything: an account says so only so often an hour.
async fn read_all(
    members: Vec<Conn>,
    sender: &mut Conn,
    group: Bytes,
    plan: &Plan,
    author: AccountId,
) -> Result<u32, LoadError> {
    let mark = v1::PostRead { account: author.0, device: 1, up_to: plan.messages.into() };
    let last = (mark.up_to, plan.members - 1);
    let read = ToServer::GroupRead(v1::GroupRead { request: 2, group, marks: vec![mark] });
    let taken = |message| matches!(message, ToClient::GroupReadTaken(_)).then_some(());
    let reading = each(members, move |conn| {
        let read = read.clone();
        Box::pin(async move { conn.ask("read", &read, taken).await })
    });
    let read_by = |post: &v1::PostReach| (post.counter, post.readers) == last;
    let (read, told) = tokio::join!(reading, hear_reach(sender, read_by));
    read?;
    Ok(told?.1)
}

async fn acknowledge(
    mut conns: Vec<Conn>,
    posts: Vec<(Instant, u64)>,
) -> Result<Vec<Conn>, LoadError> {
    for (conn, (_, up_to)) in conns.iter_mut().zip(posts) {
        conn.say(&ToServer::Ack(v1::Ack { up_to }))?;
        conn.flush().await?;
    }
    Ok(conns)
}

type Doing<'a, T> = std::pin::Pin<Box<dyn Future<Output = Result<T, LoadError>> + 'a>>;

/// Does something on all connections at once; connections and results in their order.
async fn each<T: 'static>(
    conns: Vec<Conn>,
    what: impl Fn(&mut Conn) -> Doing<'_, T> + Clone + 'static,
) -> Result<(Vec<Conn>, Vec<T>), LoadError> {
    let mut tasks = JoinSet::new();
    for (at, mut conn) in conns.into_iter().enumerate() {
        let what = what.clone();
        tasks.spawn_local(async move {
            let result = what(&mut conn).await?;
            Ok::<_, LoadError>((at, conn, result))
        });
    }
    let mut done = Vec::with_capacity(tasks.len());
    while let Some(joined) = tasks.join_next().await {
        done.push(joined.map_err(|_| LoadError::Worker)??);
    }
    done.sort_unstable_by_key(|(at, _, _)| *at);
    Ok(done.into_iter().map(|(_, conn, result)| (conn, result)).unzip())
}

/// Sums over all messages.
#[derive(Default)]
struct Tally {
    accepted: Latencies,
    first: Latencies,
    last: Latencies,
    counted: Latencies,
    fan_out_cpu: Option<Duration>,
    acknowledge_cpu: Option<Duration>,
    others_cpus: Option<f64>,
    up_bytes: u64,
    down_bytes: u64,
    receipts: u64,
    readers_told: u32,
    delivered: u64,
}

impl Tally {
    fn report(self, plan: &Plan, conditions: Conditions) -> Report {
        let messages = f64::from(plan.messages);
        let delivered = self.delivered as f64;
        let us = |cpu: Option<Duration>| cpu.map(|cpu| cpu.as_secs_f64() * 1e6 / delivered);
        Report {
            workload: "group",
            members: plan.members,
            messages: plan.messages,
            body_bytes: plan.body_bytes,
            up_bytes_per_message: self.up_bytes as f64 / messages,
            down_bytes_per_recipient: self.down_bytes as f64 / delivered,
            accepted_ms: self.accepted.percentiles(),
            first_ms: self.first.percentiles(),
            last_ms: self.last.percentiles(),
            fan_out_server_cpu_us_per_recipient: us(self.fan_out_cpu),
            acknowledge_server_cpu_us_per_recipient: us(self.acknowledge_cpu),
            counted_ms: self.counted.percentiles(),
            receipts_per_message: self.receipts as f64 / messages,
            readers_told: self.readers_told,
            delivered: self.delivered,
            others_cpus: self.others_cpus,
            conditions,
        }
    }
}

fn sum(one: Option<Duration>, other: Option<Duration>) -> Option<Duration> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one + other),
        (one, other) => one.or(other),
    }
}
