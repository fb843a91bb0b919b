"""One stretch of a bee's log in, rows of the feed out. Pure: no clock, no network, no database.

A bee's log is read by operation (block n holds the key and value of operation n), in any order of stretches:
the newest twenty first, then forward from the cursor as the log grows, and meanwhile backward to the first.
What makes the order irrelevant is one rule: **for every key the greatest block number wins**, and a removal
is remembered as a row, so that an older block read later cannot revive what the author deleted. `newest` is
that rule inside one stretch; `store.write` repeats it against the rows that are there.

The order of the feed (docs: records) is `sort_at = min(created_at, first_seen)`, then bee, then key.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import IntEnum
from hashlib import blake2b
from typing import Final, NamedTuple, TypedDict

from core.records import Post, Reaction, Record, Rejected, Watch, film_refs, parse_record
from core.records.bounds import MAX_KEY_BYTES

SKEW_MS: Final = 2 * 60 * 1000
"""An author's clock may run this far ahead of ours before the date is flagged."""

DAY_MS: Final = 24 * 60 * 60 * 1000

FIRST_LOOK: Final = 20
"""Operations read at first contact, before anything older."""

FUTURE_FLAG: Final = "date-in-future"
BROKEN_REASON: Final = "not-an-operation"
PURGED_REASON: Final = "purged"


class Status(IntEnum):
    """What a bee's newest operation on one key made of it."""

    SHOWN = 0  # a post or a movie
    KEPT = 1  # a record of another kind: counted, used (a profile), not listed
    SKIPPED = 2  # not a record; `reason` says why
    DELETED = (
        3  # the author removed it: the value is gone from here, the key keeps older blocks from reviving it
    )
    STALE = 4  # the log was rewritten below it; waits to be confirmed or dropped


class Operation(NamedTuple):
    """One block of a bee: `value` None is a removal. `is_broken`: it is no operation, so it has no key
    either.
    """

    seq: int
    key: bytes
    value: bytes | None
    is_broken: bool = False

    @classmethod
    def broken(cls, seq: int) -> Operation:
        """A block that cannot be decoded; counted under a key of its own that no bee can have."""
        return cls(seq, b"\xff\xff" + seq.to_bytes(8, "big"), None, is_broken=True)


class Row(TypedDict):
    """One row of `tables.records`, without the bee."""

    key: bytes
    seq: int
    status: int
    kind: str | None
    reason: str | None
    value: bytes | None
    first_seen: int
    created_at: int | None
    sort_at: int
    date_flag: str | None
    in_feed: bool
    film: str | None
    film_title: str | None
    rating: int | None
    target: bytes | None
    label: str | None


def newest(operations: Iterable[Operation]) -> dict[bytes, Operation]:
    """The last operation on each key, whatever the order they are given in."""
    last: dict[bytes, Operation] = {}
    for operation in operations:
        before = last.get(operation.key)
        if before is None or operation.seq > before.seq:
            last[operation.key] = operation
    return last


def decide(operations: Iterable[Operation], now: int) -> list[Row]:
    """One row for every key touched. `now`: milliseconds since 1970, when these blocks came here."""
    return [_row(operation, now) for operation in newest(operations).values()]


def _row(operation: Operation, now: int) -> Row:
    row = _bare_row(operation, now)
    if operation.is_broken:
        row["status"] = int(Status.SKIPPED)
        row["reason"] = BROKEN_REASON
        return row
    if operation.value is None:
        return row
    record = parse_record(operation.key, operation.value)
    if isinstance(record, Rejected):
        row["status"] = int(Status.SKIPPED)
        row["reason"] = str(record.reason)
        return row
    row["kind"] = record.kind
    row["value"] = operation.value
    row["status"] = int(Status.KEPT)
    if isinstance(record, (Post, Watch)):
        row["status"] = int(Status.SHOWN)
        _place(row, record, now)
        _name_film(row, record)
    row["target"], row["label"] = _aim(record)
    return row


def _bare_row(operation: Operation, now: int) -> Row:
    """The row of a removal; every other row begins as one."""
    return Row(
        key=stored_key(operation.key),
        seq=operation.seq,
        status=int(Status.DELETED),
        kind=None,
        reason=None,
        value=None,
        first_seen=now,
        created_at=None,
        sort_at=now,
        date_flag=None,
        in_feed=False,
        film=None,
        film_title=None,
        rating=None,
        target=None,
        label=None,
    )


