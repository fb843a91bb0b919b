"""What programs read: the feed as JSON Feed, the limits, the state of this process."""

from __future__ import annotations

import time

from sqlalchemy import Connection
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from feedagg import feeds, limits, queries, sources, views
from feedagg.queries import Place
from feedagg.web import aggregator

MAX_ITEMS = 100


async def feed(request: Request) -> Response:
    """`GET /feed.json`: the newest records; `?before=` (from `next_url`) and `?limit=` (at most 100) page."""
    here = aggregator(request)
    before = Place.parse(request.query_params.get("before"))
    limit = _limit(request.query_params.get("limit"))

    def read(connection: Connection) -> tuple[queries.Page, list[views.Card]]:
        page = queries.feed(connection, before=before, size=limit)
        return page, views.cards(connection, page.items)

    page, cards = await here.database.read(read)
    by_id = {card.id: card for card in cards}
    pairs = [
        (item, by_id[name]) for item in page.items if (name := views.dom_id(item.bee, item.key)) in by_id
    ]
    base = (here.settings.public_url or str(request.base_url)).rstrip("/")
    next_url = None
    if page.has_older:
        next_url = f"{base}/feed.json?before={page.items[-1].place.token()}&limit={limit}"
    document = feeds.json_feed(
        title=here.settings.site_name, base=base, feed_url=f"{base}/feed.json", cards=pairs, next_url=next_url
    )
    headers = {"access-control-allow-origin": "*", "cache-control": "no-cache"}
    return JSONResponse(document, headers=headers, media_type="application/feed+json")


async def health(request: Request) -> Response:
    """`GET /health`: 200 while the database answers."""
    here = aggregator(request)
    counts = await here.database.read(sources.counts)
    body = {
        "status": "ok",
        "uptimeSeconds": round(time.time() - here.started_at, 1),
        "database": "sqlite" if here.database.is_sqlite else here.database.url.get_backend_name(),
        "bees": counts,
        "connections": len(here.peer.connections),
        "recordsRead": here.ingest.records_read,
        "openPages": here.live.readers,
        "key": here.peer.public_key.hex(),
    }
    return JSONResponse(body, headers={"cache-control": "no-store"})


async def limits_document(request: Request) -> Response:
    """`GET /limits.json`: every limit that binds strangers."""
    return JSONResponse(limits.of(aggregator(request).settings))


def _limit(text: str | None) -> int:
    return min(MAX_ITEMS, max(1, int(text))) if text and text.isascii() and text.isdigit() else queries.PAGE
