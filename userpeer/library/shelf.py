"""The database of the library: SQLite, all of it derived from blocks, so a file that does not fit is made anew.

Rules kept here: of one key the greatest block number wins, in whatever order blocks are read; and how far a bee is
read moves in the same transaction as its rows.

A record's number (`id`) begins with its moment, so the order of numbers is the order of a timeline, also for a search:
the newest of 50,000 matches are found without sorting them.

One connection, used on the event loop's thread: every statement touches few rows by an index, and a write is one
transaction a stretch of blocks.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from core.records import Profile, parse_record

from .rows import Row, place_of_blob

VERSION = 6

COUNTER_BITS = 15
"""Of a record's number: records of one millisecond that it tells apart before it borrows from the next."""

MAX_REMEMBERED = 200

T = TypeVar("T")

_SCHEMA = """
CREATE TABLE bees (
  id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, fork INTEGER NOT NULL DEFAULT 0,
  low INTEGER NOT NULL DEFAULT 0, high INTEGER NOT NULL DEFAULT 0, length INTEGER NOT NULL DEFAULT 0,
  name TEXT, bio TEXT, website TEXT, avatar TEXT, contact REAL);
CREATE TABLE records (
  id INTEGER PRIMARY KEY, bee INTEGER NOT NULL REFERENCES bees, key TEXT NOT NULL, seq INTEGER NOT NULL,
  kind TEXT NOT NULL, at INTEGER NOT NULL, on_timeline INTEGER NOT NULL, value TEXT NOT NULL,
  subject TEXT, root TEXT, watched_on TEXT, facts TEXT, words TEXT NOT NULL,
  UNIQUE (bee, key));
CREATE INDEX by_time ON records (id) WHERE on_timeline;
CREATE INDEX by_author ON records (bee, id) WHERE kind IN ('post', 'movie');
CREATE INDEX by_kind ON records (bee, kind, id);
CREATE INDEX by_subject ON records (subject) WHERE subject IS NOT NULL;
CREATE INDEX by_root ON records (root) WHERE root IS NOT NULL;
CREATE INDEX by_day ON records (bee, watched_on, id, facts) WHERE watched_on IS NOT NULL;
CREATE INDEX by_no_day ON records (bee, kind, id) WHERE kind = 'movie' AND watched_on IS NULL;
CREATE VIRTUAL TABLE search USING fts5 (words, content='records', content_rowid='id', tokenize='unicode61');
CREATE TRIGGER indexed AFTER INSERT ON records WHEN new.words != '' BEGIN
  INSERT INTO search (rowid, words) VALUES (new.id, new.words); END;
CREATE TRIGGER unindexed AFTER DELETE ON records WHEN old.words != '' BEGIN
  INSERT INTO search (search, rowid, words) VALUES ('delete', old.id, old.words); END;
CREATE TRIGGER reindexed AFTER UPDATE OF words ON records BEGIN
  INSERT INTO search (search, rowid, words) SELECT 'delete', old.id, old.words WHERE old.words != '';
  INSERT INTO search (rowid, words) SELECT new.id, new.words WHERE new.words != ''; END;
"""

_COLUMNS = (
    "seq", "kind", "at", "on_timeline", "value", "subject", "root", "watched_on", "facts", "words",
)  # fmt: skip
_INSERT = f"INSERT INTO records (id, bee, key, {', '.join(_COLUMNS)}) VALUES ({', '.join('?' * (3 + len(_COLUMNS)))})"  # noqa: S608
_UPDATE = f"UPDATE records SET {', '.join(f'{name} = ?' for name in _COLUMNS)} WHERE id = ?"  # noqa: S608


@dataclass(frozen=True, slots=True)
class Position:
    """Blocks [low, high) of a bee are read, as of `fork`. 0, 0: none; block 0 is the header and counts as read
    once `low` is 1.
    """

    fork: int = 0
    low: int = 0
    high: int = 0

    @property
    def is_whole(self) -> bool:
        """Whether nothing older remains to be read."""
        return self.low == 1


@dataclass(frozen=True, slots=True)
class KnownBee:
    """What is known here of a bee: `read` of `length` blocks, its name, words and picture (where in its media core, as
    `place_of_blob` writes it), when it was last in contact (seconds since 1970).
    """

    id: int
    key: str
    position: Position
    length: int
    name: str | None
    bio: str | None
    website: str | None
    avatar: str | None
    contact: float | None

    @property
    def read(self) -> int:
        return self.position.high - self.position.low if self.position.high else 0


