"""One commit for everything that happens in one turn of the event loop.

The rule of this house is "verified, then stored, then announced". A hundred appends of a hundred tasks, or the
blocks that one read of a socket brought, share one commit. Whoever wants to tell somebody that something is
stored hands the telling to `after`.

A commit survives a killed process; the power is another matter. Most of what is stored can be had again from a
peer, but a signature of ours must not be forgotten once another peer has seen it: we would sign a second tree of
the same length, and readers would call that a conflict and never forgive it. So whoever lets a signature out says
`promise`, and bytes leave by `when_safe`, which waits for the disk while a promise is open.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from ..errors import StorageError
from .base import Storage
from .listeners import call_safely
from .upkeep import Told, Upkeep

_LOGGER = logging.getLogger(__name__)

CallSoon = Callable[[Callable[[], None]], Any]


class GroupCommit:
    """Collects the writes of a turn and what waits for them.

    `call_soon`: how to be called at the end of the turn; by default the running event loop's. Without a
    running loop nothing is scheduled and the caller commits by `now()`.
    """

    __slots__ = ("_after", "_before", "_call_soon", "_scheduled_by", "_upkeep", "storage")

    def __init__(self, storage: Storage, call_soon: CallSoon | None = None) -> None:
        self.storage = storage
        self._call_soon = call_soon
        self._upkeep = Upkeep(storage)
        self._before: list[Callable[[], None]] = []
        self._after: list[Told] = []
        # Which loop will call us: a loop that was closed before its next turn must not block the next one.
        self._scheduled_by: object | None = None

    def touch(self) -> None:
        """Something was written: commit once at the end of this turn."""
        if self._call_soon is not None:
            if self._scheduled_by is None:
                self._scheduled_by = self
                self._call_soon(self._end_of_turn)
            return
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return
        if self._scheduled_by is not loop:
            self._scheduled_by = loop
            loop.call_soon(self._end_of_turn)

    def before(self, prepare: Callable[[], None]) -> None:
        """Call `prepare` right before the next commit: it writes what changed too often to write each
        time.
        """
        self._before.append(prepare)
        self.touch()

    def after(self, told: Told) -> None:
        """Call `told(None)` once everything written so far is committed, or `told(error)` when it was
        dropped.
        """
        self._after.append(told)
        self.touch()

    def after_next(self, told: Told) -> None:
        """As `after`, but without a commit of its own: whenever somebody writes next."""
        self._after.append(told)

    @property
    def pending(self) -> bool:
        """Whether a commit would do anything."""
        return bool(self._before or self.storage.dirty or self._after)

    def now(self) -> None:
        """Commit at once, then tell. Raises what the commit raised, after everybody was told of it."""
        error: StorageError | None = None
        prepare, self._before = self._before, []
        for write in prepare:
            write()
        told, self._after = self._after, []
        try:
            self.storage.commit()
        except StorageError as failure:
            error = failure
        else:
            self._upkeep.wrote()
        for tell in told:
            call_safely(tell, error)
        if error is not None:
            raise error

    def promise(self) -> None:
        """What leaves from now on rests on everything committed so far: it has to survive a power cut first."""
        self._upkeep.promise()

    def when_safe(self, told: Told, *, at_once: bool = False) -> None:
        """Call `told(None)` as soon as every promise is kept (now, if none is open), or `told(error)` when that
        cannot be. In the order of the calls. `at_once`: wait for the disk here.
        """
        self._upkeep.when_safe(told, at_once=at_once)

    def _end_of_turn(self) -> None:
        self._scheduled_by = None
        if not self.pending:
            return
        try:
            self.now()
        except StorageError as error:
            # Everybody who waits was told. What nobody waits for (a block downloaded ahead) was dropped and
            # will be asked for again; a person has to read somewhere why the peer makes no progress.
            _LOGGER.error("%s", error)
