"""`/live`: server-sent events for open pages (what they carry: `feedagg/live.py`)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial

from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.requests import Request
from starlette.responses import Response

from core.errors import BadArgument
from core.peer import parse_key
from feedagg import search
from feedagg.open_lists import OpenList, of_film
from feedagg.web import aggregator, problem

PING_SECONDS = 20
MAX_READERS = 2_000


async def show(request: Request) -> Response:
    here = aggregator(request)
    live = here.live
    if live.readers >= MAX_READERS:
        return problem(
            request, 503, "Too many readers", "So many pages are open that this one is not kept live."
        )
    asked = request.query_params.get("bee")
    try:
        bee = None if asked is None else parse_key(asked)
    except BadArgument as error:
        return problem(request, 400, "Not a key", str(error))
    after = request.headers.get("last-event-id") or request.query_params.get("after", live.last_id)

    of = await _open_list(request)

    async def events() -> AsyncIterator[ServerSentEvent]:
        async for event in live.events(after, bee, None if of is None else partial(here.render_part, of=of)):
            yield ServerSentEvent(event.data, event=event.name, id=event.id)

    return EventSourceResponse(
        events(), ping=PING_SECONDS, headers={"cache-control": "no-store", "x-accel-buffering": "no"}
    )


async def _open_list(request: Request) -> OpenList | None:
    """The list whose page is open: `?tag=`, `?search=`, `?film=`, or `?root=` with its record in `?key=`."""
    query = request.query_params
    if "tag" in query:
        return OpenList(query=search.tagged(query["tag"]))
    if "search" in query:
        return OpenList(query=search.parse(query["search"]))
    if "film" in query:
        return await aggregator(request).database.read(of_film, query["film"])
    return OpenList(root=(query["root"], query["key"])) if "root" in query and "key" in query else None
