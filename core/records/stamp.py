"""What every record carries besides its own fields: its key, its dates and the fields nobody knows."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from .dates import DateFlag, format_date
from .fields import Fields


@dataclass(frozen=True, slots=True, kw_only=True)
class Stamp:
    """`created_at`, `updated_at`: milliseconds since 1970 as the author claims, None if not readable.

    `date_flag` says what was wrong with `createdAt`; `extra` holds unknown fields, to be written back as
    they came; `by_hand` marks an entry read by the rule for workshop bees.
    """

    key: str
    created_at: int | None = None
    updated_at: int | None = None
    date_flag: DateFlag | None = None
    by_hand: bool = False
    extra: dict[str, Any] = field(default_factory=dict)

    def _stamped(self, out: dict[str, Any]) -> dict[str, Any]:
        """`out` with the dates and the unknown fields after it."""
        if self.created_at is not None:
            out["createdAt"] = format_date(self.created_at)
        if self.updated_at is not None:
            out["updatedAt"] = format_date(self.updated_at)
        out.update(self.extra)
        return out


def read_stamp(key: str, fields: Fields, *, updates: bool = False, by_hand: bool = False) -> dict[str, Any]:
    """The arguments of `Stamp` from what is left of `fields`; call it last."""
    created_at, flag = fields.date("createdAt")
    updated_at = fields.date("updatedAt")[0] if updates else None
    return {
        "key": key,
        "created_at": created_at,
        "updated_at": updated_at,
        "date_flag": flag,
        "by_hand": by_hand,
        "extra": fields.rest(),
    }
