"""The arguments of a command as they come over the socket: each of its type, or a sentence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from userpeer.errors import UserError

Arguments = Mapping[str, Any]

SECONDS = 10.0
"""How long a command waits for peers and blocks when nothing else is said."""

_MAX_SECONDS = 24 * 3600.0
ENCODINGS = ("json", "utf-8", "hex", "base64")
_WORDS = {str: "text", int: "a whole number", bool: "true or false", list: "a list", dict: "an object"}


def take(arguments: Arguments, name: str, kind: type, default: Any = None) -> Any:
    """An optional argument of a type."""
    value = arguments.get(name)
    if value is None:
        return default
    if type(value) is not kind:
        raise UserError(f"The argument {name} must be {_WORDS[kind]}.")
    return value


def need(arguments: Arguments, name: str, kind: type) -> Any:
    """An argument that must be there."""
    value = take(arguments, name, kind)
    if value is None:
        raise UserError(f"The argument {name} is missing.")
    return value


def seconds(arguments: Arguments) -> float:
    """`timeout`."""
    value = arguments.get("timeout", SECONDS)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value <= _MAX_SECONDS:
        raise UserError("The argument timeout must be a number of seconds, more than 0 and at most a day.")
    return float(value)


def encoding(arguments: Arguments) -> str:
    """`values`: how values are written in JSON."""
    name: str = take(arguments, "values", str, "json")
    if name not in ENCODINGS:
        raise UserError(f"Values are read as one of {', '.join(ENCODINGS)}, not as {name!r}.")
    return name


def limit(arguments: Arguments) -> int:
    """`limit`; -1 is no limit."""
    value: int = take(arguments, "limit", int, -1)
    if value < -1:
        raise UserError("The argument limit must not be negative.")
    return value


def key_bounds(arguments: Arguments) -> dict[str, Any]:
    """gt, gte, lt, lte and prefix as the tightest pair of bounds; empty for all keys."""
    bounds = {name: take(arguments, name, str) for name in ("gt", "gte", "lt", "lte")}
    prefix: str = take(arguments, "prefix", str, "")
    if prefix:
        low = bounds["gt"] if bounds["gt"] is not None else bounds["gte"]
        if low is None or low < prefix:
            bounds["gt"], bounds["gte"] = None, prefix
        end = after_prefix(prefix)
        high = bounds["lt"] if bounds["lt"] is not None else bounds["lte"]
        if end is not None and (high is None or high >= end):
            bounds["lt"], bounds["lte"] = end, None
    return {name: value for name, value in bounds.items() if value is not None}


def in_bounds(key: str, bounds: Mapping[str, str]) -> bool:
    """Whether a key lies within what `key_bounds` gave."""
    return not (
        ("gt" in bounds and key <= bounds["gt"])
        or ("gte" in bounds and key < bounds["gte"])
        or ("lt" in bounds and key >= bounds["lt"])
        or ("lte" in bounds and key > bounds["lte"])
    )


def after_prefix(prefix: str) -> str | None:
    """The first text behind all that begin with `prefix`; None when there is no such text."""
    for end in range(len(prefix), 0, -1):
        code = ord(prefix[end - 1])
        if code < 0x10FFFF:
            # Surrogates are no text, so none may stand at the end of a bound.
            return prefix[: end - 1] + chr(0xE000 if 0xD7FF <= code < 0xE000 else code + 1)
    return None


def seq_bounds(arguments: Arguments) -> dict[str, Any]:
    """gt, gte, lt and lte of a history."""
    bounds = {name: take(arguments, name, int) for name in ("gt", "gte", "lt", "lte")}
    return {name: value for name, value in bounds.items() if value is not None}
