"""Reading: the merged timeline, and search over what is here."""

from __future__ import annotations

from urllib.parse import urlencode

from sse_starlette import EventSourceResponse
from starlette.requests import Request
from starlette.responses import Response

from userpeer.library.queries import KINDS
from userpeer.live import stream
from userpeer.views import SearchView, TimelineView

from .render import block, frame, page, service_of

MAX_WORDS = 200


async def timeline(request: Request) -> Response:
    """GET /timeline?kind=&before="""
    return page(request, "timeline.html", await _view(request), block="timeline")


async def timeline_events(request: Request) -> Response:
    """GET /live/timeline"""

    async def render() -> str:
        return block(request, "timeline.html", "timeline", await _view(request))

    return EventSourceResponse(stream(request.app.state.hub, render))


async def search(request: Request) -> Response:
    """GET /search?q=&before="""
    words = request.query_params.get("q", "").strip()[:MAX_WORDS]
    before = request.query_params.get("before")
    found = service_of(request).library.search(words, before=before) if words else None
    older = _query("/search", q=words, before=found.older) if found and found.older else ""
    view = SearchView(**await frame(request), words=words, page=found, older=older)
    return page(request, "search.html", view, block="results")


async def _view(request: Request) -> TimelineView:
    service = service_of(request)
    kind = request.query_params.get("kind", "")
    kind = kind if kind in KINDS else ""
    before = request.query_params.get("before")
    found = service.library.timeline(kind=kind or None, before=before)
    return TimelineView(
        **await frame(request),
        page=found,
        kind=kind,
        before=before,
        following=len(service.followed()),
        older=_query("/timeline", kind=kind, before=found.older) if found.older else "",
    )


def _query(path: str, **parameters: str | None) -> str:
    """An address with the parameters that are not empty."""
    given = {name: value for name, value in parameters.items() if value}
    return f"{path}?{urlencode(given)}" if given else path
