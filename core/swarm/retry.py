"""When to dial again: four classes of delay, and one deadline for each class whatever the number of peers.

Source: hyperswarm 4.17.2 `lib/retry-timer.js`, `lib/bulk-timer.js`. A class ticks at 0.66 of its delay; who is
added waits for the next tick but one, so for 0.66 to 1.32 of the delay. Coarse on purpose: after an outage of the
net the retries of everybody come bundled, not as a storm of timers.
"""

from __future__ import annotations

from enum import IntEnum
from math import ceil
from random import Random
from typing import Final

from .peers import KnownPeer


class Backoff(IntEnum):
    SHORT = 0
    MEDIUM = 1
    LONG = 2
    VERY_LONG = 3


# Seconds, and what is added at random once for a process so that not all processes keep the same time.
_NOMINAL: Final = ((1.0, 0.5), (5.0, 1.0), (15.0, 2.0), (600.0, 120.0))
_JITTER: Final = 0.5
_TICKS_PER_DELAY: Final = 0.66

_PROVEN: Final = (Backoff.SHORT, Backoff.SHORT, Backoff.MEDIUM, Backoff.LONG)
_UNPROVEN: Final = (Backoff.SHORT, Backoff.MEDIUM, Backoff.LONG, Backoff.LONG)


def backoff_of(peer: KnownPeer) -> Backoff | None:
    """The class of delay before `peer` is dialed again; None: it is not."""
    if peer.banned or not peer.reconnecting:
        return None
    if peer.attempts > 3:
        return Backoff.VERY_LONG if peer.explicit else None
    return (_PROVEN if peer.proven else _UNPROVEN)[peer.attempts]


class _Bulk:
    """The waiting peers of one class, in two generations."""

    __slots__ = ("_interval", "_next", "_pending", "_started", "tick")

    def __init__(self, delay: float) -> None:
        self._interval = delay * _TICKS_PER_DELAY
        self._started: float | None = None
        self._next: list[KnownPeer] = []
        self._pending: list[KnownPeer] = []
        self.tick: float | None = None

    def add(self, peer: KnownPeer, now: float) -> None:
        self._pending.append(peer)
        if self._started is None:
            self._started = now
        if self.tick is None:
            ticks = max(1, ceil((now - self._started) / self._interval))
            self.tick = self._started + ticks * self._interval

    def due(self, now: float) -> list[KnownPeer]:
        peers: list[KnownPeer] = []
        while self.tick is not None and self.tick <= now:
            peers += self._next
            self._next, self._pending = self._pending, []
            self.tick = self.tick + self._interval if self._next else None
        return peers


class RetryTimer:
    """Peers that wait for their next attempt."""

    __slots__ = ("_classes",)

    def __init__(self, random: Random) -> None:
        self._classes = [
            _Bulk(nominal + random.random() * spread + random.random() * _JITTER)
            for nominal, spread in _NOMINAL
        ]

    def add(self, peer: KnownPeer, now: float) -> bool:
        """Let `peer` wait as long as it deserves; False when it is not to be tried again."""
        backoff = backoff_of(peer)
        if backoff is None:
            return False
        self._classes[backoff].add(peer, now)
        return True

    def due(self, now: float) -> list[KnownPeer]:
        """Those whose time has come; they wait no longer."""
        return [peer for bulk in self._classes for peer in bulk.due(now)]

    def deadline(self) -> float | None:
        return min((bulk.tick for bulk in self._classes if bulk.tick is not None), default=None)
