"""`/film/<name>`: everything that is said about one film."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection
from starlette.requests import Request
from starlette.responses import Response

from feedagg import listings, queries, views
from feedagg.listings import FeedLink
from feedagg.pages.paging import Paging, paging, places
from feedagg.views import Card
from feedagg.web import aggregator, page, problem


@dataclass(frozen=True, slots=True)
class FilmView:
    """`average`: half stars, 1 to 10, None without ratings; `people`: how many gave one; `bars`: (rating, how many
    gave it, in per cent of the most frequent); `href`: this page; `proofs`: where the signed ratings are.
    """

    href: str
    title: str
    year: int | None
    average: float | None
    people: int
    bars: list[tuple[int, int, int]]
    feeds: list[FeedLink]
    cards: list[Card]
    paging: Paging
    proofs: str
    live: str


async def show(request: Request) -> Response:
    name = request.path_params["name"]
    here = aggregator(request)
    live = listings.live(here.live.last_id, film=name)
    before, after = places(request)

    def read(connection: Connection) -> tuple[queries.Film, list[Card]]:
        film = queries.film(connection, name, before=before, after=after)
        return film, views.cards(connection, film.page.items)

    film, cards = await here.database.read(read)
    named = next((card.film for card in cards if card.film is not None), None)
    if named is None:
        sentence = "No bee that is followed here says anything about this film."
        return problem(request, 404, "A film nobody watched", sentence)
    href = views.film_href(name)
    most = max(film.distribution, default=0) or 1
    view = FilmView(
        href=href,
        title=named.title,
        year=named.year,
        average=film.average,
        people=film.ratings,
        bars=[(n, many, round(100 * many / most)) for n, many in enumerate(film.distribution, 1)],
        feeds=listings.links(href),
        cards=cards,
        paging=paging(request, film.page),
        proofs=f"/proofs{href}",
        live=live,
    )
    return page(request, "feedagg/film.html", view, block="records")
