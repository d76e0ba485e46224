//! The native driver: tokio for the socket, SQLite for the rows, a lock for the home.

mod about;
mod attached;
mod client;
mod database;
mod engine;
mod home;
mod host;
mod ipc;
mod join;
mod media;
mod moving;
mod newcomer;
mod owner;
mod request;
mod socket;
mod storage;
mod stream;
mod talk;

pub use client::{Client, Joined, SEND_ALL_BYTES_MAX};
pub use stream::{EventStream, InboxReader, Since};
