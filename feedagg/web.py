"""What every request passes (limits, where it comes from, headers), and how an answer is rendered."""

from __future__ import annotations

import ipaddress
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

import templates

if TYPE_CHECKING:
    from feedagg.aggregator import Aggregator

MAX_BODY_BYTES: Final = 16 * 1024
"""The one form there is holds a key and an address."""

HEADERS: Final = {
    "content-security-policy": templates.CONTENT_SECURITY_POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}


def aggregator(request: Request) -> Aggregator:
    found: Aggregator = request.app.state.aggregator
    return found


def base_url(request: Request) -> str:
    """Our address as readers see it, without a slash at its end."""
    return (aggregator(request).settings.public_url or str(request.base_url)).rstrip("/")


def wants_json(request: Request) -> bool:
    """Whether the client prefers JSON: it names it, and does not name HTML before it."""
    accept = request.headers.get("accept", "")
    json_at, html_at = accept.find("application/json"), accept.find("text/html")
    return json_at >= 0 and (html_at < 0 or json_at < html_at)


def page(
    request: Request, template: str, view: Any, *, block: str | None = None, status: int = 200
) -> Response:
    """`view` rendered by `template`: the whole page, or for an htmx request the named block."""
    is_fragment = block is not None and request.headers.get("hx-request") == "true"
    context = {"path": request.url.path, "view": view, "is_fragment": is_fragment}
    env = aggregator(request).templates
    if block is not None and is_fragment:
        html = templates.render_block(env, template, block, context)
    else:
        html = templates.render_page(env, template, context)
    return HTMLResponse(html, status, {"cache-control": "no-cache", "vary": "HX-Request, Accept"})


def problem(request: Request, status: int, title: str, sentence: str, **extra: Any) -> Response:
    """Something went wrong: a page that says so and how to mend it, or the same as JSON."""
    if wants_json(request):
        return JSONResponse({"error": sentence, **extra}, status)
    view = {"status": status, "title": title, "sentence": sentence}
    return page(request, "feedagg/problem.html", view, status=status)


class Guard:
    """ASGI middleware: refuses what a page of another site makes a browser send, and bodies that are too
    large; puts the security headers on every answer.

    A browser says where a request comes from (`Sec-Fetch-Site`, `Origin`); a program says nothing and holds no
    cookie of ours, so it may post. `hosts`: the only names under which the pages answer (None: any). Pages on
    loopback answer to loopback's names alone, or a site could point a name of its own at this machine.
    """

    def __init__(self, app: ASGIApp, *, hosts: frozenset[str] | None) -> None:
        self._app = app
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        refusal = self._refusal(scope)
        if refusal is not None:
            await refusal(scope, receive, send_with_headers)
            return
        await self._app(scope, _bounded(receive), send_with_headers)

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        if self._hosts is not None and _host_name(headers.get("host", "")) not in self._hosts:
            return JSONResponse(
                {"error": "These pages are for this machine; open them under its own address."}, 421
            )
        if scope["method"] in ("GET", "HEAD", "OPTIONS"):
            return None
        if _announced(headers) > MAX_BODY_BYTES:
            return JSONResponse({"error": f"A request holds at most {MAX_BODY_BYTES:,} bytes."}, 413)
        site, origin = headers.get("sec-fetch-site"), headers.get("origin")
        crossed = site not in (None, "same-origin", "none")
        if origin is not None and _network_location(origin) != headers.get("host"):
            crossed = True
        if crossed:
            return JSONResponse(
                {"error": "This form was sent from another site; open our own page to send it."}, 403
            )
        return None


def _announced(headers: Headers) -> int:
    """How long the body is said to be; 0 when nothing readable is said (then it is bounded while it is read)."""
    text = headers.get("content-length", "0")
    if not (text.isascii() and text.isdigit()):
        return 0
    return int(text) if len(text) < 16 else MAX_BODY_BYTES + 1


def _network_location(origin: str) -> str | None:
    """The host and port of an origin; None for what is not one."""
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return None


def _host_name(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _bounded(receive: Receive) -> Receive:
    """A body of unknown length ends at the limit; what reads it sees a client that went away."""
    total = 0

    async def bounded() -> Message:
        nonlocal total
        message = await receive()
        total += len(message.get("body", b""))
        return {"type": "http.disconnect"} if total > MAX_BODY_BYTES else message

    return bounded


# --- how often ------------------------------------------------------------------------------------

_MAX_REMEMBERED: Final = 20_000


class RateLimit:
    """A bucket of tokens for each address: `burst` at once, refilled at `per_hour`."""

    def __init__(self, burst: int, per_hour: int) -> None:
        self.burst = burst
        self.per_hour = per_hour
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, address: str, now: float | None = None) -> float:
        """Take one token: 0.0 if there was one, else the seconds until there will be."""
        now = time.monotonic() if now is None else now
        per_second = self.per_hour / 3600
        tokens, then = self._buckets.pop(address, (float(self.burst), now))
        tokens = min(self.burst, tokens + (now - then) * per_second)
        wait = 0.0 if tokens >= 1 else (1 - tokens) / per_second
        self._buckets[address] = (tokens - 1 if wait == 0.0 else tokens, now)
        if len(self._buckets) > _MAX_REMEMBERED:
            self._buckets.popitem(last=False)
        return wait

    def give_back(self, address: str) -> None:
        """What was taken did not count."""
        tokens, then = self._buckets.get(address, (float(self.burst), 0.0))
        self._buckets[address] = (min(self.burst, tokens + 1), then)


def client_address(request: Request, *, trust_proxy: bool) -> str:
    """Who asks, as rate limits count: an IPv4 address, or the /64 of an IPv6 one."""
    text = request.client.host if request.client else "unknown"
    if trust_proxy:
        text = request.headers.get("x-forwarded-for", text).split(",")[-1].strip()
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return text
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((address, 64), strict=False))
    return text
