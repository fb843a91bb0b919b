"""What was written in SQL goes into the aggregator's own two bees: decisions and readings, and the merged feed.

A note of what is to be published stands in the transaction of the change itself. Here it is worked off: written to
the bee, made safe, then taken from the table. A process that is killed between any two of these does the last batch
again, and every batch is such that a second time changes nothing: keys are fixed by the note, values by the rows, and
a value that is there already is not written again.

Reading comes first: while bees are being read, this takes a tenth of the time at most.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from core.errors import MeadowError
from core.hyperbee import Hyperbee
from core.peer import Peer
from feedagg import decisions, feed_bee, transparency
from feedagg.database import Database
from feedagg.decisions import Decision
from feedagg.ingest import Ingest
from feedagg.transparency import ABOUT, BEE_NAMES, FEED, LOG, Change, encode

log = logging.getLogger("feedagg.publisher")

AT_ONCE: Final = 400
"""Notes worked off together: about twenty milliseconds of the event loop."""

LOOK_SECONDS: Final = 0.25
"""How often to look for what other processes (a command) noted."""

RETRY_SECONDS: Final = 5.0


class Publisher:
    """The two bees of one aggregator, and the task that writes them."""

    def __init__(self, database: Database, peer: Peer, ingest: Ingest, site_name: str) -> None:
        self._database = database
        self._peer = peer
        self._ingest = ingest
        self._site_name = site_name
        self.log = self._bee(LOG)
        self.feed = self._bee(FEED)
        self._task: asyncio.Task[None] | None = None

    def _bee(self, name: str) -> Hyperbee:
        return self._peer.bee(
            name=BEE_NAMES[name], key_encoding="binary", value_encoding="binary", always_duplicate=False
        )

    async def start(self) -> None:
        """Begin to publish, unless another store does so for this database already."""
        ours = {LOG: self.log, FEED: self.feed}
        for name, bee in ours.items():
            if await self._database.write(transparency.claim, name, bee.core.key) != bee.core.key:
                log.warning("another store publishes for this database; this one does not")
                return
        for name, bee in ours.items():
            about = {
                "kind": f"meadow/{name}", "version": transparency.VERSION, "site": self._site_name,
                "aggregator": self._peer.public_key.hex(), LOG: self.log.core.key.hex(),
                FEED: self.feed.core.key.hex(),
            }  # fmt: skip
            await _write(bee, [(ABOUT, encode(about))])
        self._task = asyncio.create_task(self._work(), name="publish")

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def caught_up(self) -> None:
        """Return once everything that is noted now is published; for commands and tests."""
        while await self.turn():
            pass

    # --- the work ---------------------------------------------------------------------------------

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            try:
                has_more = await self.turn()
            except MeadowError as error:
                log.warning("publishing stopped for a while: %s", error)
                await asyncio.sleep(RETRY_SECONDS)
                continue
            except Exception:
                log.exception("publishing stopped for a while")
                await asyncio.sleep(RETRY_SECONDS)
                continue
            if not has_more:
                await asyncio.sleep(LOOK_SECONDS)
            elif self._ingest.is_busy:
                await asyncio.sleep(9 * (loop.time() - began))

    async def turn(self) -> bool:
        """Publish one batch of each kind; whether there was anything."""
        decided = await self._publish_decisions()
        read = await self._publish_readings()
        fed = await self._publish_feed()
        for name, bee, written in ((LOG, self.log, decided or read), (FEED, self.feed, fed)):
            if written:
                length = bee.core.length
                await self._database.write(transparency.note_head, name, length, bee.core.tree_hash(length))
        return decided or read or fed

    async def _publish_decisions(self) -> bool:
        found = await self._database.read(decisions.untold, AT_ONCE)
        if not found:
            return False
        await _write(self.log, [change for decision in found for change in transparency.changes_of(decision)])
        places = [(decision.id, await self._place(decision)) for decision in found]
        await self._peer.safe()
        await self._database.write(decisions.tell, places)
        return True

    async def _place(self, decision: Decision) -> int:
        """The block of the log in which a decision stands."""
        entry = await self.log.get(transparency.decision_key(decision.at, decision.id))
        assert entry is not None
        return entry.seq

    async def _publish_readings(self) -> bool:
        found = await self._database.read(transparency.unpublished, AT_ONCE)
        if not found:
            return False
        await _write(self.log, [(key, value) for _, key, value in found])
        await self._peer.safe()
        await self._database.write(transparency.forget, [number for number, _, _ in found])
        return True

    async def _publish_feed(self) -> bool:
        caught = await self._database.read(feed_bee.catch_up, AT_ONCE)
        if not caught.numbers:
            return False
        await _write(self.feed, caught.changes)
        await self._peer.safe()
        await self._database.write(feed_bee.forget, caught.numbers)
        return True


async def _write(bee: Hyperbee, changes: list[Change]) -> None:
    async with bee.batch() as batch:
        for key, value in changes:
            if value is None:
                await batch.delete(key)
            else:
                await batch.put(key, value)
