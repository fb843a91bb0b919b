"""JSON values as bytes: UTF-8, no insignificant spaces, the text `JSON.stringify` would write."""

from __future__ import annotations

import json
from typing import Any, NoReturn

from .bounds import MAX_DEPTH, MAX_VALUE_BYTES
from .rejected import Reason, Reject


def encode_value(value: object) -> bytes:
    """The bytes of a JSON value. Raises ValueError for NaN, infinities and halves of surrogate pairs."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def load_json(data: bytes) -> object:
    """The JSON value of a record's bytes, or `Reject`."""
    if len(data) > MAX_VALUE_BYTES:
        raise _too_large(len(data))
    try:
        value: object = json.loads(data.decode(), parse_constant=_no_constant)
    except (ValueError, RecursionError):  # UnicodeDecodeError is a ValueError too
        raise Reject(Reason.NOT_JSON, "The value is not JSON in UTF-8.") from None
    # Only a \u escape can smuggle in half a surrogate pair, and only brackets can nest.
    if b"\\u" in data or data.count(b"[") + data.count(b"{") > MAX_DEPTH:
        check_json(value)
    return value


def check_json(value: object) -> None:
    """Reject a decoded value that could not be stored, sent on or walked over."""
    if _depth(value) > MAX_DEPTH:
        raise Reject(Reason.OUT_OF_RANGE, f"The value is nested more than {MAX_DEPTH} levels deep.")
    try:
        size = len(encode_value(value))
    except UnicodeEncodeError:
        sentence = "The value holds half of a surrogate pair, which is not text."
        raise Reject(Reason.BAD_TEXT, sentence) from None
    except (TypeError, ValueError, RecursionError):
        raise Reject(Reason.NOT_JSON, "The value cannot be written as JSON.") from None
    if size > MAX_VALUE_BYTES:
        raise _too_large(size)


def _too_large(size: int) -> Reject:
    sentence = f"The value is {size:,} bytes; the limit is {MAX_VALUE_BYTES:,}."
    return Reject(Reason.TOO_LARGE, sentence)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _depth(value: Any) -> int:
    """Levels of nesting, counted without recursion and given up just past the limit."""
    depth = 0
    level: list[Any] = [value]
    while level and depth <= MAX_DEPTH + 1:
        inner: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                inner.extend(item.values())
            elif isinstance(item, list):
                inner.extend(item)
        if not any(isinstance(item, (dict, list)) for item in level):
            break
        depth += 1
        level = inner
    return depth
