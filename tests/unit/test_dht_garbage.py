"""Garbage on the sockets of a storing node; floods are in tests/flow/test_hostile_network.py."""

from __future__ import annotations

import asyncio
import random
import socket
from typing import Any

import pytest

from core.crypto.keys import key_pair
from core.dht.messages import encode_request
from core.net.testnet import Testnet
from tests.support.hyperdht import Echo, echo_through, serve_echo

pytestmark = pytest.mark.anyio


def received(sock: socket.socket) -> int:
    """How many datagrams wait there; they are taken."""
    count = 0
    while True:
        try:
            sock.recv(2048)
        except BlockingIOError:
            return count
        count += 1


async def test_garbage_on_every_port_of_a_storing_node_is_dropped_in_silence() -> None:
    """Random bytes, and random bodies of every command behind a good head, target and token."""
    failures: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: failures.append(context))
    draw = random.Random(11)
    async with await Testnet.open(4) as net:
        victim = net.nodes[2]
        stranger = await net.add()
        answer = await stranger.request(victim.server_address, 3, target=bytes(32))
        assert answer.token is not None
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind(("127.0.0.1", 0))
            sock.setblocking(False)
            answers = 0
            for number in range(6_000):
                to = draw.choice([victim.server_address, victim.client_address])
                body = draw.randbytes(draw.randrange(200))
                if number % 3:
                    body = encode_request(
                        number & 0xFFFF,
                        to,
                        draw.randrange(13),
                        internal=number % 6 == 1,
                        token=answer.token if draw.random() < 0.8 else None,
                        target=draw.randbytes(32) if draw.random() < 0.9 else None,
                        value=body if draw.random() < 0.9 else None,
                    )
                sock.sendto(body, to)
                if number % 50 == 0:
                    await asyncio.sleep(0)
                    answers += received(sock)
            await asyncio.sleep(0.05)
            answers += received(sock)
        # Most of it had a head that a node must answer: with an error, a value or closer nodes.
        assert answers > 1_000
        for _ in range(3):
            assert (await stranger.ping(victim.server_address)).error == 0
            assert len(await stranger.find_node(draw.randbytes(32))) == 4
    assert failures == []


def udx_like(draw: random.Random, stream_id: int | None) -> bytes:
    """A UDX packet of any kind, flags and numbers; the id is right, when it is known."""
    body = bytearray(b"\xff\x01" + draw.randbytes(draw.randrange(1, 120)))
    if len(body) >= 8 and stream_id is not None:
        body[4:8] = stream_id.to_bytes(4, "little")
    return bytes(body)


async def test_packets_of_strangers_for_streams_end_at_most_the_stream_they_name() -> None:
    """Ids are 32 random bits. Who guesses harms nobody; who saw one on the wire can end that stream, and no other."""
    failures: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: failures.append(context))
    draw = random.Random(12)
    async with await Testnet.open(4) as net:
        server, one, two = await net.add(), await net.add(), await net.add()
        keys = key_pair(bytes(range(32)))
        served = await serve_echo(server, keys)
        echoes = [Echo(one), Echo(two)]
        first, second = [
            echo.take(await node.connect(keys.public_key))
            for echo, node in zip(echoes, (one, two), strict=True)
        ]
        for echo, connection in zip(echoes, (first, second), strict=True):
            assert await echo.send(connection, b"before") == b"before"
        known = served.meetings[0].stream
        targets = [hub.socket.local_address for node in (server, one, two) for hub in node.hubs.values()]
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            for _ in range(4_000):
                sock.sendto(udx_like(draw, None), draw.choice(targets))
                await asyncio.sleep(0)
            assert await echoes[0].send(first, b"guessed") == b"guessed"
            for _ in range(2_000):
                sock.sendto(udx_like(draw, known.local_id), server.server_address)
                await asyncio.sleep(0)
        data = draw.randbytes(50_000)
        async with asyncio.timeout(60):
            assert await echoes[1].send(second, data) == data
            assert await echo_through(two, keys.public_key, data, key_pair=key_pair()) == data
        assert second.closed.done() is False
    assert failures == []
