"""Alarms: a key that signed two different trees of one length, with the evidence that anybody can check.

Whoever did it (most often the author, on two machines with one key), the bee cannot be trusted any more: its readers
may see different histories under one signature. The evidence is kept for good.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, select

from core.peer import check_file
from feedagg import decisions
from feedagg.decisions import RULE, Action
from feedagg.store import insert
from feedagg.tables import alarms


@dataclass(frozen=True, slots=True)
class Alarm:
    """A row of `alarms`. `file`: a proof file of the kind conflict."""

    bee: bytes
    found_at: int
    fork: int
    length: int
    file: bytes


def of(connection: Connection, bee: bytes) -> Alarm | None:
    """The alarm about a bee, if there is one."""
    row = connection.execute(select(alarms).where(alarms.c.bee == bee)).one_or_none()
    return None if row is None else Alarm(bytes(row.bee), row.found_at, row.fork, row.length, bytes(row.file))


def raise_alarm(connection: Connection, bee: bytes, file: bytes, now: int) -> bool:
    """Keep the evidence in `file` and say so in the log; True if there was none before.

    Raises an `IntegrityError` when the file proves nothing.
    """
    found = check_file(file)
    row = {"bee": bee, "found_at": now, "fork": found.fork, "length": found.at_length, "file": file}
    added = connection.execute(insert(connection, alarms).values(row).on_conflict_do_nothing())
    if added.rowcount != 1:
        return False
    reason = f"Its key signed two different histories of {found.at_length:,} blocks."
    decisions.record(connection, now, RULE, Action.ALARMED, bee=bee, reason=reason)
    return True
