"""What the pages ask: one page of a feed, one record, one film, one bee's receipt. Reads only.

Pages are cut by keyset, never by offset: a cursor is the place of the last item, (sort_at, id), so two
records of one millisecond are neither lost nor shown twice, and page 1,000 costs what page 1 costs.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, NamedTuple

from sqlalchemy import ColumnElement, Connection, Select, func, literal_column, select, tuple_

from feedagg.decide import Status
from feedagg.naming import are_records, is_by, is_record
from feedagg.tables import ABOUT_FILM, ABOUT_NAMED_FILM, IN_FEED, LISTED, SKIPPED, hidden, records

PAGE: Final = 30
PROFILE_KEY: Final = b"profile/self"
MAX_SAME_FILM: Final = 8
"""Other names under which a film's page looks: enough for honest claims, few enough for hostile ones."""

_KEPT = records.c.status == literal_column(str(int(Status.KEPT)))


class Order(StrEnum):
    """What comes first: the newest by its date, or what came here last."""

    DATE = "date"
    ARRIVAL = "arrival"

    @classmethod
    def parse(cls, text: str | None) -> Order:
        """As a request names it; by date when it names none."""
        return cls.ARRIVAL if text == cls.ARRIVAL else cls.DATE

    @property
    def columns(self) -> tuple[Any, ...]:
        return (records.c.sort_at, records.c.id) if self is Order.DATE else (records.c.id,)

    def key(self, place: Place) -> tuple[int, ...]:
        return tuple(place) if self is Order.DATE else (place.id,)

    def beyond(self, place: Place, *, newer: bool = False) -> ColumnElement[bool]:
        """The rows behind `place` (older), or before it."""
        columns, key = tuple_(*self.columns), tuple_(*self.key(place))
        return columns > key if newer else columns < key

    def within(self, place: Place, *, newer: bool = False) -> ColumnElement[bool]:
        """The rows on the way to `place`, itself included, for who walks to older ones, or to newer ones."""
        columns, key = tuple_(*self.columns), tuple_(*self.key(place))
        return columns <= key if newer else columns >= key

    def sorting(self, *, oldest_first: bool = False) -> list[Any]:
        return [column if oldest_first else column.desc() for column in self.columns]


class Place(NamedTuple):
    """Where an item stands: its date in the feed, and its number among those of one millisecond."""

    sort_at: int
    id: int

    def token(self) -> str:
        """The place as URL-safe text."""
        packed = b"".join(number.to_bytes(8, "big", signed=True) for number in self)
        return base64.urlsafe_b64encode(packed).decode().rstrip("=")

    @classmethod
    def parse(cls, token: str | None) -> Place | None:
        """The place in a token, or None if it is none of ours."""
        try:
            packed = base64.b64decode((token or "") + "=" * (-len(token or "") % 4), b"-_", validate=True)
        except (binascii.Error, ValueError):
            return None
        if len(packed) != 16:
            return None
        return cls(*(int.from_bytes(part, "big", signed=True) for part in (packed[:8], packed[8:])))


@dataclass(frozen=True, slots=True)
class Item:
    """A row of `records` as pages need it."""

    id: int
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
        return Place(self.sort_at, self.id)


_ITEM = [records.c[name] for name in Item.__slots__]


def item_columns() -> list[Any]:
    """What to select for an `Item`, in its order."""
    return list(_ITEM)


@dataclass(frozen=True, slots=True)
class Page:
    """Items, newest first, and whether there are more on either side.

    `resume`: where the older ones begin, if not at the last item (a search that has looked far enough for one page).
    """

    items: list[Item]
    has_newer: bool = False
    has_older: bool = False
    resume: Place | None = None

    @property
    def end(self) -> Place | None:
        """The place before which the next page begins."""
        return self.resume or (self.items[-1].place if self.items else None)


def feed(
    connection: Connection,
    *,
    before: Place | None = None,
    after: Place | None = None,
    size: int = PAGE,
    order: Order = Order.DATE,
) -> Page:
    """A page of the merged feed: what is older than `before`, or newer than `after`, or the newest."""
    return page_of(connection, IN_FEED, before, after, size, order)


def of_bee(
    connection: Connection,
    bee: bytes,
    *,
    before: Place | None = None,
    after: Place | None = None,
    size: int = PAGE,
) -> Page:
    """The same of one bee, imports included."""
    return page_of(connection, LISTED & is_by(bee), before, after, size)


def page_of(
    connection: Connection,
    where: ColumnElement[bool],
    before: Place | None,
    after: Place | None,
    size: int = PAGE,
    order: Order = Order.DATE,
) -> Page:
    """The rows for which `where` holds, cut at a place."""
    query = select(*_ITEM).where(where).limit(size + 1)
    if after is not None and before is None:
        query = query.where(order.beyond(after, newer=True))
        found = _items(connection, query.order_by(*order.sorting(oldest_first=True)))
        return Page(found[:size][::-1], has_newer=len(found) > size, has_older=True)
    if before is not None:
        query = query.where(order.beyond(before))
    found = _items(connection, query.order_by(*order.sorting()))
    return Page(found[:size], has_newer=before is not None, has_older=len(found) > size)


def _items(connection: Connection, query: Select[Any]) -> list[Item]:
    return [Item(*row) for row in connection.execute(query)]


