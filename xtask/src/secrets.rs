//! Every type that holds key material, and what becomes of it: the fields that are secret are wiped when
//! the value is dropped, and nothing of it is printed. A new field of such a type fails here until it is
//! listed as one or the other.

#[cfg(test)]
mod tests {
    use std::fs;

    use crate::shell::root;

    /// What a field of a type with secrets is.
    #[derive(Debug, Clone, Copy)]
    enum Holds {
        /// A secret that our own code wipes: `Zeroizing`, another type of this list, or the type derives it.
        Wiped,
        /// A secret in a type of a library that wipes it; [`LIBRARIES`] says which.
        Library,
        /// No secret.
        Open,
    }
    use Holds::{Library, Open, Wiped};

    /// Types of libraries that hold secrets, and how they wipe them. The features that switch it on are
    /// held by a test of crate `seal` (`every_cipher_and_hash_is_built_to_wipe_its_memory`).
    const LIBRARIES: &[(&str, &str)] = &[
        ("Ed25519SecretKey", "vodozemac over ed25519-dalek, whose signing key wipes itself"),
        ("Account", "vodozemac; keys of ed25519-dalek and x25519-dalek, which wipe themselves"),
        ("Session", "vodozemac; root, chain and message keys derive ZeroizeOnDrop"),
        ("GroupSession", "vodozemac; its ratchet wipes itself"),
        ("InboundGroupSession", "vodozemac; its ratchets wipe themselves"),
        ("HpkeRecipientChannel", "vodozemac over hpke, whose keys wipe themselves"),
        ("EstablishedHpkeChannel", "vodozemac over hpke, whose contexts wipe themselves"),
        ("UnidirectionalSenderChannel", "vodozemac over hpke, whose contexts wipe themselves"),
        ("ChaCha20Poly1305", "chacha20poly1305 with its feature zeroize"),
        ("HandshakeState", "snow; its keys are our ChaChaPoly and KeyPair, which wipe themselves"),
        ("aws::Secret", "AWS-LC wipes what it frees"),
        ("RandomizedNonceKey", "AWS-LC wipes what it frees"),
    ];

