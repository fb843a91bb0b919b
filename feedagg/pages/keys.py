"""The bee that an address names."""

from __future__ import annotations

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
