"""`/bees`: who is followed."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection
from starlette.requests import Request
from starlette.responses import Response

from feedagg import queries, sources, views
from feedagg.listings import MEDIA_TYPES, NAMES, FeedLink
from feedagg.operators import as_shown, is_operator
from feedagg.sources import Source
from feedagg.views import Author
from feedagg.web import aggregator, page

BEES = 100
OPML = FeedLink(NAMES["opml"], MEDIA_TYPES["opml"], "/bees.opml")


@dataclass(frozen=True, slots=True)
class BeeLine:
    author: Author
    source: Source


@dataclass(frozen=True, slots=True)
class BeesView:
    bees: list[BeeLine]
    counts: dict[str, int]
    older: str
    feeds: list[FeedLink]


async def show(request: Request) -> Response:
    here = aggregator(request)
    start = request.query_params.get("after", "")
    after = bytes.fromhex(start) if _is_key(start) else b""

    to_operator = is_operator(request)

    def read(connection: Connection) -> BeesView:
        listed = sources.listing(connection, BEES + 1, after)
        found = [as_shown(source, to_operator=to_operator) for source in listed]
        profiles = queries.profiles(connection, [source.bee for source in found])
        lines = [
            BeeLine(views.author(source.bee, profiles.get(source.bee)), source) for source in found[:BEES]
        ]
        more = f"/bees?after={found[BEES - 1].key}" if len(found) > BEES else ""
        return BeesView(lines, sources.counts(connection), more, [OPML])

    return page(request, "feedagg/bees.html", await here.database.read(read))


def _is_key(text: str) -> bool:
    return len(text) == 64 and all(letter in "0123456789abcdef" for letter in text)
