"""Our swarm and the official hyperswarm: who shares a topic meets, and a bee is found by its key alone.

Each test runs on the official testnet and on one of Python nodes only, so the latter carries all that Node peers do:
they bootstrap from it, announce, look up, and connect through its relays.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from core.peer import Peer
from tests.support.hyperswarm import Place, driver_of, place_of
from tests.support.node import NodePeer

pytestmark = [pytest.mark.anyio, pytest.mark.interop]

Start = Callable[..., Awaitable[NodePeer]]

PAIRS = [[f"post/{number:03}", {"text": f"number {number}"}] for number in range(40)]


@pytest.fixture(params=["theirs", "ours"])
async def place(request: pytest.FixtureRequest, start_node: Start) -> AsyncIterator[Place]:
    async with place_of(await start_node("swarm.js"), request.param) as place:
        yield place


SERVER, CLIENT, BOTH = (True, False), (False, True), (True, True)


@pytest.mark.parametrize(
    ("ours", "theirs"), [(CLIENT, SERVER), (SERVER, CLIENT), (BOTH, BOTH)], ids=["client", "server", "both"]
)
@pytest.mark.parametrize("first", ["we", "they"])
async def test_who_shares_a_topic_meets(
    place: Place, ours: tuple[bool, bool], theirs: tuple[bool, bool], first: str
) -> None:
    """Whoever joins second finds the first; a client that came first finds the server when it looks again."""
    topic = secrets.token_bytes(32)
    key = await place.theirs("node")
    peer = await place.ours()

    async def we_join() -> None:
        joined = await peer.join(topic, server=ours[0], client=ours[1])
        assert await joined.flushed()

    async def they_join() -> None:
        await place.node("join", name="node", topic=topic.hex(), server=theirs[0], client=theirs[1])

    for join in (we_join, they_join) if first == "we" else (they_join, we_join):
        await join()
    if ours is CLIENT and first == "we":
        (await peer.join(topic, server=False, client=True)).refresh()
    if theirs is CLIENT and first == "they":
        await place.node("leave", name="node", topic=topic.hex())
        await they_join()
    connection = await place.one_connection(peer, "node", key)
    if ours is not BOTH:
        assert connection.is_initiator is (ours is CLIENT)


async def test_two_of_theirs_meet_beside_ours(place: Place) -> None:
    topic = secrets.token_bytes(32)
    keys = [await place.theirs(name) for name in ("one", "other")]
    peer = await place.ours()
    await place.node("join", name="one", topic=topic.hex(), server=True, client=False)
    await (await peer.join(topic, server=True, client=False)).flushed()
    await place.node("join", name="other", topic=topic.hex(), server=False, client=True)
    await place.node("flush", name="other")
    seen = {key for key, _, _ in await place.seen_by_theirs("other")}
    assert seen == {keys[0].hex(), peer.public_key.hex()}


async def test_a_node_reader_finds_our_bee_by_its_key_alone(place: Place) -> None:
    await place.theirs("reader")
    author = await place.ours()
    bee = author.bee(name="main")
    async with bee.batch() as batch:
        for key, value in PAIRS:
            await batch.put(key, value)
    await driver_of(author).flushed()
    assert await place.node("read", name="reader", key=bee.core.key.hex(), count=len(PAIRS)) == PAIRS


async def test_we_find_their_bee_by_its_key_alone(place: Place) -> None:
    await place.theirs("author")
    opened = await place.node("author", name="author", pairs=PAIRS)
    reader: Peer = await place.ours()
    bee = reader.bee(key=bytes.fromhex(opened["key"]))
    async with asyncio.timeout(60):
        assert await reader.find(bee.core, 60.0)
        await bee.core.update(wait=True)
        assert [[entry.key, entry.value] async for entry in bee.range()] == PAIRS
