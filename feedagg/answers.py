"""What was said to a record: replies, in the order of the conversation, and reactions, counted.

A reply is found under its root, a reaction under its subject, by `records.target` (decide.target_of).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from sqlalchemy import Connection, func, select

from feedagg.decide import target_of
from feedagg.naming import are_records
from feedagg.queries import Item, Order, Page, Place, item_columns
from feedagg.tables import AIMED, LISTED, records

MOST_COUNTED: Final = 10_000
"""Replies and reactions that one page counts; a flood of them costs no page more than that."""

REPLIES: Final = 100


@dataclass(slots=True)
class Answers:
    """How much was said to one record. `reactions`: how many of each, the most frequent first; `is_partial`: more."""

    replies: int = 0
    reactions: dict[str, int] = field(default_factory=dict)
    is_partial: bool = False


def count(connection: Connection, names: Iterable[tuple[bytes, bytes]]) -> dict[tuple[bytes, bytes], Answers]:
    """What was said to each of these records, (bee, key)."""
    targets = {target_of(bee, key): (bee, key) for bee, key in names}
    if not targets:
        return {}
    some = select(records.c.target, records.c.label).where(AIMED, records.c.target.in_(list(targets)))
    counted = some.limit(MOST_COUNTED).subquery()
    number = func.count().label("number")
    query = select(counted.c.target, counted.c.label, number).group_by(counted.c.target, counted.c.label)
    found: defaultdict[tuple[bytes, bytes], Answers] = defaultdict(Answers)
    total = 0
    for target, label, many in connection.execute(query.order_by(number.desc(), counted.c.label)):
        answers = found[targets[bytes(target)]]
        total += many
        if label is None:
            answers.replies = many
        else:
            answers.reactions[label] = many
    for answers in found.values():
        answers.is_partial = total >= MOST_COUNTED
    return dict(found)


def replies(
    connection: Connection,
    bee: bytes,
    key: bytes,
    *,
    before: Place | None = None,
    after: Place | None = None,
    size: int = REPLIES,
) -> Page:
    """Replies under the root (bee, key), the oldest first. `has_older`: there are earlier ones."""
    of_root = (AIMED, LISTED, records.c.target == target_of(bee, key), records.c.label.is_(None))
    query, order = select(*item_columns()).where(*of_root).limit(size + 1), Order.DATE
    if before is not None and after is None:
        query = query.where(order.beyond(before)).order_by(*order.sorting())
        found = [Item(*row) for row in connection.execute(query)]
        return Page(found[:size][::-1], has_newer=True, has_older=len(found) > size)
    if after is not None:
        query = query.where(order.beyond(after, newer=True))
    found = [Item(*row) for row in connection.execute(query.order_by(*order.sorting(oldest_first=True)))]
    return Page(found[:size], has_newer=len(found) > size, has_older=after is not None)


def newest_replies(
    connection: Connection, bee: bytes, key: bytes, *, before: Place | None, size: int
) -> Page:
    """The same, the newest first, as a feed reader wants them."""
    page = replies(connection, bee, key, before=before or Place(2**62, 0), size=size)
    return Page(page.items[::-1], has_newer=page.has_newer, has_older=page.has_older)


def rows(connection: Connection, names: Iterable[tuple[bytes, bytes]]) -> dict[tuple[bytes, bytes], Item]:
    """The rows of these records, whatever their status."""
    wanted = list(dict.fromkeys(names))
    if not wanted:
        return {}
    query = select(*item_columns()).where(are_records(wanted))
    return {(item.bee, item.key): item for item in (Item(*row) for row in connection.execute(query))}
