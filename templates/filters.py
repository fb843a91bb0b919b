"""Filters of the shared templates: moments, keys, numbers, and the honeycomb that stands for a key."""

from __future__ import annotations

import math
from datetime import UTC, datetime


def moment(value: datetime | int | float | str) -> datetime:
    """A UTC datetime from a datetime, ISO 8601 text, or a time since 1970.

    An int counts milliseconds, as records do; a float counts seconds, as `time.time()` does.
    Raises ValueError for what is none of these.
    """
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    if isinstance(value, datetime):
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    seconds = value / 1000 if isinstance(value, int) else value
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, OSError) as error:
        raise ValueError(f"{value} is no moment") from error


def iso(value: datetime | int | float | str) -> str:
    """A machine-readable moment: `2026-11-23T08:25:00Z`."""
    return moment(value).replace(tzinfo=None).isoformat(timespec="seconds") + "Z"


def day(value: datetime | int | float | str) -> str:
    """A date as people write it: `23 Nov 2026`."""
    at = moment(value)
    return f"{at.day} {at:%b %Y}"


def clock(value: datetime | int | float | str) -> str:
    """A date and time in UTC: `23 Nov 2026, 08:25 UTC`."""
    return f"{day(value)}, {moment(value):%H:%M} UTC"


def short_key(key: str) -> str:
    """A key short enough for a line, from both ends: `6a09e667…cd19`."""
    return key if len(key) <= 14 else f"{key[:8]}…{key[-4:]}"


def count(number: int) -> str:
    """A number with thin spaces between the thousands."""
    return f"{number:,}".replace(",", "\u202f")


def data_size(size: int) -> str:
    """Bytes in the unit people expect: `512 B`, `1.4 kB`, `3.0 MB`."""
    amount = float(size)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000 or unit == "GB":
            return f"{amount:.0f} B" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1000
    raise AssertionError("the loop always returns")


def hue(key: str) -> int:
    """A colour for a key, in degrees: the same key looks the same everywhere."""
    return int(key[:4], 16) % 360 if _is_hex(key[:4]) else sum(key.encode()) % 360


def hexagon(x: float, y: float, radius: float) -> str:
    """The corners of a hexagon standing on its point, for the `points` of an SVG polygon."""
    corners = (math.radians(60 * corner - 30) for corner in range(6))
    return " ".join(f"{x + radius * math.cos(a):.2f},{y + radius * math.sin(a):.2f}" for a in corners)


def honeycomb(key: str) -> list[tuple[str, int]]:
    """Seven cells drawn from a key: the corners of each, and its lightness in per cent (48 units wide)."""
    bits = int(key[4:12], 16) if _is_hex(key[4:12]) else sum(key.encode()) * 2654435761
    ring = [
        (24 + 14 * math.cos(math.radians(a)), 24 + 14 * math.sin(math.radians(a))) for a in range(0, 360, 60)
    ]
    cells = [(24.0, 24.0), *ring]
    return [(hexagon(x, y, 7.4), (40, 52, 64, 78)[(bits >> 2 * i) & 3]) for i, (x, y) in enumerate(cells)]


def _is_hex(text: str) -> bool:
    return len(text) > 0 and all(character in "0123456789abcdefABCDEF" for character in text)


FILTERS = {
    "iso": iso,
    "day": day,
    "clock": clock,
    "short_key": short_key,
    "count": count,
    "data_size": data_size,
    "hue": hue,
    "hexagon": hexagon,
    "honeycomb": honeycomb,
}
