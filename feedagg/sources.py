"""Which bees are followed, where they were last found, and who tries next.

A source is due when `next_at` has come. A worker *claims* due rows for a short while (a lease, not a held
lock), so that the same statements serve one process on SQLite and many on PostgreSQL; a worker that dies
loses its claims when the lease ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, and_, delete, func, or_, select, tuple_, update

from feedagg.decide import Position
from feedagg.store import insert
from feedagg.tables import bucket_of, hints, sources

LEASE_MS: Final = 90_000
HEAD_START_MS: Final = 24 * 3_600_000
ASKED_FOR_MS: Final = HEAD_START_MS // 2
"""What somebody has just asked for is due so much before what only fell due: nobody waits for that."""

FOLLOWING: Final = "following"
PENDING: Final = "pending"
PAUSED: Final = "paused"
REFUSED: Final = "refused"
STATES: Final = (FOLLOWING, PENDING, PAUSED, REFUSED)
"""The standing of a bee. Only a bee that is followed is looked for and read; a refused one is not shown either."""

MAX_HINTS: Final = 4
"""Addresses kept for one bee; beyond it the stranger's that never worked goes first."""


@dataclass(frozen=True, slots=True)
class Source:
    """A row of `sources`. Times are milliseconds since 1970; `error` is a sentence about the last failure."""

    bucket: int
    bee: bytes
    added_at: int
    added_by: str
    fork: int
    length: int
    cursor: int
    tail: int
    connected: bool
    first_contact: int | None
    last_contact: int | None
    attempts: int
    error: str | None
    next_at: int
    lease_owner: str | None
    lease_until: int | None
    state: str
    state_at: int
    state_reason: str | None
    submitter: str | None
    trusted: bool
    hour: int
    hour_operations: int
    day: int
    day_operations: int
    waits_until: int | None

    @property
    def position(self) -> Position:
        return Position(self.fork, self.cursor, self.tail)

    @property
    def key(self) -> str:
        """The bee's key as 64 hex digits."""
        return self.bee.hex()


@dataclass(frozen=True, slots=True)
class Hint:
    """An address at which a bee may be found; `trusted` when the operator gave it."""

    address: str
    trusted: bool


def _is(bee: bytes) -> Any:
    return and_(sources.c.bucket == bucket_of(bee), sources.c.bee == bee)


def add(
    connection: Connection,
    bee: bytes,
    now: int,
    by: str,
    address: str | None = None,
    *,
    state: str = FOLLOWING,
    submitter: str | None = None,
) -> bool:
    """Keep a bee as a source; True if it was none yet. Adding it again tries it again at once, before what
    only fell due.

    `by` is `"web"` (a stranger's word) or `"command"` (the operator's, whose address and bee are trusted).
    Whether it may be added, and the decision, are `policy.py`'s.
    """
    row = {
        "bucket": bucket_of(bee), "bee": bee, "added_at": now, "added_by": by, "fork": 0, "length": 0,
        "cursor": 0, "tail": 0, "connected": False, "attempts": 0, "next_at": now - ASKED_FOR_MS, "state": state,
        "state_at": now, "submitter": submitter, "trusted": by == "command",
    }  # fmt: skip
    new = insert(connection, sources).values(row).on_conflict_do_nothing().returning(sources.c.bee)
    is_new = connection.execute(new).first() is not None
    if address is not None:
        _add_hint(connection, bee, now, address, trusted=by == "command")
    if not is_new:
        connection.execute(
            update(sources).where(_is(bee), ~sources.c.connected).values(next_at=now - ASKED_FOR_MS)
        )
    return is_new


def _add_hint(connection: Connection, bee: bytes, now: int, address: str, *, trusted: bool) -> None:
    new = insert(connection, hints).values(bee=bee, address=address, trusted=trusted, added_at=now)
    refreshed: dict[str, Any] = {"added_at": now} | ({"trusted": True} if trusted else {})
    connection.execute(
        new.on_conflict_do_update(index_elements=[hints.c.bee, hints.c.address], set_=refreshed)
    )
    worst_first = (hints.c.trusted, func.coalesce(hints.c.last_ok, 0), hints.c.added_at)
    addresses = select(hints.c.address).where(hints.c.bee == bee).order_by(*worst_first)
    known = list(connection.execute(addresses).scalars())
    for extra in [item for item in known if item != address][: max(0, len(known) - MAX_HINTS)]:
        connection.execute(delete(hints).where(hints.c.bee == bee, hints.c.address == extra))


