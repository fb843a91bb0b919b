"""Time-ordered record keys: `post/<t16>` and the clock that makes them.

`t16` is 16 hex digits: 12 of milliseconds since 1970, then 4 of a counter. Read as one 64-bit integer it is
strictly increasing in one bee, `max(now, last + 1)`, even when the wall clock jumps back.
"""

from __future__ import annotations

import re

from ..errors import BadArgument
from .dates import MAX_TIME_MS

_T16 = re.compile(r"[0-9a-f]{16}\Z")
_HEX_KEY = re.compile(r"[0-9a-f]{64}\Z")
_COUNTER_BITS = 16
_LAST_T16 = 2**64 - 1


def is_t16(text: str) -> bool:
    """Whether `text` is 16 lower-case hex digits."""
    return _T16.match(text) is not None


def is_bee_key(text: str) -> bool:
    """Whether `text` is a bee's public key as records write it: 64 lower-case hex digits."""
    return _HEX_KEY.match(text) is not None


class KeyClock:
    """Makes the `t16` of one bee. `last` is the greatest one already in it (None for an empty bee)."""

    __slots__ = ("_last",)

    def __init__(self, last: str | None = None) -> None:
        if last is not None and not is_t16(last):
            raise BadArgument(f"{last!r} is not a t16: it must be 16 lower-case hex digits.")
        self._last = -1 if last is None else int(last, 16)

    def next(self, now_ms: int) -> str:
        """The next `t16`: `now_ms` (milliseconds since 1970) if greater than the last, else last + 1."""
        if not 0 <= now_ms <= MAX_TIME_MS:
            raise BadArgument(f"{now_ms} is not a time between the years 1970 and 9999 in milliseconds.")
        value = max(now_ms << _COUNTER_BITS, self._last + 1)
        if value > _LAST_T16:
            raise BadArgument("This bee holds the greatest possible key already; no later one exists.")
        self._last = value
        return f"{value:016x}"

    def observe(self, t16: str) -> None:
        """Take note of a key that something else wrote, so that the next one is greater."""
        self._last = max(self._last, int(t16, 16))


def new_key(kind: str, clock: KeyClock, now_ms: int) -> str:
    """A key such as `post/<t16>` for a new record of `kind`."""
    return f"{kind}/{clock.next(now_ms)}"


def key_time(t16: str) -> int:
    """The milliseconds since 1970 inside a `t16`."""
    return int(t16[:12], 16)
