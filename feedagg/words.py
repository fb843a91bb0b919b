"""The terms under which a record is found: its words, and marks for what one filters by.

SQLite calls `terms` from triggers, so its index follows every change of a row, whoever makes it; PostgreSQL has the
same in SQL (`feed_words` of migration 0002) behind an index over the expression. What both must agree on:

* words are folded (NFKD, no combining accents, lower case) and cut at `SEPARATORS`; at most `LONGEST` characters count;
* a mark begins with U+E000, which a word cannot hold: `k` kind, `b` bee, `t` tag, `y` year of the film, `r` rating,
  `h` what the record has.

Pure: no clock, no database.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator
from typing import Any, Final

MARK: Final = "\ue000"
JOINT: Final = "\ue001"
"""Stands between the words of one tag, so that a tag is one term."""

LONGEST: Final = 40
BEE_DIGITS: Final = 16

SEPARATORS: Final = r"[\x01-/:-@\[-`{-\xbf\u2000-\u206f\u3000-\u303f\ue000-\uf8ff\ufe00-\ufe0f\ufeff]+"
"""Whatever ends a word: ASCII and Latin-1 signs, general and CJK punctuation, private characters, selectors."""

_SEPARATORS = re.compile(SEPARATORS)
_ACCENTS = re.compile("[\u0300-\u036f]")


def fold(text: str) -> str:
    """Without case and accents."""
    return _ACCENTS.sub("", unicodedata.normalize("NFKD", text)).lower()


def words(text: str) -> list[str]:
    """The words of a text, folded, in their order."""
    return [word[:LONGEST] for word in _SEPARATORS.split(fold(text).replace("\0", " ")) if word]


def tag_word(tag: str) -> str:
    """A tag as one term: `Sci-Fi` and `sci fi` are the same tag. Empty for one that holds no word."""
    return JOINT.join(words(tag))


def mark(letter: str, what: str) -> str:
    return f"{MARK}{letter}{what}"


def bee_mark(bee: bytes) -> str:
    return mark("b", bee.hex()[:BEE_DIGITS])


def terms(bee: bytes, kind: str, value: bytes) -> str:
    """Every term of a record, once, with spaces between. For rows that were accepted as a record."""
    try:
        record = json.loads(value)
    except (ValueError, RecursionError):
        return ""
    if not isinstance(record, dict):
        return ""
    found: dict[str, None] = {bee_mark(bee): None, mark("k", kind): None}
    for text in _texts(kind, record):
        found.update(dict.fromkeys(words(text)))
    if kind != "profile":
        found.update(dict.fromkeys(_marks(record)))
    return " ".join(found).encode("utf-8", "ignore").decode()  # half a surrogate pair is no text


def _texts(kind: str, record: dict[str, Any]) -> Iterator[str]:
    if kind == "profile":
        yield from _strings(record.get("name"), record.get("bio"))
        return
    yield from _strings(record.get("text"), record.get("title"))
    for name, inner in (("more", "text"), ("review", "text"), ("film", "title")):
        yield from _strings(_member(record, name, inner))
    yield from _strings(*_tags(record))


def _marks(record: dict[str, Any]) -> Iterator[str]:
    for tag in _strings(*_tags(record)):
        if word := tag_word(tag):
            yield mark("t", word)
    film, rating = record.get("film"), record.get("rating")
    year = film.get("year") if isinstance(film, dict) else record.get("year")
    if type(year) is int and 1000 <= year <= 9999:
        yield mark("y", str(year))
    if type(rating) is int and 1 <= rating <= 10:
        yield mark("r", str(rating))
    has = {
        "review": isinstance(_member(record, "review", "text"), str),
        "image": isinstance(record.get("media"), list) and bool(record["media"]),
        "film": isinstance(_member(record, "film", "title"), str),
        "reply": isinstance(record.get("reply"), dict),
        "warning": isinstance(record.get("cw"), str),
        "more": isinstance(_member(record, "more", "text"), str),
    }
    for name, there in has.items():
        if there:
            yield mark("h", name)


HAS: Final = ("review", "image", "film", "reply", "warning", "more")
"""What one can ask for with `has:`."""


def _member(record: dict[str, Any], name: str, inner: str) -> Any:
    outer = record.get(name)
    return outer.get(inner) if isinstance(outer, dict) else None


def _tags(record: dict[str, Any]) -> list[Any]:
    tags = record.get("tags")
    return tags if isinstance(tags, list) else []


def _strings(*values: Any) -> Iterator[str]:
    for value in values:
        if isinstance(value, str):
            yield value
