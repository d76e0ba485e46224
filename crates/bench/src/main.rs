//! `godwit-bench`: one load, one report.

use std::path::Path;
use std::process::ExitCode;

use clap::Parser;
use godwit_bench::arguments::{self, Arguments, Load, Peer, PeerLoad};
use godwit_bench::awake::{self, Awake};
use godwit_bench::error::LoadError;
use godwit_bench::figures;
use godwit_bench::machine::{self, Conditions, Processes};
use godwit_bench::plot;
use godwit_bench::proxy::{Counts, Proxy};
use godwit_bench::server::{Choice, Site};
use godwit_bench::work::{
    bystanders, capacity, chat, churn, edge, group, handshake, idle, locally, media, offline,
    overload, presence, profile, relay, store, storm, upgrade,
};
use godwit_bench::worker;
use serde::Serialize;

// The load `store` runs the store in this process: with the allocator that it has in the server.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Err(wrong) = arguments.check() {
        wrong.exit();
    }
    if matches!(arguments.load, Load::Spin) {
        awake::spin();
        return ExitCode::SUCCESS;
    }
    let done = match &arguments.load {
        Load::Plot(plot) => plot.draw().and_then(|svg| keep(&svg, arguments.out.as_deref())),
        _ => run(&arguments).and_then(|told| show(told.as_ref(), &arguments)),
    };
    if let Err(error) = done {
        eprintln!("godwit-bench: {error}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

/// What came of a load.
struct Told {
    report: String,
    /// What it shows that should not be.
    wrong: Vec<String>,
}

/// Prints a report, and writes it where it is wanted.
///
/// # Errors
/// [`LoadError::Broken`] when it shows what should not be.
fn show(told: Option<&Told>, arguments: &Arguments) -> Result<(), LoadError> {
    let Some(Told { report, wrong }) = told else { return Ok(()) };
    match arguments.json {
        true => println!("{report}"),
        false => print!("{}", figures::table(report)),
    }
    if let Some(folder) = &arguments.out {
        let path = plot::report::write(folder, report)?;
        eprintln!("written to {}, with a table and a picture beside it", path.display());
    }
    match wrong.is_empty() {
        true => Ok(()),
        false => Err(LoadError::Broken(wrong.join(", "))),
    }
}

/// A picture goes to its file, or to standard output.
fn keep(svg: &str, file: Option<&Path>) -> Result<(), LoadError> {
    match file {
        Some(file) => std::fs::write(file, svg).map_err(LoadError::io("writing a picture")),
        None => {
            println!("{svg}");
            Ok(())
        }
    }
}

fn run(arguments: &Arguments) -> Result<Option<Told>, LoadError> {
    let mut spinners = match arguments.keep_awake {
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
    let report = runtime.block_on(async {
        if matches!(arguments.load, Load::Proxy(_)) {
            return load(arguments, &awake).await; // it ends by being interrupted
        }
        tokio::select! {
            report = load(arguments, &awake) => report,
            () = interrupted() => Err(LoadError::Interrupted),
        }
    })?;
    spinners.iter_mut().try_for_each(Awake::still_spin)?;
    Ok(report)
}

async fn load(arguments: &Arguments, spinners: &Processes) -> Result<Option<Told>, LoadError> {
    let choice = arguments.site.choice();
    let on = OnSite { choice: &choice, spinners };
    let report = match &arguments.load {
        Load::Idle(asked) => json(&idle::run(&choice, &asked.plan(), spinners).await?),
        Load::Chat(asked) => on.run(async |s, c| chat::run(s, &asked.plan(), c).await).await?,
        Load::Offline(asked) => {
            on.run(async |s, c| offline::run(s, &asked.plan(), c).await).await?
        }
        Load::Group(asked) => on.run(async |s, c| group::run(s, &asked.plan(), c).await).await?,
        Load::Handshake(asked) => {
            on.run(async |s, c| handshake::run(s, &asked.plan(), c).await).await?
        }
        Load::Presence(asked) => {
            on.run(async |s, c| presence::run(s, &asked.plan(), c).await).await?
        }
        Load::Profile(asked) => {
            on.run(async |s, c| profile::run(s, &asked.plan(), c).await).await?
        }
        Load::Capacity(asked) => {
            json(&capacity::run(&choice, &asked.capacity_plan(), spinners).await?)
        }
        Load::Relay(asked) => on.run(async |s, c| relay::run(s, &asked.plan(), c).await).await?,
        Load::Storm(asked) => on.run(async |s, c| storm::run(s, &asked.plan(), c).await).await?,
        Load::Churn(asked) => on.run(async |s, c| churn::run(s, &asked.plan(), c).await).await?,
        Load::Overload(asked) => {
            on.run(async |s, c| overload::run(s, &asked.plan(), c).await).await?
        }
        Load::Bystanders(asked) => {
            let choice = Choice { config: Some(bystanders::CONFIG), ..choice.clone() };
            let on = OnSite { choice: &choice, spinners };
            on.run(async |s, c| bystanders::run(s, &asked.plan(), c).await).await?
        }
        Load::Edge(asked) => on.run(async |s, c| edge::run(s, &asked.plan(), c).await).await?,
        Load::Media(asked) => on.run(async |s, c| media::run(s, &asked.plan(), c).await).await?,
        Load::Proxy(asked) => on.run(async |s, _| proxy(s, asked).await).await?,
        Load::Store(asked) => {
            let data = godwit_bench::server::data_folder(choice.data.as_deref())?;
            let conditions = Conditions::here(data.path(), spinners);
            json(&store::run(data.path(), &asked.plan(), conditions).await?)
        }
        Load::Peer(peer) => locally(peer_load(peer, spinners)).await?,
        Load::Worker { order } => {
            let order = serde_json::from_str(order).map_err(|_| LoadError::Worker)?;
            worker::run(&order).await?;
            return Ok(None);
        }
        Load::Upgrade(asked) => {
            let plan = asked.plan();
            let report = on.report(async |s, c| upgrade::run(s, &plan, c).await).await?;
            return Ok(Some(Told { report: json(&report), wrong: report.wrong(&plan) }));
        }
        Load::Spin | Load::Plot(_) => return Ok(None),
    };
    Ok(Some(Told { report, wrong: Vec::new() }))
}

/// A load on one server, which is there as long as the load runs.
struct OnSite<'a> {
    choice: &'a Choice,
    spinners: &'a Processes,
}

impl OnSite<'_> {
    async fn run<R: Serialize>(
        &self,
        work: impl AsyncFnOnce(&mut Site, Conditions) -> Result<R, LoadError>,
    ) -> Result<String, LoadError> {
        Ok(json(&self.report(work).await?))
    }

    async fn report<R>(
        &self,
        work: impl AsyncFnOnce(&mut Site, Conditions) -> Result<R, LoadError>,
    ) -> Result<R, LoadError> {
        let mut site = Site::open(self.choice).await?;
        let conditions = Conditions::here(site.data(), self.spinners);
        let report = locally(work(&mut site, conditions)).await;
        site.close().await?;
        report
    }
}

/// A bad network in front of the server, until interrupted.
async fn proxy(site: &Site, asked: &arguments::Proxy) -> Result<Counts, LoadError> {
    let proxy = Proxy::start(asked.profile, site.endpoint().address, asked.seed).await?;
    let join = edge::join_link(site, &proxy).to_string();
    println!("{}", json(&serde_json::json!({ "event": "ready", "join": join })));
    interrupted().await;
    Ok(proxy.counts())
}

/// A load on somebody else's server.
async fn peer_load(peer: &Peer, spinners: &Processes) -> Result<String, LoadError> {
    let (to, server) = (peer.endpoint()?, peer.processes());
    let conditions = Conditions::here(".".as_ref(), spinners);
    Ok(match &peer.load {
        PeerLoad::Idle(asked) => {
            json(&idle::peer::run(&to, server.as_ref(), &asked.plan(), conditions).await?)
        }
        PeerLoad::Chat(asked) => {
            json(&chat::peer::run(&to, server.as_ref(), &asked.plan(), conditions).await?)
        }
        PeerLoad::Offline(asked) => {
            let (plan, bounds) = (asked.plan(), asked.bounds());
            json(&offline::peer::run(&to, server, &plan, &bounds, conditions).await?)
        }
    })
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
