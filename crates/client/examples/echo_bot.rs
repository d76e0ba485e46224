//! Answers each text with the same text: `echo_bot HOME`, with a home that has joined.
//!
//! Killed at any point it answers each message at least once: the message is marked as shown after
//! its answer is durable in the outbox.

use std::error::Error;
use std::path::Path;

use godwit_client::Client;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let home = std::env::args().nth(1).ok_or("usage: echo_bot HOME")?;
    let client = Client::open(Path::new(&home)).await?;
    println!("{} listens", client.me().handle);
    let mut inbox = client.inbox()?;
    loop {
        let arrived = inbox.next().await?;
        // What another device of this account sent is in the inbox too: it is nobody's question.
        if let Some(message) = arrived.message()
            && let (Some(text), false) = (&message.text, message.outgoing)
        {
            client.send(&message.with, text.clone()).await?;
            client.mark_message_read(message.id).await?;
        }
        inbox.shown(&arrived)?;
    }
}
