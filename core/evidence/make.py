"""Making proof files from a log that is stored here, whole or sparse.

A path needs nothing that is not here: whoever stores a block stores the way up to the roots it was verified against,
and what the tree grew by since. Only a lookup may come to a block that was not downloaded yet; it is fetched.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from ..errors import BlockNotAvailable, DecodingError, RequestTimeout, SnapshotNotAvailable
from ..hyperbee.blocks import Missing, TracingReader
from ..hyperbee.node import parse_block
from ..hypercore import Hypercore
from ..hypercore.flat_tree import parent, right_span, sibling
from ..hypercore.log import Log
from ..hypercore.proof_types import BlockRequest, Proof, ProofRequest, UpgradeRequest
from .file import Kind, ProofFile

_TRIES: Final = 8
"""A log that grows between two steps of a lookup is looked up again; one that never rests for a moment is given up."""

_PAUSE_BLOCKS: Final = 1_000
"""Others get a turn of the event loop after so many blocks."""


def prove_record(core: Hypercore, seq: int, *, at_length: int | None = None) -> ProofFile:
    """That block `seq` is what it is in the tree that is signed now.

    `at_length` (default: the signed length): an earlier length above `seq` at which the tree is proved too.
    Raises `BlockNotAvailable` when the block is not held here, `DecodingError` when it is no operation of a bee.
    """
    block = _held(core, seq)
    subject = parse_block(block)[2]
    length = core.length if at_length is None else min(at_length, core.length)
    request = ProofRequest(block=BlockRequest(seq, 0), upgrade=UpgradeRequest(0, length), manifest=True)
    return ProofFile(Kind.RECORD, core.key, subject, (core.log.create_proof(request),))


def prove_history(core: Hypercore, subject: bytes, seqs: Sequence[int]) -> ProofFile:
    """That each of these blocks is an operation on `subject`. Raises `BlockNotAvailable`."""
    for seq in seqs:
        _held(core, seq)
    return ProofFile(Kind.HISTORY, core.key, subject, _messages(core.log, sorted(set(seqs), reverse=True)))


async def prove_lookup(core: Hypercore, subject: bytes, *, timeout: float | None) -> ProofFile:
    """What `subject` maps to in the newest version that is known here, or that it maps to nothing.

    Waits up to `timeout` seconds in all for blocks that are not here. Raises `RequestTimeout`, `BlockNotAvailable`
    (an empty log proves nothing), `SnapshotNotAvailable` (it is rewritten faster than it can be read).
    """
    deadline = None if timeout is None else asyncio.get_running_loop().time() + timeout
    for _ in range(_TRIES):
        version, fork = core.length, core.fork
        if version == 0:
            raise BlockNotAvailable("the log is empty, or nothing of it is known here yet")
        found = await _lookup_blocks(core, version, subject, deadline)
        if (core.length, core.fork) == (version, fork):
            return ProofFile(Kind.LOOKUP, core.key, subject, _messages(core.log, found))
    raise SnapshotNotAvailable("the log changes faster than it can be looked at")


async def find_versions(
    core: Hypercore, subject: bytes, newest: int, *, blocks: int, limit: int
) -> list[int]:
    """The blocks up to `newest` that are operations on `subject`, newest first: at most `limit`, looked for in at most
    so many `blocks` that are stored here, one by one. Nothing is downloaded.
    """
    found: list[int] = []
    for seq in range(min(newest, core.length - 1), max(0, newest - blocks), -1):
        if seq % _PAUSE_BLOCKS == 0:
            await asyncio.sleep(0)
        block = core.block_if_local(seq)
        if block is None or subject not in block:
            continue
        try:
            if parse_block(block)[2] == subject:
                found.append(seq)
        except DecodingError:
            continue
        if len(found) == limit:
            break
    return found


def prove_conflict(core: Hypercore, other: Proof) -> ProofFile:
    """That the key of `core` signed the tree of `other` (a proof of a whole tree) as well as the one stored here."""
    assert other.upgrade is not None
    log = core.log
    request = ProofRequest(upgrade=UpgradeRequest(0, other.upgrade.length), manifest=True)
    theirs = Proof(other.fork, upgrade=other.upgrade, manifest=None if log.compat else log.manifest)
    return ProofFile(Kind.CONFLICT, log.key, b"", (log.create_proof(request), theirs))


async def _lookup_blocks(core: Hypercore, version: int, subject: bytes, deadline: float | None) -> list[int]:
    """The blocks that a lookup looks at, in that order, each once; those that are not here are downloaded."""
    while True:
        visited: dict[int, None] = {}
        reader = TracingReader(core, lambda seq, seen=visited: seen.setdefault(seq))  # type: ignore[misc]
        try:
            seq = reader.find(version, subject)
            if seq is not None:
                reader.block(seq)
            return list(visited)
        except Missing as missing:
            timeout = None if deadline is None else deadline - asyncio.get_running_loop().time()
            if timeout is not None and timeout <= 0:
                raise RequestTimeout(f"block {missing.seq} did not arrive in time") from None
            await core.get(missing.seq, timeout=timeout)


def _messages(log: Log, seqs: Sequence[int]) -> tuple[Proof, ...]:
    """Proofs of these blocks: the first with the tree that is signed, each further one up to a node known by then."""
    upgrade = UpgradeRequest(0, log.length)
    if not seqs:
        return (log.create_proof(ProofRequest(upgrade=upgrade, manifest=True)),)
    first = ProofRequest(block=BlockRequest(seqs[0], 0), upgrade=upgrade, manifest=True)
    messages = [log.create_proof(first)]
    known = {node[0] for node in log.roots} | _path(2 * seqs[0], log.length)
    for seq in seqs[1:]:
        levels, index = 0, 2 * seq
        while index not in known:
            levels += 1
            index = parent(index)
        messages.append(log.create_proof(ProofRequest(block=BlockRequest(seq, levels))))
        known |= _path(2 * seq, log.length)
    return tuple(messages)


def _path(index: int, length: int) -> set[int]:
    """The nodes from a leaf up to its root in a tree of `length` blocks, and the siblings on the way."""
    nodes = {index}
    while right_span(parent(index)) < 2 * length:
        nodes |= {sibling(index), parent(index)}
        index = parent(index)
    return nodes


def _held(core: Hypercore, seq: int) -> bytes:
    block = core.log.block(seq) if 0 < seq < core.length else None
    if block is None:
        raise BlockNotAvailable(f"block {seq} is not stored here")
    return block
