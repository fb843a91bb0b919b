"""The routes of the API, made from its table; and what stands before each handler: the token, the parameters, the
body.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from feedagg.admin.session import TooManyTries, bearer, is_the_token
from feedagg.rest.call import Answer, Call, Wrong, body_of, parameters
from feedagg.rest.openapi import document
from feedagg.rest.table import ENDPOINTS, PREFIX, Endpoint
from feedagg.web import aggregator, base_url, page

OPEN_TO_ALL: Final = {"access-control-allow-origin": "*", "cache-control": "no-cache"}
FOR_ONE: Final = {"cache-control": "no-store"}


def _handler(endpoint: Endpoint) -> Callable[[Request], Awaitable[Response]]:
    async def handle(request: Request) -> Response:
        headers = FOR_ONE if endpoint.secured else OPEN_TO_ALL
        try:
            if endpoint.secured:
                _admit(request)
            params = parameters(request, endpoint.params)
            body: dict[str, Any] = {}
            if endpoint.takes is not None:
                body = await body_of(request, endpoint.takes)
            call = Call(aggregator(request), base_url(request), params, body)
            return Answer(await endpoint.handler(call), 200, headers)
        except Wrong as wrong:
            problem = {"error": str(wrong)} | ({} if wrong.field is None else {"field": wrong.field})
            extra = {"www-authenticate": "Bearer"} if wrong.status == 401 else {}
            return Answer(problem, wrong.status, {**headers, **extra})
        except TooManyTries as error:
            sentence = f"Too many wrong tokens from this address; try again in {error.seconds:,} seconds."
            return Answer({"error": sentence}, 429, {**FOR_ONE, "retry-after": str(error.seconds)})

    return handle


def _admit(request: Request) -> None:
    token = bearer(request)
    if token is None:
        raise Wrong(
            401, "Send the operator's token: Authorization: Bearer ... (feedagg admin-token prints it)."
        )
    if not is_the_token(request, token):
        raise Wrong(401, "That is not the token of this aggregator.")


# --- what describes it --------------------------------------------------------------------------


async def openapi(request: Request) -> Response:
    """`GET /openapi.json`"""
    here = aggregator(request)
    return Answer(document(here.settings.site_name, base_url(request)), 200, OPEN_TO_ALL)


@dataclass(frozen=True, slots=True)
class ApiView:
    """`groups`: (heading, endpoints)."""

    groups: list[tuple[str, list[Endpoint]]]
    prefix: str
    base: str


async def human_page(request: Request) -> Response:
    """`GET /api`"""
    groups = {"read": "For everybody", "operator": "For the operator"}
    shown = [(title, [each for each in ENDPOINTS if each.group == name]) for name, title in groups.items()]
    return page(request, "feedagg/api.html", ApiView(shown, PREFIX, base_url(request)))


def _routes() -> list[Route]:
    return [
        Route(
            PREFIX + each.path,
            _handler(each),
            methods=[each.method],
            name=f"api {each.name}",
            include_in_schema=False,
        )
        for each in ENDPOINTS
    ]


ROUTES: Final = [Route("/openapi.json", openapi), Route("/api", human_page, name="api"), *_routes()]
