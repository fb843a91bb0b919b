"""The mark on a card: what can be said about where a record stands, in three plain levels.

    indexed     it is in this aggregator's database, and no more is known here: it came from another aggregator's file
    authentic   signed by this key: block n of a log of length L, and the way up to that signature is stored here
    current     besides, the whole log was read: at time t this was still what its key mapped to

Every record that was read from a bee is authentic when it is written (blocks are verified before they are stored), so
the level follows from how far the bee is read; the proof itself is made when somebody asks (`proofs.py`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple
from urllib.parse import quote

from sqlalchemy import Connection, select

from feedagg.tables import alarms, sources


class Level(StrEnum):
    """Each includes those before it."""

    INDEXED = "indexed"
    AUTHENTIC = "authentic"
    CURRENT = "current"


WORDS: Final = {Level.INDEXED: "Indexed", Level.AUTHENTIC: "Authentic", Level.CURRENT: "Current"}


class Read(NamedTuple):
    """How far a bee is read, and when somebody who has it was last heard; milliseconds since 1970."""

    length: int
    cursor: int
    tail: int
    connected: bool
    last_contact: int | None
    is_forked: bool = False
    """Whether its key signed two histories: what it maps to in one of them is not what it maps to."""


@dataclass(frozen=True, slots=True)
class Mark:
    """`block` of `length`; `checked_at`: when a peer last confirmed the length, for a current record only."""

    level: Level
    block: int
    length: int
    checked_at: int | None
    href: str

    @property
    def words(self) -> str:
        return WORDS[self.level]


def mark(bee: bytes, key: bytes, seq: int, read: Read | None, now: int) -> Mark:
    """The mark of the record that block `seq` of a bee wrote."""
    href = proof_href("/proof", bee, key)
    if (
        read is None or not read.tail <= seq < read.cursor
    ):  # [tail, cursor) was read from the bee, and verified
        return Mark(Level.INDEXED, seq, 0, None, href)
    checked_at = now if read.connected else read.last_contact
    if read.cursor < read.length or checked_at is None or read.is_forked:
        return Mark(Level.AUTHENTIC, seq, read.length, None, href)
    return Mark(Level.CURRENT, seq, read.length, checked_at, href)


def readings(connection: Connection, bees: Iterable[bytes]) -> dict[bytes, Read]:
    """How far each of these bees is read; those that are no sources are left out."""
    is_forked = sources.c.bee.in_(select(alarms.c.bee)).label("is_forked")
    columns = [sources.c[name] for name in ("bee", *Read._fields[:-1])] + [is_forked]
    found = connection.execute(select(*columns).where(sources.c.bee.in_(set(bees))))
    return {bytes(bee): Read(*rest) for bee, *rest in found}


def proof_href(path: str, bee: bytes, key: bytes) -> str:
    """The address of a proof; the record's key may hold any byte, so it goes into the query."""
    return f"{path}?bee={bee.hex()}&key={quote(key, safe='')}"
