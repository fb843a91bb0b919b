"""The search: one function over FTS5 or PostgreSQL's GIN index.

The index knows which term is in which record, not where and not how often; newest first needs no more. What it finds
is looked at again (phrases), so the index may be coarse.

SQLite's index gives its records by number, not by date, so there are three ways to the newest thirty, and none may
cost what the whole database costs. A rare word's records are fetched and sorted. The numbers of a middling word's
records are a set, and the feed is walked from its newest record on, looking for members. A common word is met soon, so
the feed is walked asking of each record whether it holds the word.

PostgreSQL's index gives a bitmap, and that of the feed gives another, so the search looks through windows of the feed:
where both bitmaps have a bit in the newest few thousand records, which ends it for most words; in the newest tens of
thousands; everywhere, which is only reached by words so rare that it costs little. Its planner would not find that
by itself: it has no idea of how common a word is (it says one in two hundred of each).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    Text,
    cast,
    func,
    literal,
    literal_column,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import TSQUERY

from core.errors import BadArgument
from core.peer import parse_key
from core.records import parse_record
from feedagg import words
from feedagg.decide import Status
from feedagg.queries import PAGE, Item, Order, Page, Place, by_ids
from feedagg.search import Query, Term, holds, texts_of
from feedagg.tables import IN_FEED, records

FEW: Final = 2_000
"""Up to so many records of a word are fetched and sorted."""

COMMON: Final = 0.05
"""A word that so large a part of the records hold is asked of one record after another."""

MANY: Final = 60_000
"""The numbers of at most so many records are fetched, the last to arrive first. Only for a beginning (`river*`), which
stands for too many words to be asked of records, is that a limit; other words are common when it is reached.
"""

WALKED: Final = 30_000
"""Records of the feed that one page looks at in a set; a page that is not full by then says where to go on."""

ASKED: Final = 3_000
"""Records that one page asks about a common word."""

WINDOWS: Final = (4_096, 65_536)
"""Records of the feed that a search on PostgreSQL looks through before it looks through all."""

LOOKED_AT: Final = 100
"""Records that one page looks through for a phrase."""

NAMESAKES: Final = 20

_HELD: Final = "SELECT 1 FROM words WHERE words.rowid = stretch.id AND words MATCH :asked"


@dataclass(frozen=True, slots=True)
class Found:
    """A page of what was found; `problems` says what of the query could not be followed."""

    page: Page
    problems: tuple[str, ...] = ()


def find(
    connection: Connection,
    query: Query,
    *,
    before: Place | None = None,
    after: Place | None = None,
    size: int = PAGE,
    order: Order = Order.DATE,
) -> Found:
    """The records of the merged feed that `query` asks for, newest first."""
    problems = list(query.problems)
    terms = [*query.every]
    for name in query.authors:
        bees = _bees(connection, name)
        if not bees:
            problems.append(f"Nobody called “{name}” is followed here.")
            return Found(Page([]), tuple(problems))
        terms.append(tuple(Term(words.bee_mark(bee)) for bee in bees))
    if query.is_empty:
        return Found(Page([]), tuple(problems))
    if not terms:
        terms.append(tuple(Term(words.mark("k", kind)) for kind in ("post", "movie")))
    search = _Search(connection, terms, query, order)
    is_newer = after is not None and before is None
    items, more, resume = search.page(after if is_newer else before, size, is_newer=is_newer)
    if is_newer:
        return Found(Page(items[::-1], has_newer=more, has_older=True), tuple(problems))
    return Found(Page(items, has_newer=before is not None, has_older=more, resume=resume), tuple(problems))


def _bees(connection: Connection, name: str) -> list[bytes]:
    """The bee of a key, or those whose profile holds these words."""
    try:
        return [parse_key(name)]
    except BadArgument:
        pass
    wanted = words.words(name)
    if not wanted:
        return []
    terms = [(Term(words.mark("k", "profile")),), *((Term(word),) for word in wanted)]
    is_profile = (records.c.kind == "profile") & (records.c.status == literal_column(str(int(Status.KEPT))))
    match = _matches(connection, terms, ())
    query = select(records.c.bee, records.c.value).where(is_profile, match).limit(NAMESAKES)
    said = ((row.bee, json.loads(row.value).get("name")) for row in connection.execute(query))
    return [bee for bee, full in said if isinstance(full, str) and set(wanted) <= set(words.words(full))]


class _Search:
    """One query on one connection."""

    def __init__(
        self, connection: Connection, terms: Sequence[Sequence[Term]], query: Query, order: Order
    ) -> None:
        self._connection = connection
        self._query = query
        self._order = order
        self._where: list[ColumnElement[bool]] = [IN_FEED]
        if query.since is not None:
            self._where.append(records.c.sort_at >= query.since)
        if query.until is not None:
            self._where.append(records.c.sort_at < query.until)
        self._is_sqlite = connection.dialect.name == "sqlite"
        self._terms, self._without = terms, query.without
        self._expression = fts_expression(terms, query.without)
        self._few: list[int] | None = None
        self._members: set[int] | None = None
        if self._is_sqlite:
            self._choose(any(term.is_prefix for group in [*terms, query.without] for term in group))

    def _choose(self, has_beginning: bool) -> None:
        """Which of the three ways: by the number of records, or as the last to arrive let it be guessed."""
        ids = self._numbers(FEW + 1)
        if len(ids) <= FEW:
            self._few = ids
            return
        if not has_beginning and len(ids) / (ids[0] - ids[-1] + 1) > COMMON:
            return
        ids = self._numbers(MANY)
        if has_beginning or len(ids) < MANY:
            self._members = set(ids)

    def _numbers(self, most: int) -> list[int]:
        asked = text("SELECT rowid FROM words WHERE words MATCH :match ORDER BY rowid DESC LIMIT :most")
        asked = asked.bindparams(match=self._expression, most=most)
        return list(self._connection.execute(asked).scalars())

    def page(
        self, start: Place | None, size: int, *, is_newer: bool
    ) -> tuple[list[Item], bool, Place | None]:
        """Up to `size` items behind `start`, whether there may be more, and where to go on if not at the last one."""
        found: list[Item] = []
        looked_at = 0
        while True:
            wanted = LOOKED_AT if self._query.phrases else size + 1
            ids, walked_to = self._ids(start, wanted, is_newer=is_newer)
            items = by_ids(self._connection, ids)
            found += [item for item in items if holds(self._query, _texts(item))]
            looked_at += len(items)
            if len(found) > size:
                return found[:size], True, None
            if walked_to is not None:
                return found, True, walked_to
            if len(items) == 0 or not self._query.phrases:
                return found, False, None
            start = items[-1].place
            if looked_at >= LOOKED_AT:
                return found, True, start

    def _ids(self, start: Place | None, limit: int, *, is_newer: bool) -> tuple[list[int], Place | None]:
        query = select(records.c.id).where(*self._where)
        if start is not None:
            query = query.where(self._order.beyond(start, newer=is_newer))
        query = query.order_by(*self._order.sorting(oldest_first=is_newer))
        if not self._is_sqlite:
            return self._newest(query, limit, is_newer=is_newer), None
        if self._few is not None:
            among = text("SELECT value FROM json_each(:ids)").bindparams(ids=json.dumps(self._few))
            few = query.where(records.c.id.in_(among)).limit(limit)
            return list(self._connection.execute(few).scalars()), None
        query = query.add_columns(records.c.sort_at)
        return self._look(query, limit) if self._members is not None else self._ask(query, limit)

    def _newest(self, query: Any, limit: int, *, is_newer: bool) -> list[int]:
        """PostgreSQL's way: one window after the other."""
        places = query.with_only_columns(records.c.sort_at, records.c.id)
        query = query.where(_holds(records.c, self._terms, self._without)).limit(limit)
        for width in WINDOWS:
            edge = self._connection.execute(places.offset(width - 1).limit(1)).one_or_none()
            if edge is None:
                break
            window = self._order.within(Place(edge.sort_at, edge.id), newer=is_newer)
            ids = self._by_bitmaps(query.where(window))
            if len(ids) == limit:
                return ids
        return self._by_bitmaps(query)

    def _by_bitmaps(self, query: Any) -> list[int]:
        # A bitmap with a bit for each record: in a smaller one a bit stands for a page, whose records are all asked.
        self._connection.execute(text("SET LOCAL enable_indexscan = off"))
        self._connection.execute(text("SET LOCAL work_mem = '64MB'"))
        ids = list(self._connection.execute(query).scalars())
        self._connection.execute(text("SET LOCAL enable_indexscan = on"))
        return ids

    def _look(self, query: Any, limit: int) -> tuple[list[int], Place | None]:
        """The first members on a walk through the feed, and where the walk ended if that was not enough."""
        members, ids, last, walked = self._members or set(), [], None, 0
        with self._connection.execute(query.limit(WALKED)) as rows:
            for last in rows:
                walked += 1
                if last.id in members:
                    ids.append(last.id)
                    if len(ids) == limit:
                        return ids, None
        return ids, Place(last.sort_at, last.id) if last is not None and walked == WALKED else None

    def _ask(self, query: Any, limit: int) -> tuple[list[int], Place | None]:
        """The same, asking the index about each record."""
        stretch = query.limit(ASKED).subquery("stretch")
        held = text(f"EXISTS ({_HELD})").bindparams(asked=self._expression)
        ids = list(self._connection.execute(select(stretch.c.id).where(held).limit(limit)).scalars())
        if len(ids) == limit:
            return ids, None
        last = self._connection.execute(query.limit(1).offset(ASKED - 1)).one_or_none()
        return ids, None if last is None else Place(last.sort_at, last.id)


