//! The loads against a server that can be told to misbehave: a benchmark that does not see a lost
//! message is worth nothing.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at the first surprise"
)]

mod broker;
mod cli;
mod double;
mod proxy;

use std::time::Duration;

use broker::Broker;
use double::{Double, Fault};
use godwit_bench::machine::{Conditions, Processes};
use godwit_bench::peer::Protocol;
use godwit_bench::peer::conn::PeerEndpoint;
use godwit_bench::server::{Choice, Site};
use godwit_bench::work::{
    bystanders, chat, churn, handshake, locally, offline, overload, presence, profile, relay,
};

async fn site(double: &Double) -> Site {
    let choice = Choice { join: Some(double.link.clone()), ..Choice::default() };
    Site::open(&choice).await.unwrap()
}

fn conditions() -> Conditions {
    Conditions::here(".".as_ref(), &Processes::default())
}

async fn chat(fault: Fault, window: u32) -> chat::Report {
    let plan = chat::Plan {
        pairs: 3,
        beside: 0,
        window,
        seconds: 1,
        body_bytes: chat::BODY_BYTES,
        rate: None,
        half: false,
        warm_up: Duration::ZERO,
        patience: Duration::from_millis(300),
    };
    let double = Double::start(fault).await;
    locally(chat::run(&site(&double).await, &plan, conditions())).await.unwrap()
}

fn offline_plan() -> offline::Plan {
    let meanwhile = offline::Meanwhile::Stays;
    offline::Plan { users: 5, each: 40, senders: 2, window: 8, body_bytes: 64, meanwhile }
}

#[tokio::test]
async fn a_chat_with_an_honest_server_loses_nothing() {
    for window in [1, 16] {
        let report = chat(Fault::None, window).await;
        assert_eq!((report.lost, report.duplicated, report.out_of_order), (0, 0, 0));
        assert_eq!((report.failed, report.broken_connections), (0, 0));
        assert!(report.phase.messages_per_s > 0.0);
        // Two bodies of 136 bytes cross the links, and little else.
        let total = report.wire_bytes_per_message.total;
        assert!((272.0..600.0).contains(&total), "{total}");
    }
}

#[tokio::test]
async fn others_stay_connected_while_pairs_chat() {
    let plan = chat::Plan {
        pairs: 2,
        beside: 7,
        window: 1,
        seconds: 1,
        body_bytes: 8,
        rate: None,
        half: false,
        warm_up: Duration::ZERO,
        patience: Duration::from_millis(300),
    };
    let double = Double::start(Fault::None).await;
    let report = locally(chat::run(&site(&double).await, &plan, conditions())).await.unwrap();
    assert_eq!((report.connections, double.attached(), report.broken_connections), (11, 11, 0));
    assert!(report.phase.messages_per_s > 0.0, "{report:?}");
}

#[tokio::test]
async fn a_lost_message_is_seen() {
    let report = chat(Fault::LoseEvery(50), 4).await;
    assert!(report.lost > 0);
    assert_eq!(report.duplicated, 0);
}

#[tokio::test]
async fn a_repeated_message_is_seen() {
    let report = chat(Fault::RepeatEvery(50), 4).await;
    assert!(report.duplicated > 0);
    assert_eq!((report.lost, report.out_of_order), (0, 0));
}

#[tokio::test]
async fn a_refusal_for_now_is_answered_in_order() {
    let report = chat(Fault::RefuseEvery(50), 16).await;
    assert!(report.refused_for_now > 0);
    assert_eq!((report.lost, report.duplicated, report.out_of_order), (0, 0, 0));
    assert_eq!((report.failed, report.broken_connections), (0, 0));
}

#[tokio::test]
async fn an_even_pace_is_kept() {
    let plan = chat::Plan {
        pairs: 4,
        beside: 0,
        window: 1,
        seconds: 1,
        body_bytes: 8,
        rate: Some(200.0),
        half: true,
        warm_up: Duration::ZERO,
        patience: Duration::from_millis(300),
    };
    let double = Double::start(Fault::None).await;
    let began = std::time::Instant::now();
    locally(chat::run(&site(&double).await, &plan, conditions())).await.unwrap();
    // A full window would make thousands; the pace makes what the clock allows and no more.
    let most = 200.0 * began.elapsed().as_secs_f64() + f64::from(plan.pairs);
    let seen = double.submitted();
    assert!(seen > 0 && seen as f64 <= most, "{seen} of at most {most}");
}

