"""The parts of a running aggregator, and the order in which they start and stop."""

from __future__ import annotations

import asyncio
import time

from jinja2 import Environment
from sqlalchemy import Connection

import templates
from core.errors import BadArgument, PeerUnreachable
from core.peer import Peer
from feedagg import (
    contact,
    fanout,
    ingest,
    jobs,
    listings,
    metrics,
    operator_token,
    pictures,
    publisher,
    queries,
    standing,
    views,
    web,
    words,
    workers,
)
from feedagg.admin import session
from feedagg.database import Database, database_url
from feedagg.live import Change, Live
from feedagg.open_lists import Fresh, OpenList
from feedagg.settings import Settings


class Aggregator:
    """One aggregator over one directory. `await start()`, then serve `app.create_app(aggregator)`."""

    def __init__(self, settings: Settings, database: Database, peer: Peer) -> None:
        self.settings = settings
        self.database = database
        self.peer = peer
        self.templates: Environment = templates.environment(
            app_name=settings.site_name, app_tagline="One feed, many bees.", app_home="/"
        )
        self.templates.globals["permalink"] = views.permalink
        self.templates.filters["tag_path"] = lambda tag: listings.tag_path(tag) if words.tag_word(tag) else ""
        self.live = Live(self._render_news)
        self._reading_news = asyncio.Lock()
        self.ingest = ingest.Ingest(database, self.live, settings)
        self.pictures = pictures.Pictures(database, peer, self.ingest, settings)
        self.publisher = publisher.Publisher(database, peer, self.ingest, settings.site_name)
        self.metrics = metrics.Metrics()
        self.ingest.observe = self.metrics.stretch
        self.ingest.on_postponed = self.metrics.postponed.inc
        self.contact = contact.Contact(database, peer, self.ingest, self.live, settings)
        self.submissions = web.RateLimit(settings.submit_burst, settings.submit_per_hour)
        self.provings = web.RateLimit(6, 60)
        self.recounts = web.RateLimit(20, 600)
        self.readers_words = web.RateLimit(settings.report_burst, settings.report_per_hour)
        self.wrong_tokens = session.wrong_tokens()
        self.started_at = time.time()
        self.token = operator_token.load(settings.dir)
        self.fanout = fanout.Fanout(database, self.live, self.contact.owner)
        self.url: str | None = None
        """Where this process answers, once it does."""
        self.standing = standing.Standing(database, peer, self.contact, self.ingest, self.pictures)
        self._jobs = jobs.scheduler(self.contact, self.standing, self.metrics, database, self.beat)

    @classmethod
    async def open(cls, settings: Settings) -> Aggregator:
        """Open the database and the store. Raises `StorageError` with a sentence if that fails."""
        settings.dir.mkdir(parents=True, exist_ok=True)
        peer = await Peer.open(settings.dir / "store")
        try:
            database = Database(database_url(settings.dir, settings.db))
        except BaseException:
            await peer.close()
            raise
        return cls(settings, database, peer)

    async def start(self) -> None:
        """Go online and begin to follow. Raises `MeadowError` with a sentence when the network cannot be had."""
        role, begin = self.settings.role, self.settings.dht
        if role != workers.ALL and self.database.is_sqlite:
            raise BadArgument(
                "Only on PostgreSQL can several processes share the work: give --db postgresql://…, or leave "
                "--role out."
            )
        if begin is not None and role != workers.WEB:
            await self._go_online(begin)
        if workers.publishes(role):
            await self.publisher.start()
        await self.fanout.start()
        if workers.reads(role):
            await self.contact.start()
        await self.beat()
        self._jobs.start()

    async def beat(self) -> None:
        """Say that this process is there, to the others that share its database."""
        if self.database.is_sqlite:
            return
        now = ingest.now_ms()
        here = workers.Worker(
            self.contact.owner,
            self.settings.role,
            self.url,
            int(self.started_at * 1000),
            now,
            len(self.ingest.followed),
        )
        await self.database.write(workers.beat, here)

    async def _go_online(self, begin: tuple[str, ...]) -> None:
        settings = self.settings
        try:
            await self.peer.go_online(begin, is_node=settings.dht_node, max_peers=settings.max_peers)
        except OSError as error:
            reason = error.strerror or error
            raise PeerUnreachable(
                f"No UDP socket can be opened for the DHT: {reason}. Without it: --no-dht."
            ) from error

    async def close(self) -> None:
        """In the reverse order: no new work, no more reading, then the stores."""
        if self._jobs.running:
            self._jobs.shutdown(wait=False)
        self.live.close()
        await self.pictures.close()
        await self.contact.close()
        await self.ingest.close()
        await self.publisher.close()
        await self.fanout.close()
        if not self.database.is_sqlite:
            await self.database.write(workers.gone, self.contact.owner)
        await self.peer.close()
        await self.database.close()

    async def _render_news(self, change: Change) -> str:
        """The HTML of one live event."""
        return self._news(change, await self._fresh(change))

    async def render_part(self, change: Change, of: OpenList) -> str:
        """The HTML of one live event for a list that is open. What is not in that list counts as gone, for it may have
        been in it until now. Lists of which the same is news share it.
        """
        fresh = [one for one in await self._fresh(change) if of.takes(one)]
        name = tuple(one.card.id for one in fresh)
        if name not in change.parts:
            change.parts[name] = self._news(change, fresh)
        return change.parts[name]

    async def _fresh(self, change: Change) -> list[Fresh]:
        async with self._reading_news:
            if change.found is None:
                change.found = await self.database.read(_fresh, change)
        return list(change.found)

    def _news(self, change: Change, fresh: list[Fresh]) -> str:
        cards = [one.card for one in fresh]
        gone = [views.dom_id(bee, key) for bee, key in change.gone]
        shown = {card.id for card in cards}
        # What was to be shown and is not there any more (hidden, or removed a moment later) goes too.
        gone += [name for bee, key in change.news if (name := views.dom_id(bee, key)) not in shown]
        view = {"cards": cards, "gone": gone, "more": change.more}
        return templates.render_page(self.templates, "feedagg/news.html", {"view": view, "path": ""})


def _fresh(connection: Connection, change: Change) -> list[Fresh]:
    items = []
    for bee in {bee for bee, _ in change.news}:
        items += queries.some(connection, bee, [key for of, key in change.news if of == bee])
    by_id = {views.dom_id(item.bee, item.key): item for item in sorted(items, key=lambda item: item.place)}
    return [Fresh(by_id[card.id], card) for card in views.cards(connection, by_id.values())]
