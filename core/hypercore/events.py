"""The events of a session: what the log tells its observers, handed on to an application's functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from ..errors import BadArgument
from ..storage.listeners import call_safely

if TYPE_CHECKING:
    from .log import Log

Listener = Callable[..., Any]

EVENTS: Final = frozenset(
    {
        "append",  # (): the length grew
        "truncate",  # (ancestors, fork)
        "stored",  # (start, count): blocks [start, start + count) are held now, appended or downloaded
        "clear",  # (start, end)
        "close",  # (): this session was closed
        "manifest",  # (): the manifest became known
        "conflict",  # (length, fork, proof): the key signed two trees; the log is frozen
        "peer-add",  # (peer)
        "peer-remove",  # (peer)
        "download",  # (index, byte length, peer)
        "upload",  # (index, byte length, peer)
        "verification-error",  # (error, peer)
        "remote-contiguous-length",  # (length)
    }
)


class SessionEvents:
    """One observer of a log for all listeners of a session; made with the first listener."""

    __slots__ = ("_listeners", "_log")

    def __init__(self, log: Log) -> None:
        self._log = log
        self._listeners: dict[str, list[Listener]] = {}
        log.observers.append(self)

    def on(self, name: str, listener: Listener) -> None:
        if name not in EVENTS:
            raise BadArgument(f"a session has no event {name!r}; it has {', '.join(sorted(EVENTS))}")
        self._listeners.setdefault(name, []).append(listener)

    def off(self, name: str, listener: Listener) -> None:
        listeners = self._listeners.get(name, [])
        if listener in listeners:
            listeners.remove(listener)

    def event(self, name: str, *arguments: Any) -> None:
        for listener in tuple(self._listeners.get(name, ())):
            call_safely(listener, *arguments)

    def close(self) -> None:
        self._log.observers.remove(self)
        self.event("close")
        self._listeners.clear()

    # --- as an observer of the log ------------------------------------------------------------

    def appended(self, start: int, end: int) -> None:
        self.event("append")

    def truncated(self, ancestors: int, fork: int) -> None:
        self.event("truncate", ancestors, fork)

    def stored(self, start: int, count: int) -> None:
        self.event("stored", start, count)

    def cleared(self, start: int, end: int) -> None:
        self.event("clear", start, end)

    def manifest_learned(self) -> None:
        self.event("manifest")

    def conflicted(self, length: int, fork: int, proof: Any) -> None:
        self.event("conflict", length, fork, proof)