#[tokio::test]
async fn offline_messages_wait_and_come_once() {
    let double = Double::start(Fault::None).await;
    let plan = offline_plan();
    let report =
        locally(offline::run(&mut site(&double).await, &plan, conditions())).await.unwrap();
    assert_eq!(report.accepted, 200);
    assert_eq!((report.lost, report.duplicated, report.failed), (0, 0, 0));
}

#[tokio::test]
async fn offline_faults_are_counted_one_by_one() {
    let plan = offline_plan();
    let double = Double::start(Fault::LoseEvery(50)).await;
    let report =
        locally(offline::run(&mut site(&double).await, &plan, conditions())).await.unwrap();
    assert_eq!((report.accepted, report.lost, report.duplicated), (200, 4, 0));
    let double = Double::start(Fault::RepeatEvery(20)).await;
    let report =
        locally(offline::run(&mut site(&double).await, &plan, conditions())).await.unwrap();
    assert_eq!((report.accepted, report.lost, report.duplicated), (200, 0, 10));
    let double = Double::start(Fault::RefuseEvery(10)).await;
    let report =
        locally(offline::run(&mut site(&double).await, &plan, conditions())).await.unwrap();
    assert_eq!((report.accepted, report.lost, report.duplicated), (200, 0, 0));
}

async fn broker(lose_every: u64) -> PeerEndpoint {
    let broker = Broker::start(lose_every).await;
    PeerEndpoint::new(Protocol::Mqtt, broker.address, None).unwrap()
}

#[tokio::test]
async fn a_chat_on_another_server_is_judged_as_ours_is() {
    for (lose_every, loses) in [(0, false), (50, true)] {
        let to = broker(lose_every).await;
        let plan = chat::Plan {
            pairs: 3,
            beside: 0,
            window: 4,
            seconds: 1,
            body_bytes: 200,
            rate: None,
            half: !loses, // what is lost stays in its window, and the pair stands still
            warm_up: Duration::ZERO,
            patience: Duration::from_millis(300),
        };
        let report = locally(chat::peer::run(&to, None, &plan, conditions())).await.unwrap();
        assert_eq!((report.lost > 0, report.duplicated, report.broken_connections), (loses, 0, 0));
        assert!(report.phase.messages_per_s > 0.0 || loses, "{report:?}");
        // The body twice, and what MQTT and the receipt need around it.
        let total = report.wire_bytes_per_message.total;
        assert!((400.0..700.0).contains(&total) || loses, "{total}");
    }
}

#[tokio::test]
async fn messages_to_the_absent_on_another_server_are_counted_one_by_one() {
    for (lose_every, lost) in [(0, 0), (50, 4)] {
        let bounds = offline::peer::Bounds { enqueue: Duration::from_secs(60), pause: false };
        let to = broker(lose_every).await;
        let plan = offline_plan();
        let report =
            locally(offline::peer::run(&to, None, &plan, &bounds, conditions())).await.unwrap();
        assert_eq!((report.accepted, report.lost, report.duplicated), (200, lost, 0), "{report:?}");
    }
}

#[tokio::test]
async fn a_change_of_presence_that_is_not_told_is_seen() {
    let plan = presence::Plan {
        connections: 20,
        changes_percent: 1_000.0,
        seconds: 1,
        settle: Duration::from_millis(200),
        patience: Duration::from_millis(300),
    };
    for (fault, loses) in [(Fault::None, false), (Fault::LoseEvery(10), true)] {
        let double = Double::start(fault).await;
        let report =
            locally(presence::run(&site(&double).await, &plan, conditions())).await.unwrap();
        assert!(report.changes > 0 && report.told > 0, "{report:?}");
        assert_eq!((report.lost > 0, report.broken_connections), (loses, 0), "{report:?}");
    }
}

