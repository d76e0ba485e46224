//! The handshakes and the split keys against Cacophony's vectors, by both implementations.

use serde::Deserialize;

use super::*;
use crate::testing::{BACKENDS, hex};

#[derive(Deserialize)]
struct File {
    vectors: Vec<Vector>,
}

#[derive(Deserialize)]
struct Vector {
    protocol_name: String,
    init_prologue: String,
    init_static: Option<String>,
    init_ephemeral: String,
    init_remote_static: Option<String>,
    #[serde(default)]
    init_psks: Vec<String>,
    resp_prologue: String,
    resp_static: Option<String>,
    resp_ephemeral: String,
    #[serde(default)]
    resp_psks: Vec<String>,
    handshake_hash: String,
    messages: Vec<Message>,
}

#[derive(Deserialize)]
struct Message {
    payload: String,
    ciphertext: String,
}

/// One side of a vector.
struct Side<'a> {
    initiator: bool,
    prologue: &'a str,
    own: Option<&'a String>,
    ephemeral: &'a str,
    remote: Option<&'a String>,
    psk: Option<&'a String>,
}

impl Side<'_> {
    fn build(&self, backend: Backend, pattern: &str) -> Noise {
        let key = |text: &str| <[u8; 32]>::try_from(hex(text)).unwrap();
        let prologue = hex(self.prologue);
        let own = self.own.map(|own| KeyPair::from_secret(backend, &key(own)));
        let ephemeral = hex(self.ephemeral);
        let remote = self.remote.map(|remote| hex(remote));
        let psk = self.psk.map(|psk| key(psk));
        Noise::build(backend, pattern, &prologue, own.as_ref(), |mut builder| {
            builder = builder.fixed_ephemeral_key_for_testing_only(&ephemeral);
            if let Some(remote) = &remote {
                builder = builder.remote_public_key(remote)?;
            }
            if let Some(psk) = &psk {
                builder = builder.psk(0, psk)?;
            }
            if self.initiator { builder.build_initiator() } else { builder.build_responder() }
        })
        .unwrap()
    }
}

impl Vector {
    fn initiator(&self, backend: Backend) -> Noise {
        let side = Side {
            initiator: true,
            prologue: &self.init_prologue,
            own: self.init_static.as_ref(),
            ephemeral: &self.init_ephemeral,
            remote: self.init_remote_static.as_ref(),
            psk: self.init_psks.first(),
        };
        side.build(backend, &self.protocol_name)
    }

    fn responder(&self, backend: Backend) -> Noise {
        let side = Side {
            initiator: false,
            prologue: &self.resp_prologue,
            own: self.resp_static.as_ref(),
            ephemeral: &self.resp_ephemeral,
            remote: None,
            psk: self.resp_psks.first(),
        };
        side.build(backend, &self.protocol_name)
    }

    /// The whole conversation, each side computed by its own implementation.
    fn holds(&self, by_initiator: Backend, by_responder: Backend) {
        let (mut initiator, mut responder) =
            (self.initiator(by_initiator), self.responder(by_responder));
        let [first, second, rest @ ..] = self.messages.as_slice() else { panic!("too short") };

        let sent = initiator.write(&hex(&first.payload)).unwrap();
        assert_eq!(sent, hex(&first.ciphertext));
        assert_eq!(responder.read(&sent).unwrap(), hex(&first.payload));
        let sent = responder.write(&hex(&second.payload)).unwrap();
        assert_eq!(sent, hex(&second.ciphertext));
        assert_eq!(initiator.read(&sent).unwrap(), hex(&second.payload));
        for noise in [&initiator, &responder] {
            assert_eq!(noise.0.get_handshake_hash(), hex(&self.handshake_hash));
        }

        let mut initiator = (initiator.into_transport().unwrap(), by_initiator);
        let mut responder = (responder.into_transport().unwrap(), by_responder);
        for (turn, message) in rest.iter().enumerate() {
            let (from, to) = if turn % 2 == 0 {
                (&mut initiator, &mut responder)
            } else {
                (&mut responder, &mut initiator)
            };
            let mut frame = hex(&message.payload);
            from.0.seal_tail_by(from.1, &mut frame, 0).unwrap();
            assert_eq!(frame, hex(&message.ciphertext));
            let length = to.0.open_by(to.1, &mut frame).unwrap();
            assert_eq!(frame[..length], hex(&message.payload));
        }
        assert_eq!(rest.len(), 4);
    }
}

#[test]
fn cacophony_holds_for_both_patterns_and_all_pairs() {
    let file: File =
        serde_json::from_str(include_str!("../../tests/vectors/cacophony.json")).unwrap();
    let patterns: Vec<_> = file.vectors.iter().map(|v| v.protocol_name.as_str()).collect();
    assert_eq!(patterns, [IK, NN_PSK0]);
    for vector in &file.vectors {
        for by_initiator in BACKENDS {
            for by_responder in BACKENDS {
                vector.holds(by_initiator, by_responder);
            }
        }
    }
}

#[test]
fn steps_out_of_order_are_a_defect_and_no_panic() {
    let responder = || {
        Noise::build(Backend::Portable, NN_PSK0, b"", None, |builder| {
            builder.psk(0, &[7; 32])?.build_responder()
        })
    };
    let mut speaks_first = responder().unwrap();
    assert!(matches!(speaks_first.write(b""), Err(LinkError::Bug { .. })));
    assert!(matches!(responder().unwrap().into_transport(), Err(LinkError::Bug { .. })));
    assert!(matches!(responder().unwrap().peer(), Err(LinkError::Bug { .. })));
    let nothing_known = Noise::build(Backend::Portable, IK, b"", None, |b| b.build_responder());
    assert!(matches!(nothing_known, Err(LinkError::Bug { .. })));
}
