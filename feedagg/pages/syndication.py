"""`/feed.rss`, `/feeds/<format>/...`: every list for feed readers, and its bees as OPML; `/bees.opml`: all bees."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from hashlib import blake2b
from typing import Any

from sqlalchemy import Connection
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from feedagg import feeds, listings, queries, sources, views, xml_feeds
from feedagg.listings import FORMATS, MEDIA_TYPES, Listing
from feedagg.pages.keys import bee_of, key_in_query
from feedagg.queries import Item, Order, Place
from feedagg.views import Card
from feedagg.web import aggregator, base_url

MAX_ITEMS = 100
MAX_SUBSCRIPTIONS = 20_000
SUBSCRIBED = 500
"""So many of the newest records of a list are looked through for its bees."""


async def feed(request: Request) -> Response:
    """`/feed.<format>`: the merged feed; `?before=` and `?limit=` page, `?sort=arrival` orders by arrival."""
    if request.path_params["format"] == "opml":
        return await subscriptions(request)
    site, order = aggregator(request).settings.site_name, Order.parse(request.query_params.get("sort"))
    return await _answer(
        request, lambda connection, **cut: listings.feed(connection, site, order=order, **cut)
    )


async def bee(request: Request) -> Response:
    key = bee_of(request)
    return await _answer(request, lambda connection, **cut: listings.bee(connection, key, **cut))


async def tag(request: Request) -> Response:
    name = request.path_params["tag"]
    return await _answer(request, lambda connection, **cut: listings.tag(connection, name, **cut))


async def film(request: Request) -> Response:
    name = request.path_params["name"]
    return await _answer(request, lambda connection, **cut: listings.film(connection, name, **cut))


async def thread(request: Request) -> Response:
    key = bee_of(request)
    asked = request.path_params.get("key")
    name = asked.encode() if asked else key_in_query(request)
    if name is None:
        raise HTTPException(404)
    return await _answer(request, lambda connection, **cut: listings.thread(connection, key, name, **cut))


async def search(request: Request) -> Response:
    query = request.query_params.get("q", "")
    order = Order.parse(request.query_params.get("sort"))
    return await _answer(
        request, lambda connection, **cut: listings.found(connection, query, order=order, **cut)
    )


async def subscriptions(request: Request) -> Response:
    """`/bees.opml`: every bee that is followed, each with its RSS feed."""
    here = aggregator(request)
    base = base_url(request)

    def read(connection: Connection) -> bytes:
        listed = sources.listing(connection, MAX_SUBSCRIPTIONS)
        bees = [source.bee for source in listed if source.state != sources.REFUSED]
        return opml_of(connection, f"{here.settings.site_name}: bees", base, bees)

    return cached(request, await here.database.read(read), MEDIA_TYPES["opml"], "bees.opml")


def opml_of(connection: Connection, title: str, base: str, bees: Sequence[bytes]) -> bytes:
    profiles = queries.profiles(connection, bees)
    authors = [views.author(bee, profiles.get(bee)) for bee in bees]
    return xml_feeds.opml(
        title=title, base=base, bees=[(author, listings.links(author.href)) for author in authors]
    )


async def _bees_of(request: Request, read: Callable[..., Listing | None]) -> Response:
    """Those who wrote the newest records of a list, as subscriptions; the last to write first."""
    here, base = aggregator(request), base_url(request)

    def load(connection: Connection) -> bytes | None:
        listing = read(connection, before=None, size=SUBSCRIBED)
        if listing is None:
            return None
        bees = dict.fromkeys([item.bee for item in listing.page.items] + list(listing.bees))
        title = f"{listing.title} · {here.settings.site_name}: bees"
        return opml_of(connection, title, base, followed(connection, bees))

    body = await here.database.read(load)
    if body is None:
        raise HTTPException(404)
    return cached(request, body, MEDIA_TYPES["opml"], "bees.opml")


def followed(connection: Connection, bees: Iterable[bytes]) -> list[bytes]:
    """Those of them that are read here, so that their feeds are to be had."""
    found = ((bee, sources.get(connection, bee)) for bee in bees)
    return [bee for bee, source in found if source is not None and source.state != sources.REFUSED]


async def _answer(request: Request, read: Callable[..., Listing | None]) -> Response:
    """The list that `read(connection, before=, size=)` gives, in the format the address names."""
    kind = request.path_params["format"]
    if kind not in FORMATS:
        raise HTTPException(404)
    if kind == "opml":
        return await _bees_of(request, read)
    here, base = aggregator(request), base_url(request)
    before = Place.parse(request.query_params.get("before"))
    size = limit(request.query_params.get("limit"))

    def load(connection: Connection) -> tuple[Listing, list[tuple[Item, Card]]] | None:
        listing = read(connection, before=before, size=size)
        if listing is None:
            return None
        by_id = {card.id: card for card in views.cards(connection, listing.page.items)}
        names = [(item, views.dom_id(item.bee, item.key)) for item in listing.page.items]
        return listing, [(item, by_id[name]) for item, name in names if name in by_id]

    found = await here.database.read(load)
    if found is None:
        raise HTTPException(404)
    listing, pairs = found
    title = listing.title
    if title != here.settings.site_name:
        title = f"{title} · {here.settings.site_name}"
    self_url = f"{base}{_path(request)}"
    end = listing.page.end
    next_url = None
    if listing.page.has_older and end is not None:
        asked = request.url.include_query_params(before=end.token())
        next_url = f"{base}{_path(request, asked.query)}"
    if kind == "json":
        document: Any = feeds.json_feed(
            title=title, base=base, path=listing.path, feed_url=self_url, cards=pairs, next_url=next_url
        )
        body = JSONResponse(document).body
    else:
        write = xml_feeds.rss if kind == "rss" else xml_feeds.atom
        body = write(
            title=title,
            base=base,
            path=listing.path,
            self_url=self_url,
            next_url=next_url,
            entries=[feeds.entry(base, item, card) for item, card in pairs],
        )
    return cached(request, bytes(body), MEDIA_TYPES[kind])


def cached(request: Request, body: bytes, media_type: str, name: str | None = None) -> Response:
    """The document, or 304 for a reader that has it. `name`: what a browser saves it as, instead of showing it."""
    etag = f'"{blake2b(body, digest_size=12).hexdigest()}"'
    headers = {"access-control-allow-origin": "*", "cache-control": "no-cache", "etag": etag}
    if name is not None:
        headers["content-disposition"] = f'attachment; filename="{name}"'
    if etag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    # JSON names its own encoding; XML that names none over HTTP is taken for something else by some.
    charset = "" if media_type.endswith("json") else "; charset=utf-8"
    return Response(body, headers={**headers, "content-type": media_type + charset})


def _path(request: Request, query: str | None = None) -> str:
    query = request.url.query if query is None else query
    return request.url.path + (f"?{query}" if query else "")


def limit(text: str | None) -> int:
    return min(MAX_ITEMS, max(1, int(text))) if text and text.isascii() and text.isdigit() else queries.PAGE
