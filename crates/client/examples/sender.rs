//! Sends a text and waits until it was delivered: `sender HOME HANDLE TEXT [JOIN-LINK AS]`. With a
//! join link and a handle it joins first.

use std::error::Error;
use std::path::Path;
use std::time::Duration;

use godwit_client::{ChatId, Client, MessageState};

const USAGE: &str = "usage: sender HOME HANDLE TEXT [JOIN-LINK AS]";

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [home, to, text, rest @ ..] = arguments.as_slice() else { return Err(USAGE.into()) };
    let home = Path::new(home);
    if let [link, handle] = rest {
        let joined = Client::join(home, &link.parse()?, &handle.parse()?, None).await?;
        println!("joined as {handle}, account {}", joined.account);
    }
    let client = Client::open(home).await?;
    let id = client.send(to.parse::<ChatId>()?, text.clone()).await?;
    let delivered = client.wait_for(id, MessageState::Delivered);
    match tokio::time::timeout(Duration::from_secs(30), delivered).await {
        Ok(state) => println!("{id} {}", state?),
        Err(_) => println!("{id} is in the outbox and goes out later"),
    }
    client.close().await;
    Ok(())
}
