"""Waiting until what was joined has been looked up and whoever was found has been tried once."""

from __future__ import annotations

from collections.abc import Callable


class Flush:
    """One caller of `Swarm.flush` (or of a topic's): first `refreshes` run out, then `missing` peers are tried.

    `tick` tells peers queued before this flush from later ones, for which it does not wait.
    """

    __slots__ = ("done", "missing", "refreshes", "tick", "with_peers")

    def __init__(self, refreshes: int, *, with_peers: bool) -> None:
        self.refreshes = refreshes
        self.with_peers = with_peers
        self.missing = 0
        self.tick = -1
        self.done = False


class Flushes:
    """Those whose topics are looked up and that now wait for peers. `end_flush(flush, complete)` tells the caller."""

    __slots__ = ("_end", "_waiting", "tick")

    def __init__(self, end_flush: Callable[[Flush, bool], None]) -> None:
        self._end = end_flush
        self._waiting: list[Flush] = []
        self.tick = 0
        """What peers that are queued now belong to."""

    def wait(self, flush: Flush, missing: int) -> None:
        """Until `missing` peers, queued so far or being dialed, were tried."""
        if missing == 0:
            self._end(flush, True)
            return
        flush.missing = missing
        flush.tick = self.tick
        self.tick += 1
        self._waiting.append(flush)

    def tried(self, tick: int) -> None:
        """A peer queued at `tick` was dialed once, or will not be: one less to wait for."""
        waiting, self._waiting = self._waiting, []
        for flush in waiting:
            if tick <= flush.tick:
                flush.missing -= 1
            if flush.missing > 0:
                self._waiting.append(flush)
            else:
                self._end(flush, True)

    def end(self, *, complete: bool) -> None:
        """Nobody waits any longer."""
        waiting, self._waiting = self._waiting, []
        for flush in waiting:
            self._end(flush, complete)
