"""The rows of a bee once more, from the blocks that are stored here; nobody is asked.

What cannot be read off a block is when it came here: the row that is there tells it (`as_it_came`), and without one
it came now.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Final

from core.errors import DecodingError
from core.hyperbee import Hyperbee
from core.peer import Peer
from core.records.bounds import MAX_VALUE_BYTES
from feedagg.decide import Operation, Row, decide
from feedagg.sources import Source

SLICE: Final = 1_000


class OtherTree(Exception):
    """The stored log is not the one that the database has read: it was rewritten since, or it is gone."""


@dataclass(frozen=True, slots=True)
class Slice:
    """Rows of some blocks, and those of the blocks that are not here (cleared, or never downloaded)."""

    rows: list[Row]
    missing: list[int]


async def slices(peer: Peer, source: Source, now: int) -> AsyncIterator[Slice]:
    """All rows of what the database has read of a bee, newest blocks first; each key once.

    Raises `OtherTree`.
    """
    bee = peer.bee(key=source.bee, key_encoding="binary", value_encoding="binary", extension=False)
    try:
        core = bee.core
        if source.cursor and (core.fork != source.fork or core.length < source.cursor):
            raise OtherTree
        seen: set[bytes] = set()
        first = max(source.tail, 1)
        for end in range(source.cursor, first, -SLICE):
            start = max(first, end - SLICE)
            missing = [seq for seq in range(start, end) if not core.has(seq)]
            absent = set(missing)
            operations = [await _operation(bee, seq) for seq in range(start, end) if seq not in absent]
            rows = [row for row in decide(operations, now) if row["key"] not in seen]
            seen.update(row["key"] for row in rows)
            yield Slice(rows, missing)
    finally:
        await bee.close()


async def _operation(bee: Hyperbee, seq: int) -> Operation:
    try:
        entry = await bee.get_by_seq(seq, wait=False)
    except DecodingError:
        return Operation.broken(seq)
    value = entry.value
    cut = value if value is None or len(value) <= MAX_VALUE_BYTES else value[: MAX_VALUE_BYTES + 1]
    return Operation(seq, entry.key, cut)


def as_it_came(row: Row, old: Any) -> Row:
    """The row with the moment at which its record was first seen here, and what followed from it.

    `old`: the row that is there; None: it comes now. Of the same block, what was decided by the clock
    when it came stands: whether its date was in the future, and whether an import came out on top.
    """
    if old is None:
        return row
    row["first_seen"] = old.first_seen
    created = row["created_at"]
    row["sort_at"] = old.first_seen if created is None else min(created, old.first_seen)
    if old.seq == row["seq"]:
        row["in_feed"] = old.in_feed
        row["date_flag"] = old.date_flag
    return row
