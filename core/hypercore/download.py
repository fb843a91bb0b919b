"""A wish for many blocks, in the hands of whoever made it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable


class Download:
    """Made by `Hypercore.download`; it runs whether or not anybody waits for it."""

    __slots__ = ("_wait", "_wish")

    def __init__(
        self,
        wish: asyncio.Future[None],
        wait: Callable[[asyncio.Future[None], float | None], Awaitable[None]],
    ) -> None:
        self._wish = wish
        self._wait = wait

    async def done(self, *, timeout: float | None = None) -> None:
        """Returns once everything asked for is held; a live download never is.

        Raises `RequestCancelled` (destroyed, or the session was closed), `RequestTimeout` (the download goes
        on).
        """
        await self._wait(self._wish, timeout)

    def destroy(self) -> None:
        """Stop asking. What has arrived stays."""
        self._wish.cancel()
