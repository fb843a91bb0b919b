"""Who carries one's words: connected peers, and the bee as others read it."""

from __future__ import annotations

from sse_starlette import EventSourceResponse
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from core.peer import SharedStatus
from userpeer.live import stream
from userpeer.service import PeerService
from userpeer.views import EntriesView, NetworkView, OpenLog

from .render import block, frame, page, service_of

# Blocks that a peer takes make no news of their own, so an open page looks this often.
LOOK_SECONDS = 1.0
LOGS_SHOWN = 100


async def network(request: Request) -> Response:
    """GET /network"""
    return page(request, "network.html", await _network_view(request), block="network")


async def network_events(request: Request) -> Response:
    """GET /live/network"""

    async def render() -> str:
        return block(request, "network.html", "network", await _network_view(request))

    return EventSourceResponse(stream(request.app.state.hub, render, every=LOOK_SECONDS))


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
    kept = service.bees.kept()
    shared = sorted(
        service.peer.shared(held.bee.core for held in kept),
        key=lambda status: (status.key != service.bee.core.key, not status.is_mine, -status.peers),
    )
    named = {held.key: held.name for held in kept}
    return NetworkView(
        **await frame(request),
        status=None if online is None else online.status(),
        logs=[_log(service, status, named) for status in shared[:LOGS_SHOWN]],
        more=max(0, len(shared) - LOGS_SHOWN),
        connected=service.connected(),
        info=service.info(),
        listening=str(service.listening) if service.listening else None,
    )


def _log(service: PeerService, status: SharedStatus, named: dict[bytes, str | None]) -> OpenLog:
    key = status.key.hex()
    if key == service.key:
        return OpenLog(status, "Your bee", "/bee")
    if service.media.is_own(status.key):
        return OpenLog(status, "Your images")
    if service.media.is_theirs(status.key):
        return OpenLog(status, "Somebody’s images")
    followed = service.follows.get(key)
    if followed is not None:
        return OpenLog(status, followed.known.name or "A bee you read", f"/b/{key}")
    name = named.get(status.key)
    if name is not None:
        return OpenLog(status, f"Your bee “{name}”", "/sharing")
    if status.key in named:
        return OpenLog(status, "Kept for somebody", "/sharing")
    return OpenLog(status, "Another log of yours" if status.is_mine else "Somebody’s log")
