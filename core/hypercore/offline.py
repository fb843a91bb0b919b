"""The replicator of a log that has no network: its wishes come true only through what is appended here."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from .demand import Extension, PeerView

if TYPE_CHECKING:
    from .log import Log


class Offline:
    """Implements `demand.Replicator` without peers."""

    __slots__ = ("_blocks", "_ranges", "log")

    def __init__(self, log: Log) -> None:
        self.log = log
        self._blocks: dict[int, list[asyncio.Future[None]]] = {}
        self._ranges: list[tuple[asyncio.Future[None], int, int, Sequence[int] | None]] = []
        log.observers.append(self)

    peers: Sequence[PeerView] = ()
    is_finding_peers = False

    @property
    def idle(self) -> bool:
        return not self._blocks and not self._ranges

    def want_block(self, index: int) -> asyncio.Future[None]:
        future = _future()
        if self.log.has(index):
            future.set_result(None)
            return future
        waiting = self._blocks.setdefault(index, [])
        waiting.append(future)
        future.add_done_callback(lambda _: self._forget(index))
        return future

    def want_range(
        self, start: int, end: int, *, blocks: Sequence[int] | None = None, linear: bool = False
    ) -> asyncio.Future[None]:
        future = _future()
        self._ranges.append((future, start, end, blocks))
        self._settle_ranges()
        return future

    def want_seek(self, byte_offset: int, padding: int) -> asyncio.Future[tuple[int, int] | None]:
        future: asyncio.Future[tuple[int, int] | None] = asyncio.get_running_loop().create_future()
        future.set_result(None)
        return future

    def want_upgrade(self) -> asyncio.Future[bool]:
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        future.set_result(False)
        return future

    def apply_pending_reorg(self) -> bool:
        return False

    def finding_peers(self) -> Callable[[], None]:
        return lambda: None

    def set_downloading(self, active: bool) -> None: ...
    def attach(self, mux: Any) -> None: ...
    def detach(self, mux: Any) -> None: ...

    def register_extension(self, name: str, on_message: Callable[[bytes, PeerView], None]) -> Extension:
        return _SilentExtension(name)

    def close(self) -> None:
        for waiting in list(self._blocks.values()):
            for future in list(waiting):
                future.cancel()
        for future, *_ in self._ranges:
            future.cancel()
        self._ranges.clear()
        if self in self.log.observers:
            self.log.observers.remove(self)

    # --- as an observer of the log ------------------------------------------------------------

    def stored(self, start: int, count: int) -> None:
        for index in [index for index in self._blocks if start <= index < start + count]:
            for future in self._blocks.pop(index):
                if not future.done():
                    future.set_result(None)
        self._settle_ranges()

    def appended(self, start: int, end: int) -> None: ...
    def truncated(self, ancestors: int, fork: int) -> None: ...
    def cleared(self, start: int, end: int) -> None: ...
    def manifest_learned(self) -> None: ...
    def conflicted(self, length: int, fork: int, proof: Any) -> None: ...
    def event(self, name: str, *arguments: Any) -> None: ...

    def _forget(self, index: int) -> None:
        waiting = [future for future in self._blocks.get(index, ()) if not future.done()]
        if waiting:
            self._blocks[index] = waiting
        else:
            self._blocks.pop(index, None)

    def _settle_ranges(self) -> None:
        self._ranges = [entry for entry in self._ranges if not entry[0].done()]
        for future, start, end, blocks in self._ranges:
            if blocks is not None:
                held = all(self.log.has(index) for index in blocks)
            else:
                held = end >= 0 and self.log.has(start, end)
            if held:
                future.set_result(None)
        self._ranges = [entry for entry in self._ranges if not entry[0].done()]


class _SilentExtension:
    """An extension nobody hears."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def send(self, message: bytes, peer: PeerView) -> None: ...
    def broadcast(self, message: bytes) -> None: ...
    def destroy(self) -> None: ...


def _future() -> asyncio.Future[None]:
    return asyncio.get_running_loop().create_future()
