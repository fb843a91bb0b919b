"""The web page as a Starlette application over one opened peer."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response

import templates
from core.errors import MeadowError, StorageError, StorageFull
from templates.filters import count
from templates.markup import markdown

from .errors import UserError
from .live import Hub
from .pages.render import frame, page
from .restoring import NotYetRestored
from .routes import ROUTES
from .security import BodyLimit, Guard, body_limit
from .service import PeerService
from .settings import APP_NAME, APP_TAGLINE, Address
from .text import json_text, linkify, without_scheme
from .views import ErrorView
from .wording import plural

_TITLES = {
    400: "That did not make sense here",
    404: "Nothing here",
    405: "Not this way",
    409: "Changed elsewhere",
    413: "Too large",
    500: "Something broke on our side",
    507: "No room left on the disk",
}


def create_app(service: PeerService, *, web: Address, token: str | None = None) -> Starlette:
    """The application, reached at the address `web`; `token` as in `Guard`."""
    app = Starlette(
        routes=ROUTES,
        middleware=[
            Middleware(Guard, web=web, token=token),
            Middleware(BodyLimit),
        ],
        exception_handlers={
            HTTPException: _http_error,
            MeadowError: _our_error,
            500: _unexpected,
        },
    )
    env = templates.environment(app_name=APP_NAME, app_tagline=APP_TAGLINE, app_home="/")
    env.filters["linkify"] = linkify
    env.filters["json_text"] = json_text
    env.filters["markdown"] = markdown
    env.filters["without_scheme"] = without_scheme
    env.filters["counted"] = lambda number, word: f"{count(number)} {plural(number, word)}"
    env.globals["rec"] = env.get_template("userpeer/record_macros.html").module
    env.globals["lib"] = env.get_template("userpeer/library_macros.html").module
    app.state.templates = env
    app.state.service = service
    app.state.hub = Hub()
    app.state.is_private = web.is_loopback
    service.bee.core.on("append", app.state.hub.notify)
    service.peer.on_connection(app.state.hub.notify)
    service.on_change(app.state.hub.notify)
    return app


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    limit = body_limit(request.url.path, request.headers)
    sentences = {
        404: "There is no page at this address. The links above lead to those that exist.",
        405: "This address does not answer that kind of request. Go back and use the page's own buttons.",
        413: f"A form may have at most {limit:,} bytes here. Send less and try again.",
    }
    return await _error_page(request, error.status_code, sentences.get(error.status_code, error.detail))


async def _our_error(request: Request, error: Exception) -> Response:
    if isinstance(error, UserError):
        status = error.status
    elif isinstance(error, StorageFull):
        status = 507
    else:
        status = 500 if isinstance(error, StorageError) else 400
    title = "Not yet" if isinstance(error, NotYetRestored) else None
    return await _error_page(request, status, str(error), title)


async def _unexpected(request: Request, error: Exception) -> Response:
    sentence = (
        "Nothing that was acknowledged is lost. The terminal in which the peer runs shows what happened."
    )
    return await _error_page(request, 500, sentence)


async def _error_page(request: Request, status: int, sentence: str, title: str | None = None) -> Response:
    title = title or _TITLES.get(status, "That did not work")
    view = ErrorView(**await frame(request), status=status, title=title, sentence=sentence)
    return page(request, "error.html", view, block="main", status=status)
