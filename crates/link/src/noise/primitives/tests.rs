use super::*;

#[test]
fn an_own_pair_of_the_other_implementation_is_prepared_anew() {
    let own = KeyPair::from_secret(Backend::AwsLc, &[3; 32]);
    let resolver = Resolver { backend: Backend::Portable, own: Some(own.clone()) };
    let mut agreement = resolver.resolve_dh(&DHChoice::Curve25519).unwrap();
    agreement.set(&[3; 32]);
    assert_eq!(agreement.pubkey(), own.public());
    agreement.set(&[3; 31]);
    assert!(agreement.dh(own.public(), &mut [0; 32]).is_err(), "31 bytes are no secret");
}

#[test]
fn a_buffer_too_small_is_refused() {
    let resolver = Resolver { backend: Backend::Portable, own: None };
    let mut cipher = resolver.resolve_cipher(&CipherChoice::ChaChaPoly).unwrap();
    cipher.set(&[9; 32]);
    let mut room = [0; 20];
    assert_eq!(cipher.encrypt(0, b"", b"hello", &mut room), 0);
    assert_eq!(room, [0; 20], "the plaintext must not stay in the message");
    assert_eq!(cipher.encrypt(0, b"", b"four", &mut room), 20);
    assert!(cipher.decrypt(0, b"", &room, &mut [0; 3]).is_err());
    assert!(cipher.decrypt(0, b"", &room[..15], &mut [0; 20]).is_err());
    let mut plaintext = [0; 4];
    assert_eq!(cipher.decrypt(0, b"", &room, &mut plaintext), Ok(4));
    assert_eq!(&plaintext, b"four");
}

/// Our hash with everything else as snow does it.
#[derive(Default)]
struct Plain(Blake2s);

impl Hash for Plain {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn block_len(&self) -> usize {
        self.0.block_len()
    }

    fn hash_len(&self) -> usize {
        self.0.hash_len()
    }

    fn reset(&mut self) {
        self.0.reset();
    }

    fn input(&mut self, data: &[u8]) {
        self.0.input(data);
    }

    fn result(&mut self, out: &mut [u8]) {
        self.0.result(out);
    }
}

#[test]
fn keys_are_derived_as_snow_derives_them() {
    // As snow calls it: a chaining key of one digest, and nothing, a secret, or more as the input.
    for (input, outputs) in [(0, 1), (0, 2), (32, 2), (32, 3), (65, 3)] {
        let derived = [true, false].map(|ours| {
            let (key, input) = ([7; HASH_BYTES], vec![9; input]);
            let mut outs = [[0; 64]; 3];
            let [one, two, three] = &mut outs;
            match ours {
                true => Blake2s::default().hkdf(&key, &input, outputs, one, two, three),
                false => Plain::default().hkdf(&key, &input, outputs, one, two, three),
            }
            outs
        });
        assert_eq!(derived[0], derived[1], "{outputs} of {input} bytes");
        assert_ne!(derived[0][outputs - 1], [0; 64]);
    }
}
