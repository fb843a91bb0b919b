"""Decisions: what this aggregator did to what others see, when, why, and by whom. One function writes them.

`record` stands in the same transaction as the change it speaks of, so there is no change without its
decision and no decision without its change. The rows are never altered but for `told`, the place the decision
got in the aggregator's own public log.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from sqlalchemy import Connection, func, insert, select, tuple_

from feedagg.tables import decisions

OPERATOR: Final = "operator"
RULE: Final = "rule"
"""Who decides: a person who runs this site, or a rule that was published before."""


class Action(StrEnum):
    """What can be decided."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    PAUSED = "paused"
    RESUMED = "resumed"
    TRUSTED = "trusted"
    BOUND = "bound"
    HIDDEN = "hidden"
    UNHIDDEN = "unhidden"
    PURGED = "purged"
    POLICY = "policy"
    ALARMED = "alarmed"
    REPORT_DISMISSED = "report-dismissed"
    APPEAL_GRANTED = "appeal-granted"
    APPEAL_DENIED = "appeal-denied"


WORDS: Final = {
    Action.ACCEPTED: "Accepted",
    Action.REFUSED: "Refused",
    Action.PAUSED: "Paused",
    Action.RESUMED: "Resumed",
    Action.TRUSTED: "Freed from the quota",
    Action.BOUND: "Bound by the quota again",
    Action.HIDDEN: "Hidden",
    Action.UNHIDDEN: "Shown again",
    Action.PURGED: "Our copy dropped",
    Action.POLICY: "Policy changed",
    Action.ALARMED: "Two histories found",
    Action.REPORT_DISMISSED: "Report dismissed",
    Action.APPEAL_GRANTED: "Appeal granted",
    Action.APPEAL_DENIED: "Appeal denied",
}
"""The actions as pages say them."""


@dataclass(frozen=True, slots=True)
class Decision:
    """A row of `decisions`. `bee` None: about the whole site; `key` None: about the whole bee. `at`: ms."""

    id: int
    at: int
    by: str
    action: str
    bee: bytes | None
    key: bytes | None
    reason: str | None
    told: int | None

    @property
    def words(self) -> str:
        return WORDS[Action(self.action)]


def record(
    connection: Connection,
    now: int,
    by: str,
    action: Action,
    *,
    bee: bytes | None = None,
    key: bytes | None = None,
    reason: str | None = None,
) -> int:
    """Write one decision into the transaction of `connection`; returns its number."""
    row = {"at": now, "by": by, "action": str(action), "bee": bee, "key": key, "reason": reason}
    written = connection.execute(insert(decisions).values(row).returning(decisions.c.id))
    return int(written.scalar_one())


def listing(
    connection: Connection,
    limit: int,
    *,
    before: int | None = None,
    bee: bytes | None = None,
    key: bytes | None = None,
) -> list[Decision]:
    """Decisions, the newest first: all, those below number `before`, those about a bee or one of its records."""
    query = select(decisions).order_by(decisions.c.id.desc()).limit(limit)
    if before is not None:
        query = query.where(decisions.c.id < before)
    if bee is not None:
        query = query.where(decisions.c.bee == bee)
    if key is not None:
        query = query.where(decisions.c.key == key)
    return [Decision(*row) for row in connection.execute(query)]


def untold(connection: Connection, limit: int) -> list[Decision]:
    """Decisions that have no place in the public log yet, the oldest first."""
    query = select(decisions).where(decisions.c.told.is_(None)).order_by(decisions.c.id).limit(limit)
    return [Decision(*row) for row in connection.execute(query)]


def tell(connection: Connection, places: list[tuple[int, int]]) -> None:
    """Note the place (block number) in the public log of each decision: pairs (id, place)."""
    for number, place in places:
        connection.execute(decisions.update().where(decisions.c.id == number).values(told=place))


def latest(connection: Connection, pairs: list[tuple[bytes, bytes]]) -> dict[tuple[bytes, bytes], Decision]:
    """The newest decision about each of these records."""
    newest = (
        select(func.max(decisions.c.id))
        .where(tuple_(decisions.c.bee, decisions.c.key).in_(pairs))
        .group_by(decisions.c.bee, decisions.c.key)
    )
    found = [
        Decision(*row) for row in connection.execute(select(decisions).where(decisions.c.id.in_(newest)))
    ]
    return {(row.bee, row.key): row for row in found if row.bee is not None and row.key is not None}
