"""From a bee's log to rows: the follower (hop 9 of the river).

    the log grows ──> wake ──> next stretch ──> download ──> decide ──> write (rows + cursor) ──> open pages
                               (decide.py)     (sparse)    (pure)     (one transaction)       (live.py)

A bee costs a task only while there is something to read. Forward stretches come before history, and history
is read under a budget that all bees share, so a bee with a million old records does not delay one new post of
another.

Blocks are verified before the core hands them out, so nothing here checks a signature. Cancelling at any
point (or `kill -9`) loses nothing: the position moves with its rows or not at all, and a stretch read twice
writes the same.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from core.errors import DecodingError, MeadowError
from core.hyperbee import Hyperbee
from core.records.bounds import MAX_VALUE_BYTES
from feedagg import sources, store
from feedagg.database import Database
from feedagg.decide import Operation, Position, Row, Status, Stretch, backward, decide, forward
from feedagg.live import Live
from feedagg.quotas import Quota
from feedagg.settings import Settings
from feedagg.transparency import reading

log = logging.getLogger("feedagg.ingest")

MAX_REPAIRED_KEYS = 5_000
"""A truncation that touches more keys than this makes the whole bee be read again."""


SLICE_BYTES = 8 * 1024 * 1024
DEMANDED_BLOCKS = 128
DEMANDED_STRETCHES = 4
"""What one look at the end of a list brings: some pages, quickly. The next look brings more."""

SMALL_WRITE = 32
"""Rows up to which a write need not stand behind the large ones: what people are waiting for is small."""


def now_ms() -> int:
    """The wall clock in milliseconds since 1970."""
    return time.time_ns() // 1_000_000


@dataclass(slots=True)
class Followed:
    """A source that is open here. `kept`: blocks below it survived every truncation since `position` was
    read.
    """

    key: bytes
    bee: Hyperbee
    position: Position
    kept: int
    quota: Quota | None = None
    pace: Budget | None = None
    demanded: int = 0
    """Stretches of history that a reader waits for."""
    wanted: asyncio.Event = field(default_factory=asyncio.Event)
    alarm: asyncio.TimerHandle | None = None
    task: asyncio.Task[None] | None = None
    woken: bool = False
    _listeners: list[tuple[str, Callable[..., None]]] = field(default_factory=list)

    def listen(self, event: str, listener: Callable[..., None]) -> None:
        """Hear an event of the bee's core for as long as it is followed."""
        self.bee.core.on(event, listener)
        self._listeners.append((event, listener))

    def stop_listening(self) -> None:
        if self.alarm is not None:
            self.alarm.cancel()
        for event, listener in self._listeners:
            self.bee.core.off(event, listener)
        self._listeners.clear()


async def _let_others_work() -> None:
    await asyncio.sleep(0)


class Budget:
    """So many blocks a second, and no more than a second's worth at once."""

    def __init__(self, per_second: int) -> None:
        self._per_second = per_second
        self._free_at = 0.0

    def reserve(self, blocks: int) -> float:
        """Take so many; how many seconds to wait before they may be read."""
        now = asyncio.get_running_loop().time()
        self._free_at = max(self._free_at, now - 1.0) + blocks / self._per_second
        return max(0.0, self._free_at - now)

    async def spend(self, blocks: int) -> None:
        await asyncio.sleep(self.reserve(blocks))


def _nobody_counts(*_: object, **__: object) -> None:
    """Until a process that measures says who does."""


