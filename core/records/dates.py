"""Moments in records: ISO 8601 in JSON, whole milliseconds since 1970 in the program.

An author's clock is a claim, so a bad date never rejects a record: it becomes None and a flag, and the feed
uses the time at which it first saw the record.
"""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta
from enum import StrEnum

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)

# The last millisecond that both this program's dates and a 12-hex-digit time can hold (end of year 9999).
MAX_TIME_MS = (datetime(9999, 12, 31, 23, 59, 59, 999000, tzinfo=UTC) - _EPOCH) // _MILLISECOND

_PARTIAL_DATE = re.compile(r"[0-9]{4}(?:-[0-9]{2}(?:-[0-9]{2})?)?\Z")


class DateFlag(StrEnum):
    """What was wrong with a record's `createdAt`."""

    MISSING = "date-missing"
    UNPARSABLE = "date-unparsable"
    BEFORE_1970 = "date-before-1970"


def parse_date(value: object) -> int | DateFlag:
    """Milliseconds since 1970 of an ISO 8601 text (no zone means UTC) or of a number of milliseconds."""
    if value is None:
        return DateFlag.MISSING
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value)
            if moment.tzinfo is None:
                moment = moment.replace(tzinfo=UTC)
            milliseconds = (moment - _EPOCH) // _MILLISECOND
        except (ValueError, OverflowError):
            return DateFlag.UNPARSABLE
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        if isinstance(value, float) and not math.isfinite(value):
            return DateFlag.UNPARSABLE
        milliseconds = math.floor(value)
    else:
        return DateFlag.UNPARSABLE
    if milliseconds < 0:
        return DateFlag.BEFORE_1970
    return milliseconds if milliseconds <= MAX_TIME_MS else DateFlag.UNPARSABLE


def format_date(milliseconds: int) -> str:
    """`2026-11-23T08:13:00.000Z`, the form that JavaScript's `toISOString` writes."""
    moment = _EPOCH + milliseconds * _MILLISECOND
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{milliseconds % 1000:03d}Z"


def is_partial_date(text: str) -> bool:
    """Whether `text` is a real day, month or year: `YYYY`, `YYYY-MM` or `YYYY-MM-DD`."""
    if _PARTIAL_DATE.match(text) is None:
        return False
    try:
        datetime.fromisoformat(text + "-01-01"[: 10 - len(text)])
    except ValueError:
        return False
    return True
