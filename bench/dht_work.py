"""One process of the network benchmarks (`bench/dht.py`): python -m bench.dht_work ROLE [ARGUMENTS].

Prints JSON lines. `testnet`, `serve` and `author` say once that they are ready and live until stdin ends; `connect`,
`lookup` and `cold` measure, say their figures and end. `bench/node/dht.js` is the same in terms of the packages.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Sequence

from bench import records
from bench.work import say
from core.crypto.keys import KeyPair, key_pair
from core.dht.world import Meeting
from core.hyperbee import Hyperbee
from core.net.connection import Connection
from core.net.hyperdht import HyperDht
from core.net.meeting import plain_connection
from core.net.testnet import Testnet
from core.peer import Peer, settle_garbage_collector

TOPICS = 10


def memory() -> float:
    """Peak resident megabytes; what `getrusage` says includes the process that started us."""
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024


async def until_stdin_ends() -> None:
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


async def open_node(bootstrap: str) -> HyperDht:
    """A node behind a firewall, as far as it knows: what a person's machine is."""
    node = await HyperDht.open(host="127.0.0.1", bootstrap=bootstrap.split(","), quick_firewall=False)
    await node.bootstrapped()
    return node


async def testnet(size: int) -> None:
    async with await Testnet.open(size) as net:
        say(bootstrap=",".join(net.bootstrap))
        await until_stdin_ends()


# --- connections --------------------------------------------------------------------------------------


def take(meeting: Meeting, pair: KeyPair) -> Connection:
    return plain_connection(meeting, pair, on_open=_nothing, on_close=_nothing)


async def serve(bootstrap: str, keys: int) -> None:
    node = await open_node(bootstrap)
    pairs = [key_pair() for _ in range(keys)]

    def met(pair: KeyPair) -> None:
        node.serve(pair, lambda meeting: _nothing(take(meeting, pair)))

    for pair in pairs:
        met(pair)
    for server in node.servers:
        await node.settled(server.announced)
    say(keys=[pair.public_key.hex() for pair in pairs])
    await until_stdin_ends()
    os._exit(0)  # nothing here is worth an orderly end


async def connect(bootstrap: str, keys: str, again: int, parallel: int) -> None:
    """Connections a second: to each of the keys for the first time, then `again` times to the first of them."""
    node = await open_node(bootstrap)
    publics = [bytes.fromhex(key) for key in keys.split(",")]
    pair = node.key_pair

    async def one(public_key: bytes) -> None:
        connection = take(await node.connect(public_key), pair)
        await connection.opened
        connection.close()

    async def rate(todo: Sequence[bytes]) -> float:
        left = iter(todo)

        async def work() -> None:
            for public_key in left:
                await one(public_key)

        start = time.perf_counter()
        await asyncio.gather(*(work() for _ in range(parallel)))
        return len(todo) / (time.perf_counter() - start)

    spent = time.process_time()
    first = await rate(publics)
    second = await rate([publics[0]] * again)
    say(first=first, again=second, cpu=time.process_time() - spent, count=len(publics) + again, mb=memory())
    os._exit(0)


# --- lookups ------------------------------------------------------------------------------------------


async def lookup(bootstrap: str, count: int) -> None:
    """Milliseconds of whole lookups, one after another, for topics that are announced."""
    node = await open_node(bootstrap)
    topics = [os.urandom(32) for _ in range(TOPICS)]
    for topic in topics:
        await node.announce(topic, key_pair()).finished()
    times = []
    spent = time.process_time()
    for number in range(count):
        start = time.perf_counter()
        found = 0
        async for reply in node.lookup(topics[number % TOPICS]):
            found += len(reply.peers)
        times.append((time.perf_counter() - start) * 1000)
        assert found >= 1, "a lookup found nobody"
    say(times=times, cpu=time.process_time() - spent, count=count, mb=memory())
    os._exit(0)


# --- from cold start to the first block ---------------------------------------------------------------


async def author(bootstrap: str) -> None:
    peer = await Peer.open(None, bootstrap=bootstrap.split(","))
    bee = peer.bee(name="main")
    async with bee.batch() as batch:
        for number in range(1000):
            await batch.put(records.key(number), records.value(number))
    assert peer.network is not None
    await peer.network.driver.flushed()
    say(key=bee.core.key.hex())
    await until_stdin_ends()
    os._exit(0)


async def cold(bootstrap: str, key: str) -> None:
    start = time.perf_counter()
    peer = await Peer.open(None, bootstrap=bootstrap.split(","))
    bee = Hyperbee(peer.core(key=key), key_encoding="utf-8", value_encoding="json")
    assert await peer.find(bee.core, 30.0), "nobody was found"
    await bee.update(wait=True)
    await bee.core.get(bee.core.length - 1)
    say(seconds=time.perf_counter() - start, mb=memory())
    os._exit(0)


def _nothing(_: object) -> None:
    """The connection lives by its socket."""


ROLES = {role.__name__: role for role in (testnet, serve, connect, lookup, author, cold)}

if __name__ == "__main__":
    role, *arguments = sys.argv[1:]
    settle_garbage_collector()
    asyncio.run(ROLES[role](*(json.loads(word) if word.isdecimal() else word for word in arguments)))  # type: ignore[operator]
