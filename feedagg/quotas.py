"""The quota of a new bee: so many operations of it are read in a second, an hour and a day. What is over it is read
later, not dropped.

New is a bee that a stranger gave a few days ago; the operator's own bees, and those they trust, have no quota. Hours
and days are those of UTC, so that the page can say when reading goes on. The counts of the hour and the day are
stored with the position; the second is paced in memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from feedagg.settings import Settings
from feedagg.sources import Source

HOUR_MS: Final = 60 * 60 * 1000
DAY_MS: Final = 24 * HOUR_MS


@dataclass(slots=True)
class Quota:
    """What may still be read of one bee. `hour`, `day`: numbers since 1970. `until`: when it is new no more (ms)."""

    per_second: int
    per_hour: int
    per_day: int
    until: int
    hour: int
    hour_operations: int
    day: int
    day_operations: int

    def allowed(self, now: int) -> int | None:
        """Operations that may be read at once; None: as many as there are. `now`: milliseconds since 1970."""
        if now >= self.until:
            return None
        self._turn_over(now)
        left = min(self.per_hour - self.hour_operations, self.per_day - self.day_operations)
        return max(0, min(self.per_second, left))

    def spend(self, operations: int, now: int) -> None:
        """So many were read."""
        self._turn_over(now)
        self.hour_operations += operations
        self.day_operations += operations

    def opens_at(self, now: int) -> int:
        """When the next ones may be read, if none may now (ms)."""
        self._turn_over(now)
        at = now
        if self.hour_operations >= self.per_hour:
            at = (self.hour + 1) * HOUR_MS
        if self.day_operations >= self.per_day:
            at = (self.day + 1) * DAY_MS
        return min(at, max(self.until, now))

    def counts(self) -> dict[str, int | None]:
        """The columns of `sources` that hold it."""
        return {
            "hour": self.hour,
            "hour_operations": self.hour_operations,
            "day": self.day,
            "day_operations": self.day_operations,
            "waits_until": None,
        }

    def _turn_over(self, now: int) -> None:
        hour, day = now // HOUR_MS, now // DAY_MS
        if hour != self.hour:
            self.hour, self.hour_operations = hour, 0
        if day != self.day:
            self.day, self.day_operations = day, 0


def of(source: Source, settings: Settings, now: int) -> Quota | None:
    """The quota of a source, None if it has none."""
    until = source.added_at + settings.new_bee_days * DAY_MS
    if source.trusted or now >= until:
        return None
    return Quota(
        settings.operations_per_second,
        settings.operations_per_hour,
        settings.operations_per_day,
        until,
        source.hour,
        source.hour_operations,
        source.day,
        source.day_operations,
    )
