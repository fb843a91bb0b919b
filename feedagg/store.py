"""Rows in, and the cursor with them: the only place that writes `records` and a source's position.

Every function takes a connection inside a transaction (`Database.write`). Doing one twice changes nothing:
rows are upserts by (bee, key) that only a greater block number may replace, and a position moves only from
the one its caller read, so two workers on one bee cannot both win.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from sqlalchemy import Connection, and_, case, delete, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from feedagg.decide import Position, Row, Status
from feedagg.naming import is_by, is_record, unique_columns
from feedagg.tables import bucket_of, hidden, readings, records, sources

_REPLACED = (
    "seq", "status", "kind", "reason", "value", "created_at", "date_flag", "in_feed", "film", "film_title",
    "rating", "target", "label",
)  # fmt: skip
_STALE = {
    "status": int(Status.STALE), "seq": -1, "kind": None, "reason": None, "value": None, "film": None,
    "film_title": None, "rating": None, "target": None, "label": None,
}  # fmt: skip


class Superseded(Exception):
    """The source's position is not what it was when this stretch was read: another worker has it. Nothing
    written.
    """


def insert(connection: Connection, table: Any) -> Any:
    """The dialect's INSERT, which knows ON CONFLICT."""
    return (postgresql if connection.dialect.name == "postgresql" else sqlite).insert(table)


def position(connection: Connection, bee: bytes) -> Position | None:
    """How far the bee is read, or None if it is no source."""
    where = (sources.c.bucket == bucket_of(bee), sources.c.bee == bee)
    row = connection.execute(
        select(sources.c.fork, sources.c.cursor, sources.c.tail).where(*where)
    ).one_or_none()
    return None if row is None else Position(*row)


def write(
    connection: Connection,
    bee: bytes,
    rows: Sequence[Row],
    before: Position,
    after: Position,
    length: int,
    said: Mapping[str, Any] | None = None,
    counts: Mapping[str, int | None] | None = None,
) -> None:
    """One stretch: its rows, the position from `before` to `after`, what the public log will say of it (`said`: a row
    of `readings`, from `transparency.reading`), and the `counts` of the bee's quota. Raises `Superseded`.
    """
    _move(connection, bee, before, after, length, counts)
    if said is not None:
        connection.execute(readings.insert().values(**said))
    _upsert(connection, bee, rows)
    if after.complete and not before.complete:
        _drop_stale(connection, bee)


def changed_since(connection: Connection, bee: bytes, block: int, limit: int) -> list[bytes]:
    """Keys of at most `limit` rows that rest on blocks from `block` on."""
    where = (is_by(bee), records.c.seq >= block)
    return list(connection.execute(select(records.c.key).where(*where).limit(limit)).scalars())


def rewind(
    connection: Connection,
    bee: bytes,
    before: Position,
    after: Position,
    length: int,
    restored: Sequence[Row],
) -> None:
    """The author truncated the log to `after.cursor` blocks: one transaction from the old truth to the new.

    Rows that rest on dropped blocks go stale; `restored` says what their keys held before. With a position of
    0 the whole bee is read again, and what is not met again by then is dropped; when it is met, it keeps its
    `first_seen`.
    """
    _move(connection, bee, before, after, length)
    where = (is_by(bee), records.c.seq >= after.cursor)
    connection.execute(update(records).where(*where).values(_STALE))
    _upsert(connection, bee, restored)
    if after.seen:
        _drop_stale(connection, bee)


def _move(
    connection: Connection,
    bee: bytes,
    before: Position,
    after: Position,
    length: int,
    counts: Mapping[str, int | None] | None = None,
) -> None:
    moved = connection.execute(
        update(sources)
        .where(
            sources.c.bucket == bucket_of(bee),
            sources.c.bee == bee,
            sources.c.fork == before.fork,
            sources.c.cursor == before.cursor,
            sources.c.tail == before.tail,
        )
        .values(fork=after.fork, cursor=after.cursor, tail=after.tail, length=length, **(counts or {}))
    )
    if moved.rowcount != 1:
        raise Superseded


def _upsert(connection: Connection, bee: bytes, rows: Sequence[Row]) -> None:
    if not rows:
        return
    connection.execute(_upsert_statement(connection.dialect.name), [{**row, "bee": bee} for row in rows])
    hidden_keys = list(connection.execute(select(hidden.c.key).where(hidden.c.bee == bee)).scalars())
    for key in hidden_keys:
        here = (is_record(bee, key), ~records.c.hidden)
        connection.execute(update(records).where(*here).values(hidden=True))


@cache
def _upsert_statement(dialect: str) -> Any:
    statement = (postgresql if dialect == "postgresql" else sqlite).insert(records)
    new = statement.excluded
    # An edit keeps the place in the feed that the record's first sight gave it, unless it is dated earlier.
    sort_at = case(
        (or_(new.created_at.is_(None), new.created_at > records.c.first_seen), records.c.first_seen),
        else_=new.created_at,
    )
    return statement.on_conflict_do_update(
        index_elements=unique_columns(dialect),
        set_={name: new[name] for name in _REPLACED} | {"sort_at": sort_at},
        # The same block with another value: what an import said of it was not what the author signed.
        where=or_(
            new.seq > records.c.seq,
            and_(new.seq == records.c.seq, new.value.is_distinct_from(records.c.value)),
        ),
    )


def _drop_stale(connection: Connection, bee: bytes) -> None:
    connection.execute(delete(records).where(is_by(bee), records.c.status == int(Status.STALE)))
