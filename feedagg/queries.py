"""What the pages ask: one page of a feed, one record, one film, one bee's receipt. Reads only.

Pages are cut by keyset, never by offset: a cursor is the place of the last item, (sort_at, bee, key), so two
records of one millisecond are neither lost nor shown twice, and page 1,000 costs what page 1 costs.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from sqlalchemy import ColumnElement, Connection, Select, func, literal_column, select, tuple_

from feedagg.decide import Status
from feedagg.tables import ABOUT_FILM, IN_FEED, LISTED, SKIPPED, hidden, records

PAGE: Final = 30
PROFILE_KEY: Final = b"profile/self"
MAX_SAME_FILM: Final = 8
"""Other names under which a film's page looks: enough for honest claims, few enough for hostile ones."""

_ORDER = (records.c.sort_at, records.c.bee, records.c.key)
_KEPT = records.c.status == literal_column(str(int(Status.KEPT)))


class Place(NamedTuple):
    """Where an item stands in the order of the feed."""

    sort_at: int
    bee: bytes
    key: bytes

    def token(self) -> str:
        """The place as URL-safe text."""
        packed = self.sort_at.to_bytes(8, "big", signed=True) + self.bee + self.key
        return base64.urlsafe_b64encode(packed).decode().rstrip("=")

    @classmethod
    def parse(cls, token: str | None) -> Place | None:
        """The place in a token, or None if it is none of ours."""
        try:
            packed = base64.b64decode((token or "") + "=" * (-len(token or "") % 4), b"-_", validate=True)
        except (binascii.Error, ValueError):
            return None
        if len(packed) < 40 or len(packed) > 2000:
            return None
        return cls(int.from_bytes(packed[:8], "big", signed=True), packed[8:40], packed[40:])


@dataclass(frozen=True, slots=True)
class Item:
    """A row of `records` as pages need it."""

    bee: bytes
    key: bytes
    seq: int
    status: int
    reason: str | None
    value: bytes | None
    first_seen: int
    created_at: int | None
    sort_at: int
    date_flag: str | None
    film: str | None
    hidden: bool

    @property
    def place(self) -> Place:
        return Place(self.sort_at, self.bee, self.key)


_ITEM = [records.c[name] for name in Item.__slots__]


@dataclass(frozen=True, slots=True)
class Page:
    """Items, newest first, and whether there are more on either side."""

    items: list[Item]
    has_newer: bool = False
    has_older: bool = False


def feed(
    connection: Connection, *, before: Place | None = None, after: Place | None = None, size: int = PAGE
) -> Page:
    """A page of the merged feed: what is older than `before`, or newer than `after`, or the newest."""
    return _page(connection, IN_FEED, before, after, size)


def of_bee(
    connection: Connection,
    bee: bytes,
    *,
    before: Place | None = None,
    after: Place | None = None,
    size: int = PAGE,
) -> Page:
    """The same of one bee, imports included."""
    return _page(connection, LISTED & (records.c.bee == bee), before, after, size)


def _page(
    connection: Connection, where: ColumnElement[bool], before: Place | None, after: Place | None, size: int
) -> Page:
    query = select(*_ITEM).where(where).limit(size + 1)
    if after is not None and before is None:
        found = _items(connection, query.where(tuple_(*_ORDER) > tuple_(*after)).order_by(*_ORDER))
        return Page(found[:size][::-1], has_newer=len(found) > size, has_older=True)
    if before is not None:
        query = query.where(tuple_(*_ORDER) < tuple_(*before))
    found = _items(connection, query.order_by(*(column.desc() for column in _ORDER)))
    return Page(found[:size], has_newer=before is not None, has_older=len(found) > size)


def _items(connection: Connection, query: Select[Any]) -> list[Item]:
    return [Item(*row) for row in connection.execute(query)]


def record(connection: Connection, bee: bytes, key: bytes) -> Item | None:
    """The row of one record, whatever its status."""
    found = _items(connection, select(*_ITEM).where(records.c.bee == bee, records.c.key == key))
    return found[0] if found else None


def some(connection: Connection, bee: bytes, keys: Iterable[bytes]) -> list[Item]:
    """The rows of these keys that a feed would list, newest first."""
    query = select(*_ITEM).where(IN_FEED, records.c.bee == bee, records.c.key.in_(list(keys)))
    return sorted(_items(connection, query), key=lambda item: item.place, reverse=True)


def profiles(connection: Connection, bees: Iterable[bytes]) -> dict[bytes, bytes]:
    """The values of the profiles of these bees, where they have one."""
    query = select(records.c.bee, records.c.value)
    query = query.where(records.c.bee.in_(set(bees)), records.c.key == PROFILE_KEY, _KEPT, ~records.c.hidden)
    return {row.bee: row.value for row in connection.execute(query)}


def why_hidden(connection: Connection, bee: bytes, key: bytes) -> str | None:
    """The operator's reason, or None if the record is not hidden."""
    query = select(hidden.c.reason).where(hidden.c.bee == bee, hidden.c.key == key)
    reason: str | None = connection.execute(query).scalar()
    return reason


# --- one film -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Film:
    """What the feed knows of one film. `average` counts half stars (1-10), each bee's newest rating once."""

    page: Page
    average: float | None
    ratings: int


def film(
    connection: Connection, name: str, *, before: Place | None = None, after: Place | None = None
) -> Film:
    """All that is said about the film called `name` (`tmdb:N`, ..., `t:<slug>:<year>`)."""
    about = ABOUT_FILM & _same_film(connection, name)
    page = _page(connection, about, before, after, PAGE)
    newest_first = func.row_number().over(
        partition_by=records.c.bee, order_by=(records.c.sort_at.desc(), records.c.key.desc())
    )
    rated = (
        select(records.c.rating, newest_first.label("nth"))
        .where(about, records.c.rating.is_not(None))
        .subquery()
    )
    query = select(func.avg(rated.c.rating), func.count()).where(rated.c.nth == 1)
    average, ratings = connection.execute(query).one()
    return Film(page, None if average is None else float(average), ratings)


def _same_film(connection: Connection, name: str) -> ColumnElement[bool]:
    """Records that name the film so, and those that give only a title and year that such a record has too."""
    if name.startswith("t:"):
        return records.c.film_title == name
    titles = (
        select(records.c.film_title).where(ABOUT_FILM, records.c.film == name).distinct().limit(MAX_SAME_FILM)
    )
    return records.c.film.in_([name, *connection.execute(titles).scalars()])


# --- one bee --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Tally:
    """What the rows of one bee are: `listed` by kind, `skipped` by reason."""

    listed: dict[str, int]
    kept: dict[str, int]
    skipped: dict[str, int]
    hidden: int


def tally(connection: Connection, bee: bytes) -> Tally:
    def by(column: Any, where: ColumnElement[bool]) -> dict[str, int]:
        query = (
            select(column, func.count()).where(records.c.bee == bee, where).group_by(column).order_by(column)
        )
        return {str(name): number for name, number in connection.execute(query)}

    concealed = select(func.count()).where(records.c.bee == bee, records.c.hidden)
    return Tally(
        listed=by(records.c.kind, LISTED),
        kept=by(records.c.kind, _KEPT),
        skipped=by(records.c.reason, SKIPPED),
        hidden=connection.execute(concealed).scalar() or 0,
    )


def listed_count(connection: Connection) -> int:
    """How many records the merged feed lists."""
    return connection.execute(select(func.count()).where(IN_FEED)).scalar() or 0
