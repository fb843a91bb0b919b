"""What others see of us: host and port, or host only, or nothing certain.

Source: nat-sampler 1.0.1 `NatSampler`. Every `to` field is one sample. Few samples must agree entirely; of many, up
to three may differ (a liar, a second interface). A host without a port means a NAT that picks a port per remote.
"""

from __future__ import annotations

from collections import deque
from typing import Final

RING: Final = 16
LOOK_BACK: Final = 4


class _Count:
    __slots__ = ("hits", "host", "port")

    def __init__(self, host: str, port: int) -> None:
        self.host = host
        self.port = port
        self.hits = 1


class NatSampler:
    """`host` is None while unknown; `port` is 0 while unknown or different for every remote."""

    __slots__ = ("_best_address", "_best_host", "_ring", "host", "port")

    def __init__(self) -> None:
        self.host: str | None = None
        self.port = 0
        self._ring: deque[tuple[_Count, _Count]] = deque()
        self._best_address: _Count | None = None
        self._best_host: _Count | None = None

    @property
    def size(self) -> int:
        """Samples held, at most 16."""
        return len(self._ring)

    def add(self, host: str, port: int) -> int:
        """Take one sample; returns how many of the recent ones agree with it."""
        by_address = self._count(host, port, 0)
        by_host = self._count(host, 0, 1)
        if len(self._ring) == RING:
            for dropped in self._ring.popleft():
                dropped.hits -= 1
        self._ring.append((by_address, by_host))
        if self._best_address is None or self._best_address.hits < by_address.hits:
            self._best_address = by_address
        if self._best_host is None or self._best_host.hits < by_host.hits:
            self._best_host = by_host
        self._decide(self._best_address, self._best_host)
        return by_address.hits

    def _decide(self, best_address: _Count, best_host: _Count) -> None:
        size = len(self._ring)
        threshold = size - (0 if size < 4 else 1 if size < 8 else 2 if size < 12 else 3)
        if best_address.hits >= threshold:
            self.host, self.port = best_address.host, best_address.port
        elif best_host.hits >= threshold:
            self.host, self.port = best_host.host, 0
        else:
            self.host, self.port = None, 0

    def _count(self, host: str, port: int, column: int) -> _Count:
        """The counter of an equal sample among the last four, raised by one, or a new one."""
        for back in range(1, min(LOOK_BACK, len(self._ring)) + 1):
            count = self._ring[-back][column]
            if count.port == port and count.host == host:
                count.hits += 1
                return count
        return _Count(host, port)
