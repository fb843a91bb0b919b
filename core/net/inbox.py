"""Messages that arrived and are not handled yet, handed to the mux in slices.

One frame of a stranger can be a batch of millions of messages, each of which costs us something. Handled in one go
they would hold up everybody else for a minute. So a connection gets a slice of time in each turn of the event loop,
which it shares with all others that have more than a slice to do; meanwhile it is not read from, so that nothing
piles up here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from time import perf_counter
from typing import Final

from ..protomux import Mux

SLICE_SECONDS: Final = 0.02
"""For all busy connections together, in one turn. Honest ones rarely need as much."""

SMALLEST_SLICE_SECONDS: Final = 0.001

_busy: set[Inbox] = set()
"""Those of this process (its event loop) that have something put off."""


class Inbox:
    """Of one connection. `pending`: something was put off, and `handle` is to be called in the next turn."""

    __slots__ = ("_messages", "pending")

    def __init__(self) -> None:
        self._messages: deque[bytes] = deque()
        self.pending = False

    def add(self, messages: Iterable[bytes]) -> None:
        self._messages.extend(messages)

    def handle(self, mux: Mux) -> None:
        """Give `mux` what waits, as long as the slice lasts. Raises what its handlers raise."""
        deadline = perf_counter() + max(SLICE_SECONDS / (len(_busy) or 1), SMALLEST_SLICE_SECONDS)

        def enough() -> bool:
            return perf_counter() > deadline

        messages = self._messages
        done = mux.receive_rest(enough)
        while done and messages:
            done = mux.receive(messages.popleft(), enough)
            if messages and enough():
                break
        self.pending = not done or bool(messages)
        if self.pending:
            _busy.add(self)
        else:
            _busy.discard(self)

    def clear(self) -> None:
        """The connection ended."""
        self._messages.clear()
        self.pending = False
        _busy.discard(self)
