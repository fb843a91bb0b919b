"""`/search`: words and filters, as one line or as a form; both mean the same."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response

from feedagg import find, listings, search, views, words
from feedagg.listings import FeedLink
from feedagg.pages.paging import Paging, paging, places
from feedagg.queries import Order
from feedagg.views import Card
from feedagg.web import aggregator, page

FILTERS: Final = ("kind", "author", "tag", "year", "rating", "has", "since", "until")


@dataclass(frozen=True, slots=True)
class SearchView:
    """`asked`: the form as it was sent; `line`: all of it as one line; `has`: what `has` can ask for."""

    asked: dict[str, str]
    line: str
    is_asked: bool
    problems: tuple[str, ...]
    cards: list[Card]
    paging: Paging
    order: str
    orders: list[tuple[str, str, bool]]
    feeds: list[FeedLink]
    has: tuple[str, ...]
    live: str


async def show(request: Request) -> Response:
    here, asked = aggregator(request), _asked(request.query_params)
    line, order = _line(asked), Order.parse(request.query_params.get("sort"))
    query = search.parse(line)
    live = listings.live(here.live.last_id, search=line)
    before, after = places(request)

    def read(connection: Connection) -> tuple[find.Found, list[Card]]:
        found = find.find(connection, query, before=before, after=after, order=order)
        return found, views.cards(connection, found.page.items)

    found, cards = await here.database.read(read)
    view = SearchView(
        asked=asked,
        line=line,
        is_asked=not query.is_empty,
        problems=found.problems,
        cards=cards,
        paging=paging(request, found.page),
        order=str(order),
        orders=[
            (label, listings.search_path(line, by), by is order)
            for by, label in ((Order.DATE, "By date"), (Order.ARRIVAL, "By arrival"))
        ],
        feeds=listings.links(listings.search_path(line, order)) if line else [],
        has=words.HAS,
        live=live,
    )
    return page(request, "feedagg/search.html", view, block="records")


def _asked(query: QueryParams) -> dict[str, str]:
    return {name: query.get(name, "").strip()[: search.MAX_LENGTH] for name in ("q", *FILTERS)}


def _line(asked: dict[str, str]) -> str:
    """The form as one line: what stands in a field becomes a filter."""
    filters = [
        f'{name}:"{value}"' if " " in value else f"{name}:{value}"
        for name in FILTERS
        if (value := asked[name].replace('"', " ").strip())
    ]
    return " ".join([part for part in (asked["q"], *filters) if part])
