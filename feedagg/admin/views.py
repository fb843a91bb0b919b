"""What the operator's pages show, read from the database."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select, tuple_

from feedagg import decisions, policy, queries, reports, sources, views
from feedagg.decisions import Decision
from feedagg.reports import WHOLE_BEE, Appeal, Reported
from feedagg.sources import Source
from feedagg.tables import hidden, purges
from feedagg.views import Author, Card

BEES = 100
QUEUE = 30
HIDDEN = 100


@dataclass(frozen=True, slots=True)
class Overview:
    """`states`: bees by standing; `waiting`: reports and appeals; `purges`: copies whose blocks are still to go."""

    states: dict[str, int]
    counts: dict[str, int]
    waiting: dict[str, int]
    records: int
    purges: int
    policy: str
    policies: dict[str, str]
    decisions: list[Decision]
    process: list[tuple[str, Any]]


@dataclass(frozen=True, slots=True)
class BeeLine:
    author: Author
    source: Source


@dataclass(frozen=True, slots=True)
class Bees:
    """`state`: the standing that is shown, empty for all."""

    lines: list[BeeLine]
    state: str
    states: dict[str, int]
    older: str


@dataclass(frozen=True, slots=True)
class OneBee:
    author: Author
    source: Source
    hints: list[sources.Hint]
    decisions: list[Decision]


@dataclass(frozen=True, slots=True)
class Queue:
    """What waits for a decision: records with reports, appeals, and bees; each with what it is about."""

    reported: list[tuple[Reported, Author, Card | None]]
    appeals: list[tuple[Appeal, Author, Card | None, Decision | None]]
    pending: list[BeeLine]
    waiting: dict[str, int]
    reasons: dict[str, str]


@dataclass(frozen=True, slots=True)
class HiddenLine:
    author: Author
    bee: bytes
    key: bytes
    reason: str
    hidden_at: int


@dataclass(frozen=True, slots=True)
class Hidden:
    lines: list[HiddenLine]
    older: str


def overview(connection: Connection, process: list[tuple[str, Any]]) -> Overview:
    return Overview(
        states=sources.by_state(connection),
        counts=sources.counts(connection),
        waiting=reports.waiting(connection),
        records=queries.listed_count(connection),
        purges=len(connection.execute(select(purges.c.id)).all()),
        policy=policy.policy(connection),
        policies=policy.POLICIES,
        decisions=decisions.listing(connection, 10),
        process=process,
    )


def lines(connection: Connection, found: list[Source]) -> list[BeeLine]:
    """Sources with their authors."""
    profiles = queries.profiles(connection, [source.bee for source in found])
    return [BeeLine(views.author(source.bee, profiles.get(source.bee)), source) for source in found]


def bees(connection: Connection, state: str, after: bytes) -> Bees:
    limit = BEES + 1
    if state:
        found = sources.of_state(connection, state, limit, after)
    else:
        found = sources.listing(connection, limit, after)
    more = ""
    if len(found) > BEES:
        more = f"?after={found[BEES - 1].key}" + (f"&state={state}" if state else "")
    return Bees(lines(connection, found[:BEES]), state, sources.by_state(connection), more)


def one_bee(connection: Connection, bee: bytes) -> OneBee | None:
    source = sources.get(connection, bee)
    if source is None:
        return None
    return OneBee(
        lines(connection, [source])[0].author,
        source,
        sources.hints_of(connection, bee),
        decisions.listing(connection, 20, bee=bee),
    )


def queue(connection: Connection) -> Queue:
    reported = reports.reported(connection, QUEUE)
    appealed = reports.open_appeals(connection, QUEUE)
    pending = sources.of_state(connection, sources.PENDING, QUEUE)
    everyone = {one.bee for one in reported} | {one.bee for one in appealed}
    profiles = queries.profiles(connection, everyone)
    authors = {bee: views.author(bee, profiles.get(bee)) for bee in everyone}
    latest = decisions.latest(connection, [(one.bee, one.key) for one in appealed])

    def card(bee: bytes, key: bytes) -> Card | None:
        item = queries.record(connection, bee, key)
        return None if item is None else views.card(item, authors)

    def decision(one: Appeal) -> Decision | None:
        if one.key == WHOLE_BEE:
            about = [each for each in decisions.listing(connection, 20, bee=one.bee) if each.key is None]
            return about[0] if about else None
        return latest.get((one.bee, one.key))

    return Queue(
        reported=[(one, authors[one.bee], card(one.bee, one.key)) for one in reported],
        appeals=[(one, authors[one.bee], card(one.bee, one.key), decision(one)) for one in appealed],
        pending=lines(connection, pending),
        waiting=reports.waiting(connection),
        reasons=reports.REASONS,
    )


def hidden_records(connection: Connection, after: tuple[int, bytes, bytes] | None) -> Hidden:
    """The hide list, the newest first, from `after` (hidden_at, bee, key) on."""
    order = (hidden.c.hidden_at, hidden.c.bee, hidden.c.key)
    query = select(hidden.c.bee, hidden.c.key, hidden.c.reason, hidden.c.hidden_at)
    if after is not None:
        query = query.where(tuple_(*order) < tuple_(*after))
    found = connection.execute(query.order_by(*(column.desc() for column in order)).limit(HIDDEN + 1)).all()
    profiles = queries.profiles(connection, {row.bee for row in found})
    shown = [
        HiddenLine(views.author(row.bee, profiles.get(row.bee)), row.bee, row.key, row.reason, row.hidden_at)
        for row in found[:HIDDEN]
    ]
    older = ""
    if len(found) > HIDDEN:
        last = shown[-1]
        older = f"?after={last.hidden_at}.{last.bee.hex()}.{last.key.hex()}"
    return Hidden(shown, older)
