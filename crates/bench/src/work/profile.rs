//! The load of a real fleet, as published: few messages, more logins, presence at each of them, most
//! mailboxes empty. What a connection costs when it lives like that, and at the top of the day.

mod member;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use serde::Serialize;
use tokio::sync::mpsc;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, sleep};

use crate::conn::{Conn, Endpoint};
use crate::crowd;
use crate::device::{Cast, neighbour_of};
use crate::error::LoadError;
use crate::figures::{Latencies, Percentiles};
use crate::loss::Loss;
use crate::machine::{Conditions, Processes};
use crate::progress;
use crate::redial::{Redial, Road};
use crate::server::Site;
use member::{Member, Order};

/// Connections that one process holds, of 20,000 files that it may open.
pub const CONNECTIONS_MAX: u32 = 18_000;

/// Until timers, logs and allocators have come to rest.
pub const SETTLE: Duration = Duration::from_secs(4);

/// Longer than a login, or a message to somebody who is there, takes at any working server.
pub const PATIENCE: Duration = Duration::from_secs(15);

/// What the devices of a fleet do. The figures are those of 2014 that the first of its kind published.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Habits {
    /// A connection logs in once in so many seconds.
    pub login_every_s: f64,
    /// ... and sends a message.
    pub message_every_s: f64,
    /// One of so many mailboxes holds a message when it is opened.
    pub mail_every: u32,
    /// So much more of everything at the top of the day.
    pub spike_percent: u32,
}

impl Habits {
    /// The fleet of 2014.
    pub const WHATSAPP_2014: Self =
        Self { login_every_s: 639.0, message_every_s: 430.0, mail_every: 4, spike_percent: 35 };
}

/// Reads the name of a fleet.
///
/// # Errors
/// The names there are.
pub fn habits(name: &str) -> Result<Habits, String> {
    match name {
        "whatsapp2014" => Ok(Habits::WHATSAPP_2014),
        _ => Err("the profiles are: whatsapp2014".to_owned()),
    }
}

/// What to do.
#[derive(Debug, Clone)]
pub struct Plan {
    /// What the devices do.
    pub habits: Habits,
    /// Devices, an even number, each of an account of its own: they write to each other in pairs.
    pub connections: u32,
    /// Of a hundred segments each way so many are lost.
    pub loss_percent: u8,
    /// How long the even load is measured, and then the top of the day.
    pub seconds: u64,
    /// Before each is measured.
    pub settle: Duration,
    /// See [`PATIENCE`].
    pub patience: Duration,
}

/// What living like that costs. Names are stable.
#[derive(Debug, Serialize)]
pub struct Report {
    workload: &'static str,
    connections: u32,
    seconds: u64,
    habits: Habits,
    loss_percent: u8,
    /// Everybody connected and nobody doing anything.
    idle_server_cpu_us_per_connection_s: Option<f64>,
    /// The even load.
    pub even: Stretch,
    /// The top of the day.
    pub spike: Stretch,
    /// Accepted, and never delivered.
    pub lost: u64,
    /// Delivered again, or after a later one.
    pub duplicated: u64,
    /// Logins and messages that failed.
    pub failed: u64,
    /// What devices met on their way back.
    #[serde(flatten)]
    pub road: Road,
    /// Connections that ended by themselves.
    pub broken_connections: u64,
    conditions: Conditions,
}

/// One stretch of it.
#[derive(Debug, Serialize)]
pub struct Stretch {
    /// Devices that went and came back.
    pub logins: u64,
    /// Of these, with an empty mailbox.
    pub empty: u64,
    /// Messages that were accepted.
    pub messages: u64,
    logins_per_s: f64,
    messages_per_s: f64,
    /// All of the server's CPU time, keepalives included.
    pub server_cpu_us_per_connection_s: Option<f64>,
    /// From dialling to "caught up".
    pub login_ms: Option<Percentiles>,
    /// From the submission to the tick.
    accepted_ms: Option<Percentiles>,
    /// From the submission to the hands of a recipient who is there.
    delivery_ms: Option<Percentiles>,
    others_cpus: Option<f64>,
}

/// What all devices share. One thread, so cells and no locks.
pub(crate) struct Stage {
    redial: Redial,
    patience: Duration,
    /// What each device has submitted and its neighbour has not had: counter and moment.
    under_way: RefCell<Vec<VecDeque<(u64, Instant)>>>,
    seen: RefCell<Seen>,
    lost: Cell<u64>,
    duplicated: Cell<u64>,
    failed: Cell<u64>,
    broken: Cell<u64>,
}