#[tokio::test]
async fn a_signal_that_is_not_passed_on_is_seen() {
    for (pairs, window) in [(3, 1), (5, 4)] {
        let plan = relay::Plan {
            pairs,
            window,
            seconds: 2, // more than seven signals, however long a round that was not told whole rests
            settle: Duration::from_millis(300),
            patience: Duration::from_millis(300),
        };
        for (fault, loses) in [(Fault::None, false), (Fault::LoseEvery(7), true)] {
            let double = Double::start(fault).await;
            let report =
                locally(relay::run(&site(&double).await, &plan, conditions())).await.unwrap();
            assert!(report.messages_per_s > 0.0 && report.delivery_ms.is_some(), "{report:?}");
            assert_eq!((report.lost > 0, report.broken_connections), (loses, 0), "{report:?}");
        }
    }
}

#[tokio::test]
async fn handshakes_are_made_both_ways() {
    let double = Double::start(Fault::None).await;
    let plan = handshake::Plan { seconds: 1, at_once: 4 };
    let report = locally(handshake::run(&site(&double).await, &plan, conditions())).await.unwrap();
    assert_eq!(report.failed, 0);
    assert!(report.full_per_s > 0.0 && report.resumed_per_s > 0.0);
    let (full, resumed) = double.handshakes();
    assert!(full > 4 && resumed > 0, "{full} full, {resumed} resumed");
}

async fn churn(fault: Fault) -> churn::Report {
    let plan = churn::Plan {
        connections: 40,
        rate: 40,
        seconds: 2,
        settle: Duration::from_millis(300),
        patience: Duration::from_secs(20),
    };
    let double = Double::start(fault).await;
    locally(churn::run(&site(&double).await, &plan, conditions())).await.unwrap()
}

#[tokio::test]
async fn three_of_four_come_back_to_an_empty_mailbox() {
    let report = churn(Fault::None).await;
    assert_eq!((report.failed, report.broken_connections), (0, 0), "{report:?}");
    assert_eq!(report.logins, report.empty + report.with_mail, "{report:?}");
    assert!(report.with_mail > 0 && report.empty > report.with_mail, "{report:?}");
    assert_eq!((report.road.resumed, report.road.full), (report.logins, 0), "{report:?}");
}

#[tokio::test]
async fn a_message_that_waited_for_nobody_is_seen() {
    let report = churn(Fault::LoseEvery(2)).await;
    assert!(report.failed > 0, "{report:?}");
}

async fn profile(fault: Fault, loss_percent: u8) -> profile::Report {
    // A day in three seconds.
    let habits = profile::Habits {
        login_every_s: 2.0,
        message_every_s: 0.5,
        mail_every: 4,
        spike_percent: 35,
    };
    let plan = profile::Plan {
        habits,
        connections: 40,
        loss_percent,
        seconds: 1,
        settle: Duration::from_millis(300),
        patience: Duration::from_secs(2),
    };
    let double = Double::start(fault).await;
    locally(profile::run(&site(&double).await, &plan, conditions())).await.unwrap()
}

#[tokio::test]
async fn a_fleet_logs_in_and_writes() {
    let report = profile(Fault::None, 0).await;
    assert_eq!((report.lost, report.duplicated, report.failed), (0, 0, 0), "{report:?}");
    assert_eq!(report.broken_connections, 0, "{report:?}");
    for stretch in [&report.even, &report.spike] {
        assert!(stretch.logins > 0 && stretch.messages > 0, "{report:?}");
        assert!(stretch.empty > 0 && stretch.empty < stretch.logins, "{report:?}");
    }
    assert_eq!(report.road.resumed, report.even.logins + report.spike.logins, "{report:?}");
}

#[tokio::test]
async fn what_a_fleet_loses_or_hears_twice_is_counted() {
    let report = profile(Fault::LoseEvery(5), 0).await;
    assert!(report.lost > 0, "{report:?}");
    let report = profile(Fault::RepeatEvery(5), 0).await;
    assert!(report.duplicated > 0, "{report:?}");
}

#[tokio::test]
async fn a_fleet_behind_a_network_with_losses_comes_back_later() {
    // Five of six logins have a segment that is lost: one of the two that open the connection, or of the
    // two round trips after it. Those that are late by more than a stretch are not part of it.
    let report = profile(Fault::None, 20).await;
    let login_ms = report.spike.login_ms.unwrap();
    assert!(login_ms.max >= 200.0, "{report:?}");
    assert!(report.even.messages > 0, "{report:?}");
}

