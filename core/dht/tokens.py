"""Round-trip tokens: who sends one back has shown that it receives at the host it claims."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b
from hmac import compare_digest
from typing import Final

# dht-rpc 6.27.0 `lib/io.js` `_drain`: ten drains of 750 ms. Two secrets are good, so a token lives 7.5 to 15 s.
ROTATION_SECONDS: Final = 7.5


class Tokens:
    """Tokens of one node. `random` gives fresh secrets; they are drawn on first use and whenever time has moved on."""

    __slots__ = ("_current", "_previous", "_random", "_rotates_at")

    def __init__(self, random: Callable[[int], bytes], secrets: tuple[bytes, bytes] | None = None) -> None:
        self._random = random
        self._previous, self._current = secrets if secrets else (random(32), random(32))
        self._rotates_at: float | None = None

    def issue(self, host: str, now: float) -> bytes:
        self._rotate(now)
        return _token(self._current, host)

    def accepts(self, token: bytes, host: str, now: float) -> bool:
        self._rotate(now)
        return compare_digest(token, _token(self._current, host)) or compare_digest(
            token, _token(self._previous, host)
        )

    def _rotate(self, now: float) -> None:
        if self._rotates_at is None:
            self._rotates_at = now + ROTATION_SECONDS
        if now < self._rotates_at:
            return
        missed_one = now >= self._rotates_at + ROTATION_SECONDS
        self._previous = self._random(32) if missed_one else self._current
        self._current = self._random(32)
        self._rotates_at = now + ROTATION_SECONDS


def _token(secret: bytes, host: str) -> bytes:
    return blake2b(host.encode("ascii"), digest_size=32, key=secret).digest()
