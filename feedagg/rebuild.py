"""`feedagg rebuild` and the SQL half of `feedagg check`: the rows beside what the stored blocks say.

A rebuild takes every row of a bee that its blocks explain out of the database, with what hangs on it (words, targets,
places in the feed), and derives it again; one bee in one transaction, so a rebuild that is killed has done some bees
and left the others as they were. A row whose block is not here any more (it was purged, or cleared) stays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from operator import itemgetter
from typing import Any, Final

from sqlalchemy import Connection, delete, func, insert, select

from core.peer import Peer
from feedagg import policy, sources, words
from feedagg.database import Database
from feedagg.decide import PURGED_REASON, Row, Status
from feedagg.derive import OtherTree, as_it_came, slices
from feedagg.naming import are_records, is_by
from feedagg.sources import Source
from feedagg.tables import feed_changes, records

AT_ONCE: Final = 500
_COMPARED: Final = (
    "seq", "status", "kind", "reason", "value", "created_at", "sort_at", "date_flag", "in_feed", "film",
    "film_title", "rating", "target", "label",
)  # fmt: skip
_facts = itemgetter(*_COMPARED)
_OLD: Final = [records.c[name] for name in (*_COMPARED, "id", "key", "first_seen", "hidden")]
_EXAMPLES: Final = 5
"""So many rows that differ are named; the rest is counted."""


@dataclass(slots=True)
class Outcome:
    """What became of one bee. `changed`: rows that were not as the blocks say; `missing`: blocks that are not here.

    `skipped`: why nothing was done, empty if something was.
    """

    bee: bytes
    rows: int = 0
    changed: int = 0
    missing: int = 0
    skipped: str = ""
    examples: list[str] = field(default_factory=list)

    def differs(self, key: bytes, how: str) -> None:
        self.changed += 1
        if len(self.examples) < _EXAMPLES:
            self.examples.append(f"{key.decode(errors='replace')}: {how}")


async def rebuild(database: Database, peer: Peer, now: int, told: Callable[[Outcome], None]) -> None:
    """Derive the rows of every bee again. `told` hears of each when it is durable."""
    for source in _all(database):
        told(await _bee(database, peer, source, now, is_check=False))


async def check(database: Database, peer: Peer, now: int, told: Callable[[Outcome], None]) -> None:
    """The same, but nothing is changed: `Outcome.changed` counts the rows that should be."""
    for source in _all(database):
        told(await _bee(database, peer, source, now, is_check=True))


def _all(database: Database) -> Iterable[Source]:
    after = b""
    while found := database.read_now(lambda connection: sources.listing(connection, AT_ONCE, after)):  # noqa: B023
        yield from found
        after = found[-1].bee


async def _bee(database: Database, peer: Peer, source: Source, now: int, *, is_check: bool) -> Outcome:
    outcome = Outcome(source.bee)
    connection = (database.reader if is_check else database.engine).connect()
    try:
        with connection, connection.begin():
            _remember_words(connection)
            work = _Work(connection, source, outcome, is_check=is_check)
            async for each in slices(peer, source, now):
                outcome.missing += len(each.missing)
                work.slice(each.rows, each.missing)
            work.end()
    except OtherTree:
        outcome.skipped = (
            "its log is not the one that was read; the next contact with its author reads it anew"
        )
    return outcome


def _remember_words(connection: Connection) -> None:
    """The words of a row are asked for when it goes and again when it comes back the same: once is enough."""
    if connection.dialect.name == "sqlite":
        driver: Any = connection.connection.driver_connection
        driver.create_function("feed_words", 3, lru_cache(2 * AT_ONCE)(words.terms), deterministic=True)


class _Work:
    """One bee in one transaction."""

    def __init__(self, connection: Connection, source: Source, outcome: Outcome, *, is_check: bool) -> None:
        self._connection = connection
        self._bee = source.bee
        self._source = source
        self._outcome = outcome
        self._is_check = is_check
        self._keys: set[bytes] = set()  # keys that a stored block speaks about
        self._blockless: set[int] = set()  # ids of rows whose block is not here
        self._noted = connection.execute(select(func.max(feed_changes.c.id))).scalar() or 0
        self._notes: list[dict[str, Any]] = []

    def slice(self, rows: list[Row], missing: list[int]) -> None:
        for start in range(0, len(missing), AT_ONCE):
            where = (is_by(self._bee), records.c.seq.in_(missing[start : start + AT_ONCE]))
            self._blockless.update(self._connection.execute(select(records.c.id).where(*where)).scalars())
        for start in range(0, len(rows), AT_ONCE):
            self._rows(rows[start : start + AT_ONCE])

    def _rows(self, rows: list[Row]) -> None:
        here = are_records((self._bee, row["key"]) for row in rows)
        found = self._connection.execute(select(*_OLD).where(here))
        old: dict[bytes, Any] = {before.key: before for before in found}
        new = []
        gone = []
        for row in rows:
            before = old.get(row["key"])
            self._keys.add(row["key"])
            if before is not None:
                if before.id in self._blockless or before.reason == PURGED_REASON:
                    continue  # what is here of this key is older than the row
                gone.append(before.id)
            came = as_it_came(row, before)
            difference = _difference(came, before)
            if difference:
                self._outcome.differs(row["key"], difference)
                self._note(came, before)
            number = {} if before is None else {"id": before.id}
            hidden = before is not None and before.hidden
            new.append({**came, **number, "bee": self._bee, "hidden": hidden})
        self._outcome.rows += len(rows)
        if self._is_check:
            return
        if gone:
            self._connection.execute(delete(records).where(records.c.id.in_(gone)))
        for some in ([row for row in new if "id" in row], [row for row in new if "id" not in row]):
            if some:
                self._connection.execute(insert(records), some)

    def _note(self, row: Row | None, before: Any) -> None:
        """The feed's bee is told of what really changed (and not of every row that was taken out and put back)."""
        was_there = before is not None and before.status == Status.SHOWN and before.in_feed
        key = before.key if row is None else row["key"]
        was_at = before.sort_at if was_there and not before.hidden else None
        self._notes.append({"bee": self._bee, "key": key, "was_at": was_at})

    def end(self) -> None:
        """What no block speaks about goes; then the hide list and the standing of the bee."""
        connection = self._connection
        where = (is_by(self._bee), records.c.seq >= 0, records.c.status != int(Status.STALE))
        unexplained = []
        columns = [
            records.c[name] for name in ("id", "key", "reason", "status", "in_feed", "hidden", "sort_at")
        ]
        for row in connection.execute(select(*columns).where(*where)):
            is_explained = row.key in self._keys or row.id in self._blockless
            if not is_explained and row.reason != PURGED_REASON:
                self._outcome.differs(row.key, "no block says so")
                self._note(None, row)
                unexplained.append(row.id)
        if self._is_check:
            self._check_hidden()
            return
        for start in range(0, len(unexplained), AT_ONCE):
            connection.execute(delete(records).where(records.c.id.in_(unexplained[start : start + AT_ONCE])))
        connection.execute(delete(feed_changes).where(feed_changes.c.id > self._noted))
        if self._notes:
            connection.execute(insert(feed_changes), self._notes)
        policy.show(connection, self._bee, is_refused=self._source.state == sources.REFUSED)

    def _check_hidden(self) -> None:
        is_refused = self._source.state == sources.REFUSED
        for key in policy.wrongly_shown(self._connection, self._bee, is_refused=is_refused):
            self._outcome.differs(key, "it is not hidden as the hide list says")


def _difference(row: Row, before: Any) -> str:
    if before is None:
        return "it is missing from the database"
    facts, stored = _facts(row), before[: len(_COMPARED)]
    if facts == stored:
        return ""
    wrong = [name for name, is_now, was in zip(_COMPARED, facts, stored, strict=True) if is_now != was]
    return f"{', '.join(wrong)} not as in the block"
