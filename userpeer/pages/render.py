"""One template, two renderings: an htmx request gets one named block, any other the whole page."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

import templates
from userpeer.service import PeerService
from userpeer.views import Notice, View


def service_of(request: Request) -> PeerService:
    service: PeerService = request.app.state.service
    return service


def is_htmx(request: Request) -> bool:
    return request.headers.get("hx-request") == "true"


async def frame(request: Request, notice: Notice | None = None) -> dict[str, Any]:
    """The arguments that every view shares."""
    service = service_of(request)
    profile = await service.reader.profile()
    return {
        "path": request.url.path,
        "me_key": service.key,
        "me_name": profile.name if profile else None,
        "notice": notice,
    }


def context(view: View) -> dict[str, Any]:
    """The names a template sees: the fields of its dataclass."""
    return {field.name: getattr(view, field.name) for cls in (type(view),) for field in fields(cls)}


def page(request: Request, template: str, view: View, *, block: str = "", status: int = 200) -> Response:
    """The page, or its `block` for an htmx request."""
    env = request.app.state.templates
    if block and is_htmx(request):
        html = templates.render_block(env, f"userpeer/{template}", block, context(view))
    else:
        html = templates.render_page(env, f"userpeer/{template}", context(view))
    return HTMLResponse(html, status, headers={"vary": "HX-Request"})


def block(request: Request, template: str, name: str, view: View) -> str:
    """One block alone, for a live stream."""
    return templates.render_block(request.app.state.templates, f"userpeer/{template}", name, context(view))


def see_other(url: str) -> Response:
    """The answer to a form that worked: a fresh GET, so that reloading posts nothing twice."""
    return RedirectResponse(url, 303)


async def typed(request: Request) -> dict[str, str]:
    """The text fields of a posted form."""
    form = await request.form(max_files=0, max_fields=60)
    return {name: value for name, value in form.items() if isinstance(value, str)}
