"""How a bee is named: `hyper://<64 hex>[/key]`, with or without the scheme, or by the name it was created with."""

from __future__ import annotations

import re
from typing import NamedTuple

from userpeer.errors import UserError

SCHEME = "hyper://"
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_HEX = re.compile(r"[0-9a-fA-F]{64}")
_Z32 = re.compile(r"[ybndrfg8ejkmcpqxot1uwisza345h769]{52}")


class BadName(UserError):
    """What was given names no bee."""

    code = "bad-name"


class BeeAddress(NamedTuple):
    """`bee`: a key or a name. `path`: what stands after the first slash; the key of an entry, or the start of keys."""

    bee: str
    path: str


def url_of(key: bytes) -> str:
    """What one gives to others."""
    return SCHEME + key.hex()


def split_address(text: str) -> BeeAddress:
    """Split `[hyper://]BEE[/PATH]`. Raises `BadName` when nothing is named."""
    bee, _, path = text.strip().removeprefix(SCHEME).partition("/")
    if not bee:
        raise BadName("Name a bee: hyper://<64 hex digits>, or the name it was created with (`hyp ls`).")
    return BeeAddress(bee, path)


def is_key(text: str) -> bool:
    """Whether `text` is a public key: 64 hex digits or 52 z-base-32 letters."""
    return bool(_HEX.fullmatch(text) or _Z32.fullmatch(text))


def check_name(name: str) -> str:
    """`name`, if a bee may be called so. Raises `BadName`."""
    if is_key(name) or not _NAME.fullmatch(name):
        raise BadName(
            f"{name!r} cannot be a bee's name: it has 1 to 63 of a-z, 0-9, dot, dash and underscore, begins with a "
            "letter or digit, and does not look like a key."
        )
    return name
