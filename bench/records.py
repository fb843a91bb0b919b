"""The records every benchmark uses: movies of about 200 bytes, the same in Python and in `bench/node/records.js`.

Keys ascend as those of a real author do (`movie/<t16>`); everything follows from the record's number, so that two
programs in two languages write the same bytes.
"""

from __future__ import annotations

import json
from typing import Any

FIRST_MILLISECOND = 1_700_000_000_000
TITLES = (
    "The Quiet Meadow",
    "Nine Days of Rain",
    "A Field of Bees",
    "Hexagon",
    "The Long Way North",
    "Clover",
)


def key(number: int) -> str:
    return f"movie/{FIRST_MILLISECOND + number * 1000:012x}0000"


def value(number: int) -> dict[str, Any]:
    title = TITLES[number % len(TITLES)]
    return {
        "film": {"title": f"{title} {number}", "year": 1950 + number % 75, "kind": "movie"},
        "watchedOn": f"20{number % 24 + 1:02d}-{number % 12 + 1:02d}-{number % 28 + 1:02d}",
        "rating": number % 10 + 1,
        "review": {"text": "Seen late, liked a lot; the second half drags a little."},
        "createdAt": FIRST_MILLISECOND + number * 1000,
    }


def pairs(count: int) -> list[tuple[str, dict[str, Any]]]:
    """Made before the clock starts: the benchmarks time the bee, not the making of records."""
    return [(key(number), value(number)) for number in range(count)]


def block(number: int) -> bytes:
    """A raw block of exactly 200 bytes."""
    return json.dumps(value(number), separators=(",", ":")).encode().ljust(200, b".")[:200]


def shuffled(count: int, upto: int) -> list[int]:
    """`count` numbers below `upto` in an order that both languages compute alike."""
    return [(index * 7919 + 104729) % upto for index in range(count)]
