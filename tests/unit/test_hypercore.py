"""Sessions: what an application sees of a log, and what it is told when something cannot be done."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from core.corestore import Corestore
from core.crypto.keys import key_pair
from core.errors import (
    BadArgument,
    LogConflict,
    RequestCancelled,
    RequestTimeout,
    SessionClosed,
    SessionNotWritable,
    SnapshotNotAvailable,
    StorageFull,
)
from core.hypercore import Hypercore
from core.hypercore.manifest import Prologue, Signer, create_manifest
from core.hypercore.proof import Proof, UpgradeProof
from core.limits import MAX_BLOCK_BYTES
from tests.support.stores import fail_next_commit

pytestmark = pytest.mark.anyio


@pytest.fixture
async def store() -> AsyncIterator[Corestore]:
    async with Corestore() as opened:
        yield opened


@pytest.fixture
def core(store: Corestore) -> Hypercore:
    return store.get(name="test")


def fail_commit_of(core: Hypercore) -> None:
    fail_next_commit(core.log.commit.storage)  # type: ignore[arg-type]


# --- append and get -------------------------------------------------------------------------------


async def test_append_one_or_many_bytes_or_text(core: Hypercore) -> None:
    assert await core.append(b"abc") == (1, 3)
    assert await core.append(["é", b"", bytearray(b"xy")]) == (4, 7)
    assert await core.append([]) == (4, 7)
    assert [await core.get(index) for index in range(4)] == [b"abc", "é".encode(), b"", b"xy"]
    assert (core.length, core.byte_length, core.contiguous_length) == (4, 7, 4)


async def test_an_append_returns_only_after_its_commit(core: Hypercore) -> None:
    appending = asyncio.ensure_future(core.append("x"))
    await asyncio.sleep(0)
    assert core.length == 1
    assert core.log.commit.storage.dirty
    await appending
    assert not core.log.commit.storage.dirty


async def test_appends_of_one_turn_share_a_commit(core: Hypercore, monkeypatch: pytest.MonkeyPatch) -> None:
    storage, commits = core.log.commit.storage, 0
    commit = storage.commit

    def counted() -> None:
        nonlocal commits
        commits += 1
        commit()

    monkeypatch.setattr(storage, "commit", counted)
    results = await asyncio.gather(*(core.append(str(number)) for number in range(50)))
    assert [result.length for result in results] == list(range(1, 51))
    assert commits == 1


async def test_a_full_disk_fails_every_append_of_the_turn_and_nothing_is_left(core: Hypercore) -> None:
    await core.append(["a", "b"])
    hash_before = core.tree_hash()
    fail_commit_of(core)
    results = await asyncio.gather(core.append("c"), core.append("d"), return_exceptions=True)
    assert [type(result) for result in results] == [StorageFull, StorageFull]
    assert (core.length, core.byte_length, core.tree_hash()) == (2, 2, hash_before)
    assert not core.has(2)
    assert core.block_if_local(2) is None
    assert await core.append("e") == (3, 3)
    assert await core.get(2) == b"e"


async def test_what_a_failed_commit_took_back_was_never_announced(core: Hypercore) -> None:
    told: list[Any] = []
    core.on("append", lambda: told.append(core.length))
    core.on("stored", lambda start, count: told.append((start, count)))
    fail_commit_of(core)
    with pytest.raises(StorageFull):
        await core.append("a")
    assert told == []
    await core.append(["a", "b"])
    assert told == [(0, 2), 2]


async def test_a_core_made_in_a_turn_that_failed_can_be_used_again(store: Corestore) -> None:
    core = store.get(name="new")
    fail_commit_of(core)
    with pytest.raises(StorageFull):
        await core.append("a")
    assert await core.append("b") == (1, 1)
    assert store.get(name="new").key == core.key
    assert store.get(core.key).block_if_local(0) == b"b"


async def test_a_block_has_a_largest_size(core: Hypercore) -> None:
    with pytest.raises(BadArgument, match="at most"):
        await core.append([b"", bytes(MAX_BLOCK_BYTES + 1)])
    assert core.length == 0


async def test_get_without_waiting(core: Hypercore) -> None:
    await core.append("a")
    assert await core.get(1, wait=False) is None
    assert core.block_if_local(1) is None
    assert not core.has(-1)
    for read in (core.get, core.block_if_local):
        with pytest.raises(BadArgument, match="not negative"):
            await read(-1)  # type: ignore[misc]


async def test_get_waits_for_an_append(core: Hypercore) -> None:
    waiting = asyncio.ensure_future(core.get(1))
    await core.append("a")
    assert not waiting.done()
    await core.append("b")
    assert await asyncio.wait_for(waiting, 60) == b"b"


async def test_get_gives_up_after_its_timeout(store: Corestore) -> None:
    with pytest.raises(RequestTimeout):
        await store.get(bytes(32)).get(0, timeout=0.01)
    with pytest.raises(RequestTimeout):
        await store.get(bytes(32), timeout=0.01).get(0)


async def test_closing_a_session_ends_its_waiting_and_no_other(store: Corestore) -> None:
    one, two = store.get(bytes(32)), store.get(bytes(32))
    waiting = [asyncio.ensure_future(session.get(0)) for session in (one, two)]
    await asyncio.sleep(0)
    await one.close()
    with pytest.raises(RequestCancelled):
        await waiting[0]
    assert not waiting[1].done()
    with pytest.raises(SessionClosed):
        await one.get(0)
    with pytest.raises(SessionClosed):
        await one.append("x")
    await two.close()
    with pytest.raises(RequestCancelled):
        await waiting[1]


async def test_a_cancelled_task_withdraws_its_wish(store: Corestore) -> None:
    core = store.get(bytes(32))
    waiting = asyncio.ensure_future(core.get(0))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert core.log.replicator is not None
    assert core.log.replicator.idle


# --- who may write --------------------------------------------------------------------------------


async def test_a_core_known_by_its_key_only_cannot_be_written(store: Corestore) -> None:
    core = store.get(bytes(32))
    assert not core.writable
    for attempt in (core.append("x"), core.truncate(0)):
        with pytest.raises(SessionNotWritable):
            await attempt


async def test_a_session_may_be_read_only(core: Hypercore) -> None:
    reader = core.session(writable=False)
    with pytest.raises(SessionNotWritable):
        await reader.append("x")
    assert core.writable


async def test_the_wrong_key_pair_signs_nothing(core: Hypercore) -> None:
    with pytest.raises(SessionNotWritable, match="not one of"):
        await core.session(key_pair=key_pair()).append("x")
    assert core.length == 0


async def test_the_right_key_pair_makes_an_unknown_core_writable(store: Corestore) -> None:
    pair = key_pair()
    core = store.get(Corestore().get(key_pair=pair).key, key_pair=pair)
    assert core.manifest is None
    await core.append("x")
    assert core.manifest is not None
    compat = store.get(pair.public_key, key_pair=pair)
    await compat.append("x")
    assert compat.log.compat
    assert len(compat.log.signature or b"") == 64


async def test_a_frozen_log_cannot_grow_but_shows_what_it_has(core: Hypercore) -> None:
    proof = Proof(0, upgrade=UpgradeProof(0, 1, [], [], bytes(64)))
    told: list[Any] = []
    core.on("conflict", lambda *facts: told.append(facts))
    await core.append("a")
    core.log.freeze(proof)
    await asyncio.sleep(0.01)
    assert told == [(1, 0, proof)]
    with pytest.raises(LogConflict):
        await core.append("b")
    with pytest.raises(LogConflict):
        await core.get(5)
    assert await core.get(0) == b"a"


# --- truncate, clear, snapshots -------------------------------------------------------------------


async def test_truncate_counts_forks(core: Hypercore) -> None:
    told: list[Any] = []
    core.on("truncate", lambda *facts: told.append(facts))
    await core.append(["a", "b", "c"])
    await core.truncate(1)
    await core.truncate(1, fork=7)
    assert told == [(1, 1), (1, 7)]
    assert (core.length, core.fork, core.byte_length) == (1, 7, 1)
    with pytest.raises(BadArgument, match="cannot be truncated"):
        await core.truncate(2)
    with pytest.raises(BadArgument, match="larger number"):
        await core.truncate(0, fork=7)


async def test_what_a_manifest_fixes_cannot_be_truncated(store: Corestore) -> None:
    draft = store.get(name="draft")
    await draft.append(["a", "b"])
    pair = key_pair()
    manifest = create_manifest(
        signers=[Signer(pair.public_key)], prologue=Prologue(draft.tree_hash(), draft.length)
    )
    core = store.get(manifest=manifest, key_pair=pair)
    await core.append(["a", "b"])
    await core.append("c")
    await core.truncate(2)
    with pytest.raises(BadArgument, match="fixed by the log's manifest"):
        await core.truncate(1)


async def test_clear_forgets_blocks_and_keeps_the_tree(core: Hypercore) -> None:
    told: list[Any] = []
    core.on("clear", lambda *facts: told.append(facts))
    await core.append([str(number) for number in range(10)])
    tree_hash = core.tree_hash()
    await core.clear(2, 5)
    await core.clear(7)
    await core.clear(20, 30)
    assert told == [(2, 5), (7, 8)]
    assert [core.has(index) for index in range(10)] == [i not in (2, 3, 4, 7) for i in range(10)]
    assert not core.has(0, 3)
    assert core.has(8, 10)
    assert (core.contiguous_length, core.length, core.tree_hash()) == (2, 10, tree_hash)


async def test_a_snapshot_does_not_change(core: Hypercore) -> None:
    await core.append(["a", "bb", "ccc"])
    tree_hash = core.tree_hash()
    snapshot, start = core.snapshot(), core.checkout(1)
    await core.append("dddd")
    await core.truncate(1)
    await core.append("x")
    assert (snapshot.length, snapshot.byte_length, snapshot.fork) == (3, 6, 0)
    assert snapshot.tree_hash() == tree_hash
    assert [await snapshot.get(index) for index in range(3)] == [b"a", b"bb", b"ccc"]
    assert snapshot.has(0, 3)
    assert (start.length, await start.get(0)) == (1, b"a")
    for view in (snapshot, start):
        with pytest.raises(SnapshotNotAvailable):
            await view.get(3)
        with pytest.raises(SessionNotWritable):
            await view.append("y")
    assert not await snapshot.update()
    assert await snapshot.seek(1) == (1, 0)
    assert await snapshot.seek(4) == (2, 1)
    assert await snapshot.seek(7) is None
    await core.truncate(0)
    assert [await snapshot.get(index) for index in range(3)] == [b"a", b"bb", b"ccc"]
    with pytest.raises(SnapshotNotAvailable):
        await snapshot.seek(2)


async def test_nothing_is_kept_once_the_snapshots_are_closed(core: Hypercore) -> None:
    await core.append(["a", "b", "c"])
    one, two = core.snapshot(), core.snapshot()
    await core.truncate(0)
    storage = core.log.commit.storage
    before = len(list(storage.range(b"\x11", b"\x12")))
    await one.close()
    await two.close()
    await core.append("x")
    assert (before, list(storage.range(b"\x11", b"\x12"))) == (3, [])


# --- seek, streams, hashes ------------------------------------------------------------------------


@pytest.mark.parametrize("encryption_key", [None, bytes([7]) * 32])
async def test_seek_finds_every_byte(store: Corestore, encryption_key: bytes | None) -> None:
    core = store.get(name="seek", encryption_key=encryption_key)
    blocks = [bytes(size) for size in (3, 0, 5, 1, 1, 8, 2)]
    await core.append(blocks)
    positions = [(index, offset) for index, block in enumerate(blocks) for offset in range(len(block))]
    # The first byte is looked for before the blocks of length 0 in front of it.
    for byte, expected in enumerate(positions):
        found = await core.seek(byte)
        assert found is not None
        block, offset = found
        while offset >= len(blocks[block]):
            block, offset = block + 1, offset - len(blocks[block])
        assert (block, offset) == expected
    assert await core.seek(20) == (7, 0)
    assert await core.seek(21) is None
    with pytest.raises(BadArgument):
        await core.seek(-1)


@pytest.mark.parametrize("encryption_key", [None, bytes([7]) * 32])
async def test_streams_give_the_content_in_order(store: Corestore, encryption_key: bytes | None) -> None:
    core = store.get(name="stream", encryption_key=encryption_key)
    blocks = [bytes([number]) * (number % 5) for number in range(60)]
    content = b"".join(blocks)
    await core.append(blocks)
    assert core.byte_length == len(content)
    assert [block async for block in core.read_stream()] == blocks
    assert [block async for block in core.read_stream(5, 9)] == blocks[5:9]
    for start, length in [(0, -1), (0, 0), (7, 20), (100, -1), (len(content), -1)]:
        pieces = [piece async for piece in core.byte_stream(start, length, prefetch=4)]
        end = len(content) if length == -1 else start + length
        assert b"".join(pieces) == content[start:end]
    with pytest.raises(BadArgument):
        _ = [piece async for piece in core.byte_stream(0, len(content) + 1)]


async def test_a_stream_ends_where_the_log_ended_when_it_began_unless_it_is_live(core: Hypercore) -> None:
    await core.append(["a", "b"])
    seen = []
    async for block in core.read_stream():
        seen.append(block)
        await core.append("later")
    assert seen == [b"a", b"b"]
    live = core.read_stream(4, live=True)
    waiting = asyncio.ensure_future(anext(live))
    await asyncio.sleep(0)
    await core.append("new")
    assert await asyncio.wait_for(waiting, 60) == b"new"
    await live.aclose()  # type: ignore[attr-defined]


async def test_hashes_and_signables_of_earlier_lengths(core: Hypercore) -> None:
    hashes = [core.tree_hash()]
    signables = []
    for number in range(9):
        await core.append(str(number))
        hashes.append(core.tree_hash())
        signables.append(core.signable())
    assert [core.tree_hash(length) for length in range(10)] == hashes
    assert [core.signable(length) for length in range(1, 10)] == signables
    assert core.signable(3, 5) != core.signable(3)


# --- the rest -------------------------------------------------------------------------------------


async def test_a_download_is_done_when_everything_is_held(core: Hypercore) -> None:
    await core.append(["a", "b"])
    await core.download(start=0, end=2).done(timeout=1)
    later = core.download(start=0, end=3)
    with pytest.raises(RequestTimeout):
        await later.done(timeout=0.01)
    await core.append("c")
    await later.done(timeout=1)
    live = core.download()
    live.destroy()
    with pytest.raises(RequestCancelled):
        await live.done()
    listed = core.download(blocks=[0, 3])
    await core.append("d")
    await listed.done(timeout=1)


async def test_a_writer_is_up_to_date_and_a_reader_without_peers_does_not_wait(store: Corestore) -> None:
    assert not await store.get(name="mine").update(wait=True)
    assert not await store.get(bytes(32)).update()


async def test_user_data_stays_with_the_log(core: Hypercore) -> None:
    await core.set_user_data("cursor", b"17")
    assert core.session().get_user_data("cursor") == b"17"
    await core.set_user_data("cursor", None)
    assert core.get_user_data("cursor") is None
    with pytest.raises(BadArgument):
        core.get_user_data("x" * 401)


async def test_an_unknown_event_is_a_mistake(core: Hypercore) -> None:
    with pytest.raises(BadArgument, match="no event"):
        core.on("appended", lambda: None)


async def test_a_listener_that_fails_does_not_silence_the_others(core: Hypercore) -> None:
    told, errors = [], []
    asyncio.get_running_loop().set_exception_handler(
        lambda loop, context: errors.append(context["exception"])
    )

    def fail() -> None:
        raise ValueError("a bug")

    core.on("append", fail)
    core.on("append", lambda: told.append(core.length))
    await core.append("a")
    asyncio.get_running_loop().set_exception_handler(None)
    assert told == [1]
    assert [str(error) for error in errors] == ["a bug"]


async def test_events_end_with_the_session(core: Hypercore) -> None:
    told: list[str] = []
    session = core.session()
    session.on("close", lambda: told.append("close"))
    session.on("append", lambda: told.append("append"))
    await session.close()
    await core.append("a")
    assert told == ["close"]
    assert repr(session).endswith("closed>")
