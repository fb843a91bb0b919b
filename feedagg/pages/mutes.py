"""`/mutes`: what the reader's browser mutes. The page is the same for everybody; mute.js fills it."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from feedagg.web import page


async def show(request: Request) -> Response:
    return page(request, "feedagg/mutes.html", None)
