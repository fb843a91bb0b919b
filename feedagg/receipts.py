"""The coverage receipt of a bee: what was seen of it, what was read, what was skipped and why."""

from __future__ import annotations

from dataclasses import dataclass

from core.records import Reason
from feedagg.decide import BROKEN_REASON, PURGED_REASON
from feedagg.queries import Tally
from feedagg.sources import FOLLOWING, Source

MEANINGS = {str(reason): reason.meaning for reason in Reason} | {
    BROKEN_REASON: "The block is no operation of a bee.",
    PURGED_REASON: "The operator dropped this aggregator's copy.",
}


@dataclass(frozen=True, slots=True)
class Skipped:
    """How many entries were not shown for one reason."""

    reason: str
    meaning: str
    count: int


@dataclass(frozen=True, slots=True)
class Receipt:
    """What was read of a bee. Lengths count blocks; block 0 is the bee's header, so a bee of n operations has
    n + 1.

    `state`: following, empty, waiting (not reached yet), unreachable; or the standing: pending, paused, refused.
    """

    source: Source
    state: str
    read: int  # blocks indexed
    remaining: int  # blocks of history still to read
    tally: Tally
    skipped: list[Skipped]


def receipt(source: Source, tally: Tally) -> Receipt:
    """What can be said about a source and its rows."""
    if source.state != FOLLOWING:
        state = source.state
    elif source.connected:
        state = "following" if source.length > 1 or source.cursor > 0 else "empty"
    else:
        state = "unreachable" if source.attempts > 0 else "waiting"
    skipped = [Skipped(name, MEANINGS.get(name, ""), number) for name, number in tally.skipped.items()]
    read = source.cursor - source.tail if source.cursor else 0
    return Receipt(source, state, read, max(0, source.tail - 1), tally, skipped)
