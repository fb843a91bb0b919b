"""One template, two renderings: an htmx request gets one named block, any other the whole page."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import Any

from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

import templates
from core.errors import MeadowError
from userpeer.errors import EditConflict, InvalidField
from userpeer.library.rows import place_of_blob
from userpeer.service import PeerService
from userpeer.views import Notice, View

MAX_IMAGES = 4
"""Of one form; an edit may add as many again, up to the limit of records."""


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
        "me_avatar": place_of_blob(profile.avatar) if profile else None,
        "restoring": service.restoring.sentence,
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


@contextmanager
def kept_if_refused(service: PeerService, slot: str, values: dict[str, str]) -> Iterator[None]:
    """What cannot be published as a whole (a full disk, a restore under way) becomes a draft: nobody types it twice.
    A wrong field, and a version that was changed meanwhile, are the form's own to show.
    """
    try:
        yield
    except (InvalidField, EditConflict):
        raise
    except MeadowError:
        service.drafts.keep(slot, values)
        raise


@dataclass(frozen=True, slots=True)
class Upload:
    """A file of a posted form, and the text field that describes it."""

    name: str
    data: bytes
    alt: str


async def typed_with_images(request: Request) -> tuple[dict[str, str], list[Upload]]:
    """The text fields of a posted form, and its files `image1`, `image2`, … with their `alt1`, `alt2`, …"""
    form = await request.form(max_files=MAX_IMAGES, max_fields=60)
    values = {name: value for name, value in form.items() if isinstance(value, str)}
    uploads = []
    for number in range(1, MAX_IMAGES + 1):
        file = form.get(f"image{number}")
        if isinstance(file, UploadFile) and file.filename:
            uploads.append(Upload(f"image{number}", await file.read(), values.get(f"alt{number}", "")))
    return values, uploads


async def typed(request: Request) -> dict[str, str]:
    """The text fields of a posted form."""
    form = await request.form(max_files=0, max_fields=60)
    return {name: value for name, value in form.items() if isinstance(value, str)}
