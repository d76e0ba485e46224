#!/usr/bin/env python3
"""Prints crates/link/tests/vectors/godwit.json: both handshakes of Godwit with fixed keys.

The bytes come from PyPI `noiseprotocol`, so that a change of ours to prologue, pattern or payload
order cannot go unseen. Run it as README.md says, and compare: nothing may ever differ.
"""

import json

from noise.connection import Keypair, NoiseConnection


def key(first):
    """32 counting bytes."""
    return bytes(range(first, first + 32))


SERVER, DEVICE, PSK = key(0x20), key(0x40), key(0x60)
CLIENT_EPHEMERAL, SERVER_EPHEMERAL = key(0x80), key(0xA0)
HELLO, WELCOME = b"a hello", b"a welcome"
FRAMES = [("client", b"attach"), ("client", b"submit"), ("server", b"accepted"), ("server", b"")]


def side(pattern, prologue, initiator, ephemeral):
    noise = NoiseConnection.from_name(pattern.encode())
    noise.set_as_initiator() if initiator else noise.set_as_responder()
    noise.set_prologue(prologue)
    noise.set_keypair_from_private_bytes(Keypair.EPHEMERAL, ephemeral)
    return noise


def conversation(pattern, mode, complete):
    prologue = b"GW\x01" + bytes([mode])
    client = side(pattern, prologue, True, CLIENT_EPHEMERAL)
    server = side(pattern, prologue, False, SERVER_EPHEMERAL)
    complete(client, server)
    client.start_handshake()
    server.start_handshake()
    first = bytes(client.write_message(HELLO))
    assert server.read_message(first) == HELLO
    second = bytes(server.write_message(WELCOME))
    assert client.read_message(second) == WELCOME
    frames = []
    for speaker, text in FRAMES:
        speaks, hears = (client, server) if speaker == "client" else (server, client)
        sealed = bytes(speaks.encrypt(text))
        assert hears.decrypt(sealed) == text
        frames.append({"from": speaker, "plaintext": text.hex(), "sealed": sealed.hex()})
    return {"message_1": first.hex(), "message_2": second.hex(), "frames": frames}


def with_static_keys(client, server):
    server.set_keypair_from_private_bytes(Keypair.STATIC, SERVER)
    client.set_keypair_from_private_bytes(Keypair.STATIC, DEVICE)
    public = server.noise_protocol.keypairs["s"].public_bytes
    client.set_keypair_from_public_bytes(Keypair.REMOTE_STATIC, public)


def with_psk(client, server):
    client.set_psks(PSK)
    server.set_psks(PSK)


print(
    json.dumps(
        {
            "server_secret": SERVER.hex(),
            "device_secret": DEVICE.hex(),
            "psk": PSK.hex(),
            "client_ephemeral": CLIENT_EPHEMERAL.hex(),
            "server_ephemeral": SERVER_EPHEMERAL.hex(),
            "hello": HELLO.hex(),
            "welcome": WELCOME.hex(),
            "full": conversation("Noise_IK_25519_ChaChaPoly_BLAKE2s", 1, with_static_keys),
            "resume": conversation("Noise_NNpsk0_25519_ChaChaPoly_BLAKE2s", 2, with_psk),
        },
        indent=1,
    )
)
