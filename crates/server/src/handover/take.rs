//! The new server's side: it is started by the old one, takes all that it gives, and serves.

use std::io;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::Duration;

use fail::fail_point;
use prost::Message as _;
use zeroize::Zeroizing;

use super::road::{self, Parcel, Road, Step};
use super::{Frozen, HelloRecord, NodeRecord, OLDEST, VERSION};
use crate::serve::{Opened, Server, Setup, StartError, default_data};
use crate::session::Carrier;

/// How long the old process may take to freeze all, or to give the next parcel. It ends before if that
/// process does.
const PATIENCE: Duration = Duration::from_secs(60);

/// Why nothing was taken over.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TakeError {
    /// Nobody gives anything.
    #[error("a running server starts it so by itself: use `godwitd upgrade`")]
    NoRoad(io::Error),
    /// The road ended, or what came over it is wrong.
    #[error("the old server gave no more: {0}; it goes on")]
    Road(io::Error),
    /// The old process died before it had given all, so nobody serves.
    #[error(
        "the old server ended before this one could take over; nothing that was accepted is lost: \
         start godwitd again"
    )]
    Orphaned,
    /// This server does not start.
    #[error(transparent)]
    Start(#[from] StartError),
}

impl From<io::Error> for TakeError {
    /// The old process closes the road in no other way than by its end: it kills this one before.
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::Orphaned,
            _ => Self::Road(error),
        }
    }
}

/// Takes over from the process that started this one. `serves` is called once the sessions have their turns,
/// before the old process hears of it and ends.
///
/// # Errors
/// See [`TakeError`].
///
/// # Cancel safety
/// None: the process is to end then, and the old one goes on.
pub async fn take_over(setup: Setup, serves: impl FnOnce()) -> Result<Server, TakeError> {
    let road = Road::of_stdin().map_err(TakeError::NoRoad)?;
    let taken = take(&road, setup).await;
    let (opened, record, sessions) = match taken {
        Ok(taken) => taken,
        Err(error) => {
            // Why, for the operator; the old process may have ended.
            let _ = road.send(Step::Failed, error.to_string().as_bytes(), &[]);
            return Err(error);
        }
    };
    fail_point!("handover::go");
    let server = opened.serve(Some((record, sessions))).await?;
    fail_point!("handover::serving");
    serves();
    if let Err(error) = road.send(Step::Serving, &[], &[]) {
        // It died once it had given all: whose sessions these are does not depend on it any more.
        tracing::warn!(%error, "the old server does not hear that this one serves");
    }
    drop(road);
    leave_stdin();
    Ok(server)
}

type Taken = (Opened, Zeroizing<NodeRecord>, Vec<Frozen>);

/// Everything up to where it may go on.
async fn take(road: &Road, setup: Setup) -> Result<Taken, TakeError> {
    hello(road, &setup)?;
    let (listener, record, sessions) = tokio::task::block_in_place(|| receive(road))?;
    tracing::info!(sessions = sessions.len(), "sessions arrived");
    let opened = Opened::open(setup, Some(listener), Some(&record)).await?;
    tracing::info!("store opened");
    fail_point!("handover::ready");
    let go = tokio::task::block_in_place(|| {
        road.send(Step::Ready, &[], &[])?;
        expect(road, Step::Go)
    });
    match go {
        Ok(_) => Ok((opened, record, sessions)),
        // It is gone, or goes on: either way nothing of this may be used here.
        Err(error) => {
            opened.close().await;
            Err(error.into())
        }
    }
}

fn hello(road: &Road, setup: &Setup) -> Result<(), TakeError> {
    let data = setup.config.data.clone().or_else(default_data).ok_or(StartError::NoData)?;
    let data = std::fs::canonicalize(&data).unwrap_or(data);
    fail_point!("handover::hello");
    let hello = HelloRecord {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        data: shown(data),
        oldest: OLDEST,
        newest: VERSION,
    };
    Ok(road.send(Step::Hello, &hello.encode_to_vec(), &[])?)
}

fn shown(data: PathBuf) -> String {
    data.into_os_string().to_string_lossy().into_owned()
}

/// The port, what the node knew, and all sessions, whole.
fn receive(road: &Road) -> io::Result<(TcpListener, Zeroizing<NodeRecord>, Vec<Frozen>)> {
    let wrong = |what: &str| io::Error::other(what.to_owned());
    let node = expect(road, Step::Node)?;
    let record = NodeRecord::decode(node.bytes.as_slice());
    let record = Zeroizing::new(record.map_err(|_| wrong("the node's record is damaged"))?);
    let listener = node.sockets.into_iter().next().ok_or_else(|| wrong("there is no port"))?;
    let mut sessions = Vec::new();
    loop {
        let parcel = road.within(PATIENCE)?.receive()?;
        match parcel.step {
            Step::Sessions => {
                sessions.extend(unpack(parcel)?);
                fail_point!("handover::taken");
                road.send(Step::Taken, &[], &[])?;
            }
            Step::Yours => break,
            other => return Err(wrong(&format!("{other:?} came between sessions"))),
        }
    }
    fail_point!("handover::yours");
    if sessions.len() as u64 != record.sessions {
        return Err(wrong("not all sessions arrived"));
    }
    Ok((listener.into(), record, sessions))
}

fn unpack(parcel: Parcel) -> io::Result<Vec<Frozen>> {
    let Parcel { bytes, sockets, .. } = parcel;
    let records = road::unpack(&bytes).map_err(io::Error::other)?;
    if records.len() != sockets.len() {
        return Err(io::Error::other("sessions arrived without their sockets"));
    }
    let session = |(record, socket): (_, OwnedFd)| Frozen {
        ordinal: 0,
        stream: Carrier::System(socket.into()),
        record: Box::new(record),
    };
    Ok(records.into_iter().zip(sockets).map(session).collect())
}

fn expect(road: &Road, step: Step) -> io::Result<Parcel> {
    let parcel = road.within(PATIENCE)?.receive()?;
    match parcel.step == step {
        true => Ok(parcel),
        false => Err(io::Error::other(format!("{:?} instead of {step:?}", parcel.step))),
    }
}

/// The road was the standard input: nothing reads it from here on.
fn leave_stdin() {
    if let Ok(nothing) = std::fs::File::open("/dev/null") {
        let _ = rustix::stdio::dup2_stdin(&nothing);
    }
}
