//! Just enough of an MQTT broker in memory to give the loads for other servers something to meet,
//! with a fault on demand.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::OwnedReadHalf;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

/// What waits for each account, and who of them is here.
#[derive(Default)]
struct State {
    waiting: HashMap<String, Vec<Vec<u8>>>,
    here: HashMap<String, UnboundedSender<Vec<u8>>>,
    published: u64,
}

/// A running broker.
pub(crate) struct Broker {
    pub(crate) address: SocketAddr,
}

impl Broker {
    /// Starts one that forgets each such message after it has acknowledged it; 0 for none.
    pub(crate) async fn start(lose_every: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State::default()));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&state), lose_every));
            }
        });
        Self { address }
    }
}

async fn serve(stream: TcpStream, state: Arc<Mutex<State>>, lose_every: u64) {
    let (mut read, mut write) = stream.into_split();
    let (say, mut said) = unbounded_channel::<Vec<u8>>();
    tokio::spawn(async move {
        while let Some(bytes) = said.recv().await {
            if write.write_all(&bytes).await.is_err() {
                return;
            }
        }
    });
    let mut name = String::new();
    while let Some((first, frame)) = frame(&mut read).await {
        match first >> 4 {
            1 => {
                let length = usize::from(frame[11]);
                name = String::from_utf8(frame[12..12 + length].to_vec()).unwrap();
                let mut state = state.lock().unwrap();
                let known = state.waiting.contains_key(&name);
                say.send(vec![0x20, 2, u8::from(known), 0]).unwrap();
                for message in state.waiting.entry(name.clone()).or_default().drain(..) {
                    say.send(message).unwrap();
                }
                state.here.insert(name.clone(), say.clone());
            }
            8 => say.send(vec![0x90, 3, frame[0], frame[1], 1]).unwrap(),
            3 => {
                let end = 2 + usize::from(frame[1]);
                let to = String::from_utf8(frame[2..end].to_vec()).unwrap().replace('/', "");
                say.send(vec![0x40, 2, frame[end], frame[end + 1]]).unwrap();
                let mut state = state.lock().unwrap();
                let is_message = frame[end + 2] == b'm';
                state.published += u64::from(is_message);
                if is_message && state.published.is_multiple_of(lose_every) {
                    continue;
                }
                let message = whole(first, &frame);
                let passed = state.here.get(&to).map(|to| to.send(message.clone()).is_ok());
                if passed != Some(true) {
                    state.waiting.entry(to).or_default().push(message);
                }
            }
            14 => break,
            _ => {}
        }
    }
    state.lock().unwrap().here.remove(&name);
}

/// The next frame: its first byte, and what follows its length.
async fn frame(read: &mut OwnedReadHalf) -> Option<(u8, Vec<u8>)> {
    let first = read.read_u8().await.ok()?;
    let (mut length, mut shift) = (0, 0);
    loop {
        let byte = read.read_u8().await.ok()?;
        length |= usize::from(byte & 0x7f) << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            break;
        }
    }
    let mut frame = vec![0; length];
    read.read_exact(&mut frame).await.ok()?;
    Some((first, frame))
}

/// A frame as it came; none here is longer than two bytes can say.
fn whole(first: u8, frame: &[u8]) -> Vec<u8> {
    let length = frame.len();
    let byte = |length: usize| u8::try_from(length).unwrap();
    let mut whole = match length {
        0..128 => vec![first, byte(length)],
        _ => vec![first, byte(length % 128) | 0x80, byte(length / 128)],
    };
    whole.extend_from_slice(frame);
    whole
}
