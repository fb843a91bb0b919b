"""A token bucket that spreads what the window allows over the round trip.

Timers of an event loop are a millisecond coarse and a train of packets costs one system call, so the bucket holds a
few milliseconds of the rate and is emptied in bursts worth the call, not packet by packet.
"""

from __future__ import annotations

from typing import Final

_BURST_SECONDS: Final = 0.003
_QUANTUM_SECONDS: Final = 0.0005
_MAX_QUANTUM: Final = 64 * 1024
_MIN_BURST: Final = 4 * 1500


class Pacer:
    """`credit` in bytes; at most one packet below zero."""

    __slots__ = ("_at", "credit")

    def __init__(self) -> None:
        self.credit = float(_MIN_BURST)
        self._at = 0.0

    def budget(self, rate: float, wanted: int, now: float) -> int:
        """Bytes that may leave now, of `wanted`; 0 when it is better to wait. `rate` in bytes a second."""
        elapsed = now - self._at
        self._at = now
        self.credit = min(self.credit + elapsed * rate, max(rate * _BURST_SECONDS, _MIN_BURST))
        # Half a byte of grace: what `ready_at` promised must not be missed by a rounding error.
        return max(int(self.credit), 1) if self.credit + 0.5 >= min(self._quantum(rate), wanted) else 0

    def spend(self, size: int) -> None:
        """`size` bytes left."""
        self.credit -= size

    def ready_at(self, rate: float, wanted: int, now: float) -> float:
        """When `budget` will allow something."""
        return now + max(min(self._quantum(rate), wanted) - self.credit, 0.0) / rate

    @staticmethod
    def _quantum(rate: float) -> float:
        return max(1.0, min(rate * _QUANTUM_SECONDS, _MAX_QUANTUM))
