"""What keeps other sites, other machines and other people's text away from this page.

* A page on loopback can be reached by any site that makes its own name point to 127.0.0.1 (rebinding), so the
  Host header must name this machine. A form of another site can be posted here, so a request that changes
  something must come from this very origin.
* Opened to another address, the page asks for a token: it comes once in the address that `run` prints and
  stays in a cookie that scripts cannot read and other sites cannot send. On loopback it asks other users of this
  machine for it: the page can write, and make a backup of the secret key.
* Every answer carries a strict content security policy and may be framed by nobody.
"""

from __future__ import annotations

import hmac
import os
import secrets
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.body_limit import RequestBodyLimitMiddleware
from starlette.requests import cookie_parser
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from templates import CONTENT_SECURITY_POLICY

from .same_user import is_another_users
from .settings import Address

COOKIE = "meadow_token"
MAX_BODY_BYTES = 512 * 1024
MAX_UPLOAD_BYTES = 84 * 1024 * 1024
_UPLOADS = frozenset({"/posts", "/edit", "/answer", "/import", "/profile"})
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})

_ASK_ELSEWHERE = "This page needs its token: open the whole address that `userpeer run` printed."
_ASK_OTHERS = (
    "This page is for the user of this machine that runs it. If both are you: add ?token= and what stands in the file "
    "web-token of the peer's directory to the address."
)

_HEADERS = {
    "content-security-policy": CONTENT_SECURITY_POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}


class Guard:
    """ASGI middleware: judges each request before the application sees it, and dresses each answer."""

    def __init__(self, app: ASGIApp, *, web: Address, token: str | None) -> None:
        """`token`: what a browser must know, on loopback that of another user; None: nothing."""
        self._app = app
        self._token = token
        self._is_private = web.is_loopback
        # Elsewhere the page may go by any name of this machine: the cookie is what rebinding cannot have.
        self._names = _LOOPBACK_NAMES | {web.host} if self._is_private or token is None else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_dressed(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("cache-control", "no-store")
            await send(message)

        refusal = self._judge(scope)
        await (refusal or self._app)(scope, receive, send_dressed)

    def _judge(self, scope: Scope) -> Response | None:
        """None lets the request through; a response answers it."""
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if self._names is not None and _host_name(host) not in self._names:
            return _refuse(
                421, f"This page does not go by the name {host[:100]!r}. Open it by its own address."
            )
        if scope["method"] not in _SAFE_METHODS and not _same_origin(headers, host):
            return _refuse(403, "This came from another site, so nothing was done. Use the page itself.")
        limit = body_limit(scope["path"], headers)
        if _announced(headers) > limit:
            return _refuse(413, f"This is too large: a form may have {limit:,} bytes.")
        if self._token is not None and not scope["path"].startswith("/static/"):
            if not self._is_private:
                return self._ask_token(scope, headers, _ASK_ELSEWHERE)
            if _is_another_users(scope):
                return self._ask_token(scope, headers, _ASK_OTHERS)
        return None

    def _ask_token(self, scope: Scope, headers: Headers, sentence: str) -> Response | None:
        assert self._token is not None
        sent = cookie_parser(headers.get("cookie", "")).get(COOKIE, "")
        if hmac.compare_digest(sent.encode(), self._token.encode()):
            return None
        query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        given = next((value for name, value in query if name == "token"), "")
        if scope["method"] == "GET" and hmac.compare_digest(given.encode(), self._token.encode()):
            rest = urlencode([pair for pair in query if pair[0] != "token"])
            answer = RedirectResponse(_local_path(scope["path"]) + (f"?{rest}" if rest else ""), 303)
            answer.set_cookie(COOKIE, self._token, httponly=True, samesite="strict", max_age=365 * 86_400)
            return answer
        return _refuse(401, sentence)


class BodyLimit:
    """ASGI middleware: no body is longer than its page takes, whatever its headers say."""

    def __init__(self, app: ASGIApp) -> None:
        self._small = RequestBodyLimitMiddleware(app, max_body_size=MAX_BODY_BYTES)
        self._large = RequestBodyLimitMiddleware(app, max_body_size=MAX_UPLOAD_BYTES)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        limit = body_limit(scope["path"], Headers(scope=scope)) if scope["type"] == "http" else 0
        await (self._large if limit == MAX_UPLOAD_BYTES else self._small)(scope, receive, send)


def body_limit(path: str, headers: Headers) -> int:
    """How many bytes a form posted to `path` may have: many where it may hold files and says so."""
    is_upload = path in _UPLOADS and headers.get("content-type", "").startswith("multipart/form-data")
    return MAX_UPLOAD_BYTES if is_upload else MAX_BODY_BYTES


def load_token(path: Path) -> str:
    """The token in a file of mode 0600, made at the first call. Raises `OSError`."""
    try:
        token = path.read_text("ascii").strip()
        if token:
            return token
    except FileNotFoundError:
        pass
    token = secrets.token_urlsafe(24)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w", encoding="ascii") as file:
        file.write(token + "\n")
    return token


def _same_origin(headers: Headers, host: str) -> bool:
    """Whether a request that changes something comes from this page, or from no browser at all."""
    site = headers.get("sec-fetch-site")
    if site is not None and site not in ("same-origin", "none"):
        return False
    origin = headers.get("origin")
    if origin is None:
        return True  # browsers send one with every post; curl does not, and cannot be tricked by a site
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and parts.netloc.lower() == host.lower()


def _announced(headers: Headers) -> int:
    """How long the body is said to be; 0 when nothing readable is said."""
    text = headers.get("content-length", "0")
    if not (text.isascii() and text.isdigit()):
        return 0
    return int(text) if len(text) < 16 else MAX_UPLOAD_BYTES + 1


def _is_another_users(scope: Scope) -> bool:
    client, server = scope.get("client"), scope.get("server")
    if client is None or server is None:
        return False
    return is_another_users((client[0], client[1]), (server[0], server[1]))


def _host_name(host: str) -> str:
    try:
        return (urlsplit(f"//{host}").hostname or "").rstrip(".")
    except ValueError:
        return ""


def _local_path(path: str) -> str:
    """A path of this page; `//other.example` would be an address elsewhere."""
    return "/" + path.lstrip("/\\")


def _refuse(status: int, sentence: str) -> Response:
    return PlainTextResponse(sentence + "\n", status)


def header_names() -> Iterable[str]:
    """The security headers of every answer."""
    return _HEADERS.keys()
