"""Waiting until what was joined has been looked up and whoever was found has been tried once."""

from __future__ import annotations


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