def stored_key(key: bytes) -> bytes:
    """The key as a row holds it. One too long to index is stood for by its hash behind a byte UTF-8 never
    has.
    """
    return key if len(key) <= MAX_KEY_BYTES else b"\xff" + blake2b(key, digest_size=32).digest()


def _place(row: Row, record: Post | Watch, now: int) -> None:
    """The order rule. An import (`src`) that would come out on top stays on its author's page."""
    created = record.created_at
    row["date_flag"] = None if record.date_flag is None else str(record.date_flag)
    if created is not None:
        row["created_at"] = created
        row["sort_at"] = min(created, now)
        if created > now + SKEW_MS:
            row["date_flag"] = FUTURE_FLAG
    imported = isinstance(record, Watch) and record.source is not None
    row["in_feed"] = not imported or row["sort_at"] <= now - DAY_MS


def _name_film(row: Row, record: Record) -> None:
    if isinstance(record, (Post, Watch)) and record.film is not None:
        names = film_refs(record.film)
        row["film"], row["film_title"] = names[0], names[-1]
    if isinstance(record, Watch):
        row["rating"] = record.rating


def target_of(bee: bytes, key: bytes) -> bytes:
    """A record's name of fixed length (16 bytes), by which replies and reactions point to it."""
    return blake2b(bee + stored_key(key), digest_size=16).digest()


def _aim(record: Record) -> tuple[bytes | None, str | None]:
    """What a record belongs to: the root a reply answers, or what is reacted to and how."""
    if isinstance(record, Post) and record.root is not None:
        return target_of(bytes.fromhex(record.root.bee), record.root.key.encode()), None
    if isinstance(record, Reaction):
        return target_of(bytes.fromhex(record.subject.bee), record.subject.key.encode()), record.reaction
    return None, None


def aim(key: bytes, value: bytes) -> tuple[bytes | None, str | None]:
    """The same for a record as it is stored; (None, None) for what is no record."""
    record = parse_record(key, value)
    return (None, None) if isinstance(record, Rejected) else _aim(record)


# --- which stretch of the log comes next ----------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Position:
    """How far a bee's log is read: blocks [tail, cursor) of the tree `fork`. 0, 0 = nothing yet."""

    fork: int = 0
    cursor: int = 0
    tail: int = 0

    @property
    def seen(self) -> bool:
        return self.cursor > 0

    @property
    def complete(self) -> bool:
        """Whether nothing older is left. Block 0 is the bee's header and no operation."""
        return self.cursor > 0 and self.tail <= 1


@dataclass(frozen=True, slots=True)
class Stretch:
    """Blocks [start, end) to read next; `after` is the position once their rows are written."""

    start: int
    end: int
    after: Position
    is_backward: bool = False


def forward(position: Position, length: int, at_most: int) -> Stretch | None:
    """The next stretch towards the head of a log of `length` blocks, or None when it is reached."""
    if length <= max(position.cursor, 1):
        return None
    if not position.seen:
        start = max(1, length - FIRST_LOOK)
        return Stretch(start, length, replace(position, cursor=length, tail=start))
    end = min(length, position.cursor + at_most)
    return Stretch(position.cursor, end, replace(position, cursor=end))


def backward(position: Position, at_most: int) -> Stretch | None:
    """The next older stretch, or None when the log is read to its first operation."""
    if not position.seen or position.complete:
        return None
    start = max(1, position.tail - at_most)
    return Stretch(start, position.tail, replace(position, tail=start), is_backward=True)


# --- when to try again ----------------------------------------------------------------------------

FIRST_RETRY_MS: Final = 2_000
LAST_RETRY_MS: Final = 10 * 60 * 1000


def retry_delay(failures: int, chance: float) -> int:
    """Milliseconds until the next try after `failures` in a row; `chance` in [0, 1) spreads them by a
    quarter.
    """
    delay = min(LAST_RETRY_MS, FIRST_RETRY_MS << min(max(failures - 1, 0), 20))
    return int(delay * (0.75 + chance / 2))
