"""What pages ask the shelf. Lists are keysets over a record's number: a page begins after a record, never after a
count.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from core.records import Rejected

from .rows import place_of
from .shelf import Shelf
from .shown import COLUMNS, Shown, shown_from

PAGE = 30
MAX_THREAD = 300
_CURSOR = re.compile(r"[0-9]{1,18}\Z")
_WORD = re.compile(r"[^\W_]+", re.UNICODE)

KINDS = ("post", "movie")


@dataclass(frozen=True, slots=True)
class Page:
    """Records, the newest first; `older` is the `before` of the next page, or None."""

    items: tuple[Shown, ...]
    older: str | None


@dataclass(frozen=True, slots=True)
class Thread:
    """A record, what it answers (as far as it is here) and what was answered, the oldest first.

    `missing`: "<bee>/<key>" of what it answers when that is not here.
    """

    record: Shown | None
    above: tuple[Shown, ...]
    below: tuple[Shown, ...]
    missing: str | None


class Library:
    """Questions about everything that is on a shelf, asked by the owner of the bee `me` (64 hex)."""

    def __init__(self, shelf: Shelf, me: str) -> None:
        self.shelf = shelf
        self.me = me

    def timeline(self, *, kind: str | None = None, before: str | None = None, limit: int = PAGE) -> Page:
        """Posts and films of all bees here, merged."""
        where, arguments = ["r.on_timeline"], []
        if kind in KINDS:
            where.append("r.kind = ?")
            arguments.append(kind)
        return self._page(where, arguments, before, limit)

    def of_bee(
        self, bee: str, *, kind: str | None = None, before: str | None = None, limit: int = PAGE
    ) -> Page:
        """Posts and films of one bee, also those that were imported."""
        known = self.shelf.bee(bee)
        if known is None:
            return Page((), None)
        if kind in KINDS:
            return self._page(["r.bee = ? AND r.kind = ?"], [known.id, kind], before, limit)
        return self._page(["r.bee = ? AND r.kind IN ('post', 'movie')"], [known.id], before, limit)

    def search(self, words: str, *, before: str | None = None, limit: int = PAGE) -> Page:
        """Records that hold all the words (each may be the beginning of one), the newest first."""
        tokens = _WORD.findall(words)[:12]
        if not tokens:
            return Page((), None)
        match = " ".join(f'"{token}"*' for token in tokens)
        cursor = int(before) if before and _CURSOR.match(before) else None
        # The index gives its matches in the order of numbers, so it stops after a page.
        ids = self.shelf.db.execute(
            "SELECT rowid FROM search WHERE search MATCH ? AND rowid < ? ORDER BY rowid DESC LIMIT ?",
            (match, 2**62 if cursor is None else cursor, limit + 1),
        ).fetchall()
        rows = (
            self._rows(
                f"WHERE r.id IN ({', '.join('?' * min(len(ids), limit))}) AND r.kind IN ('post', 'movie', 'profile') "
                "ORDER BY r.id DESC",
                [id for (id,) in ids[:limit]],
            )
            if ids
            else []
        )
        return Page(tuple(rows), str(ids[limit - 1][0]) if len(ids) > limit else None)

    def get(self, bee: str, key: str) -> Shown | None:
        """One record as it is here now."""
        found = self._rows("WHERE b.key = ? AND r.key = ? AND r.kind != ''", [bee, key])
        return found[0] if found else None

    def thread(self, bee: str, key: str) -> Thread:
        """A record between what it answers and what was answered to it."""
        record = self.get(bee, key)
        above: list[Shown] = []
        missing = None
        seen = {place_of(bee, key)}
        current = record
        while current is not None and (parent := getattr(current.record, "parent", None)) is not None:
            if place_of(parent.bee, parent.key) in seen or len(above) >= MAX_THREAD:
                break
            seen.add(place_of(parent.bee, parent.key))
            current = self.get(parent.bee, parent.key)
            if current is None:
                missing = place_of(parent.bee, parent.key)
            else:
                above.insert(0, current)
        return Thread(record, tuple(above), tuple(self._below(place_of(bee, key))), missing)

    def _below(self, place: str) -> list[Shown]:
        """All that answers `place`, directly or not, each below what it answers."""
        found: list[Shown] = []
        waiting = [place]
        seen = {place}
        while waiting and len(found) < MAX_THREAD:
            answers = self._rows(
                "WHERE r.subject = ? AND r.kind = 'post' ORDER BY r.id LIMIT ?",
                [waiting.pop(), MAX_THREAD - len(found)],
            )
            for answer in answers:
                if answer.place not in seen:
                    seen.add(answer.place)
                    found.append(answer)
            waiting.extend(answer.place for answer in reversed(answers))
        return sorted(found, key=lambda item: item.id)

    def followed(self) -> list[str]:
        """The keys of the bees that `me` follows, the latest first."""
        rows = self.shelf.db.execute(
            "SELECT key FROM records WHERE bee = (SELECT id FROM bees WHERE key = ?) AND kind = 'follow' "
            "ORDER BY id DESC",
            (self.me,),
        )
        return [row[0].partition("/")[2] for row in rows]

    def own(self, kind: str, *, prefix: str = "", limit: int = 1000) -> list[Shown]:
        """Records of one kind in the bee of `me`, those whose key begins with `prefix`, the latest first."""
        rest = "WHERE b.key = ? AND r.kind = ? AND substr(r.key, 1, ?) = ? ORDER BY r.id DESC LIMIT ?"
        return self._rows(rest, [self.me, kind, len(prefix), prefix, limit])

    def counts(self) -> dict[str, int]:
        """How many records of each kind are in the bee of `me`."""

        def count() -> dict[str, int]:
            rows = self.shelf.db.execute(
                "SELECT kind, count(*) FROM records WHERE bee = (SELECT id FROM bees WHERE key = ?) AND kind != '' "
                "GROUP BY kind",
                (self.me,),
            )
            return dict(rows.fetchall())

        return self.shelf.remember(self.me, "counts", count)

    def list_sizes(self) -> dict[str, int]:
        """How many films each list of `me` has, by the list's t16."""
        rows = self.shelf.db.execute(
            "SELECT substr(r.key, 10, 16), count(*) FROM records r JOIN bees b ON b.id = r.bee "
            "WHERE b.key = ? AND r.kind = 'listitem' GROUP BY 1",
            (self.me,),
        )
        return dict(rows.fetchall())

    # --- inside ---------------------------------------------------------------------------------------

    def _page(self, where: list[str], arguments: list[Any], before: str | None, limit: int) -> Page:
        if before and _CURSOR.match(before):
            where = [*where, "r.id < ?"]
            arguments = [*arguments, int(before)]
        rest = f"WHERE {' AND '.join(where)} ORDER BY r.id DESC LIMIT ?"
        rows = self._rows(rest, [*arguments, limit + 1])
        items = tuple(rows[:limit])
        return Page(items, items[-1].cursor if len(rows) > limit else None)

    def _rows(self, rest: str, arguments: list[Any]) -> list[Shown]:
        statement = f"SELECT {COLUMNS} FROM records r JOIN bees b ON b.id = r.bee {rest}"  # noqa: S608
        rows = self.shelf.db.execute(statement, arguments).fetchall()
        return [
            item for item in shown_from(self.shelf, rows, self.me) if not isinstance(item.record, Rejected)
        ]
