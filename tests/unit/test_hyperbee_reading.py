"""How a bee is read: views, live history, diffs, watching, forgetting, sparse reading."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from core.corestore import Corestore
from core.errors import (
    BadArgument,
    BlockNotAvailable,
    DecodingError,
    LocalProtocolError,
    SnapshotNotAvailable,
)
from core.hyperbee import Entry, Hyperbee
from core.hyperbee.blocks import Recent
from core.hyperbee.turn import Turn
from core.peer import Peer

pytestmark = pytest.mark.anyio


async def keys(bee: Any, **options: Any) -> list[Any]:
    return [entry.key async for entry in bee.range(**options)]


# --- views ----------------------------------------------------------------------------------------


async def test_snapshots_and_checkouts_stay_as_they_were(bee: Hyperbee) -> None:
    await bee.put("a", 1)
    async with bee.snapshot() as snapshot:
        await bee.put("b", 2)
        await bee.delete("a")
        assert await keys(snapshot) == ["a"]
        assert await keys(bee) == ["b"]
        assert snapshot.version == 2
    async with bee.checkout(0) as nothing:
        assert (nothing.version, await keys(nothing)) == (1, [])
    async with bee.checkout(3) as both:
        assert await keys(both.sub("a", sep="")) == []
        assert await keys(both) == ["a", "b"]


async def test_a_version_inside_a_batch_has_no_tree(bee: Hyperbee) -> None:
    async with bee.batch() as batch:
        await batch.put("a", 1)
        await batch.put("b", 2)
    async with bee.checkout(2) as middle:
        with pytest.raises(DecodingError, match="middle of a batch"):
            await middle.get("a")


async def test_a_checkout_of_the_future_waits_for_it(bee: Hyperbee) -> None:
    await bee.put("a", 1)
    future = bee.checkout(3)
    waiting = asyncio.create_task(future.get("b"))
    await asyncio.sleep(0)
    assert not waiting.done()
    await bee.put("b", 2)
    assert await asyncio.wait_for(waiting, 60) == Entry(2, "b", 2)
    await future.close()


async def test_truncation_is_told_to_walks_and_forgotten_by_gets(bee: Hyperbee) -> None:
    for number in range(200):
        await bee.put(f"{number:03d}", number)
    walk = bee.range()
    await anext(walk)
    history = bee.history(gte=150)
    await anext(history)
    await bee.core.truncate(101)
    with pytest.raises(SnapshotNotAvailable):
        async for _ in walk:
            pass
    with pytest.raises(SnapshotNotAvailable):
        async for _ in history:
            pass
    assert await bee.get("150") is None
    assert len(await keys(bee)) == 100
    await bee.put("150", "again")
    assert await bee.get("150") == Entry(101, "150", "again")


async def test_a_snapshot_outlives_a_truncation(bee: Hyperbee) -> None:
    for number in range(50):
        await bee.put(f"{number:02d}", number)
    snapshot = bee.snapshot()
    await bee.core.truncate(11)
    await bee.put("x", "x")
    assert await keys(snapshot) == [f"{number:02d}" for number in range(50)]
    assert await snapshot.get("49") == Entry(50, "49", 49)
    assert len(await keys(bee)) == 11
    await snapshot.close()


async def test_subs_inherit_and_nest(store: Corestore) -> None:
    bee = Hyperbee(store.get(name="subs"), key_encoding="utf-8", value_encoding="json", sep="/")
    users = bee.sub("users")
    ada = users.sub("ada", value_encoding="utf-8")
    assert (users.prefix, ada.prefix) == (b"users/", b"users/ada/")
    await users.put("count", 1)
    async with ada.batch() as batch:
        await batch.put("name", "Ada")
        assert await batch.get("name") == Entry(2, "name", "Ada")
    assert await keys(bee, value_encoding="binary") == ["users/ada/name", "users/count"]
    assert await ada.get("name") == Entry(2, "name", "Ada")
    assert await ada.get(b"6e616d65".decode(), key_encoding="hex") == Entry(2, "6e616d65", "Ada")
    snapshot = ada.snapshot()
    await ada.delete("name")
    assert await keys(snapshot) == ["name"]
    assert await keys(ada) == []
    assert [difference async for difference in snapshot.diff(1)] == [(Entry(2, "name", "Ada"), None)]
    await ada.close()
    assert not bee.core.closed
    await snapshot.close()


async def test_a_key_encoding_may_encode_ranges(store: Corestore) -> None:
    class Number:
        """Fixed width, so that the order of numbers is the order of keys."""

        def encode(self, value: int) -> bytes:
            return value.to_bytes(4, "big")

        def decode(self, data: bytes) -> int:
            return int.from_bytes(data, "big")

        def encode_range(self, bounds: dict[str, Any]) -> dict[str, bytes | None]:
            return {
                name: None if value is None else self.encode(value + 1 if name == "lt" else value)
                for name, value in bounds.items()
            }

    bee = Hyperbee(store.get(name="numbers"), key_encoding=Number())
    for view in (bee, bee.sub("deep")):
        for number in (1, 2, 300):
            await view.put(number, b"")
        assert await keys(view, gte=2, lt=300) == [2, 300]


# --- reading --------------------------------------------------------------------------------------


async def test_get_by_seq(bee: Hyperbee) -> None:
    await bee.put("a", 1)
    await bee.delete("a")
    assert await bee.get_by_seq(1) == Entry(1, "a", 1)
    assert await bee.get_by_seq(2) == Entry(2, "a", None)
    with pytest.raises(BadArgument):
        await bee.get_by_seq(0)
    with pytest.raises(BlockNotAvailable):
        await bee.get_by_seq(3, wait=False)


async def test_what_was_cleared_is_not_here(bee: Hyperbee) -> None:
    for number in range(40):
        await bee.put(f"{number:02d}", number)
    await bee.core.clear(3, 6)
    for read in (
        lambda: bee.get("02", wait=False),
        lambda: keys(bee, wait=False),
        lambda: keys(bee, reverse=True, wait=False),
    ):
        with pytest.raises(BlockNotAvailable):
            await read()
    with pytest.raises(BlockNotAvailable):
        async for _ in bee.history(wait=False):
            pass
    with pytest.raises(BlockNotAvailable):
        async for _ in bee.diff(1, wait=False):
            pass
    with pytest.raises(TimeoutError):
        await bee.get("02", timeout=0.01)
    assert await keys(bee, gte="10", lt="12", wait=False) == ["10", "11"]


async def test_live_history(bee: Hyperbee) -> None:
    with pytest.raises(BadArgument):
        bee.history(live=True, reverse=True)
    await bee.put("a", 1)
    history = bee.history(live=True)
    first = await anext(history)
    waiting = asyncio.create_task(anext(history))
    await asyncio.sleep(0)
    assert not waiting.done()
    await bee.delete("a")
    second = await asyncio.wait_for(waiting, 60)
    assert [tuple(first), tuple(second)] == [("put", 1, "a", 1), ("del", 2, "a", None)]
    waiting = asyncio.create_task(anext(history))
    await asyncio.sleep(0)
    await bee.core.truncate(1)
    with pytest.raises(SnapshotNotAvailable):
        await asyncio.wait_for(waiting, 60)


async def test_diffs_are_between_versions_of_one_bee(store: Corestore, bee: Hyperbee) -> None:
    await bee.put("a", 1)
    with pytest.raises(BadArgument):
        await anext(bee.diff(9))
    with pytest.raises(BadArgument):
        await anext(bee.diff(Hyperbee(store.get(name="other"))))
    old = bee.snapshot()
    await bee.put("b", 2)
    assert [difference async for difference in old.diff(bee)] == [(None, Entry(2, "b", 2))]
    assert [difference async for difference in bee.diff(old, limit=0)] == []
    await old.close()


# --- watching -------------------------------------------------------------------------------------


async def test_watching_a_range(bee: Hyperbee) -> None:
    await bee.put("a", 1)
    watcher = bee.watch(gte="m")
    waiting = asyncio.create_task(anext(watcher))
    await bee.put("b", 2)
    await asyncio.sleep(0.01)
    assert not waiting.done()
    await bee.put("n", 3)
    current, previous = await asyncio.wait_for(waiting, 60)
    assert await keys(current) == ["a", "b", "n"]
    assert "n" not in await keys(previous)
    waiting = asyncio.create_task(anext(watcher))
    await bee.core.truncate(2)
    current, previous = await asyncio.wait_for(waiting, 60)
    assert await keys(current) == ["a"]
    waiting = asyncio.create_task(anext(watcher))
    await asyncio.sleep(0)
    await watcher.close()
    with pytest.raises(StopAsyncIteration):
        await asyncio.wait_for(waiting, 60)
    assert bee._watchers == set()


async def test_watching_from_the_beginning_with_own_differ_and_map(bee: Hyperbee) -> None:
    await bee.put("a", 1)
    asked: list[tuple[int, int]] = []

    async def differ(current: Hyperbee, previous: Hyperbee) -> AsyncIterator[int]:
        asked.append((current.version, previous.version))
        yield 1

    watcher = bee.watch(eager=True, differ=differ, map=lambda snapshot: snapshot.version)
    assert await asyncio.wait_for(anext(watcher), 5) == (2, 1)
    assert asked == [(2, 1)]
    with pytest.raises(LocalProtocolError):
        bee.sub("x").watch()
    await bee.close()
    with pytest.raises(StopAsyncIteration):
        await anext(watcher)


async def test_watching_one_entry(bee: Hyperbee) -> None:
    watcher = await bee.get_and_watch("a")
    assert watcher.entry is None
    waiting = asyncio.create_task(anext(watcher))
    await bee.put("b", 1)
    await bee.put("a", 2)
    assert await asyncio.wait_for(waiting, 60) == Entry(2, "a", 2)
    waiting = asyncio.create_task(anext(watcher))
    await bee.core.truncate(1)
    assert await asyncio.wait_for(waiting, 60) is None
    waiting = asyncio.create_task(anext(watcher))
    await asyncio.sleep(0)
    await bee.close()
    with pytest.raises(StopAsyncIteration):
        await asyncio.wait_for(waiting, 60)


# --- forgetting -----------------------------------------------------------------------------------


async def test_clearing_what_is_not_linked(bee: Hyperbee) -> None:
    for number in range(120):
        await bee.put(f"{number % 30:02d}", number)
    for number in range(0, 30, 3):
        await bee.delete(f"{number:02d}")
    before = [entry async for entry in bee.range()]
    cleared = await bee.clear_unlinked()
    assert cleared > 60
    again = Hyperbee(bee.core, key_encoding="utf-8", value_encoding="json")
    assert [entry async for entry in again.range(wait=False)] == before
    assert sum(not bee.core.has(seq) for seq in range(1, bee.core.length)) == cleared
    assert bee.core.has(0)
    assert await bee.put("31", "still works")
    assert await bee.delete("01")
    assert await bee.clear_unlinked() > 0
    assert await again.clear_unlinked() == 0
    assert len(await keys(again, wait=False)) == len(before)


async def test_clearing_what_newer_operations_replaced(bee: Hyperbee) -> None:
    for number in range(30):
        await bee.put(f"{number:02d}", number)
    since = bee.version
    for number in range(10):
        await bee.put(f"{number:02d}", "new")
    kept = bee.core.has(1)
    cleared = await bee.clear_unlinked(gte=since)
    assert kept
    assert cleared > 0
    again = Hyperbee(bee.core, key_encoding="utf-8", value_encoding="json")
    assert len(await keys(again, wait=False)) == 30


# --- the parts ------------------------------------------------------------------------------------


async def test_turns_are_first_come_first_served() -> None:
    turn = Turn()
    assert turn.take()
    assert not turn.take()
    order: list[int] = []

    async def work(number: int) -> None:
        await turn.wait()
        order.append(number)
        turn.release()

    tasks = [asyncio.create_task(work(number)) for number in range(4)]
    await asyncio.sleep(0)
    tasks[1].cancel()
    turn.release()
    tasks[2].cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert order == [0, 3]
    assert turn.take()


def test_recent_is_bounded_and_keeps_what_is_used() -> None:
    recent: Recent[int] = Recent(10)
    for number in range(1000):
        recent.set(number, number)
        assert recent.get(0) == 0
        assert len(recent) <= 20
    recent.clear()
    assert recent.get(0) is None


# --- sparse reading -------------------------------------------------------------------------------


@pytest.mark.parametrize("extension", [True, False])
async def test_a_reader_downloads_its_entries_and_the_way_to_them(extension: bool) -> None:
    """With the extension and without it: asking ahead costs no block that the walk would not have taken."""
    server = await Peer.open(None)
    theirs = server.bee(name="films")
    async with theirs.batch() as batch:
        for number in range(3_000):
            await batch.put(f"{number:04d}", number)
    host, port = await server.listen()

    async def blocks_for(read: Callable[[Hyperbee], Awaitable[int]]) -> tuple[int, int]:
        peer = await Peer.open(None)
        await peer.connect(host, port)
        bee = peer.bee(key=theirs.core.key, extension=extension)
        await bee.update(wait=True)
        found = await asyncio.wait_for(read(bee), 60)
        await asyncio.sleep(0.05)  # what was asked for ahead arrives too
        blocks = sum(remote.blocks_received for remote in bee.core.peers)
        await peer.close()
        return found, blocks

    async def newest(bee: Hyperbee) -> int:
        return len(await keys(bee, reverse=True, limit=50))

    async def bounded(bee: Hyperbee) -> int:
        return len(await keys(bee, gte="1000", lt="1020"))

    async def tail(bee: Hyperbee) -> int:
        return len([operation async for operation in bee.history(reverse=True, limit=20)])

    async def one(bee: Hyperbee) -> int:
        return int(await bee.get("1234") is not None)

    async def nothing(bee: Hyperbee) -> int:
        return len(await keys(bee, gte="x"))

    # six levels of the tree, and three keys compared in each
    depth, compared = 6, 18
    for read, count, most in (
        (newest, 50, 50 + depth),
        (bounded, 20, 20 + depth + compared + depth),
        (tail, 20, 20),
        (one, 1, depth + compared),
        (nothing, 0, depth + compared),
    ):
        found, blocks = await blocks_for(read)
        assert found == count
        assert count <= blocks <= most, read.__name__
    await server.close()
