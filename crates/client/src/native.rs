//! The native driver: tokio for the socket, SQLite for the rows, a lock for the home.

mod client;
mod host;
mod request;
mod stream;

pub use client::{Client, Joined};
pub use stream::{EventStream, InboxReader, Since};
