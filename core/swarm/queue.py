"""Peers waiting for a dial: the highest priority first, a random one among equals.

Random, because everybody who looks a topic up gets the same list: in its order all would dial the same peer.
"""

from __future__ import annotations

from random import Random

from .peers import KnownPeer, Priority


class DialQueue:
    """Adding, taking and removing cost the same however many wait."""

    __slots__ = ("_random", "_waiting")

    def __init__(self, random: Random) -> None:
        self._random = random
        self._waiting: list[list[KnownPeer]] = [[] for _ in Priority]

    def __len__(self) -> int:
        return sum(map(len, self._waiting))

    def add(self, peer: KnownPeer) -> None:
        """`peer.priority` must not change while it waits here."""
        waiting = self._waiting[peer.priority]
        peer.queued = True
        peer.queue_index = len(waiting)
        waiting.append(peer)

    def take(self) -> KnownPeer:
        """Raises `IndexError` when nobody waits."""
        for waiting in reversed(self._waiting):
            if waiting:
                peer = waiting[self._random.randrange(len(waiting))]
                self.remove(peer)
                return peer
        raise IndexError("nobody waits")

    def remove(self, peer: KnownPeer) -> None:
        waiting = self._waiting[peer.priority]
        last = waiting.pop()
        if last is not peer:
            waiting[peer.queue_index] = last
            last.queue_index = peer.queue_index
        peer.queued = False

    def clear(self) -> list[KnownPeer]:
        """Empty it; returns who waited."""
        peers = [peer for waiting in self._waiting for peer in waiting]
        for waiting in self._waiting:
            waiting.clear()
        for peer in peers:
            peer.queued = False
        return peers
