"""Which blocks a remote holds, as far as it has told us: a prefix, and pages of bits above it.

A page is one Python integer of `PAGE_BITS` bits, so that setting a run, overwriting words and finding the next
bit are single big-integer operations, and a page that is entirely set is the same object everywhere.

Everything in here is a claim of a stranger. Nothing is believed for it except that asking may be worth while, so
claims beyond `limit` (what the caller thinks worth remembering) are dropped, and so is what does not fit into
`MAX_PAGES`. It can be asked for again with `want`.
"""

from __future__ import annotations

from typing import Final

from ..limits import WANT_UNIT_BLOCKS

PAGE_BITS: Final = 32_768
_SHIFT: Final = PAGE_BITS.bit_length() - 1
_MASK: Final = PAGE_BITS - 1
_FULL: Final = (1 << PAGE_BITS) - 1

CLAIMED_BEYOND: Final = WANT_UNIT_BLOCKS
"""Blocks above our own length for which claims are remembered: an announcement may precede its upgrade."""


MAX_PAGES: Final = 1024
"""33 million blocks above the prefix, 4 MiB: even the author of a log can sign a length that nobody could hold."""


class Availability:
    """`contiguous`: the remote said that it holds [0, contiguous). All indexes are blocks."""

    __slots__ = ("_pages", "contiguous")

    def __init__(self) -> None:
        self.contiguous = 0
        self._pages: dict[int, int] = {}

    def has(self, index: int) -> bool:
        if index < self.contiguous:
            return True
        page = self._pages.get(index >> _SHIFT)
        return page is not None and bool(page >> (index & _MASK) & 1)

    @property
    def contiguous_length(self) -> int:
        """The end of the unbroken run from block 0, whether it was told as a prefix or as bits."""
        return self.first_unset(self.contiguous)

    def first_set(self, start: int, end: int) -> int:
        """The first block in [start, end) that the remote holds, or -1."""
        if start < self.contiguous:
            return start if start < end else -1
        pages = self._pages
        if not pages or start >= end:
            return -1
        number, inside = start >> _SHIFT, start & _MASK
        last = min((end - 1) >> _SHIFT, max(pages))
        while number <= last:
            page = pages.get(number)
            if page is not None and (rest := page >> inside):
                found = (number << _SHIFT) + inside + (rest & -rest).bit_length() - 1
                return found if found < end else -1
            number, inside = number + 1, 0
        return -1

    def first_unset(self, start: int) -> int:
        """The first block from `start` on that the remote is not known to hold."""
        start = max(start, self.contiguous)
        number, inside = start >> _SHIFT, start & _MASK
        while (page := self._pages.get(number)) is not None:
            gaps = ~(page >> inside)
            found = inside + (gaps & -gaps).bit_length() - 1
            if found < PAGE_BITS:
                return (number << _SHIFT) + found
            number, inside = number + 1, 0
        return (number << _SHIFT) + inside

    def add_prefix(self, length: int) -> None:
        """The remote holds [0, length)."""
        if length > self.contiguous:
            self.contiguous = length
            self._forget_below(length)

    def add(self, start: int, end: int, limit: int) -> None:
        """The remote holds [start, end)."""
        start = max(start, self.contiguous)
        end = min(end, limit, start + MAX_PAGES * PAGE_BITS)
        while start < end:
            number, inside = start >> _SHIFT, start & _MASK
            upto = min(PAGE_BITS, inside + end - start)
            run = _FULL if upto - inside == PAGE_BITS else ((1 << (upto - inside)) - 1) << inside
            self._store(number, self._pages.get(number, 0) | run)
            start += upto - inside

    def remove(self, start: int, end: int, limit: int) -> None:
        """The remote no longer holds [start, end). What it holds above stays known (the reference forgets it)."""
        if start < self.contiguous:
            above, self.contiguous = self.contiguous, start
            self.add(end, above, limit)
        self._clear(start, end)

    def replace(self, start: int, words: bytes, limit: int) -> None:
        """Exactly these blocks from `start` on: bit k of the little-endian `words` is block `start + k`.

        Contradicts the prefix above `start`, of which nothing is known then.
        """
        if start < self.contiguous:
            above, self.contiguous = self.contiguous, start
            self._clear(start, above)
        bits = int.from_bytes(words, "little")
        end = min(start + 8 * len(words), limit)
        position = start
        while position < end:
            number, inside = position >> _SHIFT, position & _MASK
            count = min(PAGE_BITS - inside, end - position)
            mask = (1 << count) - 1
            fresh = bits >> (position - start) & mask
            self._store(number, self._pages.get(number, 0) & ~(mask << inside) | fresh << inside)
            position += count

    def _clear(self, start: int, end: int) -> None:
        for number in self._numbers(start, end):
            first = number << _SHIFT
            low, high = max(start - first, 0), min(end - first, PAGE_BITS)
            self._store(number, self._pages[number] & ~(((1 << (high - low)) - 1) << low))

    def _store(self, number: int, page: int) -> None:
        if not page:
            self._pages.pop(number, None)
        elif number in self._pages or len(self._pages) < MAX_PAGES:
            self._pages[number] = _FULL if page == _FULL else page

    def _numbers(self, start: int, end: int) -> list[int]:
        """The stored pages that [start, end) touches."""
        low, high = start >> _SHIFT, (end - 1) >> _SHIFT
        if high - low < len(self._pages):
            return [number for number in range(low, high + 1) if number in self._pages]
        return [number for number in self._pages if low <= number <= high]

    def _forget_below(self, length: int) -> None:
        """Pages entirely below the prefix say nothing new."""
        if self._pages:
            whole = length >> _SHIFT
            for number in [number for number in self._pages if number < whole]:
                del self._pages[number]
