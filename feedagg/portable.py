"""One file that holds what an aggregator decided and saw, from which another instance comes to the same feed hash.

Gzip over lines of JSON: a head (policy, feed hash, the heads of the two bees), the bees with their addresses and
cursors, the hide list, the records of the feed in its order, then the records that are read but not listed.
`docs/portable.md` has it.

What is imported is *indexed* and no more: the cursors are carried for comparison, but the new instance reads every
bee from its first block and verifies it. What it then finds otherwise (an edit since, a value that was not the
author's) replaces what the file said; the time of first sight stays.
"""

from __future__ import annotations

import base64
import binascii
import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, func, literal_column, select, update

from core.errors import BadArgument
from core.records import value_hash
from feedagg import feed_hash, policy, sources, store
from feedagg.decide import Operation, Status, decide
from feedagg.feed_hash import Entry
from feedagg.tables import choices, hidden, hints, own_bees, records
from feedagg.tables import sources as source_table

KIND: Final = "meadow-aggregator"
VERSION: Final = 1
MAX_LINE: Final = 4 * 1024 * 1024
AT_ONCE: Final = 1_000

_ORDER: Final = (records.c.sort_at, records.c.bee, records.c.key)
_IN_FEED: Final = (records.c.status == literal_column(str(int(Status.SHOWN)))) & records.c.in_feed
_READ: Final = records.c.status.in_([int(Status.SHOWN), int(Status.KEPT)])


# --- out ------------------------------------------------------------------------------------------


def export(connection: Connection, path: Path, now: int) -> dict[str, Any]:
    """Write the file, one moment of the database; returns its head. The connection must be fresh.

    Raises `BadArgument` when the file cannot be written.
    """
    if connection.dialect.name == "postgresql":
        connection = connection.execution_options(isolation_level="REPEATABLE READ")
    counted = {
        "bees": connection.execute(select(func.count()).select_from(source_table)).scalar_one(),
        "hidden": connection.execute(select(func.count()).select_from(hidden)).scalar_one(),
        "records": connection.execute(select(func.count()).where(_IN_FEED)).scalar_one(),
    }
    head = {
        "kind": KIND, "version": VERSION, "at": now, "feedHash": feed_hash.of_database(connection).hex(),
        "policy": policy.policy(connection), "own": _own(connection), "counts": counted,
    }  # fmt: skip
    try:
        with gzip.open(path, "wt", encoding="utf-8", compresslevel=6) as file:
            for line in _lines(connection, head):
                file.write(json.dumps(line, separators=(",", ":")) + "\n")
    except OSError as error:
        raise BadArgument(f"The export cannot be written to {path}: {error.strerror}.") from error
    return head


