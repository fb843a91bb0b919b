"""`/`: the merged feed."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection
from starlette.requests import Request
from starlette.responses import Response

from feedagg import queries, sources, views
from feedagg.pages.paging import Paging, paging, places
from feedagg.views import Card
from feedagg.web import aggregator, page


@dataclass(frozen=True, slots=True)
class FeedView:
    """`live_after`: the event after which an open page listens; taken before the rows were read."""

    cards: list[Card]
    paging: Paging
    live_after: str
    bees: dict[str, int]


async def show(request: Request) -> Response:
    here = aggregator(request)
    live_after = here.live.last_id
    before, after = places(request)

    def read(connection: Connection) -> tuple[queries.Page, list[Card], dict[str, int]]:
        found = queries.feed(connection, before=before, after=after)
        return found, views.cards(connection, found.items), sources.counts(connection)

    found, cards, counts = await here.database.read(read)
    view = FeedView(cards, paging(request, found), live_after, counts)
    return page(request, "feedagg/feed.html", view, block="records")
