"""SQLite's index of words, kept in few pieces.

Every write begins a piece of its own, and FTS5 merges some of them by itself; asking whether one record holds a word
looks into each piece. So from time to time all are merged into one, a few pages at a time between other writes.
PostgreSQL does the like by its own vacuum.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection, text

from feedagg.database import Database

PIECES: Final = 6
"""So many are left as they are."""

PAGES_AT_ONCE: Final = 250
"""Pages of the index written between two writes of others: a few milliseconds."""


async def tidy(database: Database) -> None:
    """Merge the pieces if there are many."""
    if not database.is_sqlite or await database.read(pieces) <= PIECES:
        return
    await database.write(_step, -PAGES_AT_ONCE)
    while await database.write(_step, PAGES_AT_ONCE):
        pass


def pieces(connection: Connection) -> int:
    """How many pieces the index has."""
    return connection.execute(text("SELECT count(DISTINCT segid) FROM words_idx")).scalar() or 0


def _step(connection: Connection, pages: int) -> bool:
    """Merge so many pages (negative: of all pieces, as a beginning); whether there is more to do.

    Source of the commands and of how to see the end: the documentation of SQLite's FTS5, "merge".
    """
    before = connection.exec_driver_sql("SELECT total_changes()").scalar() or 0
    connection.execute(text("INSERT INTO words (words, rank) VALUES ('merge', :pages)"), {"pages": pages})
    after = connection.exec_driver_sql("SELECT total_changes()").scalar() or 0
    return bool(after - before >= 2)
