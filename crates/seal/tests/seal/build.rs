//! What only the build can promise.

use std::process::Command;

/// The dependencies wipe their key schedules and buffers only under a feature that vodozemac does
/// not ask for (RUSTSEC-2026-0445).
#[test]
fn every_cipher_and_hash_is_built_to_wipe_its_memory() {
    let tree = Command::new(env!("CARGO"))
        .args(["tree", "--offline", "--package", "godwit-seal", "--edges", "no-dev"])
        .args(["--prefix", "none", "--format", "{p} [{f}]"])
        .output()
        .unwrap();
    assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
    let tree = String::from_utf8(tree.stdout).unwrap();
    for name in [
        "aes",
        "block-buffer",
        "cbc",
        "chacha20",
        "chacha20poly1305",
        "cipher",
        "digest",
        "hmac",
        "sha2",
        "curve25519-dalek",
        "ed25519-dalek",
        "x25519-dalek",
    ] {
        let mut lines = tree.lines().filter(|line| line.split(' ').next() == Some(name)).peekable();
        assert!(lines.peek().is_some(), "{name} is gone: adapt this list");
        for line in lines {
            assert!(line.contains("zeroize"), "without zeroize: {line}");
        }
    }
    assert!(tree.lines().any(|line| line.contains("experimental-session-config")));
}