def _matches(
    connection: Connection, terms: Sequence[Sequence[Term]], without: Sequence[Term]
) -> ColumnElement[bool]:
    """The condition on `records` that all of `terms` (one of each group) and none of `without` are in it."""
    if connection.dialect.name == "sqlite":
        among = text("SELECT rowid FROM words WHERE words MATCH :match")
        return records.c.id.in_(among.bindparams(match=fts_expression(terms, without)))
    return _holds(records.c, terms, without)


def _holds(columns: Any, terms: Sequence[Sequence[Term]], without: Sequence[Term]) -> ColumnElement[bool]:
    """The same for PostgreSQL, of the `bee`, `kind` and `value` in `columns`."""
    document = func.feed_words(columns.bee, columns.kind, columns.value)
    asked = cast(literal(ts_expression(terms, without), Text), TSQUERY)
    # Two words in one record are so rare to the planner that it leaves windows out. Into a subquery it does not look.
    return document.op("@@", is_comparison=True)(select(asked).scalar_subquery())


def fts_expression(terms: Iterable[Sequence[Term]], without: Sequence[Term]) -> str:
    """FTS5's language. Terms hold no quotes: they are quoted whole."""

    def say(term: Term) -> str:
        return f'"{term.text}"' + ("*" if term.is_prefix else "")

    asked = " AND ".join("(" + " OR ".join(map(say, group)) + ")" for group in terms)
    return f"({asked}) NOT ({' OR '.join(map(say, without))})" if without else asked


def ts_expression(terms: Iterable[Sequence[Term]], without: Sequence[Term]) -> str:
    """The language of tsquery; the same."""

    def say(term: Term) -> str:
        return f"'{term.text}'" + (":*" if term.is_prefix else "")

    asked = ["(" + " | ".join(map(say, group)) + ")" for group in terms]
    return " & ".join([*asked, *(f"!{say(term)}" for term in without)])


def _texts(item: Item) -> list[str]:
    """What a phrase may stand in."""
    return [] if item.value is None else texts_of(parse_record(item.key, item.value))
