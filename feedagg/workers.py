"""The processes of one aggregator: who is there, which holds a bee, and whose silence means that it is gone.

One process does everything (`all`). On one PostgreSQL the work can be shared out: `ingest` processes find bees and read
them, `web` processes serve pages and keep nothing, one `jobs` process writes the aggregator's own two bees. A process
says every few seconds that it is there; that is for people and for finding each other. What it holds is decided by
leases on the rows of `sources` alone, so a process that was killed needs nobody's attention: its leases end.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, and_, delete, func, select

from feedagg.sources import FOLLOWING
from feedagg.store import insert
from feedagg.tables import bucket_of, sources, workers

ALL: Final = "all"
WEB: Final = "web"
INGEST: Final = "ingest"
JOBS: Final = "jobs"

BEAT_SECONDS: Final = 5
GONE_MS: Final = 10_000
SLACK = 1.25
"""A process takes this much more than its share, so that one that is slow to be missed leaves no bee unread."""

FORGOTTEN_MS: Final = 24 * 60 * 60 * 1000


@dataclass(frozen=True, slots=True)
class Worker:
    """A process. `url`: where it answers other processes, if it does; times are milliseconds since 1970."""

    owner: str
    role: str
    url: str | None
    started_at: int
    seen_at: int
    bees: int


def reads(role: str) -> bool:
    """Whether a process of this role finds and reads bees."""
    return role in (ALL, INGEST)


def publishes(role: str) -> bool:
    """Whether it writes the aggregator's own bees."""
    return role in (ALL, JOBS)


def beat(connection: Connection, worker: Worker) -> None:
    """It is there; those that were not for a day are forgotten."""
    row = {name: getattr(worker, name) for name in Worker.__slots__}
    new = insert(connection, workers).values(row)
    connection.execute(new.on_conflict_do_update(index_elements=[workers.c.owner], set_=row))
    connection.execute(delete(workers).where(workers.c.seen_at < worker.seen_at - FORGOTTEN_MS))


def gone(connection: Connection, owner: str) -> None:
    """It ended in order."""
    connection.execute(delete(workers).where(workers.c.owner == owner))


def listing(connection: Connection, now: int) -> list[Worker]:
    """Those that were heard of lately, by role and age."""
    query = select(workers).where(workers.c.seen_at >= now - GONE_MS)
    query = query.order_by(workers.c.role, workers.c.started_at, workers.c.owner)
    return [Worker(*row) for row in connection.execute(query)]


def share(connection: Connection, now: int) -> int:
    """How many bees one reading process should hold, of those that are followed."""
    alive = select(func.count()).where(workers.c.seen_at >= now - GONE_MS, workers.c.role.in_((ALL, INGEST)))
    followed = select(func.count()).where(sources.c.state == FOLLOWING)
    count = max(1, connection.execute(alive).scalar_one())
    return math.ceil(connection.execute(followed).scalar_one() / count * SLACK)


def holder(connection: Connection, bee: bytes | None, now: int) -> str | None:
    """The URL of the process that holds a bee; of any that reads when nobody holds it; None when none is there."""
    there = and_(workers.c.seen_at >= now - GONE_MS, workers.c.url.is_not(None))
    if bee is not None:
        held = select(workers.c.url).join(sources, sources.c.lease_owner == workers.c.owner)
        held = held.where(there, sources.c.bucket == bucket_of(bee), sources.c.bee == bee)
        found: str | None = connection.execute(held).scalar()
        if found is not None:
            return found
    return of_roles(connection, (ALL, INGEST), now)


def of_roles(connection: Connection, roles: Sequence[str], now: int) -> str | None:
    """The URL of some process of these roles; None when none is there."""
    there = and_(workers.c.seen_at >= now - GONE_MS, workers.c.url.is_not(None))
    some = select(workers.c.url).where(there, workers.c.role.in_(roles)).order_by(workers.c.owner).limit(1)
    found: str | None = connection.execute(some).scalar()
    return found
