"""How many requests may be on their way: four windows of 750 ms (dht-rpc 6.27.0 `lib/io.js` `CongestionWindow`)."""

from __future__ import annotations

from typing import Final

WINDOW_SECONDS: Final = 0.75
WINDOWS: Final = 4
MAX_PER_WINDOW: Final = 80


class RateWindow:
    """At most `maximum` unanswered sends in one window and twice that over four; an answer gives one back."""

    __slots__ = ("_index", "_maximum", "_moves_at", "_sent", "_total")

    def __init__(self, maximum: int = MAX_PER_WINDOW) -> None:
        self._maximum = maximum
        self._sent = [0] * WINDOWS
        self._index = 0
        self._total = 0
        self._moves_at: float | None = None

    @property
    def full(self) -> bool:
        return self._total >= 2 * self._maximum or self._sent[self._index] >= self._maximum

    @property
    def moves_at(self) -> float | None:
        """When there will be room again without any answer; None before the first send."""
        return self._moves_at

    def sent(self) -> None:
        self._sent[self._index] += 1
        self._total += 1

    def answered(self) -> None:
        """Also for a request that ended without an answer."""
        if self._sent[self._index] > 0:
            self._sent[self._index] -= 1
            self._total -= 1

    def advance(self, now: float) -> None:
        if self._moves_at is None:
            self._moves_at = now + WINDOW_SECONDS
            return
        if now < self._moves_at:
            return
        steps = 1 + int((now - self._moves_at) / WINDOW_SECONDS)
        for _ in range(min(steps, WINDOWS)):
            self._index = (self._index + 1) % WINDOWS
            self._total -= self._sent[self._index]
            self._sent[self._index] = 0
        self._moves_at += steps * WINDOW_SECONDS

    def clear(self) -> None:
        self._sent = [0] * WINDOWS
        self._total = 0
