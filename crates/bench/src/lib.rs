//! Load for a Godwit server, and what it costs.
//!
//! | load | question |
//! |---|---|
//! | [`idle`](work::idle) | what does a connection that only stays cost, here and in the kernel? |
//! | [`chat`](work::chat) | how many messages, with all their ticks, and how fast is one? |
//! | [`offline`](work::offline) | what do messages to absent devices cost, and their return? |
//! | [`handshake`](work::handshake) | how many connections can begin, full and resumed? |
//! | [`presence`](work::presence) | what does it cost that somebody is seen to come and go? |
//! | [`relay`](work::relay) | what does a signal cost that no store sees? |
//! | [`storm`](work::storm) | when all are dropped at once, are they back soon, and who notices? |
//! | [`churn`](work::churn) | what does a login cost, with nothing in the mailbox or with something? |
//! | [`overload`](work::overload) | what comes through when ten times too much is sent? |
//! | [`upgrade`](work::upgrade) | when another process takes over again and again, does anybody notice? |
//! | [`bystanders`](work::bystanders) | what do pairs notice of others who misbehave? |
//! | [`2g`](work::edge) | do texts between two real clients come through a bad network, and when? |
//! | [`store`](work::store) | what could the server do at best, were it only the store? |
//!
//! `godwit-bench chat --pairs 1000 --window 16 --keep-awake` starts its own server on an empty
//! store, prints a table (or JSON, `--json`) with the conditions of the run, and leaves nothing
//! behind; `--out` keeps it in a folder as JSON, table and picture, and `godwit-bench plot` draws several
//! runs as lines ([`plot`]). Figures are CPU time first: it hardly changes with what else the machine does, which
//! latency and throughput do. `others_cpus` says how much that was.
//!
//! `godwit-bench peer` gives the first three of these loads to somebody else's server ([`peer`]), with
//! the same measuring and the same report; `cargo xtask peers` does that with several and shows them beside
//! ours.
//!
//! The clients speak [`godwit_wire`] over [`godwit_link`] and nothing above: bodies are bytes of the
//! right size, for the server cannot tell. So they cost little, and the machine's time goes to the
//! server. `2g` alone runs the real client programs, behind the bad network of [`proxy`], which
//! `godwit-bench proxy` also puts in front of any server. The workloads are in [`work`]; each returns a report with stable names, unit last.

pub mod arguments;
pub mod awake;
pub mod backoff;
pub mod conn;
pub mod crowd;
pub mod device;
pub mod error;
pub mod figures;
pub mod loss;
pub mod machine;
pub mod peak;
pub mod peer;
pub mod plot;
pub mod progress;
pub mod proxy;
pub mod redial;
pub mod server;
pub mod work;
pub mod worker;
