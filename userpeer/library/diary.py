"""The film diary: what was watched when, and what a year of it looks like."""

from __future__ import annotations

import calendar
import heapq
import json
from collections import Counter
from dataclasses import dataclass
from datetime import date
from itertools import chain
from typing import Any, Final

from core.records import Watch

from .shelf import Shelf
from .shown import COLUMNS, Shown, marks, shown_from

PAGE: Final = 50
BEST: Final = 10
_LAST_ID: Final = 2**63 - 1
_RATING, _LIKED, _REWATCH, _REVIEWED, _FILM_YEAR, _TAGS = range(6)
"""Places in the `facts` of a row."""


@dataclass(frozen=True, slots=True)
class Day:
    """A square of the calendar: the day of the month (0: none), and how many films."""

    day: int
    date: str
    films: int


@dataclass(frozen=True, slots=True)
class Month:
    """One month: its weeks (Monday first), and a page of its entries, the latest first. `older`: the `before` of the
    next page, or None.
    """

    year: int
    month: int
    name: str
    weeks: tuple[tuple[Day, ...], ...]
    entries: tuple[Shown, ...]
    older: str | None


@dataclass(frozen=True, slots=True)
class Year:
    """A year in numbers. `months`: films a month, January first; `ratings`: how often 1 to 10 half stars."""

    year: int
    films: int
    rewatches: int
    liked: int
    reviews: int
    mean: float | None
    months: tuple[int, ...]
    weekdays: tuple[int, ...]
    ratings: tuple[int, ...]
    decades: tuple[tuple[int, int], ...]
    tags: tuple[tuple[str, int], ...]
    best: tuple[Shown, ...]


