"""`/tag/<name>`: everything with one tag, whatever its case, accents and punctuation."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection
from starlette.requests import Request
from starlette.responses import Response

from feedagg import find, listings, search, views
from feedagg.listings import FeedLink
from feedagg.pages.paging import Paging, paging, places
from feedagg.queries import Page
from feedagg.views import Card
from feedagg.web import aggregator, page, problem
from feedagg.words import tag_word


@dataclass(frozen=True, slots=True)
class TagView:
    tag: str
    cards: list[Card]
    paging: Paging
    feeds: list[FeedLink]
    live: str


async def show(request: Request) -> Response:
    tag = request.path_params["tag"].strip()
    if not tag_word(tag):
        sentence = "A tag holds at least one letter or digit. Search for the words instead."
        return problem(request, 404, "Not a tag", sentence)
    here = aggregator(request)
    live = listings.live(here.live.last_id, tag=tag)
    before, after = places(request)

    def read(connection: Connection) -> tuple[Page, list[Card]]:
        found = find.find(connection, search.tagged(tag), before=before, after=after).page
        return found, views.cards(connection, found.items)

    found, cards = await here.database.read(read)
    view = TagView(tag, cards, paging(request, found), listings.links(listings.tag_path(tag)), live)
    return page(request, "feedagg/tag.html", view, block="records")
