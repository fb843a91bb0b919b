"""What the running program does when the operator's decisions change: it lets go of bees that are followed no
more, and drops the blocks and the pictures of what was purged.

Decisions may come from a command in another process, so the database is asked once a tick.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from core.errors import MeadowError
from core.peer import Peer
from feedagg import purging, sources
from feedagg.contact import Contact
from feedagg.database import Database
from feedagg.ingest import Ingest, now_ms
from feedagg.pictures import Pictures

log = logging.getLogger("feedagg.standing")

SLACK_MS: Final = 60_000
"""Clocks of two processes, and a write that was long under way: look back so far each time."""

MAX_LOOKED_AT: Final = 500


class Standing:
    """The bees of this process beside their standing in the database."""

    def __init__(
        self, database: Database, peer: Peer, contact: Contact, ingest: Ingest, pictures: Pictures
    ) -> None:
        self._database = database
        self._peer = peer
        self._contact = contact
        self._ingest = ingest
        self._pictures = pictures
        self._looked_at = 0
        self._ticking = asyncio.Lock()

    async def tick(self) -> None:
        """Let go of the bees that stopped being followed since the last time, then drop what was purged."""
        async with self._ticking:
            now = now_ms()
            for bee in await self._database.read(sources.stopped_since, self._looked_at - SLACK_MS):
                if self._contact.is_open(bee):
                    await self._contact.drop(bee)
            self._looked_at = now
            if waiting := list(self._ingest.waiting)[:MAX_LOOKED_AT]:
                for bee in await self._database.read(sources.trusted_among, waiting):
                    self._ingest.free(bee)
            for purge in await self._database.read(purging.pending):
                try:
                    blocks = await purging.drop_blocks(self._peer, purge)
                    files = await self._pictures.drop(purge.bee)
                except MeadowError as error:
                    # Most often a session that is just closing; the purge stays in the list.
                    log.warning("purge of %s: %s", purge.bee.hex()[:8], error)
                    continue
                log.info("purge of %s: %d blocks, %d pictures dropped", purge.bee.hex()[:8], blocks, files)
                await self._database.write(purging.done, purge.id)
