"""z-base-32: how people write down the 32-byte key of a log.

Source: hypercore-id-encoding 1.3.0 and z32 1.1.0. Checked against `tests/vectors/log/crypto.json`.

The bit order is that of RFC 4648's base 32 and only the alphabet differs, so the standard library does the
work and a table translates the letters.
"""

from __future__ import annotations

import base64
import binascii
from typing import Final

from ..errors import BadArgument

KEY_BYTES: Final = 32
ID_LETTERS: Final = 52
HEX_DIGITS: Final = 64

_RFC4648: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
_ZBASE32: Final = b"ybndrfg8ejkmcpqxot1uwisza345h769"
_TO_Z32: Final = bytes.maketrans(_RFC4648, _ZBASE32)
_FROM_Z32: Final = bytes.maketrans(_ZBASE32, _RFC4648)
_LETTERS: Final = frozenset(_ZBASE32.decode())
_SCHEME: Final = "pear://"


def key_to_id(key: bytes) -> str:
    """The 52 letters of a 32-byte key. Raises `BadArgument` for any other length."""
    if len(key) != KEY_BYTES:
        raise BadArgument(f"a key has {KEY_BYTES} bytes, not {len(key)}")
    return base64.b32encode(key).rstrip(b"=").translate(_TO_Z32).decode("ascii")


def id_to_key(text: str) -> bytes:
    """The 32 bytes of 52 z-base-32 letters. Raises `BadArgument` with what is wrong."""
    if len(text) != ID_LETTERS:
        raise BadArgument(f"an id has {ID_LETTERS} letters, not {len(text)}")
    for position, letter in enumerate(text):
        if letter not in _LETTERS:
            raise BadArgument(f"letter {position + 1} of the id, {letter!r}, is not a z-base-32 letter")
    key = base64.b32decode(text.encode("ascii").translate(_FROM_Z32) + b"====")
    if key_to_id(key) != text:
        # 52 letters hold 260 bits; the last four of a real id are zero, so this is a mistyped last letter.
        raise BadArgument(f"no id ends in the letter {text[-1]!r}")
    return key


def parse_key(key: str | bytes) -> bytes:
    """A key however a person or a program holds it: 32 bytes, 64 hex digits, or 52 z-base-32 letters.

    A text may carry a leading `pear://`, and then anything after the next slash is ignored. Raises
    `BadArgument` with a sentence that says what was expected.
    """
    if isinstance(key, (bytes, bytearray, memoryview)):
        raw = bytes(key)
        if len(raw) != KEY_BYTES:
            raise BadArgument(f"a key has {KEY_BYTES} bytes, not {len(raw)}")
        return raw
    text = key.strip()
    if text.startswith(_SCHEME):
        text = text[len(_SCHEME) :].partition("/")[0]
    if len(text) == ID_LETTERS:
        return id_to_key(text)
    if len(text) == HEX_DIGITS:
        try:
            return binascii.unhexlify(text)
        except ValueError as error:
            raise BadArgument("a key of 64 characters must be hexadecimal digits only") from error
    raise BadArgument(
        f"a key is {ID_LETTERS} z-base-32 letters or {HEX_DIGITS} hexadecimal digits, "
        f"not {len(text)} characters"
    )
