"""Edits and deletes that can still be undone: what was asked for waits a few seconds before it is signed.

A block that is signed can be taken back by another block only, and whoever kept it can prove it; so the time to say
"oh no" is before. What waits is in a file: after a crash it is signed at the next start, because the person was told
that it would be. A restored peer that may not write yet keeps it waiting, and signs it as soon as it may.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Literal

from core.errors import MeadowError

from .draft_store import DraftStore
from .drafts import MovieDraft, PostDraft, draft_from
from .errors import UserError
from .files import read_json, write_json
from .publishing import Publisher

_log = logging.getLogger(__name__)

Kind = Literal["edit", "delete"]


@dataclass(frozen=True, slots=True)
class Pending:
    """One change that waits until `due` (seconds since 1970). `what`: the record in a few words; `values`: an edit's
    form; `seen`: the block of the version that is changed.
    """

    id: int
    kind: Kind
    key: str
    seen: int
    due: float
    what: str
    form: str = ""
    values: dict[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """A change that could not be signed, and why, in words. An edit's text is kept as a draft."""

    what: str
    sentence: str


class Waiting:
    """All changes that wait. Nothing is signed before `start`, which watches the clock; `close` signs what waits."""

    def __init__(
        self,
        path: Path,
        publisher: Publisher,
        drafts: DraftStore,
        seconds: float,
        changed: Callable[[], None],
    ) -> None:
        self.seconds = seconds
        self.failed: list[Failed] = []
        """What could not be signed since the page was last looked at."""
        self._path = path
        self._publisher = publisher
        self._drafts = drafts
        self._changed = changed
        self._items = {pending.id: pending for pending in _read(path)}
        self._left = list(self._items.values())
        self._next_id = 1 + max(self._items, default=0)
        self._news = asyncio.Event()
        self._turn = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None

    def all(self) -> list[Pending]:
        """Those that are due first, first."""
        return sorted(self._items.values(), key=lambda pending: pending.due)

    def of(self, key: str) -> Pending | None:
        """What waits for a record."""
        return next((pending for pending in self._items.values() if pending.key == key), None)

    async def start(self) -> None:
        """The peer may write: sign what an earlier process left waiting, and watch the clock from now on."""
        if self._task is not None:
            return
        self._task = asyncio.create_task(self._watch(), name="waiting changes")
        for pending in self._left:
            await self._sign(pending)

    async def close(self) -> None:
        """Sign what waits; nothing is lost by stopping. What could not be begun stays in the file."""
        if self._task is None:
            return
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        for pending in self.all():
            await self._sign(pending)

    async def add(
        self,
        kind: Kind,
        key: str,
        seen: int,
        what: str,
        *,
        form: str = "",
        values: dict[str, str] | None = None,
    ) -> Pending:
        """Let a change wait; one that waits for the same record already is signed first. Raises `UserError`."""
        before = self.of(key)
        if before is not None:
            self._publisher.may_write()
            await self._sign(before)
            raise UserError(
                "A change of this record has just been signed. Look at it again, then repeat yours."
            )
        pending = Pending(
            self._next_id, kind, key, seen, time.time() + self.seconds, what, form, values
        )  # fmt: skip
        self._next_id += 1
        self._items[pending.id] = pending
        self._save()
        self._news.set()
        self._changed()
        return pending

    def undo(self, id: int) -> Pending | None:
        """Take a change back; None when it is signed already. An edit's text becomes a draft again."""
        pending = self._items.pop(id, None)
        if pending is None:
            return None
        if pending.values is not None:
            self._drafts.keep(f"edit:{pending.key}", pending.values)
        self._save()
        self._changed()
        return pending

    async def sign_now(self, id: int) -> None:
        """Wait no longer. Raises `UserError` while the peer may not write; then it goes on waiting."""
        pending = self._items.get(id)
        if pending is not None:
            self._publisher.may_write()
            await self._sign(pending)

    # --- inside ---------------------------------------------------------------------------------------

    async def _watch(self) -> None:
        while True:
            self._news.clear()
            first = next(iter(self.all()), None)
            try:
                async with asyncio.timeout(None if first is None else max(0.0, first.due - time.time())):
                    await self._news.wait()
                    continue
            except TimeoutError:
                pass
            if first is not None:
                await self._sign(first)

    async def _sign(self, pending: Pending) -> None:
        async with self._turn:
            if self._items.get(pending.id) is not pending:
                return
            try:
                if pending.kind == "delete":
                    await self._publisher.delete(pending.key, seen=pending.seen)
                else:
                    draft = draft_from(
                        PostDraft if pending.form == "post" else MovieDraft, pending.values or {}
                    )
                    await self._publisher.edit(pending.key, draft, seen=pending.seen)
            except MeadowError as error:
                if pending.values is not None:
                    self._drafts.keep(f"edit:{pending.key}", pending.values)
                self.failed.append(Failed(pending.what, str(error)))
            except Exception:
                _log.exception("a waiting change of %s", pending.key)
                self.failed.append(Failed(pending.what, "Something broke here; the change was not signed."))
            self._items.pop(pending.id, None)
            self._save()
        self._changed()

    def _save(self) -> None:
        write_json(self._path, [asdict(pending) for pending in self.all()])


def _read(path: Path) -> list[Pending]:
    """What an earlier process left; what cannot be read is no change that anybody asked for."""
    found = []
    for row in read_json(path, []):
        try:
            found.append(Pending(**{field.name: row[field.name] for field in fields(Pending)}))
        except (TypeError, KeyError):
            continue
    return found