    /// File, type, its fields in order; of a tuple by number.
    type Row = (&'static str, &'static str, &'static [(&'static str, Holds)]);

    const SECRETS: &[Row] = &[
        (
            "link/src/crypto",
            "KeyPair",
            &[("backend", Open), ("secret", Wiped), ("public", Open), ("aws", Library)],
        ),
        ("link/src/key", "StaticKey", &[("0", Wiped)]),
        ("link/src/key", "ServerKeys", &[("current", Wiped), ("previous", Wiped)]),
        ("link/src/ticket", "Ticket", &[("psk", Wiped), ("sealed", Wiped)]),
        ("link/src/ticket", "Pass", &[("peer", Open), ("psk", Wiped)]),
        ("link/src/ticket", "TicketKeys", &[("current", Wiped), ("previous", Wiped)]),
        (
            "link/src/transport",
            "Transport",
            &[("seal_key", Wiped), ("open_key", Wiped), ("sealed", Wiped), ("opened", Wiped)],
        ),
        ("link/src/noise", "Noise", &[("0", Library)]),
        ("link/src/noise/primitives", "ChaChaPoly", &[("backend", Open), ("key", Wiped)]),
        ("link/src/handshake", "Initiator", &[("0", Wiped)]),
        ("link/src/handshake", "Responder", &[("0", Wiped)]),
        ("seal/src/account", "AccountKey", &[("0", Library)]),
        (
            "seal/src/device",
            "DeviceKeys",
            &[
                ("olm", Library),
                ("account", Open),
                ("number", Open),
                ("next_key_id", Open),
                ("unpublished", Open),
                ("fallbacks", Open),
            ],
        ),
        ("seal/src/pairing/ratchet", "Ratchet", &[("0", Library)]),
        ("seal/src/row", "RowKey", &[("0", Wiped)]),
        (
            "seal/src/inner",
            "Inner",
            &[("counter", Open), ("sent_at_ms", Open), ("resend_of", Open), ("body", Wiped)],
        ),
        ("seal/src/attachment", "FileKey", &[("0", Wiped)]),
        (
            "seal/src/attachment",
            "Chunks",
            &[("cipher", Library), ("prefix", Open), ("header", Open)],
        ),
        (
            "seal/src/attachment/sealer",
            "Sealer",
            &[
                ("key", Wiped),
                ("layout", Open),
                ("plain_bytes", Open),
                ("chunks", Wiped),
                ("next", Open),
                ("digest", Open),
                ("header_is_out", Open),
            ],
        ),
        (
            "seal/src/attachment/opener",
            "Opener",
            &[
                ("key", Wiped),
                ("layout", Open),
                ("digest", Open),
                ("seen", Open),
                ("chunks", Wiped),
                ("from", Open),
                ("next", Open),
            ],
        ),
        ("seal/src/group/invite", "InviteSecret", &[("0", Wiped)]),
        ("seal/src/group/secret", "GroupSecret", &[("generation", Open), ("key", Wiped)]),
        (
            "seal/src/group/sender",
            "SenderKey",
            &[("group", Open), ("epoch", Open), ("made_at_ms", Open), ("session", Library)],
        ),
        (
            "seal/src/group/heard",
            "HeardKey",
            &[
                ("from", Open),
                ("group", Open),
                ("epoch", Open),
                ("id", Open),
                ("session", Library),
                ("next", Open),
                ("opened", Open),
            ],
        ),
        (
            "seal/src/group/share",
            "GroupShare",
            &[
                ("group", Open),
                ("epoch", Open),
                ("head", Open),
                ("session_key", Wiped),
                ("secret", Wiped),
            ],
        ),
        (
            "seal/src/linking/new",
            "LinkOffer",
            &[("channel", Library), ("nonce", Wiped), ("code", Open)],
        ),
        (
            "seal/src/linking/new",
            "LinkJoining",
            &[
                ("channel", Library),
                ("rendezvous", Open),
                ("device", Wiped),
                ("handle", Open),
                ("list", Open),
                ("digits", Open),
            ],
        ),
        (
            "seal/src/linking/present",
            "LinkApproval",
            &[
                ("channel", Library),
                ("code", Open),
                ("sender_key", Open),
                ("list", Open),
                ("number", Open),
            ],
        ),
        (
            "seal/src/linking/present",
            "LinkCandidate",
            &[
                ("channel", Library),
                ("code", Open),
                ("list", Open),
                ("entry", Open),
                ("link_key", Open),
                ("first_keys", Open),
                ("digits", Open),
            ],
        ),
        ("client/src/core/vault", "Vault", &[("0", Wiped)]),
        ("client/src/core/vault", "Secret", &[("0", Wiped)]),
        ("client/src/native/request", "Words", &[("0", Wiped)]),
        (
            "client/src/media",
            "Media",
            &[("blob", Open), ("key", Wiped), ("sealed_bytes", Open), ("info", Open)],
        ),
        ("server/src/keys", "Pair", &[("current", Wiped), ("previous", Wiped), ("made_ms", Open)]),
        ("server/src/media/ticket", "TicketBox", &[("sealer", Library), ("key", Wiped)]),
    ];

    /// Types that print themselves by deriving it: what they hold prints nothing.
    const PRINTS_ITS_FIELDS: &[&str] = &["ServerKeys", "Vault"];

    struct Found {
        derives: String,
        fields: Vec<(String, String, bool)>,
    }

    /// The definition of a type in a file as rustfmt leaves it.
    fn found(file: &str, name: &str) -> Found {
        let text = fs::read_to_string(root().join(format!("crates/{file}.rs"))).expect(file);
        let lines: Vec<&str> = text.lines().collect();
        let is_it = |line: &&str| {
            let after = line.split_once("struct ").map(|(_, after)| after);
            let rest = after.and_then(|after| after.strip_prefix(name));
            rest.is_some_and(|rest| rest.starts_with([' ', '(']))
        };
        let at = lines.iter().position(is_it).unwrap_or_else(|| panic!("no {name} in {file}"));
        let above = lines[..at]
            .iter()
            .rev()
            .take_while(|line| line.starts_with("#[") || line.starts_with("///"));
        let derives = above.filter(|line| line.starts_with("#[derive(")).copied().collect();
        let mut fields = Vec::new();
        if let Some((_, tuple)) = lines[at].split_once(&format!("{name}(")) {
            let kind = tuple.trim_end_matches(");").trim_start_matches("pub(crate) ");
            fields.push(("0".to_owned(), kind.to_owned(), false));
        } else {
            let mut is_skipped = false;
            for line in
                lines[at + 1..].iter().take_while(|line| **line != "}").map(|line| line.trim())
            {
                is_skipped |= line.starts_with("#[zeroize(skip)]");
                if line.starts_with("//") || line.starts_with('#') {
                    continue;
                }
                let field = line
                    .rsplit_once(") ")
                    .filter(|_| line.starts_with("pub("))
                    .map_or(line, |(_, f)| f);
                let (field, kind) = field.trim_start_matches("pub ").split_once(": ").expect(line);
                fields.push((field.to_owned(), kind.trim_end_matches(',').to_owned(), is_skipped));
                is_skipped = false;
            }
        }
        Found { derives, fields }
    }

    fn words(kind: &str) -> Vec<&str> {
        kind.split(|letter: char| !letter.is_alphanumeric()).collect()
    }

    #[test]
    fn every_secret_is_wiped_when_it_is_dropped() {
        for (file, name, fields) in SECRETS {
            let found = found(file, name);
            let listed: Vec<_> = fields.iter().map(|(field, _)| *field).collect();
            let present: Vec<_> = found.fields.iter().map(|(field, ..)| field.as_str()).collect();
            assert_eq!(present, listed, "fields of {name} in {file}: say whether they are secret");
            let is_derived = found.derives.contains("ZeroizeOnDrop");
            for ((field, holds), (_, kind, is_skipped)) in fields.iter().zip(&found.fields) {
                let is_ok = match holds {
                    Open => true,
                    Library => LIBRARIES.iter().any(|(library, _)| kind.contains(library)),
                    Wiped if is_derived => !is_skipped,
                    Wiped => {
                        let wipes = |word: &&str| {
                            *word == "Zeroizing"
                                || *word == "TicketBoxKey"
                                || SECRETS.iter().any(|(_, name, _)| name == word)
                        };
                        words(kind).iter().any(wipes)
                    }
                };
                assert!(is_ok, "{name}.{field}: {kind} in {file} is not wiped");
            }
        }
    }

    #[test]
    fn no_secret_prints_itself() {
        for (file, name, _) in SECRETS {
            let derives = found(file, name).derives;
            let prints = derives.contains("Debug") && !PRINTS_ITS_FIELDS.contains(name);
            assert!(!prints, "{name} in {file} derives Debug");
        }
    }
}
