//! Load for a Godwit server, and what it costs.
//!
//! The clients speak [`godwit_wire`] over [`godwit_link`] and nothing above: bodies are bytes of the
//! right size, for the server cannot tell. So they cost little, and the machine's time goes to the
//! server. The workloads are in [`work`]; each returns a report with stable names, unit last.

pub mod arguments;
pub mod awake;
pub mod conn;
pub mod crowd;
pub mod device;
pub mod error;
pub mod figures;
pub mod machine;
pub mod progress;
pub mod server;
pub mod work;
