"""Which blocks are held: a number and a few pages of bits.

A log that holds everything needs no bits at all: everything below `contiguous` is held, whatever the pages
say. Only beyond it there are pages of 8,192 bits (1 KiB: small enough that a reader that picks single blocks
from all over a large log does not write much more than the blocks). Pages are read when they are needed, a
few are kept, and the changed ones are written once a commit.

Bit i of the log is bit i & 7 of byte i >> 3 of the concatenated pages, which is also the order of the words
in the `bitfield` message (hypercore 11.37.1).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from ..storage.base import Storage
from .layout import page_bounds, page_key, page_of_key

PAGE_BITS: Final = 8192
PAGE_BYTES: Final = PAGE_BITS // 8

_KEPT_PAGES: Final = 8
"""Unchanged pages that one log keeps in memory; reading one again costs about 2 us."""

_FULL_PAGE: Final = b"\xff" * PAGE_BYTES
_NOT_FULL: Final = re.compile(rb"[^\xff]")
_NOT_EMPTY: Final = re.compile(rb"[^\x00]")


class Bitfield:
    """The bits of the log whose keys in `storage` begin with `prefix`."""

    __slots__ = ("_changed", "_pages", "_prefix", "_storage", "_upper", "contiguous")

    def __init__(self, storage: Storage, prefix: bytes, contiguous: int) -> None:
        self.contiguous = contiguous
        """How many blocks from the start are held without a gap."""
        self._storage = storage
        self._prefix = prefix
        self._pages: dict[int, bytearray] = {}
        self._changed: dict[int, None] = {}  # a set; an empty dict is three times smaller
        # No bit at or above this is set in a page; None until somebody has to know.
        self._upper: int | None = None

    def reload(self, contiguous: int) -> None:
        """Forget what was not committed."""
        self.contiguous = contiguous
        self._pages.clear()
        self._changed.clear()
        self._upper = None

    # --- asking -------------------------------------------------------------------------------

    def get(self, index: int) -> bool:
        if index < self.contiguous:
            return index >= 0
        if index >= self._upper_bound():
            return False
        page = self._page(index // PAGE_BITS)
        return page is not None and bool(page[index % PAGE_BITS >> 3] & 1 << (index & 7))

    def has_range(self, start: int, end: int) -> bool:
        """Whether all of [start, end) is held."""
        return end <= self.contiguous or self.first_unset(start) >= end

    def first_unset(self, start: int) -> int:
        """The first index >= start that is not held (there always is one)."""
        index = max(start, self.contiguous)
        upper = self._upper_bound()
        while index < upper:
            number, bit = divmod(index, PAGE_BITS)
            page = self._page(number)
            if page is None:
                return index
            found = _first_bit(page, bit, _NOT_FULL, 0)
            if found >= 0:
                return number * PAGE_BITS + found
            index = (number + 1) * PAGE_BITS
        return index

    def first_set(self, start: int, end: int) -> int:
        """The first held index in [start, end), or -1."""
        if start < self.contiguous:
            return start if start < end else -1
        end = min(end, self._upper_bound())
        index = start
        while index < end:
            number, bit = divmod(index, PAGE_BITS)
            page = self._page(number)
            if page is not None:
                found = _first_bit(page, bit, _NOT_EMPTY, 1)
                if found >= 0:
                    index = number * PAGE_BITS + found
                    return index if index < end else -1
            index = (number + 1) * PAGE_BITS
        return -1

    def count(self, start: int, end: int) -> int:
        """How many of [start, end) are held."""
        total = max(0, min(end, self.contiguous) - start)
        start = max(start, self.contiguous)
        end = min(end, self._upper_bound())
        for number, low, high in _split(start, end):
            page = self._page(number)
            if page is not None:
                bits = int.from_bytes(page, "little") >> low & (1 << high - low) - 1
                total += bits.bit_count()
        return total

    def to_bytes(self, start: int, length: int) -> bytes:
        """Bits [start, start + length), both multiples of 8, as they go over the wire."""
        if start % 8 or length % 8:
            raise ValueError("a piece of a bitfield starts and ends at a whole byte")
        parts: list[bytes] = []
        for number, low, high in _split(start, start + length):
            first = number * PAGE_BITS
            if first + high <= self.contiguous:
                parts.append(_FULL_PAGE[: (high - low) >> 3])
                continue
            page = bytearray(self._page(number) or PAGE_BYTES)
            if first < self.contiguous:
                _fill(page, 0, self.contiguous - first, held=True)
            parts.append(bytes(page[low >> 3 : high >> 3]))
        return b"".join(parts)

    # --- changing -----------------------------------------------------------------------------

    def set(self, index: int) -> bool:
        """Mark one block as held. False when it was already."""
        if index <= self.contiguous:
            if index < self.contiguous:
                return False
            self.contiguous = index + 1
            if self._upper_bound() > index + 1:
                self.contiguous = self.first_unset(index + 1)
            return True
        page = self._page_to_change(index // PAGE_BITS)
        byte, mask = index % PAGE_BITS >> 3, 1 << (index & 7)
        if page[byte] & mask:
            return False
        page[byte] |= mask
        self._upper = max(self._upper_bound(), index + 1)
        return True

    def set_range(self, start: int, end: int) -> None:
        """Mark [start, end) as held."""
        if end <= start or end <= self.contiguous:
            return
        if start <= self.contiguous:
            self.contiguous = end
            if self._upper_bound() > end:
                self.contiguous = self.first_unset(end)
            return
        self._write_bits(start, end, held=True)
        self._upper = max(self._upper_bound(), end)

    def clear_range(self, start: int, end: int) -> None:
        """Mark [start, end) as not held."""
        if start >= end:
            return
        if start < self.contiguous:
            # The pages were not kept up below `contiguous`: what stays held above the gap is written out now.
            held = self.contiguous
            self._upper = max(self._upper_bound(), held)
            self.contiguous = start
            self._write_bits(end, held, held=True)
        self._write_bits(start, min(end, self._upper_bound()), held=False)

    def truncate(self, length: int) -> None:
        """Nothing at or above `length` is held, and no page for it is stored."""
        self.contiguous = min(self.contiguous, length)
        upper = self._upper_bound()
        if upper <= length:
            return
        first_page = -(-length // PAGE_BITS)
        self._write_bits(length, min(upper, first_page * PAGE_BITS), held=False)
        self._upper = length
        for number in [number for number in self._pages if number >= first_page]:
            del self._pages[number]
            self._changed.pop(number, None)
        gte, lt = page_bounds(self._prefix, first_page)
        self._storage.delete_range(gte, lt)

    def flush(self) -> None:
        """Write the changed pages into the storage's overlay."""
        for number in self._changed:
            page = self._pages[number]
            # What lies below `contiguous` needs no bits.
            first = max(0, self.contiguous - number * PAGE_BITS)
            if first < PAGE_BITS and _first_bit(page, first, _NOT_EMPTY, 1) >= 0:
                self._storage.put(page_key(self._prefix, number), bytes(page))
            else:
                self._storage.delete(page_key(self._prefix, number))
        self._changed.clear()
        if len(self._pages) > _KEPT_PAGES:
            self._pages.clear()

    # --- pages --------------------------------------------------------------------------------

    def _upper_bound(self) -> int:
        if self._upper is None:
            gte, lt = page_bounds(self._prefix, 0)
            last = next(self._storage.range(gte, lt, reverse=True, limit=1), None)
            self._upper = 0 if last is None else (page_of_key(last[0]) + 1) * PAGE_BITS
        return self._upper

    def _page(self, number: int) -> bytearray | None:
        page = self._pages.get(number)
        if page is None:
            stored = self._storage.get(page_key(self._prefix, number))
            if stored is None:
                return None
            page = bytearray(stored)
            self._keep(number, page)
        return page

    def _page_to_change(self, number: int) -> bytearray:
        page = self._page(number)
        if page is None:
            page = bytearray(PAGE_BYTES)
            self._keep(number, page)
        self._changed[number] = None
        return page

    def _keep(self, number: int, page: bytearray) -> None:
        pages = self._pages
        if len(pages) - len(self._changed) >= _KEPT_PAGES:
            for oldest in pages:
                if oldest not in self._changed:
                    del pages[oldest]
                    break
        pages[number] = page

    def _write_bits(self, start: int, end: int, *, held: bool) -> None:
        for number, low, high in _split(start, end):
            if held or self._page(number) is not None:
                _fill(self._page_to_change(number), low, high, held=held)