/// What was seen of one stretch.
#[derive(Default)]
pub(crate) struct Seen {
    logins: u64,
    empty: u64,
    messages: u64,
    login: Latencies,
    accepted: Latencies,
    delivery: Latencies,
}

/// Runs the load.
///
/// # Errors
/// [`LoadError`] when it cannot be set up; what goes wrong later is counted in the report.
///
/// # Panics
/// Outside [`locally`](crate::work::locally).
///
/// # Cancel safety
/// Dropping the future of [`locally`](crate::work::locally) drops all connections.
pub async fn run(site: &Site, plan: &Plan, conditions: Conditions) -> Result<Report, LoadError> {
    let cast = Cast::new(rand::random());
    let mut conns = crowd::arrive(site.endpoint(), cast, 0..plan.connections).await?;
    // Not before all are here: that is set-up.
    conns.iter_mut().for_each(|conn| conn.lose(Loss::percent(plan.loss_percent)));
    let stage = Rc::new(Stage::new(site, plan));
    let members = start(conns, cast, &stage);
    sleep(plan.settle).await;
    let idle = conditions.stretch(site.processes(), &Processes::me());
    progress::seconds("nobody does anything", plan.seconds).await;
    let idle = idle.end().server_us_each(connection_seconds(plan));

    let run = Run { site, plan, conditions: &conditions, stage: &stage, members: &members };
    let even = run.stretch("an even load", 1.0).await;
    let more = f64::from(100 + plan.habits.spike_percent) / 100.0;
    let spike = run.stretch("the top of the day", more).await;
    stage.come_to_rest(plan.patience).await;
    drop(members);
    let missing: u64 = stage.under_way.borrow().iter().map(|sent| sent.len() as u64).sum();
    let lost = stage.lost.get() + missing;
    Ok(Report {
        workload: "profile",
        connections: plan.connections,
        seconds: plan.seconds,
        habits: plan.habits,
        loss_percent: plan.loss_percent,
        idle_server_cpu_us_per_connection_s: idle,
        even,
        spike,
        lost,
        duplicated: stage.duplicated.get(),
        failed: stage.failed.get(),
        road: stage.redial.road(),
        broken_connections: stage.broken.get(),
        conditions,
    })
}

fn connection_seconds(plan: &Plan) -> u64 {
    u64::from(plan.connections) * plan.seconds
}

/// One task a device; each is told through its channel what to do.
fn start(conns: Vec<Conn>, cast: Cast, stage: &Rc<Stage>) -> Vec<mpsc::Sender<Order>> {
    let all = u32::try_from(conns.len()).unwrap_or(u32::MAX);
    let mut members = Vec::with_capacity(conns.len());
    for (number, conn) in (0_u32..).zip(conns) {
        let (orders, told) = mpsc::channel(member::ORDERS_MAX);
        members.push(orders);
        let member = Member::new(number, cast, Rc::clone(stage));
        // Evenly over the interval, as devices that came at different times would be.
        let part = f64::from(number) / f64::from(all);
        tokio::task::spawn_local(member.run(conn, told, part));
    }
    members
}

/// What a stretch needs.
struct Run<'a> {
    site: &'a Site,
    plan: &'a Plan,
    conditions: &'a Conditions,
    stage: &'a Stage,
    members: &'a [mpsc::Sender<Order>],
}

