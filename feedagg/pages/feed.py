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


@dataclass(frozen=True, slots=True)
class FeedView:
    """`live_after`: the event after which an open page listens; taken before the rows were read. `order`: date or
    arrival.
    """

    cards: list[Card]
    paging: Paging
    live_after: str
    bees: dict[str, int]
    order: str
    feeds: list[FeedLink]


async def show(request: Request) -> Response:
    here = aggregator(request)
    live_after = here.live.last_id
    before, after = places(request)
    order = Order.parse(request.query_params.get("sort"))

    def read(connection: Connection) -> tuple[queries.Page, list[Card], dict[str, int]]:
        found = queries.feed(connection, before=before, after=after, order=order)
        return found, views.cards(connection, found.items), sources.counts(connection)

    found, cards, counts = await here.database.read(read)
    links = listings.links("/" if order is Order.DATE else f"/?sort={order}")
    view = FeedView(cards, paging(request, found), live_after, counts, str(order), links)
    return page(request, "feedagg/feed.html", view, block="records")
