"""A lock that costs nothing when nobody waits for it: writers of one bee take turns, first come, first served."""

from __future__ import annotations

import asyncio
from collections import deque


class Turn:
    """`take()` at once or `await wait()`; then `release()`, which hands the turn to the next one waiting."""

    __slots__ = ("_taken", "_waiting")

    def __init__(self) -> None:
        self._taken = False
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def taken(self) -> bool:
        return self._taken

    def take(self) -> bool:
        """True when the turn was free and is ours now."""
        if self._taken:
            return False
        self._taken = True
        return True

    async def wait(self) -> None:
        """Returns when the turn is ours."""
        if self.take():
            return
        mine: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(mine)
        try:
            await mine
        except asyncio.CancelledError:
            if mine.done() and not mine.cancelled():
                self.release()  # it was handed to us while we were being cancelled
            else:
                self._waiting.remove(mine)
            raise

    def release(self) -> None:
        while self._waiting:
            following = self._waiting.popleft()
            if not following.done():
                following.set_result(None)
                return
        self._taken = False
