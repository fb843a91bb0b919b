"""JSON text exactly as JavaScript writes it, so that a record has the same bytes whoever stores it.

`dumps(value)` equals `JSON.stringify(value)` of ECMAScript 2019 and later: no spaces, no escapes beyond the
necessary ones, numbers in their shortest form (1.0 is `1`, 1e21 is `1e+21`), NaN and infinities as `null`, keys that
look like array indexes first and in numeric order, lone surrogates as `\\udxxx`. `loads` accepts what `JSON.parse`
accepts: no NaN, no comments, and bytes that are not UTF-8 become U+FFFD.

Written by hand rather than with `json.dumps`, whose C encoder can be told none of this; it is as fast.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from json import JSONDecoder
from json.decoder import JSONDecodeError
from json.encoder import encode_basestring as _quote
from typing import Any, Final, NoReturn

from ..errors import BadArgument, DecodingError
from ..limits import MAX_SAFE_INTEGER

_LONE_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_INDEX_KEY: Final = re.compile("0|[1-9][0-9]{0,9}")
_MAX_INDEX_KEY: Final = 2**32 - 2
MAX_REMEMBERED_NAMES: Final = 1_024
MAX_REMEMBERED_NAME_LENGTH: Final = 64
_WHITESPACE: Final = " \t\n\r"


def dumps(value: Any) -> bytes:
    """The UTF-8 bytes of `JSON.stringify(value)`; raises `BadArgument` for what JSON cannot hold."""
    try:
        text = _text(value)
    except RecursionError:
        raise BadArgument("the value is nested too deeply (or contains itself)") from None
    try:
        return text.encode()
    except UnicodeEncodeError:
        # Surrogates: two that belong together are one character, a lone one is escaped, as JavaScript does.
        joined = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
        return _LONE_SURROGATE.sub(lambda match: f"\\u{ord(match[0]):04x}", joined).encode()


def _text(value: Any) -> str:
    kind = type(value)
    if kind is str:
        return _quote(value)
    if kind is dict:
        parts = []
        for key, item in value.items():
            name = _names.get(key) or _name(key)
            if name is None:
                return _ordered_object(value)
            kind = type(item)
            if kind is str:
                parts.append(name + _quote(item))
            elif kind is int and -MAX_SAFE_INTEGER <= item <= MAX_SAFE_INTEGER:
                parts.append(f"{name}{item}")
            else:
                parts.append(name + _text(item))
        return "{" + ",".join(parts) + "}"
    if kind is int:
        return str(value) if -MAX_SAFE_INTEGER <= value <= MAX_SAFE_INTEGER else _large_integer(value)
    if kind is float:
        return number_text(value)
    if value is True:
        return "true"
    if value is False:
        return "false"
    if value is None:
        return "null"
    if kind is list or kind is tuple:
        return "[" + ",".join([_text(item) for item in value]) + "]"
    return _subclass(value)


_names: dict[Any, str] = {}
"""Names of members as they are written, colon included: records have the same few, again and again."""


def _name(key: Any) -> str | None:
    """`key` as it is written; None when its object has to be put into JavaScript's order first."""
    if type(key) is not str or "0" <= key < ":":
        return None
    name = _quote(key) + ":"
    if len(_names) < MAX_REMEMBERED_NAMES and len(key) <= MAX_REMEMBERED_NAME_LENGTH:
        _names[key] = name
    return name


def _ordered_object(value: dict[Any, Any]) -> str:
    """An object that has keys like "12": JavaScript keeps those first, ascending, whatever was assigned when."""
    first: list[tuple[int, str]] = []
    rest: list[str] = []
    for key, item in value.items():
        if type(key) is int and 0 <= key <= MAX_SAFE_INTEGER:
            key = str(key)
        if not isinstance(key, str):
            raise BadArgument(f"an object's keys are strings, not {key!r}")
        text = f"{_quote(key)}:{_text(item)}"
        if _INDEX_KEY.fullmatch(key) and int(key) <= _MAX_INDEX_KEY:
            first.append((int(key), text))
        else:
            rest.append(text)
    first.sort()
    return "{" + ",".join([text for _, text in first] + rest) + "}"


def _subclass(value: Any) -> str:
    if isinstance(value, str):
        return _quote(str(value))
    if isinstance(value, int):
        return _text(int(value))
    if isinstance(value, float):
        return number_text(float(value))
    if isinstance(value, dict):
        return _text(dict(value))
    if isinstance(value, (list, tuple)):
        return _text(list(value))
    raise BadArgument(f"a value of type {type(value).__name__} cannot be stored as JSON")


def _large_integer(value: int) -> str:
    """Beyond 2^53 JavaScript only has doubles: what is one, or is the text of one, is written as JavaScript would;
    what would come back as another number is refused, not rounded."""
    try:
        double = float(value)
    except OverflowError:
        double = math.inf
    text = number_text(double)
    if double != value and text != str(value):
        raise BadArgument(
            f"an integer of {value.bit_length()} bits would be rounded by JSON; store it as a string"
        )
    return text


def number_text(value: float) -> str:
    """Number.prototype.toString of ECMAScript (section 6.1.6.1.20), `null` for what JSON has no word for."""
    magnitude = abs(value)
    if 1e-4 <= magnitude < 1e16:
        text = repr(value)
        return text[:-2] if text.endswith(".0") else text
    if value == 0:
        return "0"
    if not math.isfinite(value):
        return "null"
    sign = "-" if value < 0 else ""
    mantissa, _, exponent = repr(magnitude).partition("e")
    whole, _, fraction = mantissa.partition(".")
    point = len(whole) + int(exponent or 0)  # where the decimal point stands, counted from the first digit
    digits = (whole + fraction).lstrip("0")
    point -= len(whole + fraction) - len(digits)
    digits = digits.rstrip("0")
    if len(digits) <= point <= 21:
        return sign + digits + "0" * (point - len(digits))
    if 0 < point <= 21:
        return f"{sign}{digits[:point]}.{digits[point:]}"
    if -6 < point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    tail = f".{digits[1:]}" if len(digits) > 1 else ""
    return f"{sign}{digits[0]}{tail}e{point - 1:+d}"


def _refuse_constant(name: str) -> NoReturn:
    raise DecodingError(f"{name} is not JSON")


_decoder: Any = JSONDecoder(parse_constant=_refuse_constant)
_scan: Final[Callable[[str, int], tuple[Any, int]]] = _decoder.scan_once


def loads(data: bytes) -> Any:
    """The value of `JSON.parse`; raises `DecodingError` when the text is not JSON."""
    text = data.decode("utf-8", "replace")
    try:
        value, end = _scan(text, 0)
        if end == len(text):
            return value
    except (StopIteration, JSONDecodeError):
        pass
    except (RecursionError, ValueError) as error:
        raise DecodingError(f"the value is not JSON that can be read here: {error}") from None
    stripped = text.strip(_WHITESPACE)
    try:
        value, end = _scan(stripped, 0)
    except StopIteration:
        raise DecodingError("the value is not JSON: it is empty or starts with no JSON value") from None
    except (RecursionError, ValueError) as error:
        raise DecodingError(f"the value is not JSON: {error}") from None
    if end != len(stripped):
        raise DecodingError(f"the value is not JSON: something follows after character {end}")
    return value
