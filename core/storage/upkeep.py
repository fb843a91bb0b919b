"""What a store needs done beside its commits: syncs soon after a write, a checkpoint when writes cease.

One timer a store, and none while nothing waits. A sync runs in the event loop's default executor, because a busy
disk takes milliseconds for it. Whoever waits for one while another runs is told by the next.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from typing import Final

from ..errors import StorageError
from .base import Storage
from .listeners import call_safely

_LOGGER = logging.getLogger(__name__)

SYNC_SECONDS: Final = 0.1
"""A power cut undoes at most what was committed within this time (and what a sync takes)."""

CHECKPOINT_SECONDS: Final = 1.0
"""After so long without a write the journal is emptied, so that the next start has nothing to replay."""

RETRY_SECONDS: Final = 10.0
"""Between a checkpoint that found the disk full and the next one."""

Told = Callable[[StorageError | None], None]


class Upkeep:
    """Background syncs and checkpoints of `storage`, on whatever event loop runs when something is written."""

    __slots__ = (
        "_covered",
        "_due",
        "_last_write",
        "_loop",
        "_promised",
        "_retry_at",
        "_storage",
        "_syncing",
        "_timer",
        "_told_next",
        "_told_now",
    )

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0
        self._last_write = 0.0
        self._retry_at = 0.0
        self._syncing = False
        # A promise that no sync has begun for, and whether the running one is for another.
        self._promised = False
        self._covered = False
        # Who is told at the end of the running sync, and who at the end of the one after it.
        self._told_now: list[Told] = []
        self._told_next: list[Told] = []

    def wrote(self) -> None:
        """Something was committed."""
        if not self._storage.unsynced:
            return
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return
        now = self._last_write = loop.time()
        if loop is not self._loop:
            self._adopt(loop)
        if not self._syncing and (self._timer is None or self._due > now + SYNC_SECONDS):
            self._arm(now + SYNC_SECONDS)

    # --- promises -----------------------------------------------------------------------------

    def promise(self) -> None:
        """See `GroupCommit.promise`."""
        if self._storage.unsynced:
            self._promised = True

    def when_safe(self, told: Told, *, at_once: bool = False) -> None:
        """See `GroupCommit.when_safe`."""
        if self._promised and not self._syncing and not self._storage.unsynced:
            self._promised = False
        if not self._promised and not self._covered:
            told(None)
            return
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            loop = None
        if at_once or loop is None:
            self._told_next.append(told)
            self._sync_here()
            return
        if loop is not self._loop:
            self._adopt(loop)
        if self._promised:
            self._told_next.append(told)
            if not self._syncing:
                self._begin_sync()
        else:
            self._told_now.append(told)

    def _sync_here(self) -> None:
        error: StorageError | None = None
        try:
            self._storage.sync()
        except StorageError as failure:
            error = failure
        told = [*self._told_now, *self._told_next]
        self._told_now, self._told_next = [], []
        self._promised, self._covered = error is not None, False
        for tell in told:
            call_safely(tell, error)

    # --- the timer ----------------------------------------------------------------------------

    def _adopt(self, loop: asyncio.AbstractEventLoop) -> None:
        """The loop that was used before is not running any more: its timer and its sync will not come."""
        self._loop = loop
        self._timer = None
        self._promised |= self._covered
        self._syncing = self._covered = False
        self._told_next[:0] = self._told_now
        self._told_now = []

    def _arm(self, when: float) -> None:
        assert self._loop is not None
        if self._timer is not None:
            self._timer.cancel()
        self._due = when
        self._timer = self._loop.call_at(when, self._fire)

    def _fire(self) -> None:
        self._timer = None
        storage, loop = self._storage, self._loop
        assert loop is not None
        if not storage.uncheckpointed:
            return
        # The clock of the loop may call a little early.
        now = loop.time() + 0.001
        idle_at = max(self._last_write + CHECKPOINT_SECONDS, self._retry_at)
        if now >= idle_at:
            self._checkpoint(now)
        elif storage.unsynced:
            self._begin_sync()
        else:
            self._arm(idle_at)

    def _checkpoint(self, now: float) -> None:
        try:
            self._storage.checkpoint()
        except StorageError as error:
            _LOGGER.error("%s; what was committed stays in the journal", error)
            self._retry_at = now + RETRY_SECONDS
            self._arm(now + SYNC_SECONDS)

    # --- syncs --------------------------------------------------------------------------------

    def _begin_sync(self) -> None:
        assert self._loop is not None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._syncing = True
        self._covered, self._promised = self._promised, False
        self._told_now, self._told_next = self._told_next, []
        mark, job = self._storage.begin_sync()
        self._loop.run_in_executor(None, job).add_done_callback(partial(self._ended, self._loop, mark))

    def _ended(self, loop: asyncio.AbstractEventLoop, mark: int, sync: asyncio.Future[None]) -> None:
        if loop is not self._loop or sync.cancelled():
            return
        error = sync.exception()
        if error is not None and not isinstance(error, OSError):
            raise error
        failure: StorageError | None = None
        try:
            self._storage.end_sync(mark, error)
        except StorageError as raised:
            failure = raised
            _LOGGER.error("%s", failure)
        told, self._told_now = self._told_now, []
        self._syncing = False
        self._promised |= self._covered and failure is not None
        self._covered = False
        for tell in told:
            call_safely(tell, failure)
        if self._told_next and not self._syncing:
            self._begin_sync()
        elif not self._syncing and self._storage.uncheckpointed:
            self._arm(loop.time() + (SYNC_SECONDS if failure is None else RETRY_SECONDS))
