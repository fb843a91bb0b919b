"""The web application over a running aggregator."""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from feedagg import web
from feedagg.aggregator import Aggregator
from feedagg.forward import Forward
from feedagg.metrics import Measured
from feedagg.routes import ROUTES
from feedagg.settings import LOOPBACK_HOSTS, Settings
from feedagg.workers import WEB


def create_app(aggregator: Aggregator) -> Starlette:
    """The ASGI application. Whoever calls it starts and closes the aggregator."""
    app = Starlette(
        routes=ROUTES,
        middleware=[
            Middleware(Measured, metrics=aggregator.metrics),
            Middleware(web.Guard, hosts=_hosts(aggregator.settings)),
            *([Middleware(Forward, aggregator=aggregator)] if aggregator.settings.role == WEB else []),
        ],
        exception_handlers={HTTPException: _refused, Exception: _failed},
    )
    app.state.aggregator = aggregator
    return app


def _hosts(settings: Settings) -> frozenset[str] | None:
    """The names under which pages on loopback answer; pages for everybody answer under any."""
    if not settings.web_is_local:
        return None
    public = urlsplit(settings.public_url or "").hostname
    return frozenset({*LOOPBACK_HOSTS, *((public,) if public else ())})


async def _refused(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    answer = _said(request, status)
    answer.headers.update((isinstance(error, HTTPException) and error.headers) or {})  # `Allow` of a 405
    return answer


def _said(request: Request, status: int) -> Response:
    if request.url.path.startswith("/api/"):
        sentences = {
            404: "There is no such address in the API; /api lists them.",
            405: "This address of the API does not answer that kind of request.",
        }
        return JSONResponse({"error": sentences.get(status, "The request could not be understood.")}, status)
    if status == 404:
        sentence = (
            "There is no page at this address. It may have been mistyped; the feed is the place to start."
        )
        return web.problem(request, 404, "Nothing here", sentence)
    if status == 405:
        sentence = "This page can be read but not written to: an aggregator only reads bees."
        return web.problem(request, 405, "Not that way", sentence)
    return web.problem(request, status, "That did not work", "The request could not be understood.")


async def _failed(request: Request, _: Exception) -> Response:
    sentence = "Something failed on our side, and it is in the operator's log. Trying again may help."
    return web.problem(request, 500, "Our fault", sentence)
