"""What changed in a log, told to its observers once the commit that stored it is done.

Changes of one turn are collected in order, and neighbouring blocks are told as one range: a reader that
downloads in order hears of a burst once.
"""

from __future__ import annotations

from typing import Any

from ..errors import StorageError
from ..storage.commit import GroupCommit
from ..storage.listeners import call_safely
from .demand import LogObserver


class Announcements:
    """The observers of one log and the changes they were not told of yet."""

    __slots__ = ("_commit", "_pending", "observers")

    def __init__(self, commit: GroupCommit) -> None:
        self._commit = commit
        self._pending: list[tuple[Any, ...]] = []
        self.observers: list[LogObserver] = []

    def stored(self, start: int, count: int) -> None:
        """Blocks [start, start + count) are held."""
        pending = self._pending
        if pending:
            last = pending[-1]
            if last[0] == "stored" and last[1] + last[2] == start:
                pending[-1] = ("stored", last[1], last[2] + count)
                return
        elif not self.observers:
            return
        self.changed("stored", start, count)

    def changed(self, kind: str, *facts: Any) -> None:
        """`kind` is the name of a method of `LogObserver`, `facts` its arguments."""
        if not self._pending:
            self._commit.after(self._tell)
        self._pending.append((kind, *facts))

    def emit(self, name: str, *facts: Any) -> None:
        """News that nothing has to be stored for: told at once."""
        for observer in tuple(self.observers):
            call_safely(observer.event, name, *facts)

    def _tell(self, error: StorageError | None) -> None:
        pending, self._pending = self._pending, []
        if error is not None:
            return
        for kind, *facts in pending:
            for observer in tuple(self.observers):
                call_safely(getattr(observer, kind), *facts)
