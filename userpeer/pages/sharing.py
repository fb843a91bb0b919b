"""Serving: what is shared from here, keeping other people's bees alive, and who took how much."""

from __future__ import annotations

from sse_starlette import EventSourceResponse
from starlette.requests import Request
from starlette.responses import Response

from userpeer.errors import UserError
from userpeer.live import stream
from userpeer.sharing import PAGE, SharingView, passed_on, shared_bees, totals
from userpeer.views import Form, Notice

from .network import LOOK_SECONDS
from .render import block, frame, page, see_other, service_of, typed

_DID = {
    "seeded": "It is kept from now on, also after a restart; what is missing is being fetched.",
    "unseeded": "It is not shared any more. What is here stays readable for you.",
    "cleared": "It is not shared any more, and its blocks here are forgotten.",
}


async def sharing(request: Request) -> Response:
    """GET /sharing?after="""
    return page(request, "sharing.html", await _view(request), block="bees")


async def sharing_events(request: Request) -> Response:
    """GET /live/sharing?after="""

    async def render() -> str:
        return block(request, "sharing.html", "bees", await _view(request))

    return EventSourceResponse(stream(request.app.state.hub, render, every=LOOK_SECONDS))


async def seed(request: Request) -> Response:
    """POST /seed"""
    values = await typed(request)
    try:
        await service_of(request).bees.seed(values.get("bee", ""))
    except UserError as error:
        view = await _view(request, Form(values, {"bee": str(error)}))
        return page(request, "sharing.html", view, status=error.status)
    return see_other("/sharing?did=seeded")


async def unseed(request: Request) -> Response:
    """POST /unseed"""
    values = await typed(request)
    clear = values.get("clear") == "1"
    try:
        await service_of(request).bees.unseed(values.get("bee", ""), clear=clear)
    except UserError as error:
        view = await _view(request, notice=Notice(str(error), "bad"))
        return page(request, "sharing.html", view, status=error.status)
    return see_other(f"/sharing?did={'cleared' if clear else 'unseeded'}")


async def _view(request: Request, form: Form | None = None, notice: Notice | None = None) -> SharingView:
    service = service_of(request)
    did = _DID.get(request.query_params.get("did", ""))
    bees, others = shared_bees(service), passed_on(service)
    after = request.query_params.get("after")
    begin = next((index + 1 for index, bee in enumerate(bees) if bee.key == after), 0)
    shown = bees[begin : begin + PAGE]
    return SharingView(
        **await frame(request, notice or (Notice(did) if did else None)),
        totals=totals(bees, others, len(service.peer.connections)),
        bees=shown,
        after=after if begin else None,
        older=shown[-1].key if begin + PAGE < len(bees) else None,
        passed_on=others[:PAGE],
        form=form or Form(),
        is_online=service.peer.network is not None,
    )
