//! The command line against a real server, over a real socket, as scripts use it; and the
//! full-screen messenger in a real terminal.
//!
//! | module | what it tells |
//! |---|---|
//! | [`stage`] | the server and the homes that the stories need |
//! | [`usage`] | what needs no server: usage, homes, completions, manual pages |
//! | [`account`] | joining, and why not |
//! | [`devices`] | linking, revoking, recovering |
//! | [`talk`] | sending, listening, history |
//! | [`lines`] | many messages from standard input |
//! | [`licence`] | a real file by lines, through kills of the server and of the sender |
//! | [`known`] | chats, search, safety numbers |
//! | [`files`] [`proxy`] | files, photos, voice notes; a network that cuts |
//! | [`screen`] | tmux: a terminal that can be read |
//! | [`messenger`] | `godwit chat` as two people use it |

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at the first surprise"
)]

mod about;
mod account;
mod devices;
mod files;
mod groups;
mod known;
mod licence;
mod lines;
mod messenger;
mod people;
mod proxy;
mod screen;
mod stage;
mod talk;
mod usage;
