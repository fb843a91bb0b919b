"""One operation of a bee in, one row of the shelf out. Pure: the clock is an argument.

Times are milliseconds since 1970. A row is kept for a deletion too, so that an older block read later does not
bring the record back.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from core.records import (
    Blob,
    Post,
    Profile,
    Reaction,
    Ref,
    Rejected,
    Watch,
    WatchlistItem,
    is_t16,
    key_time,
    parse_record,
)

SKEW_MS = 2 * 60 * 1000

TIMELINE_KINDS = ("post", "movie")


@dataclass(frozen=True, slots=True)
class Row:
    """A key of one bee as of block `seq`. `kind` is empty when the key was taken out or holds no record.

    `at`: where it stands in a timeline. `on_timeline`: what was imported stands on its author's
    page only. `subject` and `root`: "<bee>/<key>" of what it answers. `facts`: what a year in review counts, a
    JSON list of a film's rating, liked, seen before, reviewed, year and tags. `words`: what a search looks through.
    """

    key: str
    seq: int
    kind: str = ""
    at: int = 0
    on_timeline: bool = False
    value: str = ""
    subject: str | None = None
    root: str | None = None
    watched_on: str | None = None
    facts: str | None = None
    words: str = ""


def row_of(key: str | bytes, value: Any, seq: int, now: int) -> Row:
    """What the operation at block `seq` makes of `key`; `value` (JSON, or its bytes) is None for a deletion."""
    name = key if isinstance(key, str) else key.decode("utf-8", "backslashreplace")
    if value is None:
        return Row(name, seq)
    record = parse_record(key, value)
    if isinstance(record, Rejected):
        return Row(name, seq)
    claimed = record.created_at
    at = min(now, claimed) if claimed is not None and claimed <= now + SKEW_MS else _key_moment(name, now)
    text = value.decode() if isinstance(value, bytes) else json.dumps(value, ensure_ascii=False)
    extra: dict[str, Any] = {}
    source = None
    match record:
        case Post():
            extra = {
                "subject": _place(record.parent),
                "root": _place(record.root),
                "words": _join(record.text, record.more and record.more.text, record.cw, *record.tags),
            }
        case Watch():
            source = record.source
            film = record.film
            extra = {
                "watched_on": record.watched_on,
                "facts": _facts(record),
                "words": _join(film.title, film.year, record.review and record.review.text, *record.tags),
            }
        case Reaction():
            extra = {"subject": _place(record.subject)}
        case WatchlistItem():
            extra = {"words": _join(record.film.title, record.film.year)}
        case Profile():
            extra = {"words": _join(record.name, record.bio)}
    on_timeline = record.kind in TIMELINE_KINDS and source is None
    return Row(name, seq, record.kind, at, on_timeline, text, **extra)


def place_of(bee: str, key: str) -> str:
    """How rows name a record of anyone's: "<64 hex>/<key>"."""
    return f"{bee}/{key}"


def place_of_blob(blob: Blob | None) -> str | None:
    """How pages name an image: "<block>/<blocks>/<byte>/<bytes>" of its author's media core."""
    if blob is None:
        return None
    return f"{blob.block_offset}/{blob.block_length}/{blob.byte_offset}/{blob.byte_length}"


def _place(ref: Ref | None) -> str | None:
    return None if ref is None else place_of(ref.bee, ref.key)


def _key_moment(key: str, now: int) -> int:
    t16 = key.partition("/")[2]
    return min(now, key_time(t16)) if is_t16(t16) else now


def _facts(watch: Watch) -> str:
    counted = [
        watch.rating,
        watch.liked,
        watch.rewatch,
        watch.review is not None,
        watch.film.year,
        *watch.tags,
    ]
    return json.dumps(counted, ensure_ascii=False, separators=(",", ":"))


def _join(*parts: object) -> str:
    return "\n".join(str(part) for part in parts if part)
