//! Many devices doing the same thing, so many at a time, in one thread.

use std::ops::Range;
use std::rc::Rc;

use indicatif::ProgressBar;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::conn::{Conn, Endpoint, Via};
use crate::device::Cast;
use crate::error::LoadError;
use crate::progress;

/// Connections that are being made at once, unless a load says otherwise: keeps both sides busy
/// without becoming a storm.
pub const AT_ONCE: usize = 64;

/// Runs `each` for every number, at most `at_once` at a time; results in order of the numbers. The
/// first error ends it.
///
/// # Errors
/// The first one.
///
/// # Panics
/// Outside a [`tokio::task::LocalSet`].
///
/// # Cancel safety
/// Dropping the future drops all that is under way.
pub async fn each<T, F>(
    numbers: Range<u32>,
    at_once: usize,
    bar: &ProgressBar,
    each: impl Fn(u32) -> F + 'static,
) -> Result<Vec<T>, LoadError>
where
    T: 'static,
    F: Future<Output = Result<T, LoadError>> + 'static,
{
    let turns = Rc::new(Semaphore::new(at_once));
    let each = Rc::new(each);
    let mut tasks = JoinSet::new();
    for number in numbers {
        let (turns, each) = (Rc::clone(&turns), Rc::clone(&each));
        tasks.spawn_local(async move {
            let _turn = turns.acquire().await;
            each(number).await.map(|result| (number, result))
        });
    }
    let mut results = Vec::with_capacity(tasks.len());
    while let Some(joined) = tasks.join_next().await {
        results.push(joined.map_err(|_| LoadError::Worker)??);
        bar.inc(1);
    }
    bar.finish_and_clear();
    results.sort_unstable_by_key(|(number, _)| *number);
    Ok(results.into_iter().map(|(_, result)| result).collect())
}

/// Registers these devices and hangs up.
///
/// # Errors
/// The first that fails.
///
/// # Cancel safety
/// Some may have been registered.
pub async fn register(to: Endpoint, cast: Cast, numbers: Range<u32>) -> Result<(), LoadError> {
    let bar = progress::bar("registering", u64::from(numbers.end - numbers.start));
    let register = move |number| async move {
        let device = cast.device(number);
        let mut conn = Conn::open(to, &device.link, None, Via::Full).await?;
        conn.register(&device).await?;
        conn.hang_up()
    };
    each(numbers, AT_ONCE, &bar, register).await.map(drop)
}

/// Registers these devices, takes their mailboxes and stays connected.
///
/// # Errors
/// The first that fails.
///
/// # Cancel safety
/// Some may have been registered; dropping the future drops the connections.
pub async fn arrive(to: Endpoint, cast: Cast, numbers: Range<u32>) -> Result<Vec<Conn>, LoadError> {
    let bar = progress::bar("registering", u64::from(numbers.end - numbers.start));
    let arrive = move |number| async move {
        let device = cast.device(number);
        let mut conn = Conn::open(to, &device.link, None, Via::Full).await?;
        conn.register(&device).await?;
        conn.attach().await?;
        Ok(conn)
    };
    each(numbers, AT_ONCE, &bar, arrive).await
}
