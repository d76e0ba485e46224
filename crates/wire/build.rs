//! Turns `proto/godwit/v1/wire.proto` into Rust, without protoc.

use std::error::Error;

const SCHEMA: &str = "../../proto/godwit/v1/wire.proto";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed={SCHEMA}");
    let files = protox::compile([SCHEMA], ["../../proto"])?;
    // `Bytes`: a body is a counted slice of its frame, or one exact allocation; never a grown Vec.
    // The ticket holds a key, an invite is worth an account, the secret of a group's link a place in it,
    // and a report holds what people wrote: none may be printed by accident.
    let secretive = [
        "Welcome",
        "Register",
        "GroupChange",
        "GroupFetch",
        "MediaGrant",
        "Report",
        "ReportedMessage",
    ];
    prost_build::Config::new()
        .bytes(["."])
        .skip_debug(secretive.map(|name| format!("godwit.v1.{name}")))
        .compile_fds(files)?;
    Ok(())
}
