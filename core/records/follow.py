"""`follow/<bee key>`: a bee whose records this author wants to read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from . import bounds
from .fields import Fields
from .stamp import Stamp, read_stamp


@dataclass(frozen=True, slots=True, kw_only=True)
class Follow(Stamp):
    """`bee` is the followed bee's key, 64 hex digits."""

    bee: str
    note: str | None = None

    @property
    def kind(self) -> str:
        return "follow"

    def to_json(self) -> dict[str, Any]:
        return self._stamped({} if self.note is None else {"note": self.note})


def read_follow(key: str, fields: Fields) -> Follow:
    note = fields.optional_text("note", chars=bounds.MAX_NOTE)
    return Follow(bee=key.partition("/")[2], note=note, **read_stamp(key, fields))
