"""How keys and values become bytes: the encodings a bee can be opened with.

Source: codecs 3.1.0 (names and results). Each is an object with `encode(value) -> bytes` and `decode(bytes) -> value`;
an application may pass its own, optionally with `encode_range(bounds) -> bounds` for keys. None behaves as "binary":
strings are written as UTF-8, bytes as they are, and bytes come back.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any, Final, Protocol, runtime_checkable

from ..errors import BadArgument
from . import json_text


@runtime_checkable
class Codec(Protocol):
    """What an encoding is."""

    def encode(self, value: Any) -> bytes: ...
    def decode(self, data: bytes) -> Any: ...


class Binary:
    """Bytes; a string is taken as UTF-8."""

    def encode(self, value: Any) -> bytes:
        if type(value) is bytes:
            return value
        if isinstance(value, str):
            return encode_utf8(value)
        if isinstance(value, (bytes, bytearray, memoryview)):
            return bytes(value)
        raise BadArgument(f"expected bytes, not {type(value).__name__}")

    def decode(self, data: bytes) -> bytes:
        return data


class Utf16:
    """UTF-16, little-endian, as JavaScript holds strings: lone surrogates pass, an odd last byte is dropped."""

    def encode(self, value: Any) -> bytes:
        return _string(value).encode("utf-16-le", "surrogatepass")

    def decode(self, data: bytes) -> str:
        return data[: len(data) & ~1].decode("utf-16-le", "surrogatepass")


class Utf8:
    """UTF-8; what is not UTF-8 is replaced by U+FFFD on the way in and on the way out, as in Node."""

    def encode(self, value: Any) -> bytes:
        return encode_utf8(value if type(value) is str else _string(value))

    def decode(self, data: bytes) -> str:
        return data.decode("utf-8", "replace")


class Ascii:
    """One byte a UTF-16 unit; Node keeps its low eight bits when writing and the low seven when reading."""

    def encode(self, value: Any) -> bytes:
        text = _string(value)
        return text.encode("ascii") if text.isascii() else text.encode("utf-16-le", "surrogatepass")[::2]

    def decode(self, data: bytes) -> str:
        return (
            data.decode("ascii") if data.isascii() else bytes([byte & 0x7F for byte in data]).decode("ascii")
        )


class Hex:
    """Lower-case hexadecimal digits for bytes."""

    def encode(self, value: Any) -> bytes:
        try:
            return bytes.fromhex(_string(value))
        except ValueError:
            raise BadArgument("the value is not an even number of hexadecimal digits") from None

    def decode(self, data: bytes) -> str:
        return data.hex()


class Base64:
    """Base64 with padding; the URL alphabet and missing padding are accepted when writing, as in Node."""

    def encode(self, value: Any) -> bytes:
        text = _string(value).rstrip("=").replace("-", "+").replace("_", "/")
        try:
            return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
        except (binascii.Error, ValueError):
            raise BadArgument("the value is not base64") from None

    def decode(self, data: bytes) -> str:
        return base64.b64encode(data).decode("ascii")


class Json:
    """JSON text as JavaScript writes it (`json_text`); with `newline`, a line of ndjson."""

    def __init__(self, *, newline: bool = False) -> None:
        self._end = b"\n" if newline else b""

    def encode(self, value: Any) -> bytes:
        return json_text.dumps(value) + self._end

    def decode(self, data: bytes) -> Any:
        return json_text.loads(data)


class Prefixed:
    """The key encoding of a sub: everything under one prefix, which readers of the sub never see."""

    def __init__(self, prefix: bytes, inner: Codec) -> None:
        self.prefix = prefix
        self.inner = inner

    def encode(self, value: Any) -> bytes:
        return self.prefix + (value if type(value) is bytes else self.inner.encode(value))

    def decode(self, data: bytes) -> Any:
        return self.inner.decode(data[len(self.prefix) :])


BINARY: Final = Binary()
_UTF16: Final = Utf16()

_NAMED: Final[dict[str, Codec]] = {
    "binary": BINARY,
    "utf-8": Utf8(),
    "utf8": Utf8(),
    "json": Json(),
    "ndjson": Json(newline=True),
    "ascii": Ascii(),
    "hex": Hex(),
    "base64": Base64(),
    "ucs2": _UTF16,
    "ucs-2": _UTF16,
    "utf16le": _UTF16,
    "utf16-le": _UTF16,
}

ENCODINGS: Final = tuple(_NAMED)
"""The names an encoding can be given by."""


def resolve(encoding: str | Codec | None) -> Codec:
    """The codec a name stands for; objects with `encode` and `decode` are taken as they are."""
    if encoding is None:
        return BINARY
    if isinstance(encoding, str):
        if (found := _NAMED.get(encoding)) is not None:
            return found
        raise BadArgument(f"no encoding is called {encoding!r}; there are {', '.join(ENCODINGS)}")
    if not isinstance(encoding, Codec):
        raise BadArgument("an encoding is a name, or an object with encode and decode")
    return encoding


def encode_utf8(text: str) -> bytes:
    """UTF-8 as Node writes it: a lone surrogate becomes U+FFFD."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").encode()


def _string(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value).decode("utf-8", "replace")
    raise BadArgument(f"expected a string, not {type(value).__name__}")
