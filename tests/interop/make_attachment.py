"""Seals a file as docs/protocol.md says ("Files"), apart from the Rust code, and prints its digest.

Needs the package `cryptography`. The digests are frozen in crates/seal/src/attachment/tests.rs.
"""

import hashlib
import struct

from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

CHUNK = 65_536


def padme(length: int) -> int:
    exponent = length.bit_length() - 1
    step = 1 << (exponent - exponent.bit_length())
    return -(-length // step) * step


def seal(key: bytes, prefix: bytes, file: bytes) -> bytes:
    padded = file.ljust(padme(max(len(file), 1_024)), b"\0")
    header = b"\x01" + struct.pack(">I", CHUNK) + prefix
    cipher, sealed = ChaCha20Poly1305(key), [header]
    for number, at in enumerate(range(0, len(padded), CHUNK)):
        is_last = at + CHUNK >= len(padded)
        nonce = prefix + struct.pack(">IB", number, is_last)
        sealed.append(cipher.encrypt(nonce, padded[at : at + CHUNK], b"" if number else header))
    return b"".join(sealed)


if __name__ == "__main__":
    for size in (0, 70_000, 327_683):
        file = bytes(at % 251 for at in range(size))
        print(size, hashlib.sha256(seal(b"\7" * 32, b"\t" * 7, file)).hexdigest())
