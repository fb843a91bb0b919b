"""What the running program does when the operator's decisions change: it lets go of bees that are followed no
more.

Decisions may come from a command in another process, so the database is asked once a tick.
"""

from __future__ import annotations

from typing import Final

from feedagg import sources
from feedagg.contact import Contact
from feedagg.database import Database
from feedagg.ingest import now_ms

SLACK_MS: Final = 60_000
"""Clocks of two processes, and a write that was long under way: look back so far each time."""


class Standing:
    """The bees of this process beside their standing in the database."""

    def __init__(self, database: Database, contact: Contact) -> None:
        self._database = database
        self._contact = contact
        self._looked_at = 0

    async def tick(self) -> None:
        """Let go of the bees that stopped being followed since the last time."""
        now = now_ms()
        for bee in await self._database.read(sources.stopped_since, self._looked_at - SLACK_MS):
            if self._contact.is_open(bee):
                await self._contact.drop(bee)
        self._looked_at = now
