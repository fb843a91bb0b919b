"""How a bee is written: turns, commits, judges, batches, refusals."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from core.corestore import Corestore
from core.errors import (
    BadArgument,
    BlockNotAvailable,
    DecodingError,
    LocalProtocolError,
    SessionNotWritable,
    StorageFull,
)
from core.hyperbee import Entry, Hyperbee, Metadata
from core.hyperbee.tree import MAX_LOADED_NODES
from tests.support.stores import fail_next_commit

pytestmark = pytest.mark.anyio


async def keys(bee: Any, **options: Any) -> list[Any]:
    return [entry.key async for entry in bee.range(**options)]


# --- writing --------------------------------------------------------------------------------------


async def test_an_empty_bee_has_version_1_and_no_block(bee: Hyperbee) -> None:
    assert (bee.version, bee.core.length) == (1, 0)
    assert await bee.get("a") is None
    assert await bee.peek() is None
    assert [entry async for entry in bee.history()] == []
    assert bee.core.length == 0


async def test_the_first_write_brings_the_header_even_if_it_changes_nothing(store: Corestore) -> None:
    metadata = Metadata(content_feed=b"k" * 32, user_data=b"")
    bee = Hyperbee(store.get(name="with header"), metadata=metadata)
    assert await bee.delete("nothing") is False
    assert bee.core.length == 1
    header = await bee.get_header()
    assert header is not None
    assert (header.protocol, header.metadata) == ("hyperbee", metadata)
    assert await Hyperbee.is_hyperbee(bee.core)

    batched = Hyperbee(store.get(name="batched"))
    async with batched.batch() as batch:
        await batch.delete("nothing")
    assert batched.core.length == 1

    async with batched.batch():
        pass
    assert batched.core.length == 1


async def test_a_log_that_is_no_bee(store: Corestore) -> None:
    core = store.get(name="other")
    with pytest.raises(BlockNotAvailable):
        await Hyperbee.is_hyperbee(core, wait=False)
    await core.append([b"\xff\xff", b"\x00"])
    assert not await Hyperbee.is_hyperbee(core)
    bee = Hyperbee(core)
    with pytest.raises(DecodingError):
        await bee.get_header()
    with pytest.raises(DecodingError):
        await bee.get(b"a")


async def test_puts_side_by_side_share_one_commit_and_all_arrive(bee: Hyperbee) -> None:
    await bee.put("first", 0)
    appended = 0

    def count() -> None:
        nonlocal appended
        appended += 1

    commits = 0
    storage = bee.core.log.commit.storage
    commit = storage.commit

    def counted() -> None:
        nonlocal commits
        commits += 1
        commit()

    storage.commit = counted  # type: ignore[method-assign]
    bee.core.on("append", count)
    await asyncio.gather(*(bee.put(f"k{number:03d}", number) for number in range(100)))
    assert commits == 1
    assert len(await keys(bee)) == 101
    assert [entry.seq async for entry in bee.range(gte="k", lt="l")] == list(range(2, 102))
    assert appended >= 1


async def test_writers_take_turns_while_a_judge_thinks(bee: Hyperbee) -> None:
    await bee.put("a", 1)
    thinking = asyncio.Event()
    decided = asyncio.Event()

    async def judge(previous: Entry, following: Entry) -> bool:
        assert (previous.value, following) == (1, Entry(2, "a", 2))
        thinking.set()
        await decided.wait()
        return True

    slow = asyncio.create_task(bee.put("a", 2, cas=judge))
    await thinking.wait()
    others = [asyncio.create_task(bee.put("a", number)) for number in (3, 4)]
    await asyncio.sleep(0)
    assert bee.version == 2
    decided.set()
    assert await asyncio.gather(slow, *others) == [True, True, True]
    assert [operation.value async for operation in bee.history()] == [1, 2, 3, 4]


async def test_a_writer_that_gives_up_passes_the_turn_on(bee: Hyperbee) -> None:
    await bee.put("a", 1)

    async def never(*_: Any) -> bool:
        await asyncio.Event().wait()
        return True

    def broken(*_: Any) -> bool:
        raise ZeroDivisionError

    stuck = asyncio.create_task(bee.put("a", 2, cas=never))
    await asyncio.sleep(0)
    waiting = asyncio.create_task(bee.put("a", 3))
    given_up = asyncio.create_task(bee.put("a", 9))
    await asyncio.sleep(0)
    given_up.cancel()
    stuck.cancel()
    assert await waiting
    with pytest.raises(ZeroDivisionError):
        await bee.delete("a", cas=broken)
    entry = await bee.get("a")
    assert entry == Entry(2, "a", 3)
    assert await bee.delete("a")


async def test_cas_is_asked_only_about_what_exists(bee: Hyperbee) -> None:
    asked: list[tuple[Entry, Entry]] = []

    def refuse(previous: Entry, following: Entry) -> bool:
        asked.append((previous, following))
        return False

    assert await bee.put("a", 1, cas=refuse)
    assert not await bee.delete("b", cas=refuse)
    assert asked == []
    assert not await bee.put("a", 2, cas=refuse)
    assert not await bee.delete("a", cas=refuse)
    assert asked == [
        (Entry(1, "a", 1), Entry(2, "a", 2)),
        (Entry(1, "a", 1), Entry(2, "a", None)),
    ]
    assert bee.version == 2


async def test_without_duplicates_an_equal_value_is_dropped(store: Corestore) -> None:
    bee = Hyperbee(store.get(name="x"), value_encoding="json", always_duplicate=False)
    assert await bee.put(b"a", {"x": 1})
    assert not await bee.put(b"a", {"x": 1.0})
    assert await bee.put(b"a", {"x": 2})
    async with bee.batch() as batch:
        assert not await batch.put(b"a", {"x": 2})
        assert await batch.put(b"b", None)
        assert not await batch.put(b"b", None)
    assert bee.version == 4


async def test_what_does_not_fit_the_encoding_is_refused_before_anything_happens(bee: Hyperbee) -> None:
    with pytest.raises(BadArgument):
        await bee.put("a", object())
    with pytest.raises(BadArgument):
        await bee.put(12, "a")
    with pytest.raises(BadArgument):
        await bee.get(12)
    assert bee.core.length == 0


async def test_encodings_of_one_call(bee: Hyperbee) -> None:
    await bee.put(b"\xff", "text", key_encoding="binary", value_encoding="utf-8")
    assert await bee.get(b"\xff", key_encoding="binary", value_encoding="binary") == Entry(
        1, b"\xff", b"text"
    )
    with pytest.raises(DecodingError, match="JSON"):
        await bee.get(b"\xff", key_encoding="binary")
    found = [entry async for entry in bee.range(key_encoding="hex", value_encoding="hex")]
    assert found == [Entry(1, "ff", b"text".hex())]
    assert await bee.delete("ff", key_encoding="hex")


async def test_a_bee_of_somebody_else_is_read_only(store: Corestore, bee: Hyperbee) -> None:
    theirs = Hyperbee(store.get(b"\x07" * 32))
    assert not theirs.writable
    with pytest.raises(SessionNotWritable):
        await theirs.put(b"a", b"b")
    with pytest.raises(SessionNotWritable):
        async with theirs.batch() as batch:
            await batch.delete(b"a")
    await bee.put("a", 1)
    for view in (
        bee.snapshot(),
        bee.checkout(1),
        bee.snapshot().sub("x"),
        Hyperbee(bee.core, read_only=True),
    ):
        assert not view.writable
        with pytest.raises(LocalProtocolError):
            await view.put("a", 2)
        with pytest.raises(LocalProtocolError):
            view.batch()


async def test_a_full_disk_loses_nothing_and_leaves_a_working_bee(tmp_path: Path) -> None:
    store = Corestore(tmp_path)
    bee = Hyperbee(store.get(name="bee"), key_encoding="utf-8", value_encoding="json")
    for number in range(30):
        await bee.put(f"k{number:02d}", number)
    hash_before = bee.core.tree_hash()
    fail_next_commit(bee.core.log.commit.storage)
    with pytest.raises(StorageFull):
        await bee.put("k07", "lost")
    assert (bee.version, bee.core.tree_hash()) == (31, hash_before)
    assert await bee.get("k07") == Entry(8, "k07", 7)
    fail_next_commit(bee.core.log.commit.storage)
    with pytest.raises(StorageFull):
        async with bee.batch() as batch:
            await batch.put("zz", "lost")
            await batch.delete("k00")
    await bee.put("k07", "kept")
    assert await bee.get("k07") == Entry(31, "k07", "kept")
    assert await bee.get("zz") is None
    assert len(await keys(bee)) == 30
    await store.close()


# --- batches --------------------------------------------------------------------------------------


async def test_a_batch_is_all_or_nothing(bee: Hyperbee) -> None:
    with pytest.raises(ZeroDivisionError):
        async with bee.batch() as batch:
            await batch.put("a", 1)
            raise ZeroDivisionError
    assert bee.core.length == 0
    async with bee.batch() as batch:
        await batch.put("a", 1)
        await batch.put("b", 2)
        assert batch.length == 2
        assert await bee.get("a") is None
        assert await batch.get("a") == Entry(1, "a", 1)
        assert await batch.peek(reverse=True) == Entry(2, "b", 2)
        await batch.delete("b")
        assert await batch.get("b") is None
    assert await bee.get("a") == Entry(1, "a", 1)
    assert bee.version == 4


async def test_other_writers_wait_for_a_batch(bee: Hyperbee) -> None:
    batch = bee.batch()
    await batch.put("a", 1)
    other = asyncio.create_task(bee.put("b", 2))
    await asyncio.sleep(0)
    await batch.put("c", 3)
    await batch.flush()
    await other
    assert [operation.key async for operation in bee.history()] == ["a", "c", "b"]
    await batch.put("d", 4)  # a flushed batch goes on
    await batch.close()
    with pytest.raises(LocalProtocolError):
        await batch.put("e", 5)
    assert await bee.put("f", 6)


async def test_tasks_that_share_a_batch(bee: Hyperbee) -> None:
    await bee.put("k5", 0)

    async def consider(previous: Entry, following: Entry) -> bool:
        await asyncio.sleep(0)
        return True

    async with bee.batch() as batch:
        await asyncio.gather(
            *(batch.put(f"k{number}", number, cas=consider if number == 5 else None) for number in range(10)),
            batch.delete("k0"),
        )
    assert await keys(bee) == [f"k{number}" for number in range(1, 10)]


async def test_walking_through_a_batch_that_is_written_to_is_refused(bee: Hyperbee) -> None:
    async with bee.batch() as batch:
        for number in range(100):
            await batch.put(f"{number:03d}", number)
        walk = batch.range()
        await anext(walk)
        await batch.put("x", 1)
        with pytest.raises(LocalProtocolError):
            async for _ in walk:
                pass


async def test_a_log_changed_behind_a_batch_is_noticed(bee: Hyperbee) -> None:
    await bee.put("a", 1)
    with pytest.raises(LocalProtocolError):
        async with bee.batch() as batch:
            await batch.put("b", 2)
            await bee.core.append(b"not by the bee")
    await bee.core.truncate(2)
    assert await bee.put("b", 3)
    assert await keys(bee) == ["a", "b"]


async def test_the_kept_tree_is_cut_back(bee: Hyperbee, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.hyperbee.tree.MAX_LOADED_NODES", 60)
    assert MAX_LOADED_NODES > 60
    for start in range(0, 2000, 200):
        async with bee.batch() as batch:
            for number in range(start, start + 200):
                await batch.put(f"{number * 7919 % 2000:04d}", number)
        kept = bee._writer._kept if bee._writer else None
        assert kept is not None
        assert kept._loaded <= 60
    assert await keys(bee) == [f"{number:04d}" for number in range(2000)]
