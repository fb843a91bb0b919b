"""Hiding: the operator takes a record off the pages, with a reason that is shown. The author's bee is not
touched.

The hide list is a decision and survives everything; `records.hidden` follows it, also when the record comes
again.
"""

from __future__ import annotations

from sqlalchemy import Connection, delete, update

from feedagg.store import insert
from feedagg.tables import hidden, records


def hide(connection: Connection, bee: bytes, key: bytes, reason: str, now: int) -> bool:
    """Hide a record, now and whenever it comes; True if it is here already."""
    row = insert(connection, hidden).values(bee=bee, key=key, reason=reason, hidden_at=now)
    changed = {"reason": reason, "hidden_at": now}
    connection.execute(row.on_conflict_do_update(index_elements=[hidden.c.bee, hidden.c.key], set_=changed))
    return _mark(connection, bee, key, is_hidden=True)


def unhide(connection: Connection, bee: bytes, key: bytes) -> bool:
    """Show it again; True if it was hidden."""
    gone = connection.execute(delete(hidden).where(hidden.c.bee == bee, hidden.c.key == key))
    _mark(connection, bee, key, is_hidden=False)
    return gone.rowcount > 0


def _mark(connection: Connection, bee: bytes, key: bytes, *, is_hidden: bool) -> bool:
    marked = update(records).where(records.c.bee == bee, records.c.key == key).values(hidden=is_hidden)
    return connection.execute(marked).rowcount > 0
