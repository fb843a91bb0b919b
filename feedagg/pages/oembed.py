"""`/oembed?url=...`: what another site may show for a link to one of our pages (https://oembed.com)."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import unquote, unquote_plus, unquote_to_bytes, urlsplit
from xml.etree.ElementTree import Element, SubElement, tostring

from markupsafe import escape
from sqlalchemy import Connection
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from core.errors import BadArgument
from core.peer import parse_key
from feedagg import feeds, listings, queries, sources, views
from feedagg.decide import Status
from feedagg.listings import Listing
from feedagg.queries import Order
from feedagg.views import Card
from feedagg.web import aggregator, base_url
from feedagg.xml_feeds import clean

WIDTH: Final = 550
CACHE_SECONDS: Final = 3600
TITLES: Final = {"/bees": "Bees", "/decisions": "Decisions"}
"""Lists that are not made of records."""


async def show(request: Request) -> Response:
    """`url`: one of our pages; `format`: json (default) or xml; `maxwidth`, `maxheight` in pixels."""
    query, here, base = request.query_params, aggregator(request), base_url(request)
    kind = query.get("format", "json")
    if kind not in ("json", "xml"):
        return JSONResponse({"error": "The format must be json or xml."}, 501)
    asked = urlsplit(query.get("url", "")[:4000])
    if asked.netloc and asked.netloc not in (urlsplit(base).netloc, request.headers.get("host")):
        return JSONResponse({"error": "That is not a page of this site."}, 404)
    found = await here.database.read(_embed, asked.path, asked.query, here.settings.site_name, base)
    if found is None:
        return JSONResponse({"error": "There is no such page here, or it is not shown."}, 404)
    wide, high = _pixels(query.get("maxwidth"), WIDTH), _pixels(query.get("maxheight"), 10_000)
    document: dict[str, Any] = {
        "version": "1.0",
        "provider_name": here.settings.site_name,
        "provider_url": f"{base}/",
        "cache_age": CACHE_SECONDS,
        **found,
    }
    if document["type"] == "rich":
        document |= {"width": min(wide, WIDTH), "height": min(high, 260)}
    headers = {"access-control-allow-origin": "*"}
    if kind == "json":
        return JSONResponse(document, headers=headers)
    root = Element("oembed")
    for name, value in document.items():
        SubElement(root, name).text = clean(str(value))
    return Response(
        tostring(root, encoding="utf-8", xml_declaration=True), media_type="text/xml", headers=headers
    )


def _embed(connection: Connection, path: str, query: str, site: str, base: str) -> dict[str, Any] | None:
    """What to show for a page: a record as a quotation, any other list as a link with its title."""
    segments = path.split("/", 3)
    place, name = segments[1] if len(segments) > 1 else "", segments[2] if len(segments) > 2 else ""
    key = _record_key(segments, query)
    if place == "bee" and key is not None:
        return _record(connection, name, key, base)
    if path in TITLES:
        return {"type": "link", "title": f"{TITLES[path]} · {site}"}
    listing = _listing(connection, place, name, key, path, query, site)
    return None if listing is None else {"type": "link", "title": listing.title}


def _record_key(segments: list[str], query: str) -> bytes | None:
    if len(segments) > 3 and segments[3]:
        return unquote_to_bytes(segments[3])
    return next((unquote_to_bytes(part[4:]) for part in query.split("&") if part.startswith("key=")), None)


def _listing(
    connection: Connection, place: str, name: str, key: bytes | None, path: str, query: str, site: str
) -> Listing | None:
    if path in ("", "/"):
        return listings.feed(connection, site, size=1)
    if place == "tag":
        return listings.tag(connection, unquote(path.removeprefix("/tag/")), size=1)
    if place == "film":
        return listings.film(connection, unquote(path.removeprefix("/film/")), size=1)
    if place == "search":
        words = next((part[2:] for part in query.split("&") if part.startswith("q=")), "")
        return listings.found(connection, unquote_plus(words), order=Order.DATE, size=1)
    try:
        bee = parse_key(name)
    except BadArgument:
        return None
    if place == "bee":
        return listings.bee(connection, bee, size=1)
    return listings.thread(connection, bee, key, size=1) if place == "thread" and key is not None else None


def _record(connection: Connection, name: str, key: bytes, base: str) -> dict[str, Any] | None:
    try:
        bee = parse_key(name)
    except BadArgument:
        return None
    item, source = queries.record(connection, bee, key), sources.get(connection, bee)
    if item is None or source is None or item.status != Status.SHOWN or item.hidden:
        return None
    author = views.author(bee, queries.profiles(connection, [bee]).get(bee))
    card = views.card(item, {bee: author})
    if card is None:
        return None
    return {
        "type": "rich",
        "title": feeds.headline(card),
        "author_name": author.name,
        "author_url": base + author.href,
        "html": quotation(card, base),
    }


def quotation(card: Card, base: str) -> str:
    """The record as a quotation with its source, without script or style; what its author covered stays covered."""
    link, who = escape(base + card.permalink), escape(card.author.name)
    place = escape(urlsplit(base).netloc)
    source = f'<footer>{who}, <a href="{link}">on {place}</a></footer>'
    return f'<blockquote cite="{link}">{feeds.html(base, card)}{source}</blockquote>'


def _pixels(text: str | None, default: int) -> int:
    return (
        max(1, min(int(text), 10_000))
        if text and text.isascii() and text.isdigit() and len(text) < 6
        else default
    )
