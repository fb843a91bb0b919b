"""Who may see what an operator would not publish: addresses and keys of peers (docs/decisions/0014)."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import replace

from starlette.requests import Request

from feedagg.admin import session
from feedagg.prove import Attempt, Proved
from feedagg.sources import Source
from feedagg.web import aggregator

_OF_A_PROXY = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via")


def is_operator(request: Request) -> bool:
    """Whether this request has the operator's token or session, or comes from this machine to a site only on it."""
    settings = aggregator(request).settings
    offered = session.bearer(request)
    if offered is not None:
        try:
            return session.is_the_token(request, offered)
        except session.TooManyTries:
            return False
    if session.current(request) is not None:
        return True
    is_public = settings.public_url is not None or settings.trust_proxy or not settings.web_is_local
    if is_public or any(name in request.headers for name in _OF_A_PROXY):
        return False
    return _is_loopback(request.client.host if request.client else "")


_ADDRESS = re.compile(r"(\[[0-9a-fA-F:.%]+\]|[A-Za-z0-9][A-Za-z0-9.-]*):\d{1,5}\b")
_NAME = re.compile(r"\bcalled [^\s;]+")


def without_addresses(sentence: str) -> str:
    """What went wrong, without saying where: addresses may be the operator's own, inside their network."""
    return _NAME.sub("of that name", _ADDRESS.sub("the address given", sentence))


def as_shown(source: Source, *, to_operator: bool) -> Source:
    """The source as a page may show it."""
    if to_operator or source.error is None:
        return source
    return replace(source, error=without_addresses(source.error))


def proved_as_shown(proved: Proved, *, to_operator: bool) -> Proved:
    """The same of who was asked for a block: their addresses are for the operator."""
    if to_operator:
        return proved
    attempts = [
        Attempt(without_addresses(one.place), None if one.error is None else without_addresses(one.error))
        for one in proved.attempts
    ]
    source = None if proved.source is None else without_addresses(proved.source)
    return replace(proved, attempts=attempts, source=source)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