class Diary:
    """The diary of one bee (its key, 64 hex)."""

    def __init__(self, shelf: Shelf, bee: str, me: str) -> None:
        self._shelf = shelf
        self._bee = bee
        self._me = me

    def years(self) -> list[tuple[int, int]]:
        """The years with dated entries and how many each has, the latest first."""
        return self._shelf.remember(self._bee, "years", self._count_years)

    def _count_years(self) -> list[tuple[int, int]]:
        rows = self._shelf.db.execute(
            "SELECT substr(r.watched_on, 1, 4) AS year, count(*) FROM records r JOIN bees b ON b.id = r.bee "
            "WHERE b.key = ? AND r.watched_on IS NOT NULL GROUP BY year ORDER BY year DESC",
            (self._bee,),
        )  # only films have such a date, so the index alone answers
        return [(int(year), count) for year, count in rows]

    def latest(self) -> tuple[int, int] | None:
        """The last month with an entry, as (year, month)."""
        found = self._shelf.db.execute(
            "SELECT r.watched_on FROM records r JOIN bees b ON b.id = r.bee WHERE b.key = ? AND r.kind = 'movie' "
            "AND r.watched_on IS NOT NULL AND length(r.watched_on) >= 7 ORDER BY r.watched_on DESC LIMIT 1",
            (self._bee,),
        ).fetchone()
        return None if found is None else (int(found[0][:4]), int(found[0][5:7]))

    def month(self, year: int, month: int, *, before: str | None = None) -> Month:
        """A page of the entries of one month, and its calendar."""
        prefix = f"{year:04d}-{month:02d}"
        films: dict[str, int] = dict(
            self._shelf.db.execute(
                "SELECT r.watched_on, count(*) FROM records r JOIN bees b ON b.id = r.bee WHERE b.key = ? "
                "AND r.kind = 'movie' AND r.watched_on >= ? AND r.watched_on < ? GROUP BY r.watched_on",
                (self._bee, prefix, prefix + "~"),
            ).fetchall()
        )
        weeks = tuple(
            tuple(
                Day(day, _iso(year, month, day), films.get(_iso(year, month, day), 0))
                if day
                else Day(0, "", 0)
                for day in week
            )
            for week in calendar.Calendar().monthdayscalendar(year, month)
        )
        day, _, id = (before or "").partition(".")
        is_later = day.startswith(prefix) and id.isascii() and id.isdigit() and len(id) < 19
        after = (day, int(id)) if is_later else (prefix + "~", 0)
        found = self._rows(
            "r.watched_on >= ? AND (r.watched_on, r.id) < (?, ?) ORDER BY r.watched_on DESC, r.id DESC LIMIT ?",
            [prefix, *after, PAGE + 1],
        )
        last = found[PAGE - 1] if len(found) > PAGE else None
        older = f"{last.record.watched_on}.{last.id}" if last and isinstance(last.record, Watch) else None
        return Month(year, month, calendar.month_name[month], weeks, tuple(found[:PAGE]), older)

    def loose(
        self, year: int | None, *, before: int | None = None, limit: int = PAGE
    ) -> tuple[list[Shown], int | None]:
        """A page of the entries dated with the year alone, or (None) with nothing; the `before` of the next page."""
        dated = "r.watched_on IS NULL" if year is None else "r.watched_on = ?"
        arguments: list[Any] = [] if year is None else [f"{year:04d}"]
        latest = _LAST_ID if before is None else before
        found = self._rows(
            f"{dated} AND r.id < ? ORDER BY r.id DESC LIMIT ?", [*arguments, latest, limit + 1]
        )
        return found[:limit], found[limit - 1].id if len(found) > limit else None

    def year(self, year: int) -> Year:
        """A year in review."""
        return self._shelf.remember(self._bee, f"year {year}", lambda: self._review(year))

    def _review(self, year: int) -> Year:
        rows = self._shelf.db.execute(
            "SELECT r.watched_on, r.id, r.facts FROM records r JOIN bees b ON b.id = r.bee "
            "WHERE b.key = ? AND r.watched_on >= ? AND r.watched_on < ?",
            # "~" is greater than every character of a date.
            (self._bee, f"{year:04d}", f"{year:04d}~"),
        ).fetchall()  # the index holds all of it: a year of many thousand films is no second
        facts = json.loads(f"[{','.join(row[2] for row in rows)}]")
        months, weekdays, ratings = [0] * 12, [0] * 7, [0] * 10
        for when, films in Counter(row[0] for row in rows).items():
            if len(when) >= 7:
                months[int(when[5:7]) - 1] += films
            if len(when) == 10:
                weekdays[date.fromisoformat(when).weekday()] += films
        for rating, films in Counter(fact[_RATING] for fact in facts).items():
            if rating is not None:
                ratings[rating - 1] = films
        decades = Counter(fact[_FILM_YEAR] // 10 * 10 for fact in facts if fact[_FILM_YEAR] is not None)
        tags = Counter(chain.from_iterable(fact[_TAGS:] for fact in facts))
        rated = sum(ratings)
        # The best first; of those the ones that were written first.
        best = heapq.nsmallest(
            BEST,
            (
                (-fact[_RATING], row[1])
                for row, fact in zip(rows, facts, strict=True)
                if fact[_RATING] is not None
            ),
        )
        return Year(
            year,
            len(rows),
            sum(fact[_REWATCH] for fact in facts),
            sum(fact[_LIKED] for fact in facts),
            sum(fact[_REVIEWED] for fact in facts),
            sum((half + 1) * count for half, count in enumerate(ratings)) / rated / 2 if rated else None,
            tuple(months),
            tuple(weekdays),
            tuple(ratings),
            tuple(sorted(decades.items())),
            tuple(tags.most_common(10)),
            self._shown([id for _, id in best]),
        )

    def _shown(self, ids: list[int]) -> tuple[Shown, ...]:
        found = self._rows(f"r.id IN ({marks(ids)})", ids)
        return tuple(sorted(found, key=lambda item: ids.index(item.id)))

    def _rows(self, condition: str, arguments: list[Any]) -> list[Shown]:
        statement = (
            f"SELECT {COLUMNS} FROM records r JOIN bees b ON b.id = r.bee "  # noqa: S608
            f"WHERE b.key = ? AND r.kind = 'movie' AND {condition}"
        )
        rows = self._shelf.db.execute(statement, [self._bee, *arguments]).fetchall()
        return shown_from(self._shelf, rows, self._me)


def _iso(year: int, month: int, day: int) -> str:
    return f"{year:04d}-{month:02d}-{day:02d}"