def record(connection: Connection, bee: bytes, key: bytes) -> Item | None:
    """The row of one record, whatever its status."""
    found = _items(connection, select(*_ITEM).where(is_record(bee, key)))
    return found[0] if found else None


def by_ids(connection: Connection, ids: Sequence[int]) -> list[Item]:
    """The rows of these numbers, in their order."""
    found = {item.id: item for item in _items(connection, select(*_ITEM).where(records.c.id.in_(ids)))}
    return [found[number] for number in ids if number in found]


def some(connection: Connection, bee: bytes, keys: Iterable[bytes]) -> list[Item]:
    """The rows of these keys that a feed would list, newest first."""
    query = select(*_ITEM).where(IN_FEED, are_records((bee, key) for key in keys))
    return sorted(_items(connection, query), key=lambda item: item.place, reverse=True)


def profiles(connection: Connection, bees: Iterable[bytes]) -> dict[bytes, bytes]:
    """The values of the profiles of these bees, where they have one."""
    query = select(records.c.bee, records.c.value)
    query = query.where(are_records((bee, PROFILE_KEY) for bee in set(bees)), _KEPT, ~records.c.hidden)
    return {row.bee: row.value for row in connection.execute(query)}


def why_hidden(connection: Connection, bee: bytes, key: bytes) -> str | None:
    """The operator's reason, or None if the record is not hidden."""
    query = select(hidden.c.reason).where(hidden.c.bee == bee, hidden.c.key == key)
    reason: str | None = connection.execute(query).scalar()
    return reason


# --- one film -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Film:
    """What the feed knows of one film. `average` counts half stars (1-10), each bee's newest rating once;
    `distribution`: how many gave 1, ..., 10.
    """

    page: Page
    average: float | None
    ratings: int
    distribution: tuple[int, ...] = ()


def about_film(connection: Connection, name: str, *, before: Place | None = None, size: int = PAGE) -> Page:
    """What is said about a film, without its score."""
    return page_of(connection, ABOUT_FILM & _same_film(connection, name), before, None, size)


def film(
    connection: Connection,
    name: str,
    *,
    before: Place | None = None,
    after: Place | None = None,
    size: int = PAGE,
) -> Film:
    """All that is said about the film called `name` (`tmdb:N`, ..., `t:<slug>:<year>`)."""
    about = ABOUT_FILM & _same_film(connection, name)
    page = page_of(connection, about, before, after, size)
    rated = _rated(about)
    query = select(rated.c.rating, func.count()).where(rated.c.nth == 1).group_by(rated.c.rating)
    given = {row.rating: row[1] for row in connection.execute(query)}
    people = sum(given.values())
    average = sum(rating * number for rating, number in given.items()) / people if people else None
    return Film(page, average, people, tuple(given.get(rating, 0) for rating in range(1, 11)))


def ratings(connection: Connection, name: str, limit: int) -> list[tuple[bytes, int, int]]:
    """(bee, block, rating) of each bee's newest rating of a film, at most `limit`: what the score is made of."""
    rated = _rated(ABOUT_FILM & _same_film(connection, name))
    query = select(rated.c.bee, rated.c.seq, rated.c.rating).where(rated.c.nth == 1)
    found = connection.execute(query.order_by(rated.c.bee).limit(limit))
    return [(bytes(bee), seq, rating) for bee, seq, rating in found]


def _rated(about: ColumnElement[bool]) -> Any:
    """Ratings, each bee's newest one being its first."""
    newest_first = func.row_number().over(
        partition_by=records.c.bee, order_by=(records.c.sort_at.desc(), records.c.id.desc())
    )
    columns = (records.c.bee, records.c.seq, records.c.rating, newest_first.label("nth"))
    return select(*columns).where(about, records.c.rating.is_not(None)).subquery()


def titles_of(connection: Connection, name: str) -> list[str]:
    """The titles and years (`t:<slug>:<year>`) of the records that name the film so."""
    titles = select(records.c.film_title).where(ABOUT_NAMED_FILM, records.c.film == name)
    return list(connection.execute(titles.distinct().limit(MAX_SAME_FILM)).scalars())


def _same_film(connection: Connection, name: str) -> ColumnElement[bool]:
    """Records that name the film so, and those that give only a title and year that such a record has too."""
    if name.startswith("t:"):
        return records.c.film_title == name
    named, found = ABOUT_NAMED_FILM & (records.c.film == name), titles_of(connection, name)
    has_title_only = records.c.film == records.c.film_title
    return named | (ABOUT_FILM & has_title_only & records.c.film_title.in_(found)) if found else named


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
        query = select(column, func.count()).where(is_by(bee), where).group_by(column).order_by(column)
        return {str(name): number for name, number in connection.execute(query)}

    concealed = select(func.count()).where(is_by(bee), records.c.hidden)
    return Tally(
        listed=by(records.c.kind, LISTED),
        kept=by(records.c.kind, _KEPT),
        skipped=by(records.c.reason, SKIPPED),
        hidden=connection.execute(concealed).scalar() or 0,
    )


def listed_count(connection: Connection) -> int:
    """How many records the merged feed lists."""
    return connection.execute(select(func.count()).where(IN_FEED)).scalar() or 0
