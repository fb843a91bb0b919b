"""Values as commands give and take them: JSON, and what is no JSON beside it."""

from __future__ import annotations

import base64
import math
from typing import Any

from core.errors import DecodingError
from core.hyperbee.encodings import Codec
from core.hyperbee.json_text import dumps, loads
from userpeer.errors import UserError

from .arguments import Arguments, encoding


class _JsonOrBytes:
    """JSON; what is none is read as its bytes, so that one strange value hides no other."""

    def encode(self, value: Any) -> bytes:
        return dumps(value)

    def decode(self, data: bytes) -> Any:
        try:
            return loads(data)
        except DecodingError:
            return bytes(data)


_JSON_OR_BYTES = _JsonOrBytes()


def codec(arguments: Arguments) -> str | Codec:
    """How values become bytes and come back."""
    name = encoding(arguments)
    return _JSON_OR_BYTES if name == "json" else name


def value_item(value: Any) -> dict[str, Any]:
    """A value in an item: `value`, and `bytes` (base64) beside a null where it is no JSON."""
    if isinstance(value, bytes):
        return {"value": None, "bytes": base64.b64encode(value).decode("ascii")}
    return {"value": value}


def checked_value(value: Any) -> Any:
    """A value that can be put and read again. Raises `UserError` for what JSON would write as null."""
    if value is None:
        raise UserError("null is what a deleted entry has: it cannot be put. Delete the entry, or put {}.")
    inside = [value]
    while inside:
        part = inside.pop()
        if isinstance(part, float) and not math.isfinite(part):
            raise UserError("JSON has no word for a number without end (or none at all): put it as text.")
        if isinstance(part, dict):
            inside.extend(part.values())
        elif isinstance(part, list):
            inside.extend(part)
    return value
