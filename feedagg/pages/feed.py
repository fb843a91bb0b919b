"""`/`: the merged feed."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection
from starlette.requests import Request
from starlette.responses import Response

from feedagg import listings, queries, sources, views
from feedagg.listings import FeedLink
from feedagg.pages.paging import Paging, paging, places
from feedagg.queries import Order
from feedagg.views import Card
from feedagg.web import aggregator, page

DEMANDED = 50
"""Bees whose history one look at an older page asks for."""


@dataclass(frozen=True, slots=True)
class FeedView:
    """`live_after`: the event after which an open page listens; taken before the rows were read. `order`: date or
    arrival. `fetching`: of how many bees older records are being fetched for this page; `here`: its address.
    """

    cards: list[Card]
    paging: Paging
    live_after: str
    bees: dict[str, int]
    order: str
    feeds: list[FeedLink]
    fetching: int
    here: str


async def show(request: Request) -> Response:
    here = aggregator(request)
    live_after = here.live.last_id
    before, after = places(request)
    order = Order.parse(request.query_params.get("sort"))

    def read(connection: Connection) -> tuple[queries.Page, list[Card], dict[str, int], list[bytes]]:
        found = queries.feed(connection, before=before, after=after, order=order)
        # Who leafs back may soon come to where some bees are not read yet, so their history is read first.
        behind = sources.unfinished(connection, DEMANDED) if before is not None or not found.has_older else []
        return found, views.cards(connection, found.items), sources.counts(connection), behind

    found, cards, counts, behind = await here.database.read(read)
    fetching = sum(here.ingest.demand(bee) for bee in behind)
    links = listings.links("/" if order is Order.DATE else f"/?sort={order}")
    query = f"?{request.url.query}" if request.url.query else ""
    view = FeedView(
        cards,
        paging(request, found),
        live_after,
        counts,
        str(order),
        links,
        fetching,
        str(request.url.path) + query,
    )
    return page(request, "feedagg/feed.html", view, block="records")
