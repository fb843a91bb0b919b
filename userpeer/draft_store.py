"""What was typed and not published yet: kept on the disk, so that a closed tab or a crash loses none of it.

A slot is a form: "post", "movie", "edit:<key>", "reply:<place>". Values are the form's text fields as typed.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .files import read_json, write_json

MAX_SLOTS = 50
MAX_SLOT_CHARACTERS = 2_000


@dataclass(frozen=True, slots=True)
class KeptDraft:
    """One form's text, and when it was last changed (seconds since 1970)."""

    slot: str
    values: dict[str, str]
    at: float


class DraftStore:
    """All drafts in one small JSON file that is replaced as a whole."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._drafts: dict[str, KeptDraft] | None = None

    def get(self, slot: str) -> KeptDraft | None:
        return self._all().get(slot)

    def all(self) -> list[KeptDraft]:
        """The latest first."""
        return sorted(self._all().values(), key=lambda draft: draft.at, reverse=True)

    def keep(self, slot: str, values: dict[str, str]) -> None:
        """Remember what is in a form; an empty form is forgotten. The oldest of too many drafts goes."""
        drafts = self._all()
        if len(slot) > MAX_SLOT_CHARACTERS:
            return
        if not any(value.strip() for value in values.values()):
            self.drop(slot)
            return
        drafts.pop(slot, None)
        drafts[slot] = KeptDraft(slot, dict(values), time.time())
        while len(drafts) > MAX_SLOTS:
            del drafts[min(drafts, key=lambda name: drafts[name].at)]
        self._save()

    def drop(self, slot: str) -> None:
        """It was published, or is not wanted any more."""
        if self._all().pop(slot, None) is not None:
            self._save()

    def _all(self) -> dict[str, KeptDraft]:
        if self._drafts is None:
            rows = read_json(self._path, [])
            try:
                self._drafts = {row["slot"]: KeptDraft(row["slot"], row["values"], row["at"]) for row in rows}
            except (TypeError, KeyError):
                self._drafts = {}
        return self._drafts

    def _save(self) -> None:
        rows: list[Any] = [
            {"slot": draft.slot, "values": draft.values, "at": draft.at} for draft in self._all().values()
        ]
        write_json(self._path, rows)