class Ingest:
    """All bees that are followed, and the work on those that have news."""

    def __init__(self, database: Database, live: Live, settings: Settings) -> None:
        self._database = database
        self._live = live
        self._settings = settings
        self._budget = Budget(settings.backfill_per_second)
        self._followed: dict[bytes, Followed] = {}
        self.records_read = 0
        self.waiting: set[bytes] = set()
        """Bees whose quota was used up, for who looks whether the operator trusts them by now."""
        self.observe: Callable[..., None] = _nobody_counts
        self.on_postponed: Callable[[], None] = _nobody_counts

    @property
    def followed(self) -> dict[bytes, Followed]:
        return self._followed

    @property
    def is_busy(self) -> bool:
        """Whether some bee is being read at this moment."""
        return any(followed.task is not None for followed in self._followed.values())

    def follow(self, key: bytes, bee: Hyperbee, position: Position, quota: Quota | None = None) -> Followed:
        """Read this bee from `position` on, now and whenever it grows, within its quota. Following it again changes
        nothing.
        """
        known = self._followed.get(key)
        if known is not None:
            return known
        # What was cut off while nobody looked is unknown, so then nothing is known to be kept.
        is_same_tree = not position.seen or bee.core.fork == position.fork
        followed = Followed(key, bee, position, position.cursor if is_same_tree else 0, quota)
        followed.pace = None if quota is None else Budget(quota.per_second)
        self._followed[key] = followed

        def appended(*_: object) -> None:
            self.wake(key)

        def truncated(kept: int, *_: object) -> None:
            followed.kept = min(followed.kept, kept)
            self.wake(key)

        followed.listen("append", appended)
        followed.listen("truncate", truncated)
        self.wake(key)
        return followed

    def wake(self, key: bytes) -> None:
        """There may be something to read in this bee."""
        followed = self._followed.get(key)
        if followed is None:
            return
        followed.woken = True
        if followed.task is None:
            followed.task = asyncio.create_task(self._work(followed), name=f"ingest {key.hex()[:8]}")

    async def drop(self, key: bytes) -> None:
        """Stop following one bee. Its blocks stay, and its rows stand where the last stretch left them."""
        followed = self._followed.pop(key, None)
        if followed is None:
            return
        followed.stop_listening()
        self.waiting.discard(key)
        if followed.task is not None:
            followed.task.cancel()
            await asyncio.gather(followed.task, return_exceptions=True)
        await followed.bee.close()

    async def close(self) -> None:
        """Stop following; what is being written is finished by the database."""
        tasks = [followed.task for followed in self._followed.values() if followed.task is not None]
        for followed in self._followed.values():
            followed.stop_listening()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._followed.clear()

    # --- one bee ----------------------------------------------------------------------------------

    async def _work(self, followed: Followed) -> None:
        try:
            while followed.woken:
                followed.woken = False
                while await self._turn(followed):
                    await _let_others_work()
        except (MeadowError, TimeoutError) as error:
            # Peers went away in the middle, or one misbehaved and was closed: the next contact wakes it
            # again.
            log.info("bee %s: %s", followed.key.hex()[:8], str(error) or "no answer in time")
        except store.Superseded:
            stored = await self._database.read(store.position, followed.key)
            followed.position = stored or followed.position
        except Exception:
            log.exception("bee %s: reading stopped", followed.key.hex()[:8])
        finally:
            followed.task = None

    async def _turn(self, followed: Followed) -> bool:
        """Read one stretch, the most urgent; False when there is none."""
        core, position = followed.bee.core, followed.position
        # A log of which nothing is known here (a store that was lost) says nothing about its fork either.
        if position.seen and core.length > 0 and core.fork != position.fork:
            await self._rewind(followed)
            return True
        at_most = self._slice_of(followed)
        allowed = None if followed.quota is None else followed.quota.allowed(now_ms())
        if allowed == 0:
            await self._postpone(followed)
            return False
        at_most = at_most if allowed is None else min(at_most, allowed)
        stretch = forward(replace(position, fork=core.fork), core.length, at_most)
        if stretch is None:
            stretch = backward(position, min(at_most, DEMANDED_BLOCKS) if followed.demanded else at_most)
            if stretch is None:
                return False
            await self._afford(followed, stretch.end - stretch.start)
        if allowed is not None and followed.pace is not None:
            await followed.pace.spend(stretch.end - stretch.start)
        operations = await self._read(followed, stretch.start, stretch.end)
        if core.fork != stretch.after.fork:
            return True  # rewritten while we read: begin again from the position that is stored
        await self._commit(followed, stretch, decide(operations, now_ms()))
        return True

    async def _afford(self, followed: Followed, blocks: int) -> None:
        """Wait until history may be read: for the budget that all share, or for a reader who wants this bee's."""
        if not followed.demanded:
            delay = self._budget.reserve(blocks)
            try:
                async with asyncio.timeout(delay):
                    await followed.wanted.wait()
            except TimeoutError:
                return
        followed.demanded = max(0, followed.demanded - 1)
        if not followed.demanded:
            followed.wanted.clear()

    def demand(self, key: bytes) -> bool:
        """A reader has come to the end of what is here of this bee: read its history before that of others. Whether
        there is any that can be read now.
        """
        followed = self._followed.get(key)
        if key in self.waiting:
            return False  # its quota is used up, which a reader's wish does not change
        if followed is None or not followed.bee.core.peers or backward(followed.position, 1) is None:
            return False
        followed.demanded = DEMANDED_STRETCHES
        followed.wanted.set()
        self.wake(key)
        return True

    async def _postpone(self, followed: Followed) -> None:
        """Its quota is used up: if there is anything to read, wait until some of it may be."""
        core, now, quota = followed.bee.core, now_ms(), followed.quota
        position = replace(followed.position, fork=core.fork)
        if quota is None or not (forward(position, core.length, 1) or backward(position, 1)):
            return
        at = quota.opens_at(now)
        self.waiting.add(followed.key)
        self.on_postponed()
        if followed.alarm is not None:
            followed.alarm.cancel()
        delay = max(0.1, (at - now) / 1000)
        followed.alarm = asyncio.get_running_loop().call_later(delay, self.wake, followed.key)
        await self._database.write(sources.wait_until, followed.key, at)
        self._live.changed(followed.key)

    def free(self, key: bytes) -> None:
        """The operator trusts it now: no quota any more."""
        followed = self._followed.get(key)
        self.waiting.discard(key)
        if followed is not None:
            followed.quota = None
            self.wake(key)

    def _slice_of(self, followed: Followed) -> int:
        """How many blocks to read at once: fewer of a log whose blocks are large on the average."""
        core = followed.bee.core
        average = max(1, core.byte_length // max(1, core.length))
        return max(1, min(self._settings.slice_blocks, SLICE_BYTES // average))

    async def _read(self, followed: Followed, start: int, end: int) -> list[Operation]:
        """Blocks [start, end) as operations, downloaded as far as they are not here."""
        bee = followed.bee
        if not bee.core.has(start, end):
            download = bee.core.download(start=start, end=end)
            try:
                async with asyncio.timeout(self._settings.answer_seconds):
                    await download.done()
            finally:
                download.destroy()
        return [await self._operation(bee, seq) for seq in range(start, end)]

    @staticmethod
    async def _operation(bee: Hyperbee, seq: int) -> Operation:
        try:
            entry = await bee.get_by_seq(seq)
        except DecodingError:
            return Operation.broken(seq)
        value = entry.value
        # Enough of a huge value to be refused for its size, and no more of it in memory.
        cut = value if value is None or len(value) <= MAX_VALUE_BYTES else value[: MAX_VALUE_BYTES + 1]
        return Operation(seq, entry.key, cut)

    async def _commit(self, followed: Followed, stretch: Stretch, rows: list[Row]) -> None:
        before = followed.position
        core, database = followed.bee.core, self._database
        length = core.length
        said = reading(followed.key, stretch, rows, now_ms(), length=length, tree=core.tree_hash(length))
        write = database.write if len(rows) <= SMALL_WRITE else database.write_bulk
        blocks, counts = stretch.end - stretch.start, None
        if followed.quota is not None:
            followed.quota.spend(blocks, now_ms())
            counts = followed.quota.counts()
        await write(store.write, followed.key, rows, before, stretch.after, length, said, counts)
        self.observe(blocks, rows, is_backward=stretch.is_backward)
        followed.position = stretch.after
        if not stretch.is_backward:
            followed.kept = stretch.after.cursor
        self.records_read += len(rows)
        if stretch.is_backward:
            self._live.changed(followed.key)
        else:
            self._announce(followed.key, rows)

    def _announce(self, key: bytes, rows: list[Row]) -> None:
        shown = [row["key"] for row in rows if row["status"] == Status.SHOWN and row["in_feed"]]
        gone = [row["key"] for row in rows if row["status"] in (Status.DELETED, Status.SKIPPED)]
        self._live.changed(key, news=shown, gone=gone)

    # --- a log that was rewritten -----------------------------------------------------------------

    async def _rewind(self, followed: Followed) -> None:
        """The author truncated the log: back to what both trees share, or to nothing if that is unknown."""
        before, core = followed.position, followed.bee.core
        kept = min(followed.kept, before.cursor)
        keys: list[bytes] = []
        restored: list[Row] | None = None
        if kept > max(before.tail, 1):
            keys = await self._database.read(store.changed_since, followed.key, kept, MAX_REPAIRED_KEYS + 1)
            if len(keys) <= MAX_REPAIRED_KEYS:
                restored = await self._as_of(followed, keys, kept)
        after = Position(core.fork) if restored is None else Position(core.fork, kept, before.tail)
        await self._database.write(
            store.rewind, followed.key, before, after, core.length, [] if restored is None else restored
        )
        followed.position = after
        followed.kept = after.cursor
        shown = [row["key"] for row in restored or () if row["status"] == Status.SHOWN and row["in_feed"]]
        self._live.changed(followed.key, gone=[key for key in keys if key not in shown], news=shown)

    async def _as_of(self, followed: Followed, keys: list[bytes], length: int) -> list[Row] | None:
        """What the keys held when the log had `length` blocks, or None if that cannot be read."""
        old = followed.bee.checkout(length)
        operations: list[Operation] = []
        try:
            async with asyncio.timeout(self._settings.answer_seconds):
                for key in keys:
                    entry = await old.get(key)
                    if entry is not None:
                        operations.append(Operation(entry.seq, key, entry.value))
        except (MeadowError, TimeoutError):
            return None
        return decide(operations, now_ms())