def hints_of(connection: Connection, bee: bytes) -> list[Hint]:
    """Where to look for a bee, the most promising address first."""
    best_first = (func.coalesce(hints.c.last_ok, 0).desc(), hints.c.added_at.desc())
    rows = connection.execute(
        select(hints.c.address, hints.c.trusted).where(hints.c.bee == bee).order_by(*best_first)
    )
    return [Hint(*row) for row in rows]


def get(connection: Connection, bee: bytes) -> Source | None:
    row = connection.execute(select(sources).where(_is(bee))).one_or_none()
    return None if row is None else Source(*row)


def listing(connection: Connection, limit: int, after: bytes = b"") -> list[Source]:
    """Sources by key, from `after` on."""
    query = select(sources).where(sources.c.bee > after).order_by(sources.c.bee).limit(limit)
    return [Source(*row) for row in connection.execute(query)]


def failing(connection: Connection, limit: int) -> list[Source]:
    """Sources that were not reached, those that are tried next first."""
    wanted = (sources.c.attempts > 0, ~sources.c.connected, sources.c.state == FOLLOWING)
    query = select(sources).where(*wanted).order_by(sources.c.next_at, sources.c.bee).limit(limit)
    return [Source(*row) for row in connection.execute(query)]


def counts(connection: Connection) -> dict[str, int]:
    """How many bees are followed, connected, and failing."""
    failing = sources.c.attempts > 0
    query = select(
        func.count(),
        func.count().filter(sources.c.connected),
        func.count().filter(failing),
    ).where(sources.c.state == FOLLOWING)
    followed, connected, unreachable = connection.execute(query).one()
    return {"followed": followed, "connected": connected, "unreachable": unreachable}


def of_state(connection: Connection, state: str, limit: int, after: bytes = b"") -> list[Source]:
    """Sources of one standing by key, from `after` on."""
    query = select(sources).where(sources.c.state == state, sources.c.bee > after)
    return [Source(*row) for row in connection.execute(query.order_by(sources.c.bee).limit(limit))]


def by_state(connection: Connection) -> dict[str, int]:
    """How many bees have each standing."""
    query = select(sources.c.state, func.count()).group_by(sources.c.state)
    found = {str(state): int(number) for state, number in connection.execute(query)}
    return {state: found.get(state, 0) for state in STATES}


def due_count(connection: Connection, now: int) -> int:
    """How many followed bees are due to be looked for."""
    due = (sources.c.state == FOLLOWING, ~sources.c.connected, sources.c.next_at <= now)
    return connection.execute(select(func.count()).where(*due)).scalar_one()


def wait_until(connection: Connection, bee: bytes, at: int) -> None:
    """Its quota is used up; reading goes on at `at` (ms)."""
    connection.execute(update(sources).where(_is(bee)).values(waits_until=at))


def trusted_among(connection: Connection, bees: Sequence[bytes]) -> list[bytes]:
    """Those of these bees that the operator trusts."""
    query = select(sources.c.bee).where(sources.c.bee.in_(bees), sources.c.trusted)
    return list(connection.execute(query).scalars())


def submitted_by(connection: Connection, submitter: str) -> int:
    """How many of the sources this submitter gave."""
    return connection.execute(select(func.count()).where(sources.c.submitter == submitter)).scalar_one()


def stand(connection: Connection, bee: bytes, now: int, state: str, reason: str | None) -> None:
    """Change the standing of a bee. What stops being followed gives up its claim; what is followed is due."""
    values: dict[str, Any] = {"state": state, "state_at": now, "state_reason": reason, "next_at": now}
    if state != FOLLOWING:
        values |= {"connected": False, "lease_owner": None, "lease_until": None, "waits_until": None}
    connection.execute(update(sources).where(_is(bee)).values(values))


def stopped_since(connection: Connection, since: int) -> list[bytes]:
    """Bees that stopped being followed at or after `since`."""
    states = [state for state in STATES if state != FOLLOWING]
    query = select(sources.c.bee).where(sources.c.state.in_(states), sources.c.state_at >= since)
    return list(connection.execute(query).scalars())


def retry(connection: Connection, bee: bytes, now: int) -> None:
    """Try it now, whatever the pause after failures."""
    due = {"next_at": now, "lease_owner": None, "lease_until": None}
    connection.execute(update(sources).where(_is(bee), ~sources.c.connected).values(due))


