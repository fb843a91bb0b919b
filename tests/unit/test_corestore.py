"""The corestore: which core is which, what leaves memory when, and what a store keeps."""

from __future__ import annotations

import asyncio
import gc
from pathlib import Path

import pytest

from core.corestore import Corestore
from core.crypto.keys import key_pair
from core.encoding.z32 import key_to_id
from core.errors import BadArgument, SessionClosed, StorageError, StorageLocked
from core.hypercore.log import Log
from core.hypercore.manifest import default_manifest
from core.storage import MemoryStorage

pytestmark = pytest.mark.anyio


async def test_a_key_may_be_written_in_three_ways() -> None:
    async with Corestore() as store:
        core = store.get(name="a")
        for key in (core.key, core.key.hex(), core.id, f"pear://{key_to_id(core.key)}/path"):
            assert store.get(key).log is core.log
        assert store.get(discovery_key=core.discovery_key).log is core.log
        with pytest.raises(BadArgument):
            store.get("not a key")
        with pytest.raises(BadArgument, match="say which core"):
            store.get()
        with pytest.raises(StorageError, match="no core"):
            store.get(discovery_key=bytes(32))
        with pytest.raises(BadArgument, match="not the one"):
            store.get(bytes([1]) * 32, manifest=default_manifest(bytes(32)))


async def test_a_store_makes_the_same_cores_again(tmp_path: Path) -> None:
    async with Corestore(tmp_path) as store:
        primary_key = store.primary_key
        mine = store.get(name="mine")
        other = store.namespace("app").get(name="mine")
        await mine.append("a")
        assert mine.key != other.key
        keys = mine.key, other.key
    async with Corestore(tmp_path) as store:
        assert store.primary_key == primary_key
        assert (store.get(name="mine").key, store.namespace("app").get(name="mine").key) == keys
        assert store.get(keys[0]).block_if_local(0) == b"a"
        assert store.get(keys[0]).writable
        aliases = {info.discovery_key: info.alias for info in store.list()}
        assert {alias.name for alias in aliases.values() if alias is not None} == {"mine"}
        assert len(list(store.list())) == 2
        assert len(list(store.namespace("app").list(all_namespaces=False))) == 1
    with pytest.raises(BadArgument, match="another primary key"):
        Corestore(tmp_path, primary_key=bytes(32))
    # The refusal let go of the store.
    await Corestore(tmp_path, primary_key=primary_key).close()


async def test_a_named_core_that_was_known_by_key_becomes_writable() -> None:
    primary_key = bytes([5]) * 32
    key = Corestore(primary_key=primary_key).get(name="mine").key
    async with Corestore(primary_key=primary_key) as store:
        reader = store.get(key)
        assert not reader.writable
        writer = store.get(name="mine")
        assert writer.log is reader.log
        await writer.append("a")
        assert reader.writable
        assert await reader.get(0) == b"a"


async def test_a_second_corestore_on_a_directory_is_refused(tmp_path: Path) -> None:
    async with Corestore(tmp_path):
        with pytest.raises(StorageLocked):
            Corestore(tmp_path)


async def test_sessions_share_a_log_which_leaves_memory_with_the_last(tmp_path: Path) -> None:
    async with Corestore(tmp_path) as store:
        one = store.get(name="a")
        two = store.get(one.key)
        assert one.log is two.log
        log = one.log
        await one.append("x")
        await one.close()
        three = store.get(one.key)
        assert three.log is log
        await two.close()
        assert store._registry.open_logs == [log]
        await three.close()
        assert store._registry.open_logs == []
        again = store.get(one.key)
        assert again.log is not log
        assert again.block_if_local(0) == b"x"


async def test_a_log_that_is_reopened_before_its_commit_is_the_same_log(tmp_path: Path) -> None:
    """The first object is gone from memory, but not what it wrote in this turn."""
    async with Corestore(tmp_path) as store:
        core = store.get(name="a")
        appending = asyncio.ensure_future(core.append(["x", "y"]))
        await asyncio.sleep(0)
        await core.close()
        again = store.get(name="a")
        assert (again.length, again.contiguous_length, again.fork) == (2, 2, 0)
        await appending
        assert await again.append("z") == (3, 3)
    async with Corestore(tmp_path) as store:
        assert [store.get(name="a").block_if_local(index) for index in range(3)] == [b"x", b"y", b"z"]


async def test_closing_the_store_commits_and_ends_everything(tmp_path: Path) -> None:
    store = Corestore(tmp_path)
    core = store.get(name="a")
    appending = asyncio.ensure_future(core.append("x"))
    await asyncio.sleep(0)
    await store.close()
    assert (await appending).length == 1
    assert core.closed
    with pytest.raises(SessionClosed):
        store.get(name="b")
    async with Corestore(tmp_path) as store:
        assert store.get(name="a").block_if_local(0) == b"x"


async def test_closing_a_namespace_closes_its_own_sessions_only() -> None:
    async with Corestore() as store:
        mine = store.get(name="a")
        child = store.namespace("app")
        theirs = child.get(name="a")
        await child.close()
        assert theirs.closed
        assert not mine.closed
        await mine.append("x")


async def test_kept_blocks_of_a_process_that_died_are_swept(tmp_path: Path) -> None:
    store = Corestore(tmp_path)
    core = store.get(name="a")
    await core.append(["x", "y"])
    snapshot = core.snapshot()
    await core.truncate(0)
    assert await snapshot.get(1) == b"y"
    store._registry.storage.close()  # as if killed: no session was closed
    async with Corestore(tmp_path) as store:
        await store.get(name="a").append("z")
        assert not list(store._registry.storage.range(b"\x11", b"\x12"))


async def test_ten_thousand_open_cores_are_small() -> None:
    """Objects of the logs and their sessions, without the store below them; no task, no timer, no page each."""
    import tracemalloc

    storage = MemoryStorage()
    store = Corestore(storage)
    keys = [store.get(name=f"core {number}").discovery_key for number in range(2000)]
    await store.flush()
    for session in list(store._sessions):
        await session.close()
    gc.collect()
    tasks = len(asyncio.all_tasks())
    tracemalloc.start()
    sessions = [store.get(discovery_key=key) for key in keys]
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len({session.log for session in sessions}) == 2000
    assert size / 2000 < 4096
    assert len(asyncio.all_tasks()) == tasks
    assert not any(
        isinstance(item, Log) and item.replicator is not None for item in store._registry.open_logs
    )
    await store.close()


async def test_a_key_pair_alone_names_a_core() -> None:
    pair = key_pair()
    async with Corestore() as store:
        core = store.get(key_pair=pair)
        await core.append("x")
        compat = store.get(key_pair=pair, compat=True)
        assert compat.key == pair.public_key
        await compat.append("x")
        assert core.key != compat.key
        assert store.get(core.key).writable


async def test_a_dropped_core_is_gone_from_the_store_and_can_begin_again(tmp_path: Path) -> None:
    store = Corestore(tmp_path)
    kept, core = store.get(name="kept"), store.get(name="dropped")
    key = core.key
    await kept.append([b"stays"])
    await core.append([b"a", b"b"])
    with pytest.raises(BadArgument, match="open here"):
        store.drop(key)
    await core.close()
    assert store.drop(key) == 2
    assert store.drop(key) == 0
    await store.close()
    store = Corestore(tmp_path)
    assert [info.alias.name for info in store.list() if info.alias] == ["kept"]
    again = store.get(name="dropped")
    assert (again.key, again.length) == (key, 0)
    assert store.get(name="kept").block_if_local(0) == b"stays"
    await store.close()
