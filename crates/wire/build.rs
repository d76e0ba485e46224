//! Turns `proto/godwit/v1/wire.proto` into Rust, without protoc.

use std::error::Error;

const SCHEMA: &str = "../../proto/godwit/v1/wire.proto";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed={SCHEMA}");
    let files = protox::compile([SCHEMA], ["../../proto"])?;
    // `Bytes`: a body is a counted slice of its frame, or one exact allocation; never a grown Vec.
    // The ticket holds a key and an invite is worth an account: neither may be printed by accident.
    prost_build::Config::new()
        .bytes(["."])
        .skip_debug(["godwit.v1.Welcome", "godwit.v1.Register"])
        .compile_fds(files)?;
    Ok(())
}
