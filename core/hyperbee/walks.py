"""Walks through a bee for an application: synchronous cursors, and the waiting around them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Final

from ..errors import BadArgument, BlockNotAvailable, SnapshotNotAvailable
from .blocks import BlockReader, Missing
from .diff import DiffCursor, Difference
from .extension import VISITS_BETWEEN_MESSAGES
from .history import Operation, Span, decode_operation
from .ranges import Bounds, Entry, EntryMaker, RangeCursor

if TYPE_CHECKING:
    from .view import BeeView

FIRST_FILL: Final = 16
LARGEST_FILL: Final = 128
"""How many local entries are read in one go: few at first, because many walks are left early."""

HISTORY_AHEAD: Final = 64
"""How many blocks of a history are asked for at once: enough to hide the latency of a page."""


def not_here(seq: int) -> BlockNotAvailable:
    return BlockNotAvailable(f"BLOCK_NOT_AVAILABLE: block {seq} is not stored here")


async def range_walk(
    view: BeeView,
    bounds: Bounds,
    make_entry: EntryMaker,
    reverse: bool,
    limit: int,
    wait: bool,
    timeout: float | None,
) -> AsyncIterator[Entry]:
    """The entries of a range, downloading what is missing."""
    await view._look_for_news()
    reader = view._reader
    fork = reader.refresh()
    cursor = RangeCursor(reader, view.version, bounds, make_entry, reverse=reverse, limit=limit)
    extension = view._extension
    next_message = 0
    size = FIRST_FILL
    while True:
        if view.core.fork != fork:
            raise truncated()
        try:
            entries = cursor.fill(size)
        except Missing as missing:
            if not wait:
                raise not_here(missing.seq) from None
            if extension is not None and cursor.visits >= next_message:
                next_message = cursor.visits + VISITS_BETWEEN_MESSAGES
                extension.walking(cursor)
            await reader.fetch(
                missing.seq, version=cursor.version, deadline=_deadline(timeout), also=cursor.ahead()
            )
            continue
        if not entries:
            return
        for entry in entries:
            yield entry
        size = min(2 * size, LARGEST_FILL)


async def diff_walk(
    left: BeeView,
    right: int | BeeView,
    bounds: Bounds,
    make_entry: EntryMaker,
    limit: int,
    wait: bool,
    timeout: float | None,
) -> AsyncIterator[Difference]:
    """The differences of two versions of one log, read through the session that sees the longer one."""
    await left._look_for_news()
    left_version = left.version
    reader = left._reader
    if isinstance(right, int):
        right_version = max(1, right)
        if right_version > left_version:
            reader = BlockReader(left._live, left._cache)
            if right_version > left._live.length:
                raise BadArgument(f"there is no version {right} yet; the log has {left._live.length} blocks")
    else:
        if right.core.key != left.core.key:
            raise BadArgument("a diff is between two versions of one bee")
        right_version = right.version
        if right_version > left_version:
            reader = right._reader
    fork = reader.refresh()
    cursor = DiffCursor(reader, left_version, right_version, bounds, make_entry, limit=limit)
    while True:
        if reader.core.fork != fork:
            raise truncated()
        try:
            difference = cursor.next()
        except Missing as missing:
            if not wait:
                raise not_here(missing.seq) from None
            version = max(left_version, right_version)
            await reader.fetch(missing.seq, version=version, deadline=_deadline(timeout))
            continue
        if difference is None:
            return
        yield difference


async def history_walk(
    view: BeeView,
    span: Callable[[int], Span],
    make_entry: EntryMaker,
    reverse: bool,
    limit: int,
    live: bool,
    wait: bool,
    timeout: float | None,
) -> AsyncIterator[Operation]:
    """The operations of a span of the log, downloading what is missing; with `live`, without an end."""
    await view._look_for_news()
    core, reader = view.core, view._reader
    fork = reader.refresh()
    covered = span(view.version)
    start, end = covered.start, covered.end
    step = -1 if reverse else 1
    seq = end - 1 if reverse else start
    while limit and (live or start <= seq < end):
        if live and seq >= core.length:
            await _grown(view, seq, fork)
        if core.fork != fork:
            raise truncated()
        block = core.block_if_local(seq)
        if block is None:
            if not wait:
                raise not_here(seq)
            ahead = HISTORY_AHEAD if limit < 0 else min(limit, HISTORY_AHEAD)
            last = core.length if live else end
            also = [other for other in range(seq, seq + step * ahead, step) if start <= other < last]
            await reader.fetch(seq, version=view.version, deadline=_deadline(timeout), also=also)
            continue
        limit -= 1
        yield decode_operation(seq, block, make_entry)
        seq += step


async def _grown(view: BeeView, seq: int, fork: int) -> None:
    """Returns when block `seq` exists, or the log was truncated."""
    core = view.core
    changed = asyncio.Event()
    listener = lambda *_: changed.set()  # noqa: E731
    core.on("append", listener)
    core.on("truncate", listener)
    try:
        while core.length <= seq and core.fork == fork:
            await changed.wait()
            changed.clear()
    finally:
        core.off("append", listener)
        core.off("truncate", listener)


def truncated() -> SnapshotNotAvailable:
    return SnapshotNotAvailable("SNAPSHOT_NOT_AVAILABLE: the log was truncated while it was read")


def _deadline(timeout: float | None) -> float | None:
    return None if timeout is None else asyncio.get_running_loop().time() + timeout
