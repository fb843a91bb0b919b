"""Open pages hear of what other processes read: LISTEN/NOTIFY with polling behind it.

A process that commits rows writes what its own open pages are told into `live_events`, and notifies with nothing but
the fact. Whoever listens reads the events after the last it knows; so a notification that is lost, or a connection
that breaks, costs a reader two seconds and no event. Only PostgreSQL is shared by processes, so on SQLite none of
this runs.
"""

from __future__ import annotations

import asyncio
import json
import logging
from contextlib import suppress
from typing import Any, Final

import psycopg
from sqlalchemy import Connection, delete, func, select, text

from feedagg.database import Database
from feedagg.ingest import now_ms
from feedagg.live import Change, Live
from feedagg.store import insert
from feedagg.tables import live_events

log = logging.getLogger("feedagg.fanout")

CHANNEL: Final = "feedagg_live"
POLL_SECONDS: Final = 2.0
RECONNECT_SECONDS: Final = 2.0
KEPT_MS: Final = 10 * 60 * 1000
AT_ONCE: Final = 500


class Fanout:
    """What this process tells the others, and hears from them. `owner` marks its own events."""

    def __init__(self, database: Database, live: Live, owner: str) -> None:
        self._database = database
        self._live = live
        self._owner = owner
        self._last = 0
        self._waiting: list[Change] = []
        self._heard = asyncio.Event()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._sending: asyncio.Task[None] | None = None

    @property
    def is_needed(self) -> bool:
        return not self._database.is_sqlite

    async def start(self) -> None:
        """Begin to tell and to hear."""
        if not self.is_needed:
            return
        self._last = await self._database.read(_newest)
        self._live.on_publish = self._tell
        for work, name in ((self._follow(), "live events"), (self._listen(), "notifications")):
            self._tasks.add(asyncio.create_task(work, name=name))

    async def close(self) -> None:
        self._live.on_publish = None
        if self._sending is not None:
            await asyncio.gather(self._sending, return_exceptions=True)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # --- telling ----------------------------------------------------------------------------------

    def _tell(self, change: Change) -> None:
        self._waiting.append(change)
        if self._sending is None:
            self._sending = asyncio.create_task(self._send())

    async def _send(self) -> None:
        try:
            while self._waiting:
                changes, self._waiting = self._waiting, []
                try:
                    await self._database.write(
                        _tell, self._owner, [encode(change) for change in changes], now_ms()
                    )
                except Exception:
                    # The rows are there; only pages that are open elsewhere learn of them at their next look.
                    log.exception("other processes were not told")
        finally:
            self._sending = None

    # --- hearing ----------------------------------------------------------------------------------

    async def _follow(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(POLL_SECONDS):
                    await self._heard.wait()
            self._heard.clear()
            try:
                while await self._take() == AT_ONCE:
                    pass
            except Exception:
                log.exception("live events could not be read; trying again")
                await asyncio.sleep(RECONNECT_SECONDS)

    async def _take(self) -> int:
        events = await self._database.read(_after, self._last)
        for number, owner, change in events:
            self._last = number
            if owner != self._owner:
                self._live.receive(decode(change))
        return len(events)

    async def _listen(self) -> None:
        """A connection of its own that only waits; while there is none, polling is what remains."""
        url = self._database.url.set(drivername="postgresql").render_as_string(hide_password=False)
        while True:
            try:
                async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
                    await connection.execute(f"LISTEN {CHANNEL}")
                    self._heard.set()  # something may have been told while there was no connection
                    async for _ in connection.notifies():
                        self._heard.set()
            except psycopg.Error as error:
                log.info("notifications: %s", error)
            await asyncio.sleep(RECONNECT_SECONDS)


def encode(change: Change) -> str:
    """A change as the text of a row."""
    return json.dumps(
        {
            "bees": [bee.hex() for bee in change.bees],
            "news": [[bee.hex(), key.hex()] for bee, key in change.news],
            "gone": [[bee.hex(), key.hex()] for bee, key in change.gone],
            "more": change.more,
        },
        separators=(",", ":"),
    )


def decode(value: str) -> Change:
    row = json.loads(value)
    return Change(
        bees={bytes.fromhex(bee) for bee in row["bees"]},
        news={(bytes.fromhex(bee), bytes.fromhex(key)): None for bee, key in row["news"]},
        gone={(bytes.fromhex(bee), bytes.fromhex(key)): None for bee, key in row["gone"]},
        more=row["more"],
    )


def _tell(connection: Connection, owner: str, changes: list[str], now: int) -> None:
    # Numbers are given before commits: with the lock, who reads number 8 has seen number 7.
    connection.execute(text(f"SELECT pg_advisory_xact_lock(hashtext('{CHANNEL}'))"))
    rows = [{"at": now, "owner": owner, "change": change} for change in changes]
    connection.execute(insert(connection, live_events), rows)
    connection.execute(delete(live_events).where(live_events.c.at < now - KEPT_MS))
    connection.execute(text(f"NOTIFY {CHANNEL}"))


def _newest(connection: Connection) -> int:
    return connection.execute(select(func.coalesce(func.max(live_events.c.id), 0))).scalar_one()


def _after(connection: Connection, number: int) -> list[tuple[int, str, str]]:
    columns = (live_events.c.id, live_events.c.owner, live_events.c.change)
    query = select(*columns).where(live_events.c.id > number).order_by(live_events.c.id).limit(AT_ONCE)
    return [(row[0], row[1], row[2]) for row in connection.execute(query)]
