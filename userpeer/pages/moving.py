"""Bringing records in and taking them out: the import with its progress and report, and the export."""

from __future__ import annotations

import tempfile
from pathlib import Path

from sse_starlette import EventSourceResponse
from starlette.background import BackgroundTask
from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import FileResponse, Response

from userpeer.errors import UserError
from userpeer.live import stream
from userpeer.moving.exporting import export
from userpeer.views import Form, MovingView

from .render import block, frame, page, see_other, service_of


async def show(request: Request) -> Response:
    """GET /import"""
    return page(request, "moving.html", await _view(request), block="progress")


async def events(request: Request) -> Response:
    """GET /live/import"""

    async def render() -> str:
        return block(request, "moving.html", "progress", await _view(request))

    return EventSourceResponse(stream(request.app.state.hub, render))


async def bring_in(request: Request) -> Response:
    """POST /import"""
    form = await request.form(max_files=1, max_fields=5)
    file = form.get("file")
    try:
        if not isinstance(file, UploadFile) or not file.filename:
            raise UserError("Choose a zip file first.")
        service_of(request).importing.start(file.filename[:200], await file.read())
    except UserError as error:
        view = await _view(request, Form({}, {"file": str(error)}))
        return page(request, "moving.html", view, status=error.status)
    return see_other("/import")


async def take_out(request: Request) -> Response:
    """GET /export: everything as a zip."""
    service = service_of(request)
    handle = tempfile.NamedTemporaryFile(dir=service.settings.directory, prefix=".export-", delete=False)  # noqa: SIM115 - outlives this function
    path = Path(handle.name)
    try:
        with handle:
            await export(service.bee, service.media, handle, lambda _: None)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    name = f"meadow-{service.key[:8]}.zip"
    gone = BackgroundTask(path.unlink, missing_ok=True)
    return FileResponse(path, media_type="application/zip", filename=name, background=gone)


async def _view(request: Request, form: Form | None = None) -> MovingView:
    job = service_of(request).importing
    return MovingView(**await frame(request), form=form or Form(), report=job.report, name=job.name)
