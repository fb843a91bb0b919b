"""The film diary: a calendar, a year in review, films without a day; anyone's that is read here."""

from __future__ import annotations

import re
import time

from starlette.requests import Request
from starlette.responses import Response

from userpeer.errors import NotFound
from userpeer.library.diary import Diary
from userpeer.service import PeerService, bee_key
from userpeer.views import DiaryView, UndatedView, YearView

from .render import frame, page, service_of

LOOSE = 10
"""Films with a year alone, below a month; the others are a page of their own."""

_YEAR = re.compile(r"[0-9]{4}\Z")
_MONTH = re.compile(r"(\d{4})-(0[1-9]|1[0-2])\Z")


async def diary(request: Request) -> Response:
    """GET /diary?month=YYYY-MM&bee="""
    service, bee, who = _whose(request)
    book = Diary(service.library.shelf, bee, service.key)
    years = book.years()
    now = time.gmtime()
    asked = _MONTH.match(request.query_params.get("month", ""))
    if asked is not None:
        year, month = int(asked[1]), int(asked[2])
    else:
        year, month = book.latest() or (now.tm_year, now.tm_mon)
    if year < 1:
        raise NotFound("There is no such month.")
    loose, more = book.loose(year, limit=LOOSE) if "before" not in request.query_params else ([], None)
    view = DiaryView(
        **await frame(request),
        bee=bee,
        who=who,
        years=years,
        month=book.month(year, month, before=request.query_params.get("before")),
        before=request.query_params.get("before"),
        earlier=_month(year, month - 1),
        later=_month(year, month + 1),
        loose=loose,
        has_more_loose=more is not None,
    )
    return page(request, "diary.html", view)


async def undated(request: Request) -> Response:
    """GET /diary/undated?bee=&year=&before=: films without a date, or with a year alone."""
    service, bee, who = _whose(request)
    asked, before = request.query_params.get("year", ""), request.query_params.get("before", "")
    year = int(asked) if _YEAR.match(asked) else None
    book = Diary(service.library.shelf, bee, service.key)
    items, older = book.loose(
        year, before=int(before) if before.isascii() and before.isdigit() and len(before) < 19 else None
    )
    view = UndatedView(
        **await frame(request),
        bee=bee,
        who=who,
        years=book.years(),
        year=year,
        items=items,
        is_first=not before,
        older=older,
    )
    return page(request, "undated.html", view)


async def year(request: Request) -> Response:
    """GET /diary/{year}?bee="""
    service, bee, who = _whose(request)
    book = Diary(service.library.shelf, bee, service.key)
    view = YearView(
        **await frame(request),
        bee=bee,
        who=who,
        years=book.years(),
        year=book.year(request.path_params["year"]),
    )
    return page(request, "year.html", view)


def _whose(request: Request) -> tuple[PeerService, str, str]:
    """Whose diary: the `bee` asked for, or one's own."""
    service = service_of(request)
    asked = request.query_params.get("bee", "")
    bee = bee_key(asked) if asked else service.key
    known = service.library.shelf.bee(bee)
    if known is None:
        raise NotFound("This bee is not read here. Follow it first.")
    return service, bee, "You" if bee == service.key else known.name or bee[:8]


def _month(year: int, month: int) -> str:
    """Month 0 is the December before, 13 the January after; empty outside the calendar."""
    year, month = (year - 1, 12) if month == 0 else (year + 1, 1) if month == 13 else (year, month)
    return f"{year:04d}-{month:02d}" if 1 <= year <= 9999 else ""
