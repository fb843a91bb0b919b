"""Links to the pages on either side, by keyset."""

from __future__ import annotations

from dataclasses import dataclass

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


def paging(request: Request, page: Page) -> Paging:
    """The links around `page`, for the address of this request."""
    before, after = places(request)
    is_first = before is None and (after is None or not page.has_newer)
    if not page.items:
        return Paging(is_first=is_first)
    return Paging(
        newer=f"?after={page.items[0].place.token()}" if page.has_newer else "",
        older=f"?before={page.items[-1].place.token()}" if page.has_older else "",
        is_first=is_first,
    )
