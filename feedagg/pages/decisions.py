"""`/decisions`: what was decided here, in public."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from core.errors import BadArgument
from core.peer import parse_key
from feedagg import decisions, listings
from feedagg.decisions import Decision
from feedagg.listings import FeedLink
from feedagg.web import aggregator, page, problem

AT_ONCE = 50


@dataclass(frozen=True, slots=True)
class DecisionsView:
    """`bee`: 64 hex digits, empty for all; `older`: the link to more."""

    decisions: list[Decision]
    bee: str
    older: str
    is_later: bool
    path: str
    feeds: list[FeedLink]


async def show(request: Request) -> Response:
    asked = request.query_params.get("bee")
    try:
        bee = None if not asked else parse_key(asked)
    except BadArgument as error:
        return problem(request, 400, "Not a key", str(error))
    before = number(request.query_params.get("before"))
    found = await aggregator(request).database.read(decisions.listing, AT_ONCE + 1, before=before, bee=bee)
    shown = found[:AT_ONCE]
    of = "" if bee is None else f"&bee={bee.hex()}"
    older = f"?before={shown[-1].id}{of}" if len(found) > AT_ONCE else ""
    path = "/decisions" + ("" if bee is None else f"?bee={bee.hex()}")
    view = DecisionsView(
        shown, "" if bee is None else bee.hex(), older, before is not None, path, listings.links(path)
    )
    return page(request, "feedagg/decisions.html", view)


def number(text: str | None) -> int | None:
    """The number in a query, None if it is none of ours."""
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 16 else None
