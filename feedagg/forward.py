"""A web process keeps no blocks: what needs them is asked of the process that holds the bee, or our own log."""

from __future__ import annotations

import re
from typing import Final

import httpx2
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from feedagg import workers
from feedagg.aggregator import Aggregator
from feedagg.ingest import now_ms

NEEDS_BLOCKS: Final = ("/proof", "/image", "/portrait", "/prove")
NEEDS_OUR_LOG: Final = re.compile(r"/proof/(witness|hidden)|[?&]about=(witness|hidden)")
ANSWER_SECONDS: Final = 30.0
MAX_ANSWER_BYTES: Final = 32 * 1024 * 1024
_KEY: Final = re.compile(r"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")
_KEPT_HEADERS: Final = ("content-type", "content-disposition", "cache-control", "etag", "vary")


class Forward:
    """ASGI middleware of web processes. Anything else passes through."""

    def __init__(self, app: ASGIApp, *, aggregator: Aggregator) -> None:
        self._app = app
        self._aggregator = aggregator
        self._client: httpx2.AsyncClient | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_ours = scope["type"] != "http" or scope["method"] not in ("GET", "HEAD")
        if is_ours or not scope["path"].startswith(NEEDS_BLOCKS):
            await self._app(scope, receive, send)
            return
        await (await self._ask(Request(scope, receive)))(scope, receive, send)

    async def _ask(self, request: Request) -> Response:
        words = f"{request.url.path}?{request.url.query}"
        found = _KEY.search(words)
        bee = bytes.fromhex(found[0]) if found else None
        if NEEDS_OUR_LOG.search(words):
            url = await self._aggregator.database.read(
                workers.of_roles, (workers.ALL, workers.JOBS), now_ms()
            )
        else:
            url = await self._aggregator.database.read(workers.holder, bee, now_ms())
        if url is None:
            return PlainTextResponse("No process that reads bees is running; try again in a moment.\n", 503)
        if self._client is None:
            self._client = httpx2.AsyncClient(timeout=ANSWER_SECONDS)
        headers = {name: request.headers[name] for name in ("accept", "range") if name in request.headers}
        try:
            async with self._client.stream("GET", url.rstrip("/") + words, headers=headers) as answer:
                body = b""
                async for chunk in answer.aiter_bytes():
                    body += chunk
                    if len(body) > MAX_ANSWER_BYTES:
                        return PlainTextResponse("The answer is too large.\n", 502)
                kept = Headers(
                    headers={name: answer.headers[name] for name in _KEPT_HEADERS if name in answer.headers}
                )
                return Response(body, answer.status_code, dict(kept))
        except httpx2.HTTPError:
            return PlainTextResponse(
                "The process that holds this bee did not answer; try again in a moment.\n", 503
            )
