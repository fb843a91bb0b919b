"""What a hostile stranger sends to the sockets of a storing node: 100,000 requests at once, and garbage."""

from __future__ import annotations

import asyncio
import os
import random
import resource
import socket
import sys
import time
from typing import Any

import pytest

from core.dht.commands import SERVER
from core.dht.messages import encode_request
from core.net.testnet import Testnet

pytestmark = pytest.mark.anyio

REQUESTS = 100_000
KEEP = 70

# Lays out the requests itself, so that the sender is as fast as a stranger's would be. Every one names a target and
# so asks for the largest answer there is.
FLOODER = f"""
import os, socket, sys
host, port = sys.argv[1], int(sys.argv[2])
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.connect((host, port))
for number in range({REQUESTS}):
    command = (2, 0, 3)[number % 3]
    flags = 8 | (4 if number % 3 < 2 else 0)
    tid = (number & 0xffff).to_bytes(2, "little")
    try:
        sock.send(bytes((3, flags)) + tid + bytes(6) + bytes((command,)) + os.urandom(32))
    except OSError:
        pass
print("sent")
"""


def peak_memory_kib() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


async def test_a_flood_harms_nobody() -> None:
    async with await Testnet.open(6) as net:
        victim = net.nodes[3]
        victim.machine.on_command(KEEP, lambda request: request.reply(b"still here"))
        friend = await net.add()
        before = peak_memory_kib()
        host, port = victim.server_address
        flooder = await asyncio.create_subprocess_exec(
            sys.executable, "-c", FLOODER, host, str(port), stdout=asyncio.subprocess.PIPE
        )
        assert flooder.stdout is not None
        end = asyncio.create_task(flooder.stdout.readline())
        served = 0
        slowest = 0.0
        while not end.done():
            started = time.monotonic()
            reply = await friend.request(victim.server_address, KEEP)
            assert reply.value == b"still here"
            assert len(await friend.find_node(os.urandom(32))) == 6
            slowest = max(slowest, time.monotonic() - started)
            served += 1
            await asyncio.sleep(0.01)
        assert await end == b"sent\n"
        await flooder.wait()
        assert served >= 1
        assert slowest < 8.0  # a datagram that found the socket's buffer full is sent again after a second
        assert (await friend.request(victim.server_address, KEEP)).value == b"still here"
        machine = victim.machine
        assert len(machine.requests) < 100
        assert len(machine.table) <= 8
        assert peak_memory_kib() - before < 32 * 1024
        assert not victim.hubs[SERVER].socket.closed


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
