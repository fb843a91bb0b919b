"""The bee and the record that an address names."""

from __future__ import annotations

from urllib.parse import unquote_to_bytes

from starlette.exceptions import HTTPException
from starlette.requests import Request

from core.errors import BadArgument
from core.peer import parse_key


def bee_of(request: Request) -> bytes:
    """The 32-byte key in the path, hex or z-base-32; 404 if it is none."""
    try:
        return parse_key(request.path_params["bee"])
    except BadArgument as error:
        raise HTTPException(404) from error


def key_in_query(request: Request) -> bytes | None:
    """The raw bytes of `?key=`, which may be anything a bee can hold."""
    for part in request.url.query.split("&"):
        name, equals, value = part.partition("=")
        if name == "key" and equals:
            return unquote_to_bytes(value.replace("+", " "))
    return None