class Shelf:
    """The open database; `path` None keeps it in memory."""

    def __init__(self, path: Path | None) -> None:
        self.db = _open(path)
        self._remembered: dict[tuple[str, str], tuple[Position, Any]] = {}

    def remember(self, bee: str, what: str, compute: Callable[[], T]) -> T:
        """What `compute` says of a bee, computed again only when more of it was read."""
        known = self.bee(bee)
        position = known.position if known is not None else Position()
        before = self._remembered.get((bee, what))
        if before is not None and before[0] == position:
            return before[1]
        if len(self._remembered) >= MAX_REMEMBERED:
            self._remembered.clear()
        value = compute()
        self._remembered[bee, what] = (position, value)
        return value

    def close(self) -> None:
        self.db.close()

    # --- bees -----------------------------------------------------------------------------------------

    def bee(self, key: str) -> KnownBee | None:
        """What is known of the bee with this key (64 hex)."""
        rows = self._bees("WHERE key = ?", key)
        return rows[0] if rows else None

    def add_bee(self, key: str) -> KnownBee:
        """The same, made known when it was not."""
        with self.db:
            self.db.execute("INSERT INTO bees (key) VALUES (?) ON CONFLICT DO NOTHING", (key,))
        found = self.bee(key)
        assert found is not None
        return found

    def bees(self) -> list[KnownBee]:
        return self._bees("ORDER BY id")

    def saw(self, bee: int, length: int, now: float) -> None:
        """A peer told how long this bee is."""
        with self.db:
            self.db.execute("UPDATE bees SET length = ?, contact = ? WHERE id = ?", (length, now, bee))

    def forget(self, key: str) -> None:
        """Drop a bee's rows; following it again reads it anew."""
        known = self.bee(key)
        if known is not None:
            with self.db:
                self.db.execute("DELETE FROM records WHERE bee = ?", (known.id,))
                self.db.execute("DELETE FROM bees WHERE id = ?", (known.id,))

    def _bees(self, where: str, *arguments: Any) -> list[KnownBee]:
        columns = "id, key, fork, low, high, length, name, bio, website, avatar, contact"
        rows = self.db.execute(f"SELECT {columns} FROM bees {where}", arguments)  # noqa: S608 - our own words
        return [
            KnownBee(row[0], row[1], Position(row[2], row[3], row[4]), row[5], *row[6:])
            for row in rows.fetchall()
        ]

    # --- writing --------------------------------------------------------------------------------------

    def write(self, bee: int, rows: Iterable[Row], after: Position, length: int) -> None:
        """Rows of one stretch, and where reading stands after it, in one transaction."""
        written = list(rows)
        with self.db:
            for row in written:
                self._put(bee, row)
            self.db.execute(
                "UPDATE bees SET fork = ?, low = ?, high = ?, length = ? WHERE id = ?",
                (after.fork, after.low, after.high, length, bee),
            )
            if any(row.key == "profile/self" for row in written):
                self._learn_profile(bee)

    def _put(self, bee: int, row: Row) -> None:
        """The newest block of a key wins. An edit keeps the record's number and moment; what is another kind now (a
        deletion, a return) takes the place of its own moment.
        """
        found = self.db.execute(
            "SELECT id, seq, kind, at FROM records WHERE bee = ? AND key = ?", (bee, row.key)
        ).fetchone()
        if found is not None:
            id, seq, kind, at = found
            if seq >= row.seq:
                return
            if kind == row.kind or not row.kind:
                self.db.execute(_UPDATE, (*_values(replace(row, at=min(at, row.at) if row.kind else at)), id))
                return
            self.db.execute("DELETE FROM records WHERE id = ?", (id,))
        self.db.execute(_INSERT, (self._number(row.at), bee, row.key, *_values(row)))

    def _number(self, at: int) -> int:
        """A number for a record of that moment which no other record has."""
        first = at << COUNTER_BITS
        while True:
            last = first + (1 << COUNTER_BITS) - 1
            taken = self.db.execute(
                "SELECT max(id) FROM records WHERE id BETWEEN ? AND ?", (first, last)
            ).fetchone()[0]
            if taken is None:
                return first
            if taken < last:
                return int(taken) + 1
            first = last + 1

    def restart(self, bee: int, fork: int) -> None:
        """The author truncated the log: what was read of it may be gone, so it is read anew."""
        with self.db:
            self.db.execute("DELETE FROM records WHERE bee = ?", (bee,))
            self.db.execute("UPDATE bees SET fork = ?, low = 0, high = 0 WHERE id = ?", (fork, bee))

    def _learn_profile(self, bee: int) -> None:
        found = self.db.execute(
            "SELECT value FROM records WHERE bee = ? AND key = 'profile/self' AND kind = 'profile'", (bee,)
        ).fetchone()
        profile = parse_record("profile/self", found[0].encode()) if found else None
        values: tuple[str | None, ...] = (None, None, None, None)
        if isinstance(profile, Profile):
            values = (profile.name, profile.bio, profile.website, place_of_blob(profile.avatar))
        self.db.execute(
            "UPDATE bees SET name = ?, bio = ?, website = ?, avatar = ? WHERE id = ?", (*values, bee)
        )


def grown(position: Position, start: int, end: int) -> Position:
    """`position` with the stretch [start, end) read too; the two must touch."""
    if position.high == 0:
        return replace(position, low=start, high=end)
    assert position.low <= end, "a stretch must touch what is read"
    assert start <= position.high, "a stretch must touch what is read"
    return replace(position, low=min(position.low, start), high=max(position.high, end))


def _values(row: Row) -> tuple[Any, ...]:
    return tuple(getattr(row, name) for name in _COLUMNS)


def _open(path: Path | None) -> sqlite3.Connection:
    db = _connect(path)
    try:
        version = db.execute("PRAGMA user_version").fetchone()[0]
        if version == VERSION:
            return db
        is_new = version == 0 and db.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0] == 0
    except sqlite3.DatabaseError:  # not a database, or a damaged one
        is_new = False
    if not is_new:
        # All of it can be read again from the blocks.
        db.close()
        assert path is not None
        for name in (path, path.with_name(path.name + "-wal"), path.with_name(path.name + "-shm")):
            name.unlink(missing_ok=True)
        db = _connect(path)
    with db:
        db.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version = {VERSION}; COMMIT;")
    return db


def _connect(path: Path | None) -> sqlite3.Connection:
    db = sqlite3.connect(":memory:" if path is None else path, check_same_thread=False)
    try:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = NORMAL")
        db.execute("PRAGMA cache_size = -16000")
    except sqlite3.DatabaseError:
        pass  # `_open` finds out and makes it anew
    if path is not None:
        path.chmod(0o600)
    return db
