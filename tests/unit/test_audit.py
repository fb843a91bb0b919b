"""A log looked at again: what is whole passes, and every kind of damage is found where it is."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.corestore import Corestore
from core.hypercore import layout
from core.hypercore.log import Log

pytestmark = pytest.mark.anyio


async def log_of(blocks: int) -> tuple[Corestore, Log]:
    store = Corestore()
    core = store.get(name="a")
    await core.append([f"block {n}".encode() for n in range(blocks)])
    return store, core.log


def found(log: Log) -> list[tuple[int | None, str]]:
    from core.hypercore.audit import Audit

    return [tuple(damage) for damage in Audit(log)]


def spoil(log: Log, key: bytes, change: Any) -> None:
    """Change one stored value behind the log's back."""
    value = log._storage.get(key)
    assert value is not None
    new = change(value)
    if new is None:
        log._storage.delete(key)
    else:
        log._storage.put(key, new)


def block_key(log: Log, index: int) -> bytes:
    return log._prefix + layout.BLOCK + layout.pack_u64(index)


def node_key(log: Log, index: int) -> bytes:
    return log._prefix + layout.NODE + layout.pack_u64(index)


@pytest.mark.parametrize("blocks", [0, 1, 2, 3, 7, 8, 100])
async def test_a_whole_log_passes(blocks: int) -> None:
    store, log = await log_of(blocks)
    assert found(log) == []
    audit = store.get(log.key).audit()
    assert list(audit) == []
    assert audit.blocks == blocks
    await store.close()


async def test_a_sparse_log_passes_and_only_its_blocks_count() -> None:
    store, log = await log_of(50)
    log.clear(3, 40)
    audit = store.get(log.key).audit()
    assert list(audit) == []
    assert audit.blocks == 13
    await store.close()


@given(st.integers(1, 70), st.data())
def test_any_changed_block_is_found_and_no_other(blocks: int, data: st.DataObject) -> None:
    import asyncio

    async def run() -> None:
        store, log = await log_of(blocks)
        bad = data.draw(st.sets(st.integers(0, blocks - 1), min_size=1, max_size=5))
        for index in bad:
            spoil(log, block_key(log, index), lambda value: value + b"!")
        assert {block for block, _ in found(log)} == bad
        await store.close()

    asyncio.run(run())


async def test_each_kind_of_damage_has_its_words() -> None:
    store, log = await log_of(8)
    spoil(log, block_key(log, 5), lambda _: None)
    assert found(log) == [(5, "it is listed as stored and is not there")]
    await store.close()
    store, log = await log_of(8)
    spoil(log, node_key(log, 2), lambda _: None)
    said = dict(found(log))
    assert said[1] == "its hash is not in the store"
    assert said[0] == "its path to the root is not in the store"
    await store.close()
    store, log = await log_of(8)
    spoil(log, node_key(log, 3), lambda value: value[:-1] + bytes([value[-1] ^ 1]))
    assert {text for _, text in found(log)} == {"its path does not lead to a root"}
    await store.close()
    store, log = await log_of(8)
    assert log.signature is not None
    log.signature = log.signature[:-1] + bytes([log.signature[-1] ^ 1])
    assert found(log) == [(None, "the signature does not fit the tree of 8 blocks, fork 0")]
    await store.close()
