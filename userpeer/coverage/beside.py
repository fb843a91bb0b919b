"""A receipt beside one's own log: the same figures twice, and what follows from them, in sentences.

Pure: what is known of one's own log is an argument.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from core.records import Reason
from userpeer.wording import counted

from .receipt import Receipt

Mark = Literal["ok", "info", "warn", "bad"]

NAMES: Final = {"post": "posts", "movie": "films"}
"""The kinds that a feed lists, and how people call them."""

_THEIR_REASONS: Final = {
    "not-an-operation": "The block is no operation of a bee.",
    "purged": "The operator dropped this aggregator’s copy.",
}


@dataclass(frozen=True, slots=True)
class OwnLog:
    """One's own log. `tree`: the hash (hex) of its tree of so many blocks; `records`: how many of each kind."""

    length: int
    fork: int
    tree: Callable[[int], str]
    records: Mapping[str, int]
    is_restored: bool = True
    """False while a restored peer looks for its records."""


@dataclass(frozen=True, slots=True)
class Line:
    """One figure, here and there."""

    what: str
    here: int
    there: int

    @property
    def is_same(self) -> bool:
        return self.here == self.there


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that follows. `moment` (milliseconds since 1970) belongs at the end of the sentence."""

    mark: Mark
    sentence: str
    moment: int | None = None


@dataclass(frozen=True, slots=True)
class Hidden:
    """A record that the aggregator hides, and the reason it gives in public; `key` None: the whole bee."""

    key: str | None
    reason: str


@dataclass(frozen=True, slots=True)
class Unread:
    """A record of one's own that no feed would list, and why."""

    key: str
    sentence: str


def lines(receipt: Receipt, own: OwnLog) -> list[Line]:
    """The figures beside each other: blocks, then the records that feeds list."""
    blocks = Line("Blocks", own.length, receipt.indexed_to)
    kinds = [
        Line(name.capitalize(), own.records.get(kind, 0), receipt.listed.get(kind, 0))
        for kind, name in NAMES.items()
    ]
    return [blocks, *kinds]


def findings(
    receipt: Receipt, own: OwnLog, hidden: Sequence[Hidden] = (), unread: Sequence[Unread] = ()
) -> list[Finding]:
    """What the author should know, the gravest kind of thing first."""
    return [
        *_standing(receipt),
        *_history(receipt, own),
        *_reading(receipt, own),
        *_shown(receipt, own, hidden, unread),
    ]


def _standing(receipt: Receipt) -> list[Finding]:
    reason = f" The reason it gives: {receipt.reason}" if receipt.reason else " It gives no reason."
    match receipt.state:
        case "refused":
            return [Finding("bad", f"It refuses your bee and shows nothing of it.{reason}")]
        case "paused":
            return [Finding("warn", f"It has stopped reading your bee; what it read stays.{reason}")]
        case "pending":
            return [Finding("info", "It has your key, and its operator has not decided yet.")]
        case "unreachable":
            why = f" ({receipt.error})" if receipt.error else ""
            sentence = f"It cannot reach you{why}. Let your peer run, or submit again so that it learns your address. "
            return [Finding("warn", f"{sentence}It tries again", receipt.next_try)]
        case "waiting":
            return [
                Finding("info", "It has your key and has not reached you yet. It tries", receipt.next_try)
            ]
        case "following" | "empty":
            return [Finding("ok", "It follows your bee and is connected. Last contact", receipt.last_contact)]
        case other:
            return [Finding("info", f"It says that your bee is “{other}”.{reason if receipt.reason else ''}")]


def _history(receipt: Receipt, own: OwnLog) -> list[Finding]:
    """Whether what it holds is what we signed."""
    if receipt.stored == 0:
        return []
    if not own.is_restored:
        return [
            Finding(
                "info",
                f"It knows of {counted(receipt.stored, 'block')} of your bee, so they may be found there.",
            )
        ]
    if receipt.fork < own.fork:
        return [
            Finding(
                "info", f"It still holds fork {receipt.fork} of your log; yours is at fork {own.fork} by now."
            )
        ]
    if receipt.fork > own.fork or receipt.stored > own.length:
        return [
            Finding(
                "bad",
                f"It holds {counted(receipt.stored, 'block')} of your bee, and here are only {own.length:,}. This "
                "is an older copy of your peer, or your key was used elsewhere: write nothing before you know which.",
            )
        ]
    if receipt.tree == own.tree(receipt.stored):
        return [
            Finding(
                "ok",
                f"What it holds is your log: the hash over {counted(receipt.stored, 'block')} is the same there and "
                "here.",
            )
        ]
    return [
        Finding(
            "bad",
            f"It holds another history under your key: the hash over {counted(receipt.stored, 'block')} is not that of "
            "your log. Your key was used twice.",
        )
    ]


def _reading(receipt: Receipt, own: OwnLog) -> list[Finding]:
    if not own.is_restored or receipt.state in ("refused", "pending") or receipt.fork != own.fork:
        return []
    out = []
    behind = own.length - receipt.indexed_to
    if receipt.indexed_to == 0:
        out.append(Finding("info", "It has read nothing of your bee yet."))
    elif behind > 0:
        out.append(
            Finding(
                "warn", f"It is {counted(behind, 'block')} behind: your last changes are not shown there yet."
            )
        )
    if receipt.indexed_to and receipt.indexed_from > 1:
        older = receipt.indexed_from - 1
        out.append(
            Finding(
                "info",
                f"It began at the end of your log; {counted(older, 'block')} of older history still to be read.",
            )
        )
    return out


def _shown(
    receipt: Receipt, own: OwnLog, hidden: Sequence[Hidden], unread: Sequence[Unread]
) -> list[Finding]:
    out = []
    if receipt.hidden:
        out.append(Finding("warn", f"It hides {counted(receipt.hidden, 'record')} of yours."))
    for one in hidden:
        what = "your whole bee" if one.key is None else one.key
        out.append(
            Finding(
                "warn", f"Hidden, as it says in public: {what}. The reason it gives: {one.reason or 'none'}"
            )
        )
    for reason, number in receipt.skipped.items():
        out.append(Finding("warn", f"It skipped {counted(number, 'record')}: {_meaning(reason)}"))
    out += [Finding("info", f"Of yours, no feed lists {one.key}: {one.sentence}") for one in unread]
    short = {
        name: own.records.get(kind, 0) - receipt.listed.get(kind, 0)
        for kind, name in NAMES.items()
        if own.records.get(kind, 0) > receipt.listed.get(kind, 0)
    }
    is_whole = (
        own.is_restored
        and receipt.indexed_to >= own.length
        and receipt.indexed_from <= 1
        and receipt.fork == own.fork
    )
    if is_whole and short and sum(short.values()) > receipt.hidden + sum(receipt.skipped.values()):
        missing = " and ".join(f"{number:,} {name}" for name, number in short.items())
        out.append(
            Finding(
                "bad", f"It has read everything, and lists {missing} fewer than you have, without saying why."
            )
        )
    if is_whole and not short and receipt.state == "following":
        out.append(Finding("ok", "It shows all your posts and films."))
    kept = sum(receipt.kept.values())
    if kept:
        out.append(
            Finding(
                "info",
                f"It keeps {counted(kept, 'record')} that a feed does not list: your profile, whom you follow, lists.",
            )
        )
    return out


def _meaning(reason: str) -> str:
    try:
        return Reason(reason).meaning
    except ValueError:
        return _THEIR_REASONS.get(reason, f"the reason it gives is “{reason}”.")
