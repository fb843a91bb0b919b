"""Who carries one's words: connected peers, aggregators, and the bee as others read it."""

from __future__ import annotations

from sse_starlette import EventSourceResponse
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from core.errors import BadArgument
from userpeer.errors import SubmitFailed
from userpeer.live import stream
from userpeer.submitting import aggregator_url, submit
from userpeer.views import AggregatorsView, EntriesView, Form, NetworkView, Notice

from .render import block, frame, page, see_other, service_of, typed

# Blocks that a peer takes make no news of their own, so an open page looks this often.
LOOK_SECONDS = 1.0


async def network(request: Request) -> Response:
    """GET /network"""
    return page(request, "network.html", await _network_view(request), block="network")


async def network_events(request: Request) -> Response:
    """GET /live/network"""

    async def render() -> str:
        return block(request, "network.html", "network", await _network_view(request))

    return EventSourceResponse(stream(request.app.state.hub, render, every=LOOK_SECONDS))


async def aggregators(request: Request) -> Response:
    """GET /aggregators"""
    return page(request, "aggregators.html", await _aggregators_view(request), block="aggregators")


async def submit_key(request: Request) -> Response:
    """POST /aggregators"""
    service = service_of(request)
    values = await typed(request)
    try:
        submission = await submit(aggregator_url(values.get("url", "")), service.key, service.listening)
    except (BadArgument, SubmitFailed) as error:
        status = getattr(error, "status", 422)
        view = await _aggregators_view(request, Form(values, {"url": str(error)}))
        return page(request, "aggregators.html", view, block="aggregators", status=status)
    service.submissions.remember(submission)
    if submission.accepted:
        return see_other("/aggregators?did=submitted")
    view = await _aggregators_view(request, Form(values, {"url": submission.sentence}))
    return page(request, "aggregators.html", view, block="aggregators", status=422)


async def entries(request: Request) -> Response:
    """GET /bee?after="""
    service = service_of(request)
    after = request.query_params.get("after")
    view = EntriesView(
        **await frame(request),
        page=await service.reader.entries(after=after),
        after=after,
        info=service.info(),
    )
    return page(request, "entries.html", view)


async def health(request: Request) -> Response:
    """GET /health: for a program that wants to know whether this peer serves."""
    service = service_of(request)
    info = service.info()
    return JSONResponse(
        {
            "status": "ok",
            "key": info.key,
            "length": info.length,
            "listen": str(service.listening) if service.listening else None,
            "connections": len(service.peer.connections),
        }
    )


async def _network_view(request: Request) -> NetworkView:
    service = service_of(request)
    online = service.peer.network
    return NetworkView(
        **await frame(request),
        status=None if online is None else online.status(),
        bees=service.peer.shared(),
        connected=service.connected(),
        info=service.info(),
        listening=str(service.listening) if service.listening else None,
    )


async def _aggregators_view(request: Request, form: Form | None = None) -> AggregatorsView:
    service = service_of(request)
    notice = None
    submissions = service.submissions.all()
    if request.query_params.get("did") == "submitted" and submissions:
        notice = Notice(submissions[0].sentence)
    return AggregatorsView(
        **await frame(request, notice),
        submissions=submissions,
        form=form or Form(),
        listening=str(service.listening) if service.listening else None,
    )
