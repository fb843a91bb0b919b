"""A stranger who sends a node 100,000 datagrams as fast as it takes them, from a host of its own.

    python -m tests.support.flooder KIND HOST PORT COUNT SERVER_KEY

Prints one JSON line at the end. Every 100 datagrams it waits until the node has answered a ping, so that what it sends
does arrive instead of being lost in front of a full socket.
"""

from __future__ import annotations

import json
import os
import random
import socket
import sys
import time
from collections.abc import Callable, Iterator

from core.crypto.hashing import hash32
from core.crypto.keys import key_pair
from core.dht.address import Address
from core.dht.commands import PING
from core.dht.handshake import PeerHandshake
from core.dht.handshake_messages import HandshakeBody, Mode, NoisePayload, UdxInfo, encode_handshake
from core.dht.holepunch_messages import HolepunchBody, encode_holepunch
from core.dht.hyper_commands import ANNOUNCE, PEER_HANDSHAKE, PEER_HOLEPUNCH
from core.dht.messages import decode_response, encode_request
from core.dht.peer_id import peer_id
from core.dht.records import encode_announcement
from core.dht.signatures import sign_announcement

HOST = "127.0.0.66"
PORTS = 8
WINDOW = 100
VALID_HANDSHAKES = 2_000


class Flooder:
    """Sockets, and the node's answers to pings."""

    def __init__(self, to: Address) -> None:
        self.to = to
        self.sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(PORTS)]
        for sock in self.sockets:
            sock.bind((HOST, 0))
            sock.setblocking(False)
        self.bytes_back = 0
        self.bytes_sent = 0

    def send(self, data: bytes, number: int = 0) -> None:
        self.bytes_sent += len(data)
        try:
            self.sockets[number % PORTS].sendto(data, self.to)
        except BlockingIOError:
            pass

    def ask(self, data: bytes, tid: int) -> bytes:
        """The answer to `data`, sent until it comes."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            self.send(data)
            again = time.monotonic() + 1
            while time.monotonic() < again:
                for answer in self.drain():
                    if answer[0] == 0x13 and answer[2:4] == tid.to_bytes(2, "little"):
                        return answer
                time.sleep(0.0005)
        raise SystemExit("the node does not answer any more")

    def drain(self) -> Iterator[bytes]:
        for sock in self.sockets:
            while True:
                try:
                    data = sock.recv(2048)
                except (BlockingIOError, ConnectionError):
                    break
                self.bytes_back += len(data)
                yield data

    def wait(self) -> None:
        tid = random.randrange(60_000, 65_536)
        self.ask(encode_request(tid, self.to, PING, internal=True), tid)


def commands(flooder: Flooder, server_key: bytes) -> Callable[[int], bytes]:
    """Every command with and without a target, a value and an id that is the sender's own."""
    ids = [peer_id(sock.getsockname()) for sock in flooder.sockets]
    values = [None, b"\x01\x02", b"\x10\x27\x00\x00", b"x" * 400, bytes((127, 0, 0, 1, 9, 9))]

    def make(number: int) -> bytes:
        return encode_request(
            number & 0x7FFF,
            flooder.to,
            number % 13,
            internal=number % 3 == 0,
            id=ids[number % PORTS] if number % 2 else None,
            target=os.urandom(32) if number % 5 else None,
            value=values[number % len(values)],
        )

    return make


def handshakes(flooder: Flooder, server_key: bytes) -> Callable[[int], bytes]:
    """Mostly invented, some good ones (each of which costs the server four scalar multiplications), and replays."""
    target = hash32(server_key)
    good = []
    for number in range(VALID_HANDSHAKES):
        payload = NoisePayload(udx=UdxInfo(number), secret_stream=True)
        good.append(PeerHandshake(key_pair(), server_key).write(payload))

    def make(number: int) -> bytes:
        if number % 10 == 9:
            body = encode_holepunch(HolepunchBody(Mode.FROM_RELAY, number, os.urandom(150), ("127.0.0.9", 9)))
            return encode_request(number & 0x7FFF, flooder.to, PEER_HOLEPUNCH, target=target, value=body)
        noise = good[number // 10 % len(good)] if number % 10 == 0 else os.urandom(180)
        relayed = number % 3 == 1
        peer = (f"127.0.{number % 200}.7", 7) if relayed else None
        value = encode_handshake(HandshakeBody(Mode.FROM_RELAY if relayed else Mode.FROM_CLIENT, noise, peer))
        return encode_request(number & 0x7FFF, flooder.to, PEER_HANDSHAKE, target=target, value=value)

    return make


def announces(flooder: Flooder, server_key: bytes) -> Callable[[int], bytes]:
    """Good announcements of ever new keys under ever new topics, and as many that are signed for nobody."""
    renewed = -1
    token = id = b""

    def make(number: int) -> bytes:
        nonlocal renewed, token, id
        if number // 2_000 != renewed:  # tokens grow old
            renewed = number // 2_000
            request = encode_request(59_000, flooder.to, 200, target=bytes(32), token=bytes(32))
            answer = decode_response(flooder.ask(request, 59_000))
            token, id = answer.token or b"", answer.id or b""
        topic = os.urandom(32)
        announcement = sign_announcement(key_pair(), topic, id, token, (("10.0.0.1", 1),) * 3)
        data = encode_announcement(announcement)
        if number % 2:
            data = data[:-64] + os.urandom(64)
        return encode_request(number & 0x7FFF, flooder.to, ANNOUNCE, target=topic, token=token, value=data)

    return make


KINDS = {kind.__name__: kind for kind in (commands, handshakes, announces)}


def main(kind: str, host: str, port: str, count: str, server_key: str) -> None:
    flooder = Flooder((host, int(port)))
    make = KINDS[kind](flooder, bytes.fromhex(server_key))
    start = time.monotonic()
    for number in range(int(count)):
        flooder.send(make(number), number)
        if number % WINDOW == WINDOW - 1:
            flooder.wait()
    seconds = time.monotonic() - start
    print(json.dumps({"seconds": seconds, "sent": flooder.bytes_sent, "back": flooder.bytes_back}))


if __name__ == "__main__":
    main(*sys.argv[1:])
