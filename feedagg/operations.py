"""Everything an operator can do to a bee or a record, in one table: the admin pages and the API's writing half are
made of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection

from core.errors import BadArgument
from feedagg import moderation, policy, purging, reports, sources


@dataclass(frozen=True, slots=True)
class Target:
    """What is to be done it to. `key`: the record's, None for the bee; `reason`: None or "" when none is given."""

    bee: bytes
    key: bytes | None = None
    reason: str | None = None

    @property
    def record(self) -> bytes:
        """The record's key. Raises `BadArgument` when none is named."""
        if self.key is None:
            raise BadArgument("Name the record: its key in the bee.")
        return self.key

    @property
    def why(self) -> str:
        return self.reason or ""


@dataclass(frozen=True, slots=True)
class Operation:
    """`run` changes the database and returns whether anything changed. `done`, `same`: what is said then.

    `needs`: "nothing", or a "reason"; `destroys`: it cannot be taken back, so that pages ask first.
    """

    name: str
    about: str  # "bee" or "record"
    run: Callable[[Connection, int, Target], bool]
    summary: str
    done: str
    same: str
    needs_reason: bool = False
    destroys: bool = False


def add(connection: Connection, bee: bytes, now: int, address: str | None = None) -> bool:
    """The operator adds a bee, whatever the policy, also one that was refused; True if it was not followed yet."""
    is_new = policy.add(connection, bee, now, address)
    if is_new:
        reports.settle(connection, bee)
    return is_new


def accept(connection: Connection, now: int, target: Target) -> bool:
    """Follow a bee; what was appealed about it as a whole is granted with that. True if that changed anything."""
    changed = policy.accept(connection, target.bee, now, target.reason)
    if changed:
        reports.settle(connection, target.bee)
    return changed


def refuse(connection: Connection, now: int, target: Target) -> bool:
    """Refuse a bee; what was reported of it is settled with that. True if that changed anything."""
    changed = policy.refuse(connection, target.bee, now, target.why)
    if changed:
        reports.settle(connection, target.bee)
    return changed


def purge_bee(connection: Connection, now: int, target: Target) -> int:
    """Drop our copy of a bee and refuse it; returns how many rows went."""
    gone = purging.purge_bee(connection, target.bee, target.why, now)
    reports.settle(connection, target.bee)
    return gone


def purge_record(connection: Connection, now: int, target: Target) -> bool:
    """Drop our copy of a record and hide it; True if it was here."""
    was_here = purging.purge_record(connection, target.bee, target.record, target.why, now)
    reports.settle(connection, target.bee, target.record)
    return was_here


def unhide(connection: Connection, now: int, target: Target) -> bool:
    """Show a record again; what was appealed about it is granted with that. True if it was hidden."""
    was_hidden = moderation.unhide(connection, target.bee, target.record, now, target.reason)
    if was_hidden:
        reports.settle(connection, target.bee, target.record)
    return was_hidden


def _purge_bee(connection: Connection, now: int, target: Target) -> bool:
    purge_bee(connection, now, target)
    return True


def _purge_record(connection: Connection, now: int, target: Target) -> bool:
    purge_record(connection, now, target)
    return True


def _hide(connection: Connection, now: int, target: Target) -> bool:
    reports.uphold(connection, target.bee, target.record, target.why, now)
    return True


def _retry(connection: Connection, now: int, target: Target) -> bool:
    sources.retry(connection, target.bee, now)
    return True


_TABLE = (
    Operation(
        "accept", "bee", accept,
        "Follow a bee that waits for approval, is paused or was refused",
        "The bee is followed.", "The bee is followed already.",
    ),
    Operation(
        "refuse", "bee", refuse,
        "Follow a bee no more, take it off the pages, and let nobody submit it again",
        "The bee is refused.", "The bee is refused already, for this reason.", needs_reason=True,
    ),
    Operation(
        "pause", "bee",
        lambda connection, now, target: policy.pause(connection, target.bee, now, target.reason),
        "Stop reading a bee; what is here of it stays on the pages",
        "The bee is paused.", "The bee is paused already.",
    ),
    Operation(
        "trust", "bee",
        lambda connection, now, target: policy.trust(
            connection, target.bee, now, target.reason, is_trusted=True
        ),
        "Free a bee from the quota of new ones",
        "The bee is free from the quota.", "The bee is free from the quota already.",
    ),
    Operation(
        "bind", "bee",
        lambda connection, now, target: policy.trust(
            connection, target.bee, now, target.reason, is_trusted=False
        ),
        "Bind a bee by the quota of new ones again",
        "The bee is bound by the quota of new bees.", "The bee is bound by the quota of new bees already.",
    ),
    Operation(
        "retry", "bee", _retry,
        "Try to reach a bee now, whatever the pause after failures",
        "The bee is tried now.", "",
    ),
    Operation(
        "purge", "bee", _purge_bee,
        "Drop our copy of a bee, its records and its blocks, and refuse it",
        "Our copy of the bee is dropped.", "", needs_reason=True, destroys=True,
    ),
    Operation(
        "hide", "record", _hide,
        "Take a record off the pages, now and whenever it comes",
        "The record is hidden.", "", needs_reason=True,
    ),
    Operation(
        "unhide", "record", unhide,
        "Show a hidden record again",
        "The record is shown again.", "The record was not hidden.",
    ),
    Operation(
        "purge-record", "record", _purge_record,
        "Drop our copy of one record and hide what may come under its key",
        "Our copy of the record is dropped.", "", needs_reason=True, destroys=True,
    ),
    Operation(
        "dismiss", "record",
        lambda connection, now, target: reports.dismiss(
            connection, target.bee, target.record, target.why, now
        ),
        "Leave a reported record as it is, and close its reports",
        "The reports are closed.", "No report about this record waits.", needs_reason=True,
    ),
    Operation(
        "grant", "record",
        lambda connection, now, target: reports.grant(
            connection, target.bee, target.record, target.reason, now
        ),
        "Grant an appeal: show the record again, or accept the bee (an empty key)",
        "The appeal is granted.", "No appeal about this waits.",
    ),
    Operation(
        "deny", "record",
        lambda connection, now, target: reports.deny(
            connection, target.bee, target.record, target.why, now
        ),
        "Deny an appeal, with a reason",
        "The appeal is denied.", "No appeal about this waits.", needs_reason=True,
    ),
)  # fmt: skip

OPERATIONS: Final = {operation.name: operation for operation in _TABLE}
