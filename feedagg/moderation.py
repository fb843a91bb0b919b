"""Hiding: the operator takes a record off the pages, with a reason that is shown. The author's bee is not
touched.

The hide list is a decision and survives everything; `records.hidden` follows it, also when the record comes
again.
"""

from __future__ import annotations

from sqlalchemy import Connection, delete, select, update

from core.errors import BadArgument
from feedagg import decisions
from feedagg.decisions import OPERATOR, Action
from feedagg.naming import is_record
from feedagg.policy import reason_of
from feedagg.sources import REFUSED
from feedagg.store import insert
from feedagg.tables import hidden, records, sources


def hide(connection: Connection, bee: bytes, key: bytes, reason: str, now: int) -> bool:
    """Hide a record, now and whenever it comes; True if it is here already. Raises `BadArgument` without a
    reason.
    """
    why = reason_of(reason, needed=True)
    if not key:
        raise BadArgument("Name the record: its key in the bee.")
    row = insert(connection, hidden).values(bee=bee, key=key, reason=why, hidden_at=now)
    changed = {"reason": why, "hidden_at": now}
    connection.execute(row.on_conflict_do_update(index_elements=[hidden.c.bee, hidden.c.key], set_=changed))
    decisions.record(connection, now, OPERATOR, Action.HIDDEN, bee=bee, key=key, reason=why)
    return _mark(connection, bee, key, is_hidden=True)


def unhide(connection: Connection, bee: bytes, key: bytes, now: int, reason: str | None = None) -> bool:
    """Show it again; True if it was hidden."""
    why = reason_of(reason, needed=False)
    gone = connection.execute(delete(hidden).where(hidden.c.bee == bee, hidden.c.key == key))
    if gone.rowcount == 0:
        return False
    decisions.record(connection, now, OPERATOR, Action.UNHIDDEN, bee=bee, key=key, reason=why)
    standing = connection.execute(select(sources.c.state).where(sources.c.bee == bee)).scalar()
    if standing != REFUSED:
        _mark(connection, bee, key, is_hidden=False)
    return True


def _mark(connection: Connection, bee: bytes, key: bytes, *, is_hidden: bool) -> bool:
    marked = update(records).where(is_record(bee, key)).values(hidden=is_hidden)
    return connection.execute(marked).rowcount > 0
