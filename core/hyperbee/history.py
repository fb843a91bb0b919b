"""The operations of a bee in the order they were made: the log itself, decoded.

Source of the semantics: hyperbee 2.27.3 `iterators/history.js`. Reading the newest twenty operations takes twenty
blocks, because every block carries its own key and value; the tree is not looked at.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from .node import index_mentions, parse_block
from .ranges import Entry, EntryMaker


class Operation(NamedTuple):
    """One block of the log. `value` is None for a deletion."""

    type: Literal["put", "del"]
    seq: int
    key: Any
    value: Any


@dataclass(frozen=True, slots=True)
class Span:
    """Sequence numbers [start, end)."""

    start: int
    end: int


def span_of(
    version: int,
    *,
    gt: int | None = None,
    gte: int | None = None,
    lt: int | None = None,
    lte: int | None = None,
) -> Span:
    """Which operations a history of `version` covers. Negative bounds count from the end; a bound of 0 as `gte` means
    1 (block 0 is the header), as `lt` or `lte` nothing."""
    if gt:
        start = (gt + version if gt < 0 else gt) + 1
    else:
        start = gte or 1
        start = start + version if start < 0 else start
    if lte == 0 or lt == 0:
        end = 0
    elif lte:
        end = (lte + version if lte < 0 else lte) + 1
    else:
        end = lt or version
        end = end + version if end < 0 else end
    return Span(max(1, start), min(end, version))


def decode_operation(seq: int, block: bytes, make_entry: EntryMaker) -> Operation:
    """The operation that a block holds.

    A value of None that is not a deletion is a put of None. In the middle of a batch the two cannot be told apart and
    both are reported as deletions, as the reference does.
    """
    start, end, key, value = parse_block(block)
    deleted = value is None and not index_mentions(block, start, end, seq)
    entry: Entry = make_entry(seq, key, value)
    return Operation("del" if deleted else "put", *entry)
