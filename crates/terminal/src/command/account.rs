//! `godwit join`.

use std::path::Path;

use godwit_base::Handle;
use godwit_client::Client;
use serde::Serialize;

use super::{ANSWER_MAX, Time, answered};
use crate::arguments::Join;
use crate::failure::Failure;
use crate::output::Output;

#[derive(Serialize)]
struct Joined<'a> {
    event: &'static str,
    handle: &'a Handle,
    account: String,
    device: u32,
}

pub(super) async fn join(home: &Path, join: &Join, output: &mut Output) -> Result<(), Failure> {
    let joined = Client::join(home, &join.link, &join.handle, join.invite.as_deref());
    // The keys stay in the home, so that the next try goes on with them.
    let joined = answered(Time::of(join.limit), ANSWER_MAX, Box::pin(joined), |seconds| {
        Failure::Other(format!(
            "no answer from {} within {seconds} s: copy the join link again, whole and with its key, and try again",
            join.link.address()
        ))
    });
    let joined = joined.await??;
    let joined = Joined {
        event: "joined",
        handle: &join.handle,
        account: joined.account.to_string(),
        device: joined.device.number.0,
    };
    output.record(&joined, |joined| {
        format!(
            "joined {} as {}\nnext: `godwit chat`, or `godwit send HANDLE \"hello\"` and `godwit listen`",
            join.link.address(),
            joined.handle
        )
    })
}
