"""What this aggregator says about itself in a bee of its own: the entries, as keys and values. Pure but for SQL.

    about                              what this bee is, and the keys of its sister and of the aggregator
    decision/<time>/<number>           accepted, refused, hidden, ... (decisions.py): who, what, why
    read/<bee>/<time>/<number>         a stretch of a bee's log that was read, and what became of it
    hidden/<bee>/<record's key>        while a record is hidden: why, and since when
    refused/<bee>                      while a bee is refused

<time> is 16 hexadecimal digits of milliseconds since 1970, <bee> 64 of the key, <number> the decision's here. The
order in which things were said is that of the log. `docs/transparency.md` is for whoever reads it.

A reading names its blocks [from, to), the skipped ones each with the reason, so every record it does not name was
indexed. It holds the hash of the bee's tree at the length that was known then, and with it stands for every block
below (`witness`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, Final

from sqlalchemy import Connection, delete, select

from core.hyperbee import Hyperbee
from feedagg.decide import Row, Status, Stretch
from feedagg.decisions import Action, Decision
from feedagg.store import insert
from feedagg.tables import own_bees, readings

VERSION: Final = 1
LOG, FEED = "log", "feed"
BEE_NAMES: Final = {LOG: "meadow/decisions", FEED: "meadow/feed"}
"""The names of the two bees in the aggregator's store; their keys follow from its primary key."""

ABOUT: Final = b"about"

FIRST_ENTRIES: Final = 64
LATER_ENTRIES: Final = 5_000
WITNESS_SLACK_MS: Final = 60_000
"""How far a witness is looked for: so many of a bee's first entries, and so many from a minute before first sight."""

Change = tuple[bytes, bytes | None]
"""A key of the log and the value it is to have; None removes it."""


def time_digits(at: int) -> str:
    """Milliseconds since 1970 as text that sorts as they do."""
    return f"{at:016x}"


def hidden_key(bee: bytes, key: bytes) -> bytes:
    return b"hidden/" + bee.hex().encode() + b"/" + key


def refused_key(bee: bytes) -> bytes:
    return b"refused/" + bee.hex().encode()


def decision_key(at: int, number: int) -> bytes:
    return f"decision/{time_digits(at)}/{number}".encode()


def reading_prefix(bee: bytes) -> bytes:
    return b"read/" + bee.hex().encode() + b"/"


def changes_of(decision: Decision) -> list[Change]:
    """What one decision writes: its own entry, and what holds from then on."""
    said: dict[str, Any] = {"at": decision.at, "by": decision.by, "action": decision.action}
    if decision.bee is not None:
        said["bee"] = decision.bee.hex()
    if decision.key is not None:
        said["key"] = decision.key.decode(errors="replace")
    if decision.reason is not None:
        said["reason"] = decision.reason
    changes: list[Change] = [(decision_key(decision.at, decision.id), encode(said))]
    state = encode({"at": decision.at, "decision": decision.id, "reason": decision.reason})
    bee, key, action = decision.bee, decision.key, decision.action
    if bee is not None and key is not None and action in (Action.HIDDEN, Action.UNHIDDEN):
        changes.append((hidden_key(bee, key), state if action == Action.HIDDEN else None))
    if bee is not None and key is None and action in (Action.REFUSED, Action.ACCEPTED):
        changes.append((refused_key(bee), state if action == Action.REFUSED else None))
    return changes


def reading(
    bee: bytes, stretch: Stretch, rows: Sequence[Row], now: int, *, length: int, tree: bytes
) -> dict[str, Any]:
    """The row of `readings` about a stretch. `tree`: the hash over the bee's tree of `length` blocks."""
    indexed = removed = 0
    skipped: dict[str, list[int]] = {}
    for row in rows:
        status = row["status"]
        if status == Status.SKIPPED:
            skipped.setdefault(str(row["reason"]), []).append(row["seq"])
        elif status == Status.DELETED:
            removed += 1
        else:
            indexed += 1
    said = {
        "at": now, "from": stretch.start, "to": stretch.end, "fork": stretch.after.fork, "length": length,
        "tree": tree.hex(), "indexed": indexed, "removed": removed, "skipped": skipped,
    }  # fmt: skip
    return {"at": now, "bee": bee, "told": encode(said)}


def unpublished(connection: Connection, limit: int) -> list[tuple[int, bytes, bytes]]:
    """(number, key, value) of readings that the log does not have yet, the oldest first."""
    query = select(readings).order_by(readings.c.id).limit(limit)
    return [
        (number, reading_prefix(bee) + f"{time_digits(at)}/{number}".encode(), told)
        for number, at, bee, told in connection.execute(query)
    ]


def forget(connection: Connection, numbers: Iterable[int]) -> None:
    """The log has these readings, and will have them after a power cut."""
    connection.execute(delete(readings).where(readings.c.id.in_(list(numbers))))


def claim(connection: Connection, name: str, key: bytes) -> bytes:
    """The bee that publishes for this database: `key` if none did before."""
    connection.execute(insert(connection, own_bees).values(name=name, bee=key).on_conflict_do_nothing())
    return bytes(connection.execute(select(own_bees.c.bee).where(own_bees.c.name == name)).scalar_one())


def published(connection: Connection) -> dict[str, bytes]:
    """The keys of the bees that publish for this database, by name."""
    return {name: bytes(bee) for name, bee in connection.execute(select(own_bees.c.name, own_bees.c.bee))}


def note_head(connection: Connection, name: str, length: int, tree: bytes) -> None:
    """Remember how long one of the bees is, and the hash of its tree of that length."""
    connection.execute(own_bees.update().where(own_bees.c.name == name).values(length=length, tree=tree))


async def witness(log: Hyperbee, bee: bytes, seq: int, fork: int, first_seen: int) -> dict[str, Any] | None:
    """An early entry of the log that stands for block `seq` of a bee, or None; its `entry` is the key in the log.

    The block existed when that entry was written, whatever date it claims. It is looked for among the bee's first
    entries (they stand for all that was there at first contact), then from the record's first sight on.
    """
    prefix = reading_prefix(bee)
    later = prefix + time_digits(max(0, first_seen - WITNESS_SLACK_MS)).encode()
    for start, limit in ((prefix, FIRST_ENTRIES), (later, LATER_ENTRIES)):
        async for entry in log.range(gte=start, lt=prefix + b"\xff", limit=limit):
            said = json.loads(entry.value)
            if said["fork"] == fork and seq < said["length"]:
                return {**said, "entry": entry.key.decode()}
    return None


def encode(said: dict[str, Any]) -> bytes:
    """An entry's value: JSON without spaces."""
    return json.dumps(said, ensure_ascii=False, separators=(",", ":")).encode()
