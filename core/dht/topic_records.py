"""Who announced themselves under which topic: the same two generations as `AgingCache`, one level deeper."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from ..limits import MAX_RECORDS_PER_TOPIC

_Generation = dict[bytes, dict[bytes, bytes]]


class TopicRecords:
    """At most `max_size` records in all, one for each public key of a topic, for 2/3 to 4/3 of `max_age` seconds."""

    __slots__ = ("_clock", "_count", "_generation_seconds", "_half", "_old", "_random", "_turns_at", "_young")

    def __init__(self, max_size: int, max_age: float, clock: Callable[[], float], random: Random) -> None:
        self._half = max(1, max_size // 2)
        self._generation_seconds = max_age * 2 / 3
        self._clock = clock
        self._random = random
        self._young: _Generation = {}
        self._old: _Generation = {}
        self._count = 0
        self._turns_at = clock() + self._generation_seconds

    def put(self, topic: bytes, public_key: bytes, record: bytes) -> None:
        self._turn()
        if self._count >= self._half:
            self._next_generation()
        peers = self._young.setdefault(topic, {})
        if public_key not in peers:
            if len(peers) >= MAX_RECORDS_PER_TOPIC:
                del peers[next(iter(peers))]
                self._count -= 1
            self._count += 1
        peers[public_key] = record

    def discard(self, topic: bytes, public_key: bytes) -> None:
        peers = self._young.get(topic)
        if peers is not None and peers.pop(public_key, None) is not None:
            self._count -= 1
            if not peers:
                del self._young[topic]
        peers = self._old.get(topic)
        if peers is not None:
            peers.pop(public_key, None)
            if not peers:
                del self._old[topic]

    def sample(self, topic: bytes, limit: int) -> list[bytes]:
        """Up to `limit` records of a topic, drawn at random when there are more."""
        self._turn()
        old = self._old.get(topic)
        young = self._young.get(topic)
        peers = {**old, **young} if old and young else young or old
        if not peers:
            return []
        records = list(peers.values())
        return records if len(records) <= limit else self._random.sample(records, limit)

    def clear(self) -> None:
        self._young = {}
        self._old = {}
        self._count = 0

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
        self._old, self._young, self._count = self._young, {}, 0
        self._turns_at = self._clock() + self._generation_seconds
