"""Who is the operator: a session cookie after the token was entered once, or the token as a Bearer.

The cookie says until when it holds, and is signed with a key derived from the token; nothing of it is stored here, so
every process accepts it and a new token ends it. `SameSite=Strict` and the guard of `web.py` keep other sites' forms
out; each form carries a value of its own besides, which only a page of this session can know.
"""

from __future__ import annotations

import math
import secrets
import time
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response

from feedagg.operator_token import OperatorToken, is_same
from feedagg.web import RateLimit, aggregator, client_address

COOKIE: Final = "feedagg_operator"
LASTS_SECONDS: Final = 12 * 60 * 60

WRONG_TOKENS_AT_ONCE: Final = 8
WRONG_TOKENS_PER_HOUR: Final = 30


@dataclass(frozen=True, slots=True)
class Session:
    """A session of the admin pages. `form_key`: what its forms carry."""

    until: int
    nonce: str
    form_key: str


def wrong_tokens() -> RateLimit:
    """How often one address may be wrong."""
    return RateLimit(WRONG_TOKENS_AT_ONCE, WRONG_TOKENS_PER_HOUR)


class TooManyTries(Exception):
    """`seconds` until this address may try a token again."""

    def __init__(self, seconds: int) -> None:
        super().__init__(seconds)
        self.seconds = seconds


def is_the_token(request: Request, offered: str) -> bool:
    """Whether this is the operator's token; a wrong one counts against the address. Raises `TooManyTries`."""
    here = aggregator(request)
    address = client_address(request, trust_proxy=here.settings.trust_proxy)
    wait = here.wrong_tokens.take(address)
    if wait > 0:
        raise TooManyTries(math.ceil(wait))
    is_right = here.token.matches(offered)
    if is_right:
        here.wrong_tokens.give_back(address)
    return is_right


def bearer(request: Request) -> str | None:
    """The token of `Authorization: Bearer ...`."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" and token.strip() else None


def begin(request: Request, response: Response) -> None:
    """Give the browser a session."""
    here = aggregator(request)
    until, nonce = int(time.time()) + LASTS_SECONDS, secrets.token_urlsafe(18)
    response.set_cookie(
        COOKIE,
        f"{until}.{nonce}.{_sign(here.token, 'session', until, nonce)}",
        max_age=LASTS_SECONDS,
        path="/admin",
        secure=urlsplit(here.settings.public_url or "").scheme == "https",
        httponly=True,
        samesite="strict",
    )


def end(response: Response) -> None:
    """Take the session from the browser."""
    response.delete_cookie(COOKIE, path="/admin", httponly=True, samesite="strict")


def current(request: Request) -> Session | None:
    """The session of this request, None if there is none that holds."""
    token = aggregator(request).token
    until, _, rest = request.cookies.get(COOKIE, "").partition(".")
    nonce, _, signature = rest.rpartition(".")
    if not (
        until.isascii() and until.isdigit() and len(until) < 12 and nonce.isascii() and signature.isascii()
    ):
        return None
    if not is_same(signature, _sign(token, "session", int(until), nonce)):
        return None
    if int(until) < time.time():
        return None
    return Session(int(until), nonce, _sign(token, "form", int(until), nonce))


def is_from(held: Session, form_key: str) -> bool:
    """Whether a form with this value was made by a page of this session."""
    return is_same(form_key, held.form_key)


def _sign(token: OperatorToken, purpose: str, until: int, nonce: str) -> str:
    text = f"{until}.{nonce}".encode()
    return blake2b(text, key=token.key(f"admin {purpose}"), digest_size=24).hexdigest()
