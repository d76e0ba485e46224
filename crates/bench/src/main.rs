//! `godwit-bench`: one load, one report.

use std::process::ExitCode;

use clap::Parser;
use godwit_bench::arguments::{Arguments, Load};
use godwit_bench::awake::{self, Awake};
use godwit_bench::error::LoadError;
use godwit_bench::figures;
use godwit_bench::machine::{self, Conditions, Processes};
use godwit_bench::proxy::Proxy;
use godwit_bench::server::Site;
use godwit_bench::work::{chat, edge, group, handshake, idle, media, offline, presence, store};
use serde::Serialize;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if matches!(arguments.load, Load::Spin) {
        awake::spin();
        return ExitCode::SUCCESS;
    }
    match run(&arguments) {
        Ok(Some(report)) if arguments.json => println!("{report}"),
        Ok(Some(report)) => print!("{}", figures::table(&report)),
        Ok(None) => {}
        Err(error) => {
            eprintln!("godwit-bench: {error}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn run(arguments: &Arguments) -> Result<Option<String>, LoadError> {
    let spinners = match arguments.keep_awake {
        true => Some(Awake::start()?),
        false => None,
    };
    let awake = spinners.as_ref().map(Awake::processes).unwrap_or_default();
    if arguments.site.pin {
        machine::leave_first_cpu()?;
    }
    // One thread drives all clients: threads that share connections cost the machine more than
    // they bring on the few CPUs that a load shares with its server.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(LoadError::io("starting the runtime"))?;
    runtime.block_on(async {
        if matches!(arguments.load, Load::Proxy(_)) {
            return load(arguments, &awake).await; // it ends by being interrupted
        }
        tokio::select! {
            report = load(arguments, &awake) => report,
            () = interrupted() => Err(LoadError::Interrupted),
        }
    })
}

async fn load(arguments: &Arguments, spinners: &Processes) -> Result<Option<String>, LoadError> {
    let choice = arguments.site.choice();
    let report = match &arguments.load {
        Load::Idle(asked) => json(&idle::run(&choice, &asked.plan(), spinners).await?),
        Load::Chat(asked) => {
            let site = Site::open(&choice).await?;
            let report =
                chat::run(&site, &asked.plan(), Conditions::here(site.data(), spinners)).await;
            site.close().await?;
            json(&report?)
        }
        Load::Offline(asked) => {
            let mut site = Site::open(&choice).await?;
            let conditions = Conditions::here(site.data(), spinners);
            let report = offline::run(&mut site, &asked.plan(), conditions).await;
            site.close().await?;
            json(&report?)
        }
        Load::Group(asked) => {
            let site = Site::open(&choice).await?;
            let conditions = Conditions::here(site.data(), spinners);
            let report = group::run(&site, &asked.plan(), conditions).await;
            site.close().await?;
            json(&report?)
        }
        Load::Handshake(asked) => {
            let site = Site::open(&choice).await?;
            let conditions = Conditions::here(site.data(), spinners);
            let report = handshake::run(&site, &asked.plan(), conditions).await;
            site.close().await?;
            json(&report?)
        }
        Load::Presence(asked) => {
            let site = Site::open(&choice).await?;
            let conditions = Conditions::here(site.data(), spinners);
            let report = presence::run(&site, &asked.plan(), conditions).await;
            site.close().await?;
            json(&report?)
        }
        Load::Proxy(asked) => {
            let site = Site::open(&choice).await?;
            let proxy = Proxy::start(asked.profile, site.endpoint().address, asked.seed).await?;
            println!(
                "{}",
                json(&serde_json::json!({
                    "event": "ready",
                    "join": edge::join_link(&site, &proxy).to_string(),
                }))
            );
            interrupted().await;
            site.close().await?;
            json(&proxy.counts())
        }
        Load::Edge(asked) => {
            let site = Site::open(&choice).await?;
            let conditions = Conditions::here(site.data(), spinners);
            let report = edge::run(&site, &asked.plan(), conditions).await;
            site.close().await?;
            json(&report?)
        }
        Load::Media(asked) => {
            let site = Site::open(&choice).await?;
            let conditions = Conditions::here(site.data(), spinners);
            let report = media::run(&site, &asked.plan(), conditions).await;
            site.close().await?;
            json(&report?)
        }
        Load::Store(asked) => {
            let data = godwit_bench::server::data_folder(choice.data.as_deref())?;
            let conditions = Conditions::here(data.path(), spinners);
            json(&store::run(data.path(), &asked.plan(), conditions).await?)
        }
        Load::Worker { order } => {
            let order = serde_json::from_str(order).map_err(|_| LoadError::Worker)?;
            idle::worker::run(&order).await?;
            return Ok(None);
        }
        Load::Spin => return Ok(None),
    };
    Ok(Some(report))
}

fn json(report: &impl Serialize) -> String {
    serde_json::to_string(report).unwrap_or_default()
}

/// Ctrl-C, or a polite end. Whatever was started ends with its owner.
async fn interrupted() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}
