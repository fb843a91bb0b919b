"""How many handshakes strangers may make us compute: so many a second in all, shared by hosts when it grows tight.

A bucket that fills with time. While it is more than half full anybody takes from it; below that each host gets an
equal part of a second's worth, so that one host that floods leaves room for the others. Who can send from any address
it likes can empty the bucket; it costs us no more than the bucket holds.
"""

from __future__ import annotations

from typing import Final

WINDOW_SECONDS: Final = 1.0
MAX_HOSTS: Final = 4_096
"""Hosts that are told apart in one window; later ones share one part."""


class FairAllowance:
    """At most `burst` at once and `per_second` on average."""

    __slots__ = ("_at", "_burst", "_hosts_before", "_left", "_per_second", "_used", "_window_ends")

    def __init__(self, per_second: float, burst: float, now: float) -> None:
        self._per_second = per_second
        self._burst = burst
        self._left = burst
        self._at = now
        self._used: dict[str, int] = {}
        self._hosts_before = 1
        self._window_ends = now + WINDOW_SECONDS

    def take(self, host: str, now: float) -> bool:
        """Whether `host` may have one more."""
        self._left = min(self._burst, self._left + (now - self._at) * self._per_second)
        self._at = now
        if now >= self._window_ends:
            self._hosts_before = max(1, len(self._used))
            self._used.clear()
            self._window_ends = now + WINDOW_SECONDS
        if len(self._used) >= MAX_HOSTS and host not in self._used:
            host = "others"
        used = self._used.get(host, 0)
        hosts = max(self._hosts_before, len(self._used) + (host not in self._used))
        if self._left < 1 or (self._left < self._burst / 2 and used >= self._per_second / hosts):
            return False
        self._used[host] = used + 1
        self._left -= 1
        return True
