"""Garbage on the sockets of a storing node; floods are in tests/flow/test_hostile_network.py."""

from __future__ import annotations

import asyncio
import random
import socket
from typing import Any

import pytest

from core.dht.messages import encode_request
from core.net.testnet import Testnet

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
