"""Forgetting the blocks that the newest version of a bee does not need.

Source of the semantics: hyperbee 2.27.3 `clearUnlinked` and `Batch.links`. A block is linked when the tree refers to
it for a node or for a key. Whether it does is found out by searching for the keys that such a reference would stand
at, so no list of the whole tree is ever made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import DecodingError, SnapshotNotAvailable
from .blocks import MAX_TREE_DEPTH, BlockReader, Missing
from .node import decode_levels, parse_block

if TYPE_CHECKING:
    from .bee import Hyperbee


async def clear_unlinked(bee: Hyperbee, gte: int, lt: int, wait: bool) -> int:
    """See `Hyperbee.clear_unlinked`. With `gte` beyond 1, also what the operations [gte, lt) replaced before it."""
    core, reader = bee.core, bee._reader
    fork = reader.refresh()
    version = bee.version
    doomed: set[int] = set()  # cleared only when all is known: the search itself reads such blocks
    for seq in range(max(1, gte), min(lt, version)):
        block = core.block_if_local(seq)
        if block is None:
            continue
        replaced = _operation_on(reader, gte, parse_block(block)[2]) if gte > 1 else None
        for candidate in (seq, replaced):
            if candidate is not None and not await _is_linked(reader, version, candidate, wait):
                doomed.add(candidate)
    if core.fork != fork:
        raise SnapshotNotAvailable("SNAPSHOT_NOT_AVAILABLE: the log was truncated while it was read")
    start = end = 0
    for seq in sorted(doomed):
        if seq != end:
            if end > start:
                await core.clear(start, end)
            start = seq
        end = seq + 1
    if end > start:
        await core.clear(start, end)
    return len(doomed)


async def _is_linked(reader: BlockReader, version: int, seq: int, wait: bool) -> bool:
    while True:
        try:
            return _links(reader, version, seq)
        except Missing as missing:
            if not wait:
                return True
            await reader.fetch(missing.seq, version=version)


def _links(reader: BlockReader, version: int, seq: int) -> bool:
    """Whether the tree of `version` refers to block `seq`."""
    block = reader.block(seq)
    start, end, key, _ = parse_block(block)
    if _is_met(reader, version, seq, key):
        return True
    for seqs, _ in decode_levels(block, start, end):
        known = next((other for other in seqs if reader.core.has(other)), None)
        if known is not None:
            if _is_met(reader, version, seq, reader.key(known)):
                return True
        elif seqs and not reader.core.writable:
            raise Missing(seqs[0])
        # A writer once had every block: a node none of whose keys are here any more went with them.
    return False


def _is_met(reader: BlockReader, version: int, seq: int, key: bytes) -> bool:
    """Whether a search for `key` comes across block `seq`."""
    node = reader.root(version)
    for _ in range(MAX_TREE_DEPTH):
        if node is None:
            return False
        if node.block_seq == seq or seq in node.seqs:
            return True
        slot, found = reader.position(node, key)
        if found or not node.children:
            return False
        node = reader.child(node, slot)
    raise DecodingError("the tree is deeper than any honest one")


def _operation_on(reader: BlockReader, version: int, key: bytes) -> int | None:
    """The operation that held `key` in `version`, as far as that is known here."""
    try:
        node = reader.root(version)
        while node is not None:
            slot, found = reader.position(node, key)
            if found:
                seq = node.seqs[slot]
                return seq if reader.core.has(seq) else None
            node = reader.child(node, slot) if node.children else None
    except Missing:
        pass
    return None
