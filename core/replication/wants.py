"""Interest in areas of a log: what we asked a remote to tell us about, and what it asked us.

Without interest a peer hears only about the end of a log and about complete ones; a `want` makes the other side
answer with what it holds in an area, and keep telling until `unwant`.

Source: hypercore 11.37.1 `lib/wants.js` (`LocalWants`, `RemoteWants`).
"""

from __future__ import annotations

from typing import Any, Final

from ..limits import MAX_WANTS, WANT_UNIT_BLOCKS
from .messages import Want

# `lib/wants.js`: MIN_RANGE, MAX_RANGE, MAX_REMOTE_BATCHES, MAX_ANY.
_SMALLEST_UNIT: Final = 32
_LARGEST_UNIT: Final = WANT_UNIT_BLOCKS
_MAX_UNIT_SIZES: Final = 4
_MAX_ANY: Final = 16

# How many units of an announced run are looked up before "yes" is the cheaper answer.
_MAX_LOOKUPS: Final = 3


class LocalWants:
    """What we asked one remote about, in units of 2^21 blocks, each kept alive by the wishes that need it."""

    __slots__ = ("_free", "_units")

    def __init__(self) -> None:
        self._units: dict[int, set[Any]] = {}
        self._free: dict[int, None] = {}

    def add(self, index: int, wish: Any) -> tuple[Want | None, Want | None]:
        """`wish` needs to know about block `index`. Returns what to send: (want, unwant that makes room for it)."""
        unit = index // WANT_UNIT_BLOCKS
        wishes = self._units.get(unit)
        if wishes is not None:
            wishes.add(wish)
            return None, None
        if unit in self._free:
            del self._free[unit]
            self._units[unit] = {wish}
            return None, None
        unwanted = None
        if len(self._units) + len(self._free) >= MAX_WANTS:
            if not self._free:
                return None, None
            oldest = next(iter(self._free))
            del self._free[oldest]
            unwanted = _unit(oldest)
        self._units[unit] = {wish}
        return _unit(unit), unwanted

    def release(self, wish: Any) -> None:
        """`wish` is done; its units stay announced until their room is needed."""
        for unit in [unit for unit, wishes in self._units.items() if wish in wishes]:
            wishes = self._units[unit]
            wishes.discard(wish)
            if not wishes:
                del self._units[unit]
                self._free[unit] = None

    def forget(self, start: int, end: int) -> list[Want]:
        """What we know of [start, end) is void, so it will have to be asked for again. Returns the unwants to send."""
        first, last = start // WANT_UNIT_BLOCKS, (end - 1) // WANT_UNIT_BLOCKS
        void = [unit for unit in (*self._units, *self._free) if first <= unit <= last]
        for unit in void:
            self._units.pop(unit, None)
            self._free.pop(unit, None)
        return [_unit(unit) for unit in void]

    def __len__(self) -> int:
        return len(self._units) + len(self._free)


class RemoteWants:
    """What one remote asked us to tell it about. Bounded; whoever asks for more is told about everything."""

    __slots__ = ("_any", "_count", "_everything", "_units")

    def __init__(self) -> None:
        self._everything = False
        self._any: list[Want] = []
        self._units: dict[int, set[int]] = {}  # unit size -> numbers of units
        self._count = 0

    def add(self, want: Want) -> bool:
        """Whether the want deserves an answer now."""
        if want.any:
            if len(self._any) < _MAX_ANY:
                self._any.append(want)
            else:
                self._everything = True
            return True
        if want.length > _LARGEST_UNIT:
            return False
        known = self._units.get(want.length)
        if (
            not _is_unit(want)
            or self._count >= MAX_WANTS
            or (known is None and len(self._units) >= _MAX_UNIT_SIZES)
        ):
            self._everything = True
            return True
        if known is None:
            known = self._units[want.length] = set()
        number = want.start // want.length
        if number not in known:
            known.add(number)
            self._count += 1
        return True

    def remove(self, want: Want) -> None:
        if want.any:
            if want in self._any:
                self._any.remove(want)
            return
        known = self._units.get(want.length)
        if known is None or not _is_unit(want) or want.start // want.length not in known:
            return
        known.discard(want.start // want.length)
        self._count -= 1
        if not known:
            del self._units[want.length]

    def touches(self, start: int, length: int) -> bool:
        """Whether the remote wants to hear about [start, start + length)."""
        if self._everything:
            return True
        end = start + length
        if any(want.start < end and start < want.start + want.length for want in self._any):
            return True
        for size, numbers in self._units.items():
            first, last = start // size, (end - 1) // size
            if last - first >= _MAX_LOOKUPS:
                return True
            if any(number in numbers for number in range(first, last + 1)):
                return True
        return False


def _unit(number: int) -> Want:
    return Want(number * WANT_UNIT_BLOCKS, WANT_UNIT_BLOCKS)


def _is_unit(want: Want) -> bool:
    return (
        _SMALLEST_UNIT <= want.length <= _LARGEST_UNIT
        and want.length & (want.length - 1) == 0
        and want.start % want.length == 0
    )