def _split(start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """[start, end) as (page number, first bit in it, end bit in it)."""
    while start < end:
        number, low = divmod(start, PAGE_BITS)
        high = min(PAGE_BITS, end - number * PAGE_BITS)
        yield number, low, high
        start = (number + 1) * PAGE_BITS


def _fill(page: bytearray, low: int, high: int, *, held: bool) -> None:
    """Set or clear bits [low, high) of a page."""
    high = min(high, PAGE_BITS)
    if low >= high:
        return
    first, last = low >> 3, (high - 1) >> 3
    head = 0xFF << (low & 7) & 0xFF
    tail = 0xFF >> (7 - (high - 1 & 7))
    if first == last:
        _mask(page, first, head & tail, held)
        return
    _mask(page, first, head, held)
    page[first + 1 : last] = (b"\xff" if held else b"\x00") * (last - first - 1)
    _mask(page, last, tail, held)


def _mask(page: bytearray, byte: int, mask: int, held: bool) -> None:
    if held:
        page[byte] |= mask
    else:
        page[byte] &= ~mask & 0xFF


def _first_bit(page: bytearray, bit: int, other_bytes: re.Pattern[bytes], wanted: int) -> int:
    """The first bit >= `bit` of the page that is `wanted`, or -1; `other_bytes` finds a byte that has one."""
    byte = bit >> 3
    flip = 0 if wanted else 0xFF
    rest = (page[byte] ^ flip) >> (bit & 7)
    if rest:
        return bit + (rest & -rest).bit_length() - 1
    found = other_bytes.search(page, byte + 1)
    if found is None:
        return -1
    value = page[found.start()] ^ flip
    return found.start() * 8 + (value & -value).bit_length() - 1
