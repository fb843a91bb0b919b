"""The operator's token: one secret in a file of the directory, and the keys that are derived from it.

It is made at the first start, readable by the owner alone. Whoever can read the file runs this site. Deleting the
file and starting again makes a new one, and with it every session of the admin pages ends.
"""

from __future__ import annotations

import hmac
import os
import secrets
from hashlib import blake2b
from pathlib import Path
from typing import Final

from core.errors import StorageError

FILE: Final = "admin-token"
MIN_LETTERS: Final = 16
"""A token that somebody wrote by hand has at least so many letters."""


class OperatorToken:
    """The token and what only its holder can compute. It never shows itself: `repr` and logs say nothing."""

    __slots__ = ("_token",)

    def __init__(self, token: str) -> None:
        self._token = token

    def __repr__(self) -> str:
        return "<operator token>"

    def reveal(self) -> str:
        """The token itself, for the command that prints it."""
        return self._token

    def matches(self, offered: str) -> bool:
        """Whether this is the token; takes as long for a near miss as for a far one."""
        return is_same(offered, self._token)

    def key(self, purpose: str) -> bytes:
        """32 bytes for one purpose, that tell nothing of the token or of other purposes' keys."""
        return blake2b(purpose.encode(), key=_digest(self._token), digest_size=32).digest()

    def stands_for(self, address: str) -> str:
        """A stranger's address as the database keeps it: the same one gives the same 32 hex digits, and without
        the token nobody can try addresses against them.
        """
        return blake2b(address.encode(), key=self.key("addresses"), digest_size=16).hexdigest()


def is_same(offered: str, secret: str) -> bool:
    """Whether two texts are the same. What is compared are hashes of 32 bytes, so the time says nothing of the
    secret, nor of how long it is.
    """
    return hmac.compare_digest(_digest(offered), _digest(secret))


def load(directory: Path) -> OperatorToken:
    """The token of this directory, made when there is none. Raises `StorageError` with a sentence."""
    path = directory / FILE
    try:
        directory.mkdir(parents=True, exist_ok=True)
        _create(path)
        token = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise StorageError(f"The operator's token in {path} cannot be used: {error}") from error
    if len(token) < MIN_LETTERS:
        raise StorageError(
            f"The operator's token in {path} has fewer than {MIN_LETTERS} letters; delete the file for a new one."
        )
    return OperatorToken(token)


def _create(path: Path) -> None:
    """Write a new token, whole or not at all, unless there is one."""
    if path.exists():
        return
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(secrets.token_urlsafe(32) + "\n")
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(draft, path)  # fails if another process was first, whose token then counts
        except FileExistsError:
            pass
    finally:
        draft.unlink()


def _digest(token: str) -> bytes:
    return blake2b(
        token.encode("utf-8", "surrogatepass"), digest_size=32, person=b"feedagg operator"
    ).digest()