impl Run<'_> {
    /// Has devices live like that, so many times as busily.
    async fn stretch(&self, name: &'static str, times: f64) -> Stretch {
        self.stage.seen.take();
        let spent = self.conditions.stretch(self.site.processes(), &Processes::me());
        self.give_orders(name, times).await;
        let spent = spent.end();
        let seen = self.stage.seen.take();
        Stretch {
            logins: seen.logins,
            empty: seen.empty,
            messages: seen.messages,
            logins_per_s: spent.per_s(seen.logins),
            messages_per_s: spent.per_s(seen.messages),
            server_cpu_us_per_connection_s: spent.server_us_each(connection_seconds(self.plan)),
            login_ms: seen.login.percentiles(),
            accepted_ms: seen.accepted.percentiles(),
            delivery_ms: seen.delivery.percentiles(),
            others_cpus: spent.others_cpus,
        }
    }

    /// Logins and messages at even distances. What is written to those who are away is part of the
    /// messages.
    async fn give_orders(&self, name: &'static str, times: f64) {
        let (plan, habits) = (self.plan, self.plan.habits);
        let all = f64::from(plan.connections) * times;
        let logins_per_s = all / habits.login_every_s;
        let mail_per_s = logins_per_s / f64::from(habits.mail_every.max(1));
        let mut logins = clock(logins_per_s);
        let mut messages = clock(all / habits.message_every_s - mail_per_s);
        // Both of a pair are half the crowd apart in time, and who writes is a quarter away from who goes.
        let order = || (0..plan.connections).step_by(2).chain((1..plan.connections).step_by(2));
        let mut goers = (0_u32..).zip(order().cycle());
        let mut writers = order().cycle().skip(self.members.len() / 4);
        let end = Instant::now() + Duration::from_secs(plan.seconds);
        let bar = progress::bar(name, plan.seconds);
        loop {
            let (at, told) = tokio::select! {
                at = logins.tick() => {
                    let mail = |turn: u32| turn.is_multiple_of(habits.mail_every.max(1));
                    let goer = goers.next();
                    (at, goer.map(|(turn, goer)| (goer, self.returning(goer, mail(turn)))))
                }
                at = messages.tick() => {
                    (at, writers.next().map(|writer| (writer, Order::Write(None))))
                }
            };
            if at >= end {
                break;
            }
            let Some((number, order)) = told else { break };
            let member = self.member(number);
            if member.is_none_or(|member| member.try_send(order).is_err()) {
                self.stage.fail();
            }
            bar.set_position(plan.seconds.saturating_sub(end.duration_since(at).as_secs()));
        }
        bar.finish_and_clear();
    }

    fn returning(&self, number: u32, mail: bool) -> Order {
        let neighbour = self.member(neighbour_of(number)).filter(|_| mail);
        Order::Return(neighbour.cloned())
    }

    fn member(&self, number: u32) -> Option<&mpsc::Sender<Order>> {
        self.members.get(number as usize)
    }
}

fn clock(per_s: f64) -> Interval {
    let mut clock = interval(Duration::from_secs_f64(1.0 / per_s.max(0.001)));
    clock.set_missed_tick_behavior(MissedTickBehavior::Burst);
    clock
}

impl Stage {
    fn new(site: &Site, plan: &Plan) -> Self {
        let to = Endpoint { loss: Loss::percent(plan.loss_percent), ..site.endpoint() };
        Self {
            redial: Redial::new(to, None),
            patience: plan.patience,
            under_way: RefCell::new(vec![VecDeque::new(); plan.connections as usize]),
            seen: RefCell::default(),
            lost: Cell::default(),
            duplicated: Cell::default(),
            failed: Cell::default(),
            broken: Cell::default(),
        }
    }

    /// A device submits.
    fn submits(&self, number: u32, counter: u64) {
        if let Some(sent) = self.under_way.borrow_mut().get_mut(number as usize) {
            sent.push_back((counter, Instant::now()));
        }
    }

    /// Its neighbour, who is here, is given one of its messages: how long that took.
    fn delivers(&self, number: u32, counter: u64) -> Option<Duration> {
        let next = self.next(number, counter);
        if next.is_none() {
            self.duplicated.set(self.duplicated.get() + 1);
        }
        next
    }

    /// Its neighbour finds one of its messages: whether for the first time.
    fn finds(&self, number: u32, counter: u64) -> bool {
        self.next(number, counter).is_some()
    }

    /// What was submitted before it and did not come is lost.
    fn next(&self, number: u32, counter: u64) -> Option<Duration> {
        let mut under_way = self.under_way.borrow_mut();
        let sent = under_way.get_mut(number as usize)?;
        while sent.pop_front_if(|(before, _)| *before < counter).is_some() {
            self.lost.set(self.lost.get() + 1);
        }
        sent.pop_front_if(|(sent, _)| *sent == counter).map(|(_, at)| at.elapsed())
    }

    fn logs_in(&self, took: Duration, empty: bool) {
        let mut seen = self.seen.borrow_mut();
        seen.login.record(took);
        seen.logins += 1;
        seen.empty += u64::from(empty);
    }

    /// The newest was refused.
    fn withdraws(&self, number: u32) {
        if let Some(sent) = self.under_way.borrow_mut().get_mut(number as usize) {
            sent.pop_back();
        }
        self.fail();
    }

    fn fail(&self) {
        self.failed.set(self.failed.get() + 1);
    }

    /// Waits until nothing is under way, or will not come any more.
    async fn come_to_rest(&self, patience: Duration) {
        let end = Instant::now() + patience;
        let rests = || self.under_way.borrow().iter().all(VecDeque::is_empty);
        while !rests() && Instant::now() < end {
            sleep(Duration::from_millis(50)).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fleet_has_a_name() {
        assert_eq!(habits("whatsapp2014"), Ok(Habits::WHATSAPP_2014));
        assert!(habits("whatsapp").is_err_and(|names| names.contains("whatsapp2014")));
    }
}
