//! One session, as the operator sees it: what its seat knows, and what it says itself when it is asked. One
//! that does not answer in time is shown as that.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use godwit_base::{AccountId, DeviceId, Handle};
use godwit_store::{Token, Who};
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::node::Node;
use crate::seat::{Seat, Word};
use crate::session::Asking;

/// How long a session may take to answer, and the store: a turn takes a tenth of a millisecond, and a worker
/// that is behind by two seconds is what the operator looks for.
const ANSWER_TIME: Duration = Duration::from_secs(2);

/// What stands before the number of a session, so that no handle looks like it.
const TOKEN: &str = "t:";

/// Whose session is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Id {
    Token(Token),
    Device(DeviceId),
    Account(AccountId),
    Handle(Handle),
}

impl FromStr for Id {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(number) = text.strip_prefix(TOKEN) {
            return number
                .parse()
                .map(|number| Self::Token(Token(number)))
                .map_err(|_| format!("{text}: the number of a session is {TOKEN} and digits"));
        }
        if let Ok(device) = text.parse() {
            return Ok(Self::Device(device));
        }
        // The same form as that of an account in a device.
        if let Ok(device) = format!("{text}.1").parse::<DeviceId>() {
            return Ok(Self::Account(device.account));
        }
        text.parse().map(Self::Handle).map_err(|_| {
            format!(
                "{text}: name a handle (alice), a device (0123456789abcdef.1), an account \
                 (0123456789abcdef) or a session ({TOKEN}42)"
            )
        })
    }
}

/// What there is of them, a row each.
pub(super) async fn look(node: &Arc<Node>, id: &str) -> Result<Value, String> {
    let devices = match id.parse()? {
        Id::Token(token) => {
            let seat = node.registry.by_token(token).ok_or("there is no such session any more")?;
            let device = node.registry.device_of(token);
            return Ok(json!([row(node, device, Some(seat)).await]));
        }
        Id::Device(device) => vec![device],
        Id::Account(account) => devices_of(node, Who::Account(account)).await?,
        Id::Handle(handle) => devices_of(node, Who::Handle(handle)).await?,
    };
    let mut rows = Vec::new();
    for device in devices {
        rows.push(row(node, Some(device), node.registry.by_device(device)).await);
    }
    Ok(Value::Array(rows))
}

async fn devices_of(node: &Node, who: Who) -> Result<Vec<DeviceId>, String> {
    let profile = timeout(ANSWER_TIME, node.store.profile(who)).await;
    let profile =
        profile.map_err(|_| "the store does not answer; see `godwitd tree`".to_owned())?;
    let profile = profile.map_err(|error| error.to_string())?.ok_or("nobody is called that")?;
    let account = profile.account;
    let numbers = profile.list.devices.into_iter().map(|(number, _)| number);
    Ok(numbers.map(|number| DeviceId { account, number }).collect())
}

async fn row(node: &Arc<Node>, device: Option<DeviceId>, seat: Option<Arc<Seat>>) -> Value {
    let quarantine = device.and_then(|device| node.quarantine.look(device, node.now_ms()));
    let session = match seat {
        Some(seat) => Some(of_seat(node, &seat).await),
        None => None,
    };
    json!({
        "device": device.map(|device| device.to_string()),
        "quarantine": quarantine,
        "session": session,
    })
}

async fn of_seat(node: &Node, seat: &Arc<Seat>) -> Value {
    let says = ask(node, seat).await;
    let now_s = node.now_s();
    json!({
        "token": format!("{TOKEN}{}", seat.token.0),
        "age_s": seat.age_s(now_s),
        "heard_s_ago": seat.silent_s(now_s),
        "quiet_interval_s": seat.interval_s(),
        "words": seat.words.depth(),
        "records": seat.records.depth(),
        "records_bytes": seat.records.weight_bytes(),
        // Present while it is in a turn now, which is hardly ever seen unless that does not end.
        "turn_running_ms": node.turns.running_ms(seat.token, node.now_ns()),
        "answers": says.is_ok(),
        "says": says.unwrap_or_else(Value::from),
    })
}

/// What the session says of itself.
///
/// # Errors
/// It does not answer; the text says what that means.
async fn ask(node: &Node, seat: &Arc<Seat>) -> Result<Value, &'static str> {
    let place = Arc::clone(&node.questions).try_acquire_owned();
    let one_of_all = place.map_err(|_| "so many sessions do not answer that no more are asked")?;
    let (answer, says) = oneshot::channel();
    seat.tell(Word::Tell(Box::new(Asking { answer, _one_of_all: one_of_all })));
    match timeout(ANSWER_TIME, says).await {
        Ok(Ok(view)) => serde_json::to_value(view).map_err(|_| "it cannot be shown"),
        Ok(Err(_dropped)) => Err("it has ended"),
        Err(_late) => {
            Err("it does not answer: it is stuck in a turn, waits for its worker, or leaves")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_is_known_by_its_form() {
        let id = |text: &str| text.parse::<Id>();
        assert_eq!(id("t:42"), Ok(Id::Token(Token(42))));
        assert_eq!(
            id("0123456789abcdef.3"),
            Ok(Id::Device(DeviceId::new(0x0123_4567_89ab_cdef, 3)))
        );
        assert_eq!(id("0123456789abcdef"), Ok(Id::Account(AccountId(0x0123_4567_89ab_cdef))));
        assert_eq!(id("alice"), Ok(Id::Handle("alice".parse().unwrap())));
        assert_eq!(id("+4512345678"), Ok(Id::Handle("+4512345678".parse().unwrap())));
        for wrong in ["t:", "t:x", "t:-1", "Alice", "0123456789abcdef.", "0123456789ABCDEF.1", ""] {
            assert!(id(wrong).is_err(), "{wrong}");
        }
    }
}
