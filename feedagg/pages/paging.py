"""Links to the pages on either side, by keyset."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlencode

from starlette.requests import Request

from feedagg.queries import Page, Place


@dataclass(frozen=True, slots=True)
class Paging:
    """`newer` and `older`: relative URLs, empty when there is nothing on that side."""

    newer: str = ""
    older: str = ""
    is_first: bool = True


def places(request: Request) -> tuple[Place | None, Place | None]:
    """(before, after) as the request asks."""
    query = request.query_params
    return Place.parse(query.get("before")), Place.parse(query.get("after"))


def paging(request: Request, page: Page, *, oldest_first: bool = False) -> Paging:
    """The links around `page`, for the address of this request; what else it asks stays in them."""
    before, after = places(request)
    is_first = before is None and (after is None or not page.has_newer)
    rest = [
        (name, value) for name, value in request.query_params.multi_items() if name not in ("before", "after")
    ]

    def link(name: str, place: Place | None) -> str:
        return "" if place is None else "?" + urlencode([*rest, (name, place.token())])

    first, last = page.items[0].place if page.items else None, page.end
    newest, oldest = (last, first) if oldest_first else (first, last)
    return Paging(
        newer=link("after", newest) if page.has_newer else "",
        older=link("before", oldest) if page.has_older else "",
        is_first=is_first,
    )
