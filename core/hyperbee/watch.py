"""Following a bee: pairs of snapshots when a range changes, or one entry kept up to date.

Source of the semantics: hyperbee 2.27.3 `Watcher` and `EntryWatcher` of index.js. Changes are noticed through the
log's events, which come after the commit; several changes between two looks are one.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any

from ..errors import SessionClosed, SnapshotNotAvailable
from .ranges import Entry
from .turn import Turn

if TYPE_CHECKING:
    from .bee import Hyperbee

Differ = Callable[["Hyperbee", "Hyperbee"], AsyncIterator[Any]]
Mapper = Callable[["Hyperbee"], Any]


class _Signal:
    """Set whenever the log of a bee grows or is truncated."""

    def __init__(self, bee: Hyperbee) -> None:
        self._core = bee.core
        self._event = asyncio.Event()
        self._core.on("append", self.set)
        self._core.on("truncate", self.set)

    def set(self, *_: Any) -> None:
        self._event.set()

    async def wait(self) -> None:
        await self._event.wait()
        self._event.clear()

    def close(self) -> None:
        self._core.off("append", self.set)
        self._core.off("truncate", self.set)
        self._event.set()


class Watcher:
    """Made by `Hyperbee.watch`; an async iterator of (current, previous). `close()` ends it."""

    def __init__(
        self,
        bee: Hyperbee,
        bounds: dict[str, Any],
        encodings: dict[str, Any],
        *,
        eager: bool,
        differ: Differ | None,
        mapper: Mapper | None,
    ) -> None:
        self._bee = bee
        self._bounds = bounds
        self._encodings = encodings
        self._differ = differ
        self._mapper = mapper
        self._turn = Turn()
        self._closed = False
        self._signal = _Signal(bee)
        self.current: Hyperbee = bee.checkout(1, **encodings) if eager else bee.snapshot(**encodings)
        self.previous: Hyperbee | None = None
        bee._watchers.add(self)

    def __aiter__(self) -> Watcher:
        return self

    async def __anext__(self) -> tuple[Any, Any]:
        if not self._turn.take():
            await self._turn.wait()
        try:
            while not self._closed:
                if not self._is_behind():
                    await self._signal.wait()
                    continue
                await self._step()
                try:
                    if await self._differs():
                        return self._map(self.current), self._map(self.previous)
                except SnapshotNotAvailable:
                    continue  # truncated while we compared: there is something newer to compare with
            raise StopAsyncIteration
        except SessionClosed:
            if self._closed:
                raise StopAsyncIteration from None
            raise
        finally:
            self._turn.release()

    def _is_behind(self) -> bool:
        bee, current = self._bee, self.current
        return bee.version != current.version or bee.core.fork != current.core.fork

    async def _step(self) -> None:
        if self.previous is not None:
            await self.previous.close()
        self.previous = self.current
        self.current = self._bee.snapshot(**self._encodings)

    async def _differs(self) -> bool:
        assert self.previous is not None
        if self.current.core.fork != self.previous.core.fork:
            return True
        if self._differ is None:
            differences: AsyncIterator[Any] = self.current.diff(self.previous, **self._bounds)
        else:
            differences = self._differ(self.current, self.previous)
        async for _ in differences:
            return True
        return False

    def _map(self, snapshot: Hyperbee | None) -> Any:
        return snapshot if self._mapper is None or snapshot is None else self._mapper(snapshot)

    async def close(self) -> None:
        """End the watching and close both snapshots; whoever waits for the next pair is told that it is over."""
        if self._closed:
            return
        self._closed = True
        self._bee._watchers.discard(self)
        self._signal.close()
        await self.current.close()
        if self.previous is not None:
            await self.previous.close()


class EntryWatcher:
    """Made by `Hyperbee.get_and_watch`. `entry` is the key's entry (or None) as of the last look; iterating waits for
    changes and yields the new entry."""

    def __init__(self, bee: Hyperbee, key: Any, encodings: dict[str, Any]) -> None:
        self._bee = bee
        self._key = key
        self._encodings = encodings
        self._signal = _Signal(bee)
        self._fork = bee.core.fork
        self._closed = False
        self.entry: Entry | None = None
        bee._watchers.add(self)

    async def refresh(self) -> bool:
        """Look now; True when the entry changed (or the log was truncated, which may have changed anything)."""
        fork = self._bee.core.fork
        entry = await self._bee.get(self._key, **self._encodings)
        changed = fork != self._fork or (entry and entry.seq) != (self.entry and self.entry.seq)
        self._fork = fork
        self.entry = entry
        return changed

    def __aiter__(self) -> EntryWatcher:
        return self

    async def __anext__(self) -> Entry | None:
        while True:
            await self._signal.wait()
            if self._closed:
                raise StopAsyncIteration
            if await self.refresh():
                return self.entry

    async def close(self) -> None:
        """Stop following; whoever waits for a change is told that it is over."""
        self._closed = True
        self._bee._watchers.discard(self)
        self._signal.close()
