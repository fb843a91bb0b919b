"""The merged feed as a bee: which changes bring it to what the rows say. Reads SQL, writes nothing.

    about                                    what this bee is
    item/<time>/<bee>/<record's key>         {"seq", "hash", "firstSeen", "value"}

<time> is `sortAt`, 16 hexadecimal digits of milliseconds since 1970, <bee> 64 of the author's key. So the keys are in
the order of the feed, and a reader who walks them backwards reads what the page shows. `value` is the record as its
author wrote it, byte for byte; `hash` is BLAKE2b-256 of those bytes, and `seq` its block, where the author's own bee
proves it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, delete, select

from core.records import value_hash
from feedagg.decide import Status
from feedagg.naming import is_record_of
from feedagg.tables import feed_changes, records
from feedagg.transparency import Change, time_digits

ITEMS: Final = b"item/"


@dataclass(frozen=True, slots=True)
class Catch:
    """Changes of the feed to be published: `numbers` of the notes they answer, and keys with their values."""

    numbers: list[int]
    changes: list[Change]


def item_key(sort_at: int, bee: bytes, key: bytes) -> bytes:
    return ITEMS + f"{time_digits(max(sort_at, 0))}/{bee.hex()}/".encode() + key


def catch_up(connection: Connection, limit: int) -> Catch:
    """The next changes, at most `limit` notes of them.

    A note says only that something about a record changed. What the bee gets is what the row says now, so a note that
    is worked on twice, or after another, does no harm.
    """
    noted = select(feed_changes).order_by(feed_changes.c.id).limit(limit).subquery()
    query = (
        select(
            noted.c.id, noted.c.bee, noted.c.key, noted.c.was_at, records.c.status, records.c.in_feed,
            records.c.hidden, records.c.sort_at, records.c.seq, records.c.first_seen, records.c.value,
        )
        .select_from(noted.outerjoin(records, is_record_of(noted)))
        .order_by(noted.c.id)
    )  # fmt: skip
    numbers: list[int] = []
    changes: dict[bytes, bytes | None] = {}
    for (
        number,
        bee,
        key,
        was_at,
        status,
        in_feed,
        hidden,
        sort_at,
        seq,
        first_seen,
        value,
    ) in connection.execute(query):
        numbers.append(number)
        if was_at is not None:
            changes.setdefault(item_key(was_at, bee, key), None)
        if status == Status.SHOWN and in_feed and not hidden:
            changes[item_key(sort_at, bee, key)] = item_value(seq, first_seen, value)
        elif sort_at is not None:
            changes[item_key(sort_at, bee, key)] = None
    return Catch(numbers, list(changes.items()))


def item_value(seq: int, first_seen: int, value: bytes) -> bytes:
    """An item as JSON, the record spliced in as it stands in its block."""
    head = f'{{"seq":{seq},"hash":"{value_hash(value)}","firstSeen":{first_seen},"value":'
    return head.encode() + value + b"}"


def forget(connection: Connection, numbers: Iterable[int]) -> None:
    """The bee has what these notes were about, and will have it after a power cut."""
    connection.execute(delete(feed_changes).where(feed_changes.c.id.in_(list(numbers))))
