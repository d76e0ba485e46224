//! Compiles the format of message bodies; no protoc is needed.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let schema = "../../proto/godwit/body/v1/body.proto";
    println!("cargo:rerun-if-changed={schema}");
    let files = protox::compile([schema], ["../../proto"])?;
    prost_build::Config::new().compile_fds(files)?;
    Ok(())
}
