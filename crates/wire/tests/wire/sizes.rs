//! What one text of 20 characters costs on both links together. Sealed in a settled session it is a
//! body of 136 bytes (padded to 63, as one message of the ratchet).

use bytes::Bytes;
use godwit_wire::frame::{TAG_BYTES, header_len};
use godwit_wire::{ToClient, ToServer, v1};

use crate::document;

const BODY_BYTES: usize = 136;

/// After so many messages: a person's whole year.
const COUNTER: u64 = 100_000;

/// Bytes of a frame that carries so much plaintext.
fn framed(plaintext: usize) -> usize {
    let body = plaintext + TAG_BYTES;
    header_len(body) + body
}

fn up(message: impl Into<ToServer>) -> usize {
    framed(message.into().encoded_len())
}

fn down(message: impl Into<ToClient>) -> usize {
    framed(message.into().encoded_len())
}

#[test]
fn a_short_text_costs_what_the_budget_allows() {
    let body = Bytes::from(vec![0; BODY_BYTES]);
    let (account, device, seq) = (u64::MAX, 1, u64::MAX);
    let copy = v1::SealedCopy { device, kind: 0, body: body.clone() };
    let recipient = v1::Recipient { account, list_version: 1, copies: vec![copy] };

    let submit = up(v1::Submit { counter: COUNTER, recipients: vec![recipient], group: None });
    let accepted = down(v1::Accepted { counter: COUNTER, time_ms: 1_700_000_000_000 });
    let deliver = v1::Deliver { seq, account, device, counter: COUNTER, ..Default::default() };
    let deliver = down(v1::Deliver { body, ..deliver });
    let ack = up(v1::Ack { up_to: seq });
    let receipt = down(v1::Receipt { seq, account, device, up_to: COUNTER, origin: 1 });
    let receipt_ack = up(v1::Ack { up_to: seq });

    let frames = [submit, accepted, deliver, ack, receipt, receipt_ack];
    assert_eq!(frames, [183, 30, 184, 28, 45, 28]);
    let together: usize = frames.iter().sum();
    assert!(submit <= 220);
    assert!(together <= 520);
    assert_eq!(document::costs(), [&frames[..], &[together]].concat(), "docs/protocol.md");
}
