"""A record as pages show it: whose it is, what it says, and what others answered."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from core.records import Record, Ref, Rejected, parse_record, value_hash

from .rows import place_of
from .shelf import Shelf

COLUMNS = "r.id, b.key, b.name, b.avatar, r.key, r.seq, r.value, r.at"
"""What `shown_from` takes; `r` is a record, `b` its bee."""


@dataclass(frozen=True, slots=True)
class Reactions:
    """One word or emoji: how many people reacted with it, and whether one of them is the reader."""

    reaction: str
    count: int
    mine: bool


@dataclass(frozen=True, slots=True)
class Shown:
    """A record of anyone's. `at`: milliseconds since 1970, where it stands in a timeline."""

    id: int
    bee: str
    name: str | None
    avatar: str | None
    key: str
    seq: int
    record: Record | Rejected
    at: int
    value: str
    replies: int = 0
    reactions: tuple[Reactions, ...] = field(default=())

    @property
    def place(self) -> str:
        return place_of(self.bee, self.key)

    @property
    def ref(self) -> Ref:
        """Names exactly this version, for what answers it."""
        return Ref(self.bee, self.key, self.seq, value_hash(self.value.encode()))

    @property
    def cursor(self) -> str:
        """Where a page that begins after this one begins."""
        return str(self.id)


def shown_from(shelf: Shelf, rows: list[Any], me: str) -> list[Shown]:
    """Rows of `COLUMNS` as records with what was answered to them, in a few statements for all of them."""
    if not rows:
        return []
    places = [place_of(row[1], row[4]) for row in rows]
    replies = _replies(shelf, places)
    reactions = _reactions(shelf, places, me)
    return [
        replace(shown, replies=replies.get(shown.place, 0), reactions=reactions.get(shown.place, ()))
        for shown in _plain(rows)
    ]


def _plain(rows: list[Any]) -> list[Shown]:
    """Rows of `COLUMNS` without what was answered to them."""
    return [
        Shown(id, bee, name, avatar, key, seq, parse_record(key, value.encode()), at, value)
        for id, bee, name, avatar, key, seq, value, at in rows
    ]


def marks(values: list[Any]) -> str:
    """`?, ?, ?` for a list of parameters."""
    return ", ".join("?" * len(values))


def _replies(shelf: Shelf, places: list[str]) -> dict[str, int]:
    statement = (
        f"SELECT subject, count(*) FROM records WHERE subject IN ({marks(places)}) AND kind = 'post' "  # noqa: S608
        "GROUP BY subject"
    )
    return dict(shelf.db.execute(statement, places).fetchall())


def _reactions(shelf: Shelf, places: list[str], me: str) -> dict[str, tuple[Reactions, ...]]:
    statement = (
        "SELECT r.subject, r.key, b.key FROM records r JOIN bees b ON b.id = r.bee "  # noqa: S608
        f"WHERE r.subject IN ({marks(places)}) AND r.kind = 'react'"
    )
    counted: dict[str, dict[str, list[str]]] = {}
    for subject, key, bee in shelf.db.execute(statement, places):
        counted.setdefault(subject, {}).setdefault(key.rpartition("/")[2], []).append(bee)
    return {
        subject: tuple(
            Reactions(reaction, len(bees), me in bees)
            for reaction, bees in sorted(by_reaction.items(), key=lambda pair: (-len(pair[1]), pair[0]))
        )
        for subject, by_reaction in counted.items()
    }
