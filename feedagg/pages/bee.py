"""`/bee/<key>`: one author, and what the aggregator can say about their bee (the coverage receipt)."""

from __future__ import annotations

from dataclasses import dataclass, replace

from sqlalchemy import Connection
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from core.peer import key_to_id
from feedagg import alarms, decisions, listings, queries, sources, views
from feedagg.alarms import Alarm
from feedagg.decisions import Decision
from feedagg.listings import FeedLink
from feedagg.operators import as_shown, is_operator
from feedagg.pages import record
from feedagg.pages.keys import bee_of, key_in_query
from feedagg.pages.paging import Paging, paging, places
from feedagg.receipts import Receipt, receipt
from feedagg.views import Author, Card
from feedagg.web import aggregator, page, problem

DECISIONS = 20
"""The newest decisions about a bee, on its page; the rest is at /decisions."""


@dataclass(frozen=True, slots=True)
class BeeView:
    author: Author
    id: str
    receipt: Receipt
    decisions: list[Decision]
    cards: list[Card]
    paging: Paging
    live_after: str
    is_busy: bool
    feeds: list[FeedLink]
    alarm: Alarm | None
    here: str = ""
    is_fetching: bool = False


async def show(request: Request) -> Response:
    key = bee_of(request)
    wanted = key_in_query(request)
    if wanted is not None:
        return await record.show_key(request, key, wanted)
    if request.path_params["bee"] != key.hex():
        query = f"?{request.url.query}" if request.url.query else ""
        return RedirectResponse(f"/bee/{key.hex()}{query}", 308)
    here = aggregator(request)
    live_after = here.live.last_id
    before, after = places(request)
    to_operator = is_operator(request)

    def read(connection: Connection) -> BeeView | None:
        source = sources.get(connection, key)
        if source is None:
            return None
        found = queries.of_bee(connection, key, before=before, after=after)
        author = views.author(key, queries.profiles(connection, [key]).get(key))
        source = as_shown(source, to_operator=to_operator)
        shown = receipt(source, queries.tally(connection, key))
        cards = views.cards(connection, found.items)
        is_busy = shown.state == "waiting" or shown.remaining > 0
        decided = decisions.listing(connection, DECISIONS, bee=key)
        links = paging(request, found)
        return BeeView(
            author,
            key_to_id(key),
            shown,
            decided,
            cards,
            links,
            live_after,
            is_busy,
            listings.links(author.href),
            alarms.of(connection, key),
            here=f"{author.href}?{request.url.query}" if request.url.query else author.href,
        )

    view = await here.database.read(read)
    if view is not None and not view.paging.older and view.receipt.remaining:
        view = replace(view, is_fetching=here.ingest.demand(key))
    if view is None:
        sentence = (
            "This bee is not followed here. If you have its key and know a peer that holds it, submit it."
        )
        return problem(request, 404, "A bee we do not know", sentence)
    return page(request, "feedagg/bee.html", view, block="news")
