#!/usr/bin/env python3
"""Speaks to a running godwitd with nothing of Godwit's own code.

The handshake is done by an independent implementation of Noise (PyPI `noiseprotocol`), the preface,
the frames and the protobuf messages by hand, from docs/protocol.md. As a stranger it asks for the
server's terms, checks the answer, and does it once more over a link resumed with the ticket it got.

    noise_client.py godwit://HOST:PORT#KEY

Prints "ok" and exits 0, or says on standard error what is wrong and exits 1.
"""

import base64
import os
import re
import socket
import struct
import sys
import time

from cryptography.exceptions import InvalidTag
from noise.connection import Keypair, NoiseConnection
from noise.exceptions import NoiseInvalidMessage

TIMEOUT_S = 10
MAGIC = b"GW\x01"
FULL, RESUME = 1, 2
PATTERN = {
    FULL: b"Noise_IK_25519_ChaChaPoly_BLAKE2s",
    RESUME: b"Noise_NNpsk0_25519_ChaChaPoly_BLAKE2s",
}
PSK_BYTES = 32
FRAME_BYTES_MAX = 65_535
STANDING_STRANGER = 2
TERMS_REQUEST, TERMS, REFUSED = 7, 9, 2
ADMISSIONS = {1: "open", 2: "invite"}


class Wrong(Exception):
    """The server did something else than docs/protocol.md says."""


def expect(condition, what):
    if not condition:
        raise Wrong(what)


# --- protobuf, as much as is needed ---------------------------------------------------------------

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5


def varint(value):
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def field(number, value):
    """An integer as a varint field; bytes and text as a field with a length."""
    if isinstance(value, int):
        return varint(number << 3 | VARINT) + varint(value)
    if isinstance(value, str):
        value = value.encode()
    return varint(number << 3 | BYTES) + varint(len(value)) + value


def take(data, count):
    expect(len(data) >= count, "a protobuf field ends beyond its message")
    return data[:count], data[count:]


def take_varint(data):
    value = 0
    for index, byte in enumerate(data[:10]):
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return value, data[index + 1 :]
    raise Wrong("a varint without an end")


def fields(data):
    """All (number, value) pairs of a message, in order."""
    found = []
    while data:
        key, data = take_varint(data)
        kind = key & 7
        if kind == VARINT:
            value, data = take_varint(data)
        elif kind == FIXED64:
            raw, data = take(data, 8)
            value = int.from_bytes(raw, "little")
        elif kind == BYTES:
            length, data = take_varint(data)
            value, data = take(data, length)
        elif kind == FIXED32:
            raw, data = take(data, 4)
            value = int.from_bytes(raw, "little")
        else:
            raise Wrong(f"protobuf wire type {kind}")
        found.append((key >> 3, value))
    return found


# --- the link -------------------------------------------------------------------------------------


