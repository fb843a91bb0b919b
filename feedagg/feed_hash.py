"""The feed hash: 32 bytes that two aggregators share exactly when they show the same feed.

Over every record of the merged feed, hidden ones included, in the order of the feed: `sort_at`, then bee, then key
(numbers by size, bytes as bytes). `docs/feed-hash.md` has the definition for other programs; the layout of one entry
is `_ENTRY`. Where a record stands depends on when it was first seen here, so a rebuild or an import must keep
`first_seen` to arrive at the same hash.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from hashlib import blake2b
from struct import Struct
from typing import Final, NamedTuple

from sqlalchemy import Connection, literal_column, select

from core.errors import BadArgument
from core.records import value_hash
from feedagg.decide import Status
from feedagg.tables import records

PERSON: Final = b"meadow feed v1"
"""BLAKE2b's personalisation, so that this hash is none of any other kind."""

AT_ONCE: Final = 2_000

_ENTRY: Final = Struct(">q32sQ32sBI")
"""sort_at, bee, seq, value hash, hidden (0 or 1), length of the key; then the key. Big-endian."""


class Entry(NamedTuple):
    """One record of the feed. `value_hash`: BLAKE2b-256 of the value as it stands in the block."""

    sort_at: int
    bee: bytes
    key: bytes
    seq: int
    value_hash: bytes
    hidden: bool


def feed_hash(entries: Iterable[Entry]) -> bytes:
    """The hash of these entries, which come in the order of the feed, oldest first, and each once.

    Streams: nothing is kept. Raises `BadArgument` for an entry that does not stand after the one before it.
    """
    state = blake2b(digest_size=32, person=PERSON)
    last: tuple[int, bytes, bytes] | None = None
    for entry in entries:
        place = (entry.sort_at, entry.bee, entry.key)
        if last is not None and place <= last:
            raise BadArgument("the entries of a feed hash must be in the order of the feed, each once")
        last = place
        head = _ENTRY.pack(
            entry.sort_at, entry.bee, entry.seq, entry.value_hash, entry.hidden, len(entry.key)
        )
        state.update(head + entry.key)
    return state.digest()


def entries_of(connection: Connection) -> Iterator[Entry]:
    """Every record of the feed that this database holds, hidden or not, in the order of the feed."""
    order = (records.c.sort_at, records.c.bee, records.c.key)
    query = (
        select(*order, records.c.seq, records.c.value, records.c.hidden)
        .where(records.c.status == literal_column(str(int(Status.SHOWN))), records.c.in_feed)
        .order_by(*order)
    )
    found = connection.execution_options(yield_per=AT_ONCE).execute(query)
    for sort_at, bee, key, seq, value, hidden in found:
        yield Entry(sort_at, bytes(bee), bytes(key), seq, bytes.fromhex(value_hash(value)), bool(hidden))


def of_database(connection: Connection) -> bytes:
    """The feed hash of what this database holds."""
    return feed_hash(entries_of(connection))
