"""Timers of a machine without an event loop: callbacks by time, in one heap."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count

from .flow import Outcome


class Timer:
    """One callback to come. `cancel` is cheap: the entry is skipped when its time comes."""

    __slots__ = ("at", "callback")

    def __init__(self, at: float, callback: Callable[[], None]) -> None:
        self.at = at
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        self.callback = None


class Timers:
    """`clock` gives the time; `wake` is called when an earlier timer than all before was set."""

    __slots__ = ("_clock", "_heap", "_order", "wake")

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._heap: list[tuple[float, int, Timer]] = []
        self._order = count()
        self.wake: Callable[[], None] = _nothing

    def now(self) -> float:
        return self._clock()

    def after(self, seconds: float, callback: Callable[[], None]) -> Timer:
        timer = Timer(self._clock() + seconds, callback)
        is_first = not self._heap or timer.at < self._heap[0][0]
        heappush(self._heap, (timer.at, next(self._order), timer))
        if is_first:
            self.wake()
        return timer

    def sleep(self, seconds: float) -> Outcome[None]:
        outcome: Outcome[None] = Outcome()
        self.after(seconds, lambda: outcome.set(None))
        return outcome

    def deadline(self) -> float | None:
        heap = self._heap
        while heap and heap[0][2].callback is None:
            heappop(heap)
        return heap[0][0] if heap else None

    def run(self, now: float) -> None:
        """Call everything that is due."""
        heap = self._heap
        while heap and heap[0][0] <= now:
            timer = heappop(heap)[2]
            callback, timer.callback = timer.callback, None
            if callback is not None:
                callback()

    def clear(self) -> None:
        self._heap.clear()


def _nothing() -> None:
    pass