class Link:
    """One connection: the preface and the handshake, then frames."""

    def __init__(self, address, server_key, ticket=None):
        self.socket = socket.create_connection(address, timeout=TIMEOUT_S)
        mode = RESUME if ticket else FULL
        self.noise = NoiseConnection.from_name(PATTERN[mode])
        self.noise.set_as_initiator()
        # The prologue is what goes over the connection first: magic, version, mode.
        self.noise.set_prologue(MAGIC + bytes([mode]))
        before = b""
        if ticket:
            psk, sealed = ticket[:PSK_BYTES], ticket[PSK_BYTES:]
            self.noise.set_psks(psk)
            before = struct.pack(">H", len(sealed)) + sealed
        else:
            self.noise.set_keypair_from_private_bytes(Keypair.STATIC, os.urandom(32))
            self.noise.set_keypair_from_public_bytes(Keypair.REMOTE_STATIC, server_key)
        self.noise.start_handshake()
        hello = field(1, 1) + field(3, "noise_client.py/1")
        message = before + bytes(self.noise.write_message(hello))
        head = MAGIC + bytes([mode]) + server_key[:4] + struct.pack(">H", len(message))
        self.socket.sendall(head + message)
        self.welcome = dict(fields(bytes(self.noise.read_message(self.answer()))))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def receive(self, count):
        data = b""
        while len(data) < count:
            more = self.socket.recv(count - len(data))
            expect(more, f"the server closed after {len(data)} of {count} bytes")
            data += more
        return data

    def answer(self):
        kind = self.receive(1)[0]
        if kind == 1:
            code, retry_after_ms = struct.unpack(">HI", self.receive(6))
            raise Wrong(f"refused with code {code}, retry after {retry_after_ms} ms")
        expect(kind == 0, f"the preface's answer begins with {kind:#04x}")
        (length,) = struct.unpack(">H", self.receive(2))
        return self.receive(length)

    def send(self, number, body):
        """One message in one frame."""
        sealed = self.noise.encrypt(field(number, body))
        self.socket.sendall(varint(len(sealed)) + sealed)

    def frame(self):
        """The messages of the next frame, as (number, body) pairs."""
        while True:
            header = b""
            while not header or header[-1] > 0x7F:
                expect(len(header) < 3, "a frame's length of more than 3 bytes")
                header += self.receive(1)
            length, _ = take_varint(header)
            expect(varint(length) == header, "a frame's length is not in its shortest form")
            if length == 0:
                continue  # a keepalive
            expect(16 <= length <= FRAME_BYTES_MAX, f"a frame of {length} bytes")
            return fields(bytes(self.noise.decrypt(self.receive(length))))

    def ask_for_terms(self, request):
        """What the server allows; every other answer is wrong."""
        self.send(TERMS_REQUEST, field(1, request))
        messages = self.frame()
        if messages and messages[0][0] == REFUSED:
            raise Wrong(f"the terms were refused with code {dict(fields(messages[0][1])).get(3)}")
        numbers = [number for number, _ in messages]
        expect(numbers == [TERMS], f"messages {numbers} came instead of the terms")
        terms = dict(fields(messages[0][1]))
        expect(terms.get(1) == request, f"terms for request {terms.get(1)}, not {request}")
        expect(terms.get(2) in ADMISSIONS, f"unknown admission {terms.get(2)}")
        for number, name in ((3, "frame bytes"), (4, "records"), (5, "bytes"), (6, "days")):
            expect(terms.get(number, 0) > 0, f"the terms allow no {name}")
        return terms


# --- the story ------------------------------------------------------------------------------------


def parse(link):
    match = re.fullmatch(r"godwit://(.+):(\d+)#([A-Za-z0-9_-]{43})", link)
    expect(match, "a join link looks like godwit://host:port#key")
    host, port, key = match.groups()
    return (host.strip("[]"), int(port)), base64.urlsafe_b64decode(key + "=")


def check_welcome(welcome):
    expect(welcome.get(1) == 1, f"version {welcome.get(1)} instead of 1")
    standing = welcome.get(3)
    expect(standing == STANDING_STRANGER, f"standing {standing}, but this is a stranger")
    expect(4 not in welcome and 5 not in welcome, "a stranger has no account and no device")
    off_s = abs(welcome.get(6, 0) / 1000 - time.time())
    expect(off_s < 3600, f"the server's clock is off by {off_s:.0f} s")
    expect(0 < welcome.get(7, 0) <= 3600, f"a keepalive every {welcome.get(7)} s")


def refuses_another_key(address, server_key):
    """A server must not be able to answer for a key that is not its own."""
    other = server_key[:4] + bytes(byte ^ 0x5A for byte in server_key[4:])
    try:
        Link(address, other).socket.close()
    except (Wrong, InvalidTag, NoiseInvalidMessage, ConnectionError):
        return
    raise Wrong("the server answered for a key that is not its own")


def main(join_link):
    address, server_key = parse(join_link)
    with Link(address, server_key) as link:
        check_welcome(link.welcome)
        terms = link.ask_for_terms(request=1)
        again = link.ask_for_terms(request=2)
        expect({**again, 1: 1} == terms, "two answers differ")
        ticket = link.welcome.get(8)
    expect(ticket and len(ticket) > PSK_BYTES, "the welcome carries no ticket")
    expect(link.welcome.get(9, 0) / 1000 > time.time(), "the ticket has expired already")
    with Link(address, server_key, ticket) as link:
        check_welcome(link.welcome)
        expect({**link.ask_for_terms(request=1)} == terms, "the resumed link has other terms")
    refuses_another_key(address, server_key)
    print(f"ok: handshake, terms ({ADMISSIONS[terms[2]]}), resumption, wrong key refused")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: noise_client.py godwit://HOST:PORT#KEY")
    try:
        main(sys.argv[1])
    except (Wrong, OSError, InvalidTag, NoiseInvalidMessage) as error:
        sys.exit(f"noise_client: {error or type(error).__name__}")
