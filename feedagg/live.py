"""What open pages are told: which bees changed, and the cards that are new.

The ingest calls `changed` after its commit. Changes that come within a few milliseconds of each other become
one event; the last events are kept, so a page that was away for a moment (a reconnect, a hidden tab) is told
what it missed, and one that was away longer is told to reload. Nothing is queued per reader: a slow one costs
no memory. The HTML of an event is made once, by the first reader that needs it.

On the wire (server-sent events, all named, so that htmx hands them to the page's own script and swaps nothing
itself):

    news   HTML: an <li data-at="sort_at"> for every card that is new or changed, <li data-gone> for one
           that left (for a list other than the feed: of what belongs to it)
    bee    the bee of this page changed (only on /live?bee=...)
    gap    more happened than is kept: reload
"""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final

COLLECT_SECONDS: Final = 0.02
KEPT_EVENTS: Final = 256
MAX_CARDS: Final = 20
"""Cards in one event; when a burst brings more, the rest is only counted."""


@dataclass(slots=True)
class Change:
    """What one event is about. `news`: (bee, key) to show, `gone`: (bee, key) to take away, `more`: not
    listed.
    """

    number: int = 0
    bees: set[bytes] = field(default_factory=set)
    news: dict[tuple[bytes, bytes], None] = field(default_factory=dict)
    gone: dict[tuple[bytes, bytes], None] = field(default_factory=dict)
    more: int = 0
    html: str | None = None
    found: Any = None  # what was read of it, for those who show a part; and the HTML of each part
    parts: dict[tuple[str, ...], str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Event:
    """One server-sent event."""

    id: str
    name: str
    data: str


class Live:
    """The newest changes and those who wait for the next. `render(change)` makes the HTML of an event."""

    def __init__(self, render: Callable[[Change], Awaitable[str]]) -> None:
        self._render = render
        self._run = secrets.token_hex(4)  # ids of another run of this process mean nothing here
        self._kept: deque[Change] = deque(maxlen=KEPT_EVENTS)
        self._collecting: Change | None = None
        self._next = asyncio.Event()
        self._rendering = asyncio.Lock()
        self._closed = False
        self.readers = 0
        self.on_publish: Callable[[Change], None] | None = None
        """Hears of what changed in this process, for the others (fanout.py)."""

    @property
    def last_id(self) -> str:
        """Where a page made now begins to listen."""
        return f"{self._run}-{self._kept[-1].number if self._kept else 0}"

    def changed(
        self, bee: bytes, *, news: list[bytes] | None = None, gone: list[bytes] | None = None
    ) -> None:
        """Rows of `bee` were committed; `news` and `gone` are keys whose cards an open feed shows or takes
        away.
        """
        change = self._collecting
        if change is None:
            change = self._collecting = Change()
            asyncio.get_running_loop().call_later(COLLECT_SECONDS, self._publish)
        change.bees.add(bee)
        for key in news or ():
            change.gone.pop((bee, key), None)
            if len(change.news) < MAX_CARDS:
                change.news[bee, key] = None
            else:
                change.more += 1
        for key in gone or ():
            change.news.pop((bee, key), None)
            change.gone[bee, key] = None

    def _publish(self) -> None:
        change, self._collecting = self._collecting, None
        if change is None:
            return
        if self.on_publish is not None:
            self.on_publish(change)
        self._keep(change)

    def receive(self, change: Change) -> None:
        """Another process committed rows."""
        self._keep(change)

    def _keep(self, change: Change) -> None:
        change.number = self._kept[-1].number + 1 if self._kept else 1
        self._kept.append(change)
        self._wake()

    def _wake(self) -> None:
        self._next.set()
        self._next = asyncio.Event()

    def close(self) -> None:
        """End all streams."""
        self._closed = True
        self._wake()

    async def events(
        self, after: str, bee: bytes | None = None, part: Callable[[Change], Awaitable[str]] | None = None
    ) -> AsyncIterator[Event]:
        """Events after the id `after`, for ever; of one bee only, if `bee` is given. `part(change)` makes the HTML for
        a reader of a part of the feed.
        """
        self.readers += 1
        try:
            number = self._number(after)
            if number is None:
                yield Event(self.last_id, "gap", "")
                number = self._kept[-1].number if self._kept else 0
            while not self._closed:
                next_one = self._next
                for change in self._since(number):
                    if change.number > number + 1:
                        yield Event(f"{self._run}-{change.number - 1}", "gap", "")
                    number = change.number
                    event = await self._event(change, bee, part)
                    if event is not None:
                        yield event
                if self._kept and self._kept[-1].number > number:
                    continue  # more came while these were sent
                await next_one.wait()
        finally:
            self.readers -= 1

    def _since(self, number: int) -> list[Change]:
        """The kept changes after `number`. Their numbers follow each other, so they are found without a search."""
        if not self._kept:
            return []
        first = max(0, number + 1 - self._kept[0].number)
        return list(islice(self._kept, first, None))

    def _number(self, identifier: str) -> int | None:
        run, _, number = identifier.partition("-")
        return (
            int(number)
            if run == self._run and number.isascii() and number.isdigit() and len(number) < 16
            else None
        )

    async def _event(
        self, change: Change, bee: bytes | None, part: Callable[[Change], Awaitable[str]] | None
    ) -> Event | None:
        identifier = f"{self._run}-{change.number}"
        if bee is not None:
            return Event(identifier, "bee", "") if bee in change.bees else None
        if not change.news and not change.gone and not change.more:
            return None
        if part is not None:
            return Event(identifier, "news", await part(change))
        async with self._rendering:
            if change.html is None:
                change.html = await self._render(change)
        return Event(identifier, "news", change.html)