def _lines(connection: Connection, head: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield head
    after = b""
    while some := sources.listing(connection, AT_ONCE, after):
        for source in some:
            given = [
                {"address": hint.address, "trusted": hint.trusted}
                for hint in sources.hints_of(connection, source.bee)
            ]
            yield {
                "bee": source.key, "state": source.state, "reason": source.state_reason, "since": source.state_at,
                "addedAt": source.added_at, "addedBy": source.added_by, "trusted": source.trusted, "fork": source.fork,
                "length": source.length, "cursor": source.cursor, "tail": source.tail, "hints": given,
            }  # fmt: skip
        after = some[-1].bee
    for bee, key, reason, at in connection.execute(select(hidden).order_by(hidden.c.bee, hidden.c.key)):
        yield {"hidden": bytes(bee).hex(), "key": _text(key), "reason": reason, "at": at}
    columns = (
        *_ORDER,
        records.c.seq,
        records.c.first_seen,
        records.c.in_feed,
        records.c.hidden,
        records.c.value,
    )
    listed = select(*columns).where(_IN_FEED).order_by(*_ORDER)
    others = select(*columns).where(_READ, ~_IN_FEED).order_by(records.c.bee, records.c.key)
    for query in (listed, others):
        for row in connection.execution_options(yield_per=AT_ONCE).execute(query):
            yield {
                "record": bytes(row.bee).hex(), "key": _text(row.key), "seq": row.seq, "firstSeen": row.first_seen,
                "sortAt": row.sort_at, "inFeed": bool(row.in_feed), "hide": bool(row.hidden), "value": _text(row.value),
            }  # fmt: skip


def _own(connection: Connection) -> dict[str, Any]:
    """The heads of the aggregator's own bees: what it can be held to."""
    return {
        row.name: {
            "key": bytes(row.bee).hex(),
            "length": row.length,
            "tree": None if row.tree is None else bytes(row.tree).hex(),
        }
        for row in connection.execute(select(own_bees))
    }


# --- in -------------------------------------------------------------------------------------------


def read(path: Path) -> Iterator[dict[str, Any]]:
    """The lines of a file, the head first. Raises `BadArgument` with a sentence for what is no such file."""
    try:
        with gzip.open(path, "rt", encoding="utf-8") as file:
            for number, line in enumerate(iter(lambda: file.readline(MAX_LINE), "")):
                item = json.loads(line)
                if not isinstance(item, dict) or (number == 0 and item.get("kind") != KIND):
                    raise BadArgument(f"{path} is not the export of an aggregator.")
                if number == 0 and item.get("version") != VERSION:
                    raise BadArgument(
                        f"{path} is of version {item.get('version')}; this program reads {VERSION}."
                    )
                yield item
    except (OSError, EOFError, ValueError) as error:
        if isinstance(error, BadArgument):
            raise
        raise BadArgument(f"{path} is not the export of an aggregator, or it was cut short.") from error


def bring_in(connection: Connection, path: Path, now: int) -> dict[str, Any]:
    """Read the file into this empty database; returns its head.

    Raises `BadArgument`, and nothing is kept, when there is something here already, when the file is not one, or when
    what came out of it has not the feed hash that it names.
    """
    if connection.execute(select(func.count()).select_from(source_table)).scalar_one():
        raise BadArgument("An import goes into an empty aggregator, and this one follows bees already.")
    lines = read(path)
    head = next(lines, None)
    if head is None:
        raise BadArgument(f"{path} is empty.")
    rows: list[dict[str, Any]] = []
    try:
        for line in lines:
            if "bee" in line:
                _bring_source(connection, line, now)
            elif "hidden" in line:
                row = {"bee": bytes.fromhex(line["hidden"]), "key": _bytes(line["key"])}
                connection.execute(hidden.insert().values(**row, reason=line["reason"], hidden_at=line["at"]))
            elif "record" in line:
                rows.append(_row(line))
                if len(rows) == AT_ONCE:
                    connection.execute(records.insert(), rows)
                    rows = []
        if rows:
            connection.execute(records.insert(), rows)
        chosen = {"name": "policy", "value": head["policy"], "chosen_at": now}
        if head["policy"] not in policy.POLICIES:
            raise BadArgument(f"{path} names a policy that is none: {head['policy']!r}.")
        connection.execute(store.insert(connection, choices).values(chosen).on_conflict_do_nothing())
    except (KeyError, TypeError, ValueError, binascii.Error) as error:
        if isinstance(error, BadArgument):
            raise
        raise BadArgument(f"{path} has a line that cannot be understood.") from error
    found = feed_hash.of_database(connection).hex()
    if found != head["feedHash"]:
        raise BadArgument(
            f"What is in {path} has the feed hash {found[:16]}…, but it names {head['feedHash'][:16]}…."
        )
    return head


def _bring_source(connection: Connection, line: dict[str, Any], now: int) -> None:
    bee = bytes.fromhex(line["bee"])
    if len(bee) != 32 or line["state"] not in sources.STATES:
        raise BadArgument("A bee of the file has no key or no standing.")
    sources.add(connection, bee, now, line["addedBy"], state=line["state"])
    kept = {
        "added_at": line["addedAt"], "state_at": line["since"], "state_reason": line["reason"],
        "trusted": line["trusted"],
    }  # fmt: skip
    connection.execute(update(source_table).where(source_table.c.bee == bee).values(kept))
    for hint in line["hints"][: sources.MAX_HINTS]:
        row = {"bee": bee, "address": hint["address"], "trusted": hint["trusted"], "added_at": now}
        connection.execute(store.insert(connection, hints).values(row).on_conflict_do_nothing())


def _row(line: dict[str, Any]) -> dict[str, Any]:
    """The row of a record, decided anew from its value; what depends on when it was seen comes from the file."""
    operation = Operation(int(line["seq"]), _bytes(line["key"]), _bytes(line["value"]))
    [row] = decide([operation], int(line["firstSeen"]))
    if row["status"] not in (Status.SHOWN, Status.KEPT):
        raise BadArgument(f"Block {operation.seq} of the file's bee {line['record'][:8]} is no record.")
    place = {"sort_at": int(line["sortAt"]), "in_feed": bool(line["inFeed"]), "hidden": bool(line["hide"])}
    return {**row, **place, "bee": bytes.fromhex(line["record"])}


# --- compared -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing in which two files differ; `only` is "A" or "B" for what the other one lacks, else None."""

    what: str
    name: str
    only: str | None
    detail: str = ""


def diff(a: Path, b: Path) -> Iterator[Difference]:
    """What the two files differ in: heads, bees, what is hidden, records. Reads both once and keeps no records."""
    left, right = _Parts(a), _Parts(b)
    for name in ("feedHash", "policy"):
        if left.head.get(name) != right.head.get(name):
            yield Difference(name, name, None, f"{left.head.get(name)} and {right.head.get(name)}")
    for what, one, other in (("bee", left.bees, right.bees), ("hidden", left.hidden, right.hidden)):
        for name in sorted(one.keys() | other.keys()):
            if one.get(name) != other.get(name):
                only = "A" if name not in other else "B" if name not in one else None
                yield Difference(what, name, only, "" if only else f"{one[name]} and {other[name]}")
    yield from _merged(left.records(), right.records())


class _Parts:
    """A file taken apart: all but the records in memory."""

    def __init__(self, path: Path) -> None:
        self._lines = read(path)
        self.head = next(self._lines, {})
        self.bees: dict[str, str] = {}
        self.hidden: dict[str, str] = {}
        self._first: dict[str, Any] | None = None
        for line in self._lines:
            if "record" in line:
                self._first = line
                break
            if "bee" in line:
                self.bees[line["bee"]] = (
                    f"{line['state']}, fork {line['fork']}, read {line['tail']} to {line['cursor']}"
                )
            elif "hidden" in line:
                self.hidden[f"{line['hidden']} {_bytes(line['key'])!r}"] = str(line["reason"])

    def records(self) -> Iterator[Entry]:
        """The records of the feed, in its order."""
        first = () if self._first is None else (self._first,)
        for line in chain(first, self._lines):
            if not line.get("inFeed"):
                return
            digest = bytes.fromhex(value_hash(_bytes(line["value"])))
            bee, key = bytes.fromhex(line["record"]), _bytes(line["key"])
            yield Entry(line["sortAt"], bee, key, line["seq"], digest, line["hide"])


def _merged(left: Iterator[Entry], right: Iterator[Entry]) -> Iterator[Difference]:
    one, other = next(left, None), next(right, None)
    while one is not None or other is not None:
        if other is None or (one is not None and one[:3] < other[:3]):
            assert one is not None
            yield Difference("record", _name(one), "A")
            one = next(left, None)
        elif one is None or other[:3] < one[:3]:
            yield Difference("record", _name(other), "B")
            other = next(right, None)
        else:
            if one != other:
                yield Difference("record", _name(one), None, f"{_says(one)} and {_says(other)}")
            one, other = next(left, None), next(right, None)


def _name(entry: Entry) -> str:
    return f"{entry.bee.hex()} {entry.key.decode(errors='replace')}"


def _says(entry: Entry) -> str:
    return f"block {entry.seq}{', hidden' if entry.hidden else ''}, value {entry.value_hash.hex()[:12]}"


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _bytes(text: str) -> bytes:
    return base64.b64decode(text, validate=True)
