"""News for open pages: the bee grew, a peer came or went.

A page's stream sends one block of its template, rendered anew, whenever that block would look different. So
the stream can never disagree with the page, and a reader without JavaScript gets the same by reloading.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

# Changes that come together make one message.
SETTLE_SECONDS = 0.05


class Hub:
    """Wakes all open streams. `close` ends them, so that stopping never waits for a browser."""

    def __init__(self) -> None:
        self._wakers: set[asyncio.Event] = set()
        self.closed = False

    def notify(self, *_: Any) -> None:
        """Something changed."""
        for waker in self._wakers:
            waker.set()

    def close(self) -> None:
        self.closed = True
        self.notify()

    @contextmanager
    def listening(self) -> Iterator[asyncio.Event]:
        waker = asyncio.Event()
        self._wakers.add(waker)
        try:
            yield waker
        finally:
            self._wakers.discard(waker)


async def stream(
    hub: Hub, render: Callable[[], Awaitable[str]], *, every: float | None = None
) -> AsyncIterator[dict[str, str]]:
    """Server-sent events: the block now and whenever it differs; looked at on news and `every` seconds."""
    shown: str | None = None
    with hub.listening() as waker:
        while not hub.closed:
            waker.clear()
            block = await render()
            if block != shown:
                shown = block
                yield {"data": block}
            try:
                await asyncio.wait_for(waker.wait(), every)
            except TimeoutError:
                continue
            if not hub.closed:
                await asyncio.sleep(SETTLE_SECONDS)
