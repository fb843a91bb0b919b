"""What a stranger on a real socket can do to a peer: nothing but lose its own connection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from time import thread_time
from typing import Any

import pytest

from core.encoding.compact import encode_uint
from core.errors import StorageFull
from core.limits import MAX_UNSENT_BYTES
from core.peer import Connection, Peer
from core.replication.messages import Want, encode_range, encode_want
from tests.support.stranger import Stranger, batch

pytestmark = pytest.mark.anyio


class Victim:
    """A peer that serves one bee, and everything that reached the event loop's exception handler."""

    def __init__(self, peer: Peer, key: bytes, address: tuple[str, int]) -> None:
        self.peer = peer
        self.key = key
        self.address = address
        self.escaped: list[dict[str, Any]] = []

    async def attacked_by(self) -> tuple[Stranger, Connection]:
        """A stranger who knows the bee's key, and our side of its connection."""
        before = set(self.peer.connections)
        stranger = await Stranger.dial(self.address)
        await stranger.open(self.key)
        async with asyncio.timeout(60):
            while True:
                for connection in set(self.peer.connections) - before:
                    if connection.mux is not None and list(connection.mux.channels):
                        return stranger, connection
                await asyncio.sleep(0.01)

    async def serves(self) -> None:
        """Somebody honest connects and reads a record."""
        reader = await Peer.open(None)
        try:
            await reader.connect(*self.address)
            async with asyncio.timeout(60):
                bee = reader.bee(key=self.key)
                await bee.update(wait=True)
                entry = await bee.get("k0007")
            assert entry is not None
        finally:
            await reader.close()


@pytest.fixture
async def victim() -> AsyncIterator[Victim]:
    peer = await Peer.open(None)
    bee = peer.bee(name="main")
    async with bee.batch() as records:
        for number in range(500):
            await records.put(f"k{number:04}", {"text": "x" * 200})
    found = Victim(peer, bee.core.key, await peer.listen())
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: found.escaped.append(context))
    yield found
    await peer.close()
    await asyncio.sleep(0)
    loop.set_exception_handler(None)
    assert found.escaped == []


async def longest_turn(until: asyncio.Event) -> float:
    """The longest work between two turns of the event loop, in seconds of our own processor time: what other programs
    of the machine take is not ours.
    """
    longest, last = 0.0, thread_time()
    while not until.is_set():
        await asyncio.sleep(0.002)
        now = thread_time()
        longest, last = max(longest, now - last), now
    return longest


COUNT = 400_000
FLOODS = {
    "sync": [b"\0" + bytes((15, 0)) + encode_uint(2**53 - 1 - number % 2) + b"\0" for number in range(COUNT)],
    "want": [b"\5" + encode_want(Want(32 * number, 32)) for number in range(COUNT)],
    "range": [
        b"\x08" + encode_range(number * 7 % 2**22 + 1, 2**20, drop=bool(number & 1))
        for number in range(COUNT)
    ],
    "prefix": [
        b"\x08" + encode_range(number, 2**53 - 1 - number, drop=bool(number & 1)) for number in range(COUNT)
    ],
}


@pytest.mark.parametrize("kind", FLOODS)
async def test_a_frame_of_very_many_messages_holds_nobody_up(victim: Victim, kind: str) -> None:
    stranger, connection = await victim.attacked_by()
    frame = batch(1, FLOODS[kind])
    await stranger.send([frame])  # sealing it is our own work and not to be measured
    over = asyncio.Event()
    watch = asyncio.create_task(longest_turn(over))
    async with asyncio.timeout(60):
        while connection.bytes_in < len(frame) and not connection.closed.done():
            await asyncio.sleep(0.001)
    await victim.serves()
    over.set()
    assert await watch < 0.7  # one go takes from 1 s (wants) to minutes (ranges)
    stranger.close()


async def test_what_came_before_a_flood_and_after_it_is_handled_in_order(victim: Victim) -> None:
    stranger, connection = await victim.attacked_by()
    assert connection.mux is not None
    seen: list[int] = []
    connection.mux.create_channel("order", messages=[lambda frame, at: seen.append(int(frame[at:].decode()))])
    await stranger.send([b"\0\1\2\5order\0"])
    numbers = iter(range(10**9))
    frames = [batch(2, [b"\0%d" % next(numbers) for _ in range(40_000)]) for _ in range(3)]
    await stranger.send([*frames, b"\2\0%d" % next(numbers)])
    async with asyncio.timeout(60):
        while len(seen) < 120_001:
            await asyncio.sleep(0.01)
    assert seen == list(range(120_001))
    stranger.close()


async def test_who_makes_us_answer_and_does_not_read_is_disconnected(
    victim: Victim, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Opening and closing a channel over and over is answered each time, with more than it costs."""
    # Less than it is, and the kernel is told to wait: on a slow machine it gave the deaf connection up first.
    monkeypatch.setattr("core.net.tcp.DEAD_LINK_SECONDS", 600)
    most_unsent = MAX_UNSENT_BYTES // 16
    monkeypatch.setattr("core.net.connection.MAX_UNSENT_BYTES", most_unsent)
    stranger, connection = await victim.attacked_by()
    again = stranger.open_message(victim.key)
    cycle = b"\3\1", again
    frame = batch(0, [message for _ in range(20_000) for message in cycle])
    most = 0

    async def flood() -> None:
        while not connection.closed.done():
            await stranger.send([frame])

    sending = asyncio.create_task(flood())
    async with asyncio.timeout(60):
        while not connection.closed.done():
            most = max(most, connection._carrier.unsent_bytes)
            await asyncio.sleep(0.01)
    sending.cancel()
    error = await connection.closed
    assert error is not None
    assert "asks for more than it reads" in str(error)
    assert most <= most_unsent + 8 * 2**20
    await victim.serves()
    stranger.close()


async def test_a_bug_in_a_handler_ends_one_connection(
    victim: Victim, caplog: pytest.LogCaptureFixture
) -> None:
    stranger, connection = await victim.attacked_by()
    assert connection.mux is not None

    def broken(frame: bytes, position: int) -> None:
        raise ZeroDivisionError("a bug")

    connection.mux.create_channel("broken", messages=[broken])
    await stranger.send([b"\0\1\2\6broken\0", b"\2\0"])
    async with asyncio.timeout(60):
        error = await connection.closed
    assert "a bug" in str(error)
    assert "could not be handled" in caplog.text
    await victim.serves()
    stranger.close()


async def test_a_full_disk_at_the_end_of_a_turn_ends_the_connection_with_its_sentence(
    victim: Victim, monkeypatch: pytest.MonkeyPatch
) -> None:
    stranger, connection = await victim.attacked_by()

    def full() -> None:
        raise StorageFull("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(connection, "_commit", full)
        await stranger.send([b"\1\2\0"])
        async with asyncio.timeout(60):
            assert isinstance(await connection.closed, StorageFull)
    await victim.serves()
    stranger.close()
