"""A bounded cache whose entries die of old age, without a clock for each of them.

Two generations: what is put goes to the young one; when that is full or has grown old it becomes the old one, and
the old one is dropped at once. So an entry lives between one and two thirds of a generation longer than it must, and
neither expiry nor eviction ever walks over entries. Source of the idea: xache 1.x, which hyperdht 6.34.0 keeps its
records in (20 minutes nominal are 13 to 27 real ones).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class AgingCache(Generic[K, V]):
    """At most `max_size` entries, each for 2/3 to 4/3 of `max_age` seconds. `clock` gives the time."""

    __slots__ = ("_clock", "_generation_seconds", "_half", "_old", "_turns_at", "_young")

    def __init__(self, max_size: int, max_age: float, clock: Callable[[], float]) -> None:
        self._half = max(1, max_size // 2)
        self._generation_seconds = max_age * 2 / 3
        self._clock = clock
        self._young: dict[K, V] = {}
        self._old: dict[K, V] = {}
        self._turns_at = clock() + self._generation_seconds

    def __len__(self) -> int:
        return len(self._young) + sum(key not in self._young for key in self._old)

    def put(self, key: K, value: V) -> None:
        """Store, as if new: age counts from now."""
        self._turn()
        if key not in self._young and len(self._young) >= self._half:
            self._next_generation()
        self._young[key] = value

    def get(self, key: K) -> V | None:
        self._turn()
        value = self._young.get(key)
        return self._old.get(key) if value is None else value

    def discard(self, key: K) -> None:
        self._young.pop(key, None)
        self._old.pop(key, None)

    def items(self) -> Iterator[tuple[K, V]]:
        """Every live entry once."""
        self._turn()
        yield from self._young.items()
        for key, value in self._old.items():
            if key not in self._young:
                yield key, value

    def clear(self) -> None:
        self._young = {}
        self._old = {}

    def _turn(self) -> None:
        now = self._clock()
        if now >= self._turns_at:
            if now >= self._turns_at + self._generation_seconds:
                self._young = {}
                self._turns_at = now
            due = self._turns_at
            self._next_generation()
            # From when it was due, not from now: a late look must not make the old live longer.
            self._turns_at = due + self._generation_seconds

    def _next_generation(self) -> None:
        self._old, self._young = self._young, {}
        self._turns_at = self._clock() + self._generation_seconds
