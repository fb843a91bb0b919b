"""Reading the bees one follows, and one's own: newest first, then forward as they grow, back when asked.

A followed bee is open as long as it is followed, so that the network finds whoever holds it; it costs a task only while
there is something to read. Blocks were verified before the core hands them out.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any

from core.errors import DecodingError, MeadowError
from core.hyperbee import Hyperbee
from core.peer import Peer

from .rows import Row, row_of
from .shelf import KnownBee, Position, Shelf, grown

_log = logging.getLogger(__name__)

FIRST_LOOK = 200
"""Operations read of a bee at first contact; what is older comes when somebody scrolls that far."""

OLDER = 500
SLICE = 256
ANSWER_SECONDS = 20.0


class FollowedBee:
    """One open bee and the reading of it. `is_mine`: all of it is here, and all of it is read."""

    def __init__(
        self, key: str, bee: Hyperbee, shelf: Shelf, *, is_mine: bool, changed: Callable[[], None]
    ) -> None:
        self.key = key
        self.bee = bee
        self.is_mine = is_mine
        self.problem: str | None = None
        """Why the last reading ended early, in words; None when it did not."""
        self._shelf = shelf
        self._changed = changed
        self._known = shelf.add_bee(key)
        self._wanted_low: int | None = None
        self._task: asyncio.Task[None] | None = None
        self._woken = False
        self._idle = asyncio.Event()
        self._idle.set()
        self._heard: list[tuple[str, Callable[..., None]]] = []
        for event in ("append", "truncate", "peer-add"):
            self._hear(event, self.wake)
        self._hear("conflict", self._conflicted)

    @property
    def known(self) -> KnownBee:
        return self._known

    @property
    def is_connected(self) -> bool:
        """Whether somebody who has it is there now."""
        return bool(self.bee.core.peers)

    @property
    def is_reading(self) -> bool:
        return self._task is not None

    @property
    def has_older(self) -> bool:
        """Whether blocks before those read are known to exist."""
        position = self._known.position
        return position.high > 0 and not position.is_whole

    def wake(self, *_: Any) -> None:
        """There may be something to read."""
        self._woken = True
        if self._task is None:
            self._idle.clear()
            self._task = asyncio.create_task(self._work(), name=f"read {self.key[:8]}")

    def want_older(self, operations: int = OLDER) -> None:
        """Read that many more operations before the oldest one read."""
        position = self._known.position
        if position.high:
            self._wanted_low = max(1, position.low - operations)
            self.wake()

    async def settled(self) -> None:
        """Wait until there is nothing more to read that can be had now."""
        await self._idle.wait()

    async def close(self) -> None:
        """Stop reading and close the session. What was read stays on the shelf."""
        for event, listener in self._heard:
            self.bee.core.off(event, listener)
        self._heard.clear()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self.bee.close()

    # --- reading --------------------------------------------------------------------------------------

    async def _work(self) -> None:
        try:
            while self._woken:
                self._woken = False
                if self.bee.core.peers and not self.is_mine:
                    await self._learn_length()
                while (stretch := self._next()) is not None:
                    await self._read(*stretch)
                    self.problem = None
                    self._changed()
                    await asyncio.sleep(0)
        except (MeadowError, TimeoutError) as error:
            self.problem = str(error) or "The peer that has it did not answer in time."
            self._changed()
        except Exception:
            self.problem = "Something failed here; the terminal in which the peer runs shows what."
            _log.exception("reading bee %s", self.key[:8])
        finally:
            self._task = None
            self._idle.set()

    async def _learn_length(self) -> None:
        try:
            await self.bee.core.update(wait=True, timeout=ANSWER_SECONDS)
        except TimeoutError:
            return
        except MeadowError as error:
            self.problem = str(error)
            return
        self._shelf.saw(self._known.id, self.bee.core.length, time.time())
        self._refresh()

    def _next(self) -> tuple[int, int] | None:
        """The stretch of blocks to read now: news before what is older."""
        core, position = self.bee.core, self._known.position
        if core.length > 0 and position.high and core.fork != position.fork:
            self._shelf.restart(self._known.id, core.fork)
            self._refresh()
            position = self._known.position
        length = core.length
        if position.high == 0:
            if length <= 1:
                return None
            start = 1 if self.is_mine else max(1, length - FIRST_LOOK)
            return start, min(length, start + SLICE) if self.is_mine else length
        if position.high < length:
            return position.high, min(length, position.high + SLICE)
        wanted = 1 if self.is_mine else self._wanted_low
        if wanted is not None and wanted < position.low:
            return max(wanted, position.low - SLICE), position.low
        self._wanted_low = None
        return None

    async def _read(self, start: int, end: int) -> None:
        core = self.bee.core
        fork = core.fork
        if not core.has(start, end):
            download = core.download(start=start, end=end)
            try:
                async with asyncio.timeout(ANSWER_SECONDS):
                    await download.done()
            finally:
                download.destroy()
        now = time.time_ns() // 1_000_000
        rows = [row for seq in range(start, end) if (row := await self._row(seq, now)) is not None]
        if core.fork != fork:
            return  # rewritten meanwhile: what was read may be of either tree
        before = self._known.position
        after = grown(Position(fork, before.low, before.high), start, end)
        self._shelf.write(self._known.id, rows, after, core.length)
        if core.peers:
            self._shelf.saw(self._known.id, core.length, time.time())
        self._refresh()

    async def _row(self, seq: int, now: int) -> Row | None:
        try:
            entry = await self.bee.get_by_seq(seq)
        except DecodingError:
            return None  # a block that is no operation harms nothing else
        return row_of(entry.key, entry.value, seq, now)

    def _refresh(self) -> None:
        known = self._shelf.bee(self.key)
        assert known is not None
        self._known = known

    def _conflicted(self, *_: object) -> None:
        self.problem = (
            "This key signed two different histories of one length, so nothing more of it is read. "
            "Its author should start a new bee."
        )
        self._changed()

    def _hear(self, event: str, listener: Callable[..., None]) -> None:
        self.bee.core.on(event, listener)
        self._heard.append((event, listener))


class Follows:
    """The bees that are open for reading: one's own, those one follows, and those one looks at for a while."""

    def __init__(self, peer: Peer, shelf: Shelf, changed: Callable[[], None]) -> None:
        self._peer = peer
        self._shelf = shelf
        self._changed = changed
        self._open: dict[str, FollowedBee] = {}

    def __iter__(self) -> Any:
        return iter(list(self._open.values()))

    def get(self, key: str) -> FollowedBee | None:
        return self._open.get(key)

    def follow(self, key: str, *, is_mine: bool = False) -> FollowedBee:
        """Open the bee of this key (64 hex) and read it from now on. Following it again changes nothing."""
        known = self._open.get(key)
        if known is None:
            bee = self._peer.bee(
                key=bytes.fromhex(key), key_encoding="binary", value_encoding="binary", extension=False
            )
            known = self._open[key] = FollowedBee(
                key, bee, self._shelf, is_mine=is_mine, changed=self._changed
            )
            known.wake()
        return known

    async def unfollow(self, key: str) -> None:
        """Close it; what was read of it is dropped from the shelf."""
        followed = self._open.pop(key, None)
        if followed is not None:
            await followed.close()
            self._shelf.forget(key)
            self._changed()

    async def close(self) -> None:
        for followed in list(self._open.values()):
            await followed.close()
        self._open.clear()
