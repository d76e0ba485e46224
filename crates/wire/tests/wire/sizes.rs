//! What one text of 20 characters costs on both links together. Sealed in a settled session it is a
//! body of 136 bytes (padded to 63, as one message of the ratchet).

use bytes::Bytes;
use godwit_wire::frame::{TAG_BYTES, header_len};
use godwit_wire::{ToClient, ToServer, v1};

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

    let submit = up(v1::Submit { counter: COUNTER, recipients: vec![recipient] });
    let accepted = down(v1::Accepted { counter: COUNTER, time_ms: 1_700_000_000_000 });
    let deliver = down(v1::Deliver { seq, account, device, counter: COUNTER, kind: 0, body });
    let ack = up(v1::Ack { up_to: seq });
    let receipt = down(v1::Receipt { seq, account, device, up_to: COUNTER });
    let receipt_ack = up(v1::Ack { up_to: seq });

    assert_eq!([submit, accepted, deliver, ack, receipt, receipt_ack], [182, 30, 185, 28, 43, 28],);
    assert!(submit <= 220);
    assert!(submit + accepted + deliver + ack + receipt + receipt_ack <= 520);
}