async fn overload(fault: Fault) -> overload::Report {
    let plan = overload::Plan {
        pairs: 3,
        window: 2,
        seconds: 1,
        body_bytes: 8,
        steps: vec![0.5, 10.0],
        warm_up: Duration::ZERO,
        patience: Duration::from_millis(300),
    };
    let double = Double::start(fault).await;
    locally(overload::run(&site(&double).await, &plan, conditions())).await.unwrap()
}

#[tokio::test]
async fn what_is_offered_and_what_comes_through_are_told_apart() {
    let report = overload(Fault::None).await;
    assert_eq!((report.lost, report.duplicated, report.out_of_order), (0, 0, 0), "{report:?}");
    assert_eq!((report.failed, report.broken_connections), (0, 0), "{report:?}");
    let [half, tenfold] = report.steps.as_slice() else { panic!("{report:?}") };
    assert_eq!((half.factor, tenfold.factor), (0.5, 10.0));
    assert!((tenfold.offered_per_s / half.offered_per_s - 20.0).abs() < 1e-6, "{report:?}");
    assert!(half.goodput_per_s > 0.0 && tenfold.goodput_per_s > 0.0, "{report:?}");
    // Nobody sends what was not offered; what is on its way at the edges of a second is a few.
    assert!(half.sent_per_s <= half.offered_per_s * 1.5 + 360.0, "{report:?}");
}

#[tokio::test]
async fn what_is_lost_or_refused_under_load_is_seen() {
    assert!(overload(Fault::LoseEvery(50)).await.lost > 0);
    let report = overload(Fault::RefuseEvery(50)).await;
    assert!(report.steps.iter().any(|step| step.refused_for_now_per_s > 0.0), "{report:?}");
    assert_eq!((report.lost, report.failed), (0, 0), "{report:?}");
}

async fn bystanders(fault: Fault) -> bystanders::Report {
    let plan = bystanders::Plan {
        pairs: 2,
        rate: 100.0,
        readers: 3,
        feed_every: Duration::from_millis(10),
        feed_bytes: 25_000, // more than one frame for all of them
        records: 200,
        seconds: 1,
        warm_up: Duration::ZERO,
        patience: Duration::from_millis(500),
    };
    let double = Double::start(fault).await;
    locally(bystanders::run(&site(&double).await, &plan, conditions())).await.unwrap()
}

fn others(report: &bystanders::Report) -> [bystanders::Done; 4] {
    let bystanders::Report { quick_readers, slow_readers, noisy_account, large_mailbox, .. } =
        report;
    [quick_readers, slow_readers, noisy_account, large_mailbox].map(|stretch| stretch.others)
}

#[tokio::test]
async fn pairs_chat_while_others_misbehave_and_who_did_not_read_has_it_in_the_end() {
    let report = bystanders(Fault::None).await;
    assert_eq!((report.lost, report.duplicated, report.refused), (0, 0, 0), "{report:?}");
    assert_eq!(report.broken_connections, 0, "{report:?}");
    assert!(report.calm.delivery_ms.is_some(), "{report:?}");
    for done in others(&report) {
        assert!(done.messages > 0 && done.refused == 0 && done.lost_by_others == 0, "{report:?}");
    }
    assert_eq!(report.large_mailbox.others.messages, 200);
}

#[tokio::test]
async fn what_others_lose_or_are_refused_is_told_apart() {
    // An odd number: who takes turns with another would have all of an even one.
    let report = bystanders(Fault::LoseEvery(7)).await;
    assert!(others(&report).iter().all(|done| done.lost_by_others > 0), "{report:?}");
    let report = bystanders(Fault::RefuseEvery(20)).await;
    let [quick, slow, noisy, _] = others(&report);
    assert!([quick, slow, noisy].iter().all(|done| done.refused > 0), "{report:?}");
    // Of 512 that are said at once at most 19 are accepted before one is refused, and all after it: who
    // says one at a time after the first refusal is refused about as often as accepted.
    assert!(noisy.messages > 19 && noisy.refused > 10 * noisy.messages, "{report:?}");
    assert!(others(&report).iter().all(|done| done.lost_by_others == 0), "{report:?}");
    assert!(report.refused > 0 && report.lost == 0, "{report:?}");
}
