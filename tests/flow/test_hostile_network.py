"""A node of the DHT among hostile strangers, on real sockets: floods and forgeries, while honest peers are served."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from typing import Any

import pytest

from core.crypto.keys import key_pair
from core.dht.commands import FIND_NODE
from core.dht.handshake import PeerHandshake
from core.dht.handshake_messages import NoisePayload, UdxInfo
from core.net.hyperdht import HyperDht
from core.net.testnet import Testnet
from tests.support.flooder import KINDS
from tests.support.hyperdht import echo_through
from tests.support.repository import ROOT
from tests.support.victim import SERVER, Victim

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

REQUESTS = 100_000
MOST_MIB = {"commands": 16, "handshakes": 48, "announces": 96}


async def flood(kind: str, victim: Victim) -> asyncio.subprocess.Process:
    host, port = victim.address
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.support.flooder",
        kind,
        host,
        str(port),
        str(REQUESTS),
        SERVER.public_key.hex(),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )


async def be_served(friend: HyperDht, victim: Victim) -> None:
    """What an honest peer wants of a node: an answer, its part of a walk, a connection by key."""
    assert (await friend.ping(victim.address)).error == 0
    answer = await friend.request(victim.address, FIND_NODE, internal=True, target=os.urandom(32))
    assert len(answer.closer_nodes) >= 6
    data = os.urandom(200)
    assert await echo_through(friend, SERVER.public_key, data, key_pair=key_pair()) == data


def cost_of_a_handshake() -> float:
    """CPU seconds that one good first message costs a server, here."""
    messages = [
        PeerHandshake(key_pair(), SERVER.public_key).write(NoisePayload(udx=UdxInfo(1))) for _ in range(50)
    ]
    start = time.process_time()
    for message in messages:
        server = PeerHandshake(SERVER)
        server.read(message)
        server.write(NoisePayload(udx=UdxInfo(1)))
    return (time.process_time() - start) / len(messages)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_flood_harms_nobody(kind: str) -> None:
    async with await Testnet.open(6) as net, await Victim.start(net.bootstrap) as victim:
        friend = await net.add()
        for _ in range(20):
            await be_served(friend, victim)
        before = await victim.report()
        flooder = await flood(kind, victim)
        assert flooder.stdout is not None
        end = asyncio.create_task(flooder.stdout.readline())
        served = 0
        async with asyncio.timeout(240):
            while not end.done():
                await be_served(friend, victim)
                served += 1
                await asyncio.sleep(0.05)
        sent: dict[str, Any] = json.loads(await end)
        await flooder.wait()
        after = await victim.report()
        assert sent["back"] > 0
        assert served >= 3
        assert after["failures"] == 0
        assert after["resident_kib"] - before["resident_kib"] < MOST_MIB[kind] * 1024
        assert after["requests"] < 200
        assert after["table"] < 40
        assert after["handshakes"] <= 8_192
        assert after["records"] <= 65_536
        assert after["tasks"] <= before["tasks"] + 4
        assert after["sockets"] < before["sockets"] + 80
        if kind == "handshakes":
            spent = after["cpu_seconds"] - before["cpu_seconds"]
            assert spent < REQUESTS * cost_of_a_handshake() / 2, "most were not worth a Diffie-Hellman"
        await be_served(friend, victim)
