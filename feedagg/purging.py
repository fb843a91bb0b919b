"""Purging: our own copy of a record or of a whole bee is dropped. The author's bee is not touched.

The rows go in the transaction of the decision; the blocks, and the pictures made of that bee's images, go as soon as
the program that has the store open looks at the list of purges, which lasts until that is done.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, delete, select, update

from core.errors import DecodingError
from core.peer import Peer
from feedagg import decisions, moderation, policy, sources
from feedagg.decide import PURGED_REASON, Status, stored_key
from feedagg.decisions import OPERATOR, Action
from feedagg.naming import is_by, is_record
from feedagg.policy import reason_of
from feedagg.tables import bucket_of, hints, purges, records
from feedagg.tables import sources as source_rows

SLICE: Final = 512
"""Blocks that are looked at before others get their turn."""


@dataclass(frozen=True, slots=True)
class Purge:
    """A row of `purges`: blocks that are still to go. `key` None: the whole bee."""

    id: int
    bee: bytes
    key: bytes | None
    asked_at: int


def purge_bee(connection: Connection, bee: bytes, reason: str, now: int) -> int:
    """Drop everything of a bee and refuse it from now on; returns how many rows went.

    Raises `BadArgument` when it is not here or the reason is missing.
    """
    why = reason_of(reason, needed=True)
    source = sources.get(connection, bee)
    if source is None:
        raise policy.NotFollowed(f"There is no bee {bee.hex()} here.")
    policy.refuse(connection, bee, now, why or "")
    gone = connection.execute(delete(records).where(is_by(bee))).rowcount
    connection.execute(delete(hints).where(hints.c.bee == bee))
    nothing = {"fork": 0, "length": 0, "cursor": 0, "tail": 0, "error": None, "attempts": 0}
    here = (source_rows.c.bucket == bucket_of(bee), source_rows.c.bee == bee)
    connection.execute(update(source_rows).where(*here).values(nothing))
    _ask(connection, bee, None, why, now)
    return gone


def purge_record(connection: Connection, bee: bytes, key: bytes, reason: str, now: int) -> bool:
    """Drop our copy of one record and hide what may come under its key; True if it was here."""
    if sources.get(connection, bee) is None:
        raise policy.NotFollowed(f"There is no bee {bee.hex()} here.")
    moderation.hide(connection, bee, key, reason, now)
    empty = {
        "status": int(Status.SKIPPED), "reason": PURGED_REASON, "kind": None, "value": None, "created_at": None,
        "film": None, "film_title": None, "rating": None, "in_feed": False, "target": None, "label": None,
    }  # fmt: skip
    here = is_record(bee, stored_key(key))
    found = connection.execute(update(records).where(here).values(empty)).rowcount
    _ask(connection, bee, key, reason_of(reason, needed=True), now)
    return found > 0


def _ask(connection: Connection, bee: bytes, key: bytes | None, reason: str | None, now: int) -> None:
    connection.execute(purges.insert().values(bee=bee, key=key, asked_at=now))
    decisions.record(connection, now, OPERATOR, Action.PURGED, bee=bee, key=key, reason=reason)


def pending(connection: Connection) -> list[Purge]:
    """Purges whose blocks are still there, the oldest first."""
    query = select(purges).order_by(purges.c.id).limit(100)
    return [Purge(*row) for row in connection.execute(query)]


def done(connection: Connection, number: int) -> None:
    connection.execute(delete(purges).where(purges.c.id == number))


async def drop_blocks(peer: Peer, purge: Purge) -> int:
    """Take the blocks of a purge out of the open store; returns how many. Doing it twice does no harm.

    A whole bee must not be followed here any more. Raises `MeadowError` when the store refuses.
    """
    if purge.key is None:
        return peer.store.drop(purge.bee)
    bee = peer.bee(key=purge.bee, key_encoding="binary", value_encoding="binary", extension=False)
    try:
        found = 0
        for seq in range(1, bee.core.length):
            if seq % SLICE == 0:
                await asyncio.sleep(0)
            if not bee.core.has(seq):
                continue
            try:
                entry = await bee.get_by_seq(seq)
            except DecodingError:
                continue
            if entry.key == purge.key:
                await bee.core.clear(seq)
                found += 1
        return found
    finally:
        await bee.close()
