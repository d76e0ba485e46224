//! Turns `proto/godwit/seal/v1` into Rust: protox reads the schema, prost writes the types.

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    let root = "../../proto";
    println!("cargo:rerun-if-changed={root}/godwit/seal/v1");
    let schema = protox::compile(["godwit/seal/v1/seal.proto"], [root])?;
    prost_build::Config::new().btree_map(["."]).compile_fds(schema)?;
    Ok(())
}