def trust(connection: Connection, bee: bytes, *, is_trusted: bool) -> None:
    """Free a bee from the quota of new ones, or bind it again."""
    connection.execute(update(sources).where(_is(bee)).values(trusted=is_trusted, waits_until=None))


def unfinished(connection: Connection, limit: int) -> list[bytes]:
    """Bees that are connected and whose history is not read to its beginning."""
    query = select(sources.c.bee).where(sources.c.tail > 1, sources.c.connected)
    return list(connection.execute(query.order_by(sources.c.tail).limit(limit)).scalars())


# --- the claim ----------------------------------------------------------------------------------


def claim(
    connection: Connection,
    owner: str,
    now: int,
    limit: int,
    lease_ms: int = LEASE_MS,
    is_held: bool | None = None,
) -> list[Source]:
    """Lease at most `limit` due sources, the longest due first. `is_held`: only those that `owner` holds already, or
    (False) only others.
    """
    held = and_(sources.c.lease_owner.is_not(None), sources.c.lease_owner == owner)
    free = or_(sources.c.lease_until.is_(None), sources.c.lease_until < now)
    if is_held is None:
        free = or_(free, held)
    else:
        free = held if is_held else and_(free, ~held)
    wanted = (sources.c.next_at <= now, sources.c.state == FOLLOWING)
    due = select(sources.c.bucket, sources.c.bee).where(*wanted, free)
    due = due.order_by(sources.c.next_at).limit(limit).with_for_update(skip_locked=True)
    keys = connection.execute(due).all()
    if not keys:
        return []
    mine = tuple_(sources.c.bucket, sources.c.bee).in_([tuple(key) for key in keys])
    lease = {"lease_owner": owner, "lease_until": now + lease_ms, "next_at": now + lease_ms}
    claimed = connection.execute(update(sources).where(mine).values(lease).returning(*sources.c))
    return [Source(*row) for row in claimed]


def contacted(
    connection: Connection,
    bee: bytes,
    now: int,
    next_at: int,
    address: str | None,
    owner: str,
    length: int,
    lease_ms: int = LEASE_MS,
) -> None:
    """It was reached (at `address`, if one was dialled); look again at `next_at`, and keep it leased until
    then.
    """
    reached = {
        "connected": True, "last_contact": now, "first_contact": func.coalesce(sources.c.first_contact, now),
        "attempts": 0, "error": None, "next_at": next_at, "lease_owner": owner,
        "lease_until": next_at + lease_ms, "length": length,
    }  # fmt: skip
    # Another process may have taken it over while this one was not heard of: then it is not this one's to hold.
    ours = or_(sources.c.lease_owner.is_(None), sources.c.lease_owner == owner, sources.c.lease_until < now)
    connection.execute(update(sources).where(_is(bee), sources.c.state == FOLLOWING, ours).values(reached))
    if address is not None:
        here = (hints.c.bee == bee, hints.c.address == address)
        connection.execute(update(hints).where(*here).values(last_ok=now))


def failed(connection: Connection, bee: bytes, error: str, next_at: int) -> None:
    """It was not reached; `error` is a sentence for people."""
    missed = {
        "connected": False, "attempts": sources.c.attempts + 1, "error": error, "next_at": next_at,
        "lease_owner": None, "lease_until": None,
    }  # fmt: skip
    connection.execute(update(sources).where(_is(bee)).values(missed))


def lost(connection: Connection, bees: Sequence[bytes], now: int, next_at: int) -> None:
    """The connections to these bees ended; look for them again at `next_at`."""
    gone = {
        "connected": False, "last_contact": now, "next_at": next_at, "lease_owner": None, "lease_until": None,
    }  # fmt: skip
    for bee in bees:
        connection.execute(update(sources).where(_is(bee)).values(gone))


def held_by_others(connection: Connection, owner: str, bees: Sequence[bytes], now: int) -> list[bytes]:
    """Those of these bees that another process holds now."""
    query = select(sources.c.bee).where(
        sources.c.bee.in_(bees), sources.c.lease_owner != owner, sources.c.lease_until >= now
    )
    return list(connection.execute(query).scalars())


def release(connection: Connection, owner: str, now: int) -> None:
    """Give up every claim of `owner`: at the end, and at the start for those of a run that was killed. What it held
    is due before all that fell due meanwhile: those peers were there a moment ago, the others perhaps never.
    """
    free = {"connected": False, "lease_owner": None, "lease_until": None, "next_at": now - HEAD_START_MS}
    connection.execute(update(sources).where(sources.c.lease_owner == owner).values(free))
