"""What went in and out for one bee, and who took how much of it, since this process began."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

from core.hyperbee import Hyperbee

_SECONDS = 5.0
"""How far back a rate looks: what is older than this counts less than a third."""

_MAX_TAKERS = 1_000
"""Peers remembered for one bee; the one that was seen longest ago makes room."""


class Rate:
    """Bytes per second, from amounts as they come."""

    def __init__(self) -> None:
        self._level = 0.0
        self._at = time.monotonic()

    def add(self, amount: int) -> None:
        self._level = self._now() + amount / _SECONDS

    def per_second(self) -> float:
        return self._now()

    def _now(self) -> float:
        now = time.monotonic()
        self._level *= math.exp((self._at - now) / _SECONDS)
        self._at = now
        return self._level


@dataclass(slots=True)
class Taker:
    """One peer: its network key (hex), its address, and what it took of a bee. `last` is in seconds since 1970."""

    key: str
    address: str
    blocks: int = 0
    bytes: int = 0
    last: float = 0.0


class Traffic:
    """Counts for one bee from the events of its session."""

    def __init__(self, bee: Hyperbee) -> None:
        self.up = self.down = 0
        self.up_rate, self.down_rate = Rate(), Rate()
        self.takers: dict[str, Taker] = {}
        bee.core.on("upload", self._uploaded)
        bee.core.on("download", self._downloaded)

    def _downloaded(self, index: int, size: int, peer: object) -> None:
        self.down += size
        self.down_rate.add(size)

    def _uploaded(self, index: int, size: int, peer: object) -> None:
        self.up += size
        self.up_rate.add(size)
        key = getattr(peer, "remote_public_key", b"").hex()
        taker = self.takers.pop(key, None)
        if taker is None:
            if len(self.takers) >= _MAX_TAKERS:
                del self.takers[next(iter(self.takers))]
            taker = Taker(key, "")
        self.takers[key] = taker  # the last one in is the last one seen
        taker.address = getattr(peer, "remote_address", None) or taker.address
        taker.blocks += 1
        taker.bytes += size
        taker.last = time.time()
