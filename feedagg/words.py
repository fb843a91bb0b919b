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
from typing import Any, Final

MARK: Final = "\ue000"
JOINT: Final = "\ue001"
"""Stands between the words of one tag, so that a tag is one term."""

LONGEST: Final = 40
BEE_DIGITS: Final = 16

SEPARATORS: Final = r"[\x01-/:-@\[-`{-\xbf\u2000-\u206f\u3000-\u303f\ue000-\uf8ff\ufe00-\ufe0f\ufeff]+"
"""Whatever ends a word: ASCII and Latin-1 signs, general and CJK punctuation, private characters, selectors."""

_SEPARATORS = re.compile(SEPARATORS)
_ASCII_WORDS = re.compile("[0-9a-z]+")
_ACCENTS = re.compile("[\u0300-\u036f]")


def fold(text: str) -> str:
    """Without case and accents."""
    return _ACCENTS.sub("", unicodedata.normalize("NFKD", text)).lower()


def words(text: str) -> list[str]:
    """The words of a text, folded, in their order."""
    if text.isascii():  # most texts, and much quicker
        return [word[:LONGEST] for word in _ASCII_WORDS.findall(text.lower())]
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
    found = [bee_mark(bee), mark("k", kind)]
    if kind == "profile":
        texts = [record.get("name"), record.get("bio")]
    else:
        tags = record.get("tags")
        tags = [tag for tag in tags if isinstance(tag, str)] if isinstance(tags, list) else []
        more, review = _member(record, "more", "text"), _member(record, "review", "text")
        title = _member(record, "film", "title")
        texts = [record.get("text"), record.get("title"), more, review, title, *tags]
        found += _marks(record, tags, more=more, review=review, title=title)
    for text in texts:
        if isinstance(text, str):
            found += words(text)
    said = " ".join(dict.fromkeys(found))
    return said.encode("utf-8", "ignore").decode()  # half a surrogate pair is no text


def _marks(record: dict[str, Any], tags: list[str], *, more: Any, review: Any, title: Any) -> list[str]:
    found = [mark("t", word) for tag in tags if (word := tag_word(tag))]
    film, rating = record.get("film"), record.get("rating")
    year = film.get("year") if isinstance(film, dict) else record.get("year")
    if type(year) is int and 1000 <= year <= 9999:
        found.append(mark("y", str(year)))
    if type(rating) is int and 1 <= rating <= 10:
        found.append(mark("r", str(rating)))
    has = (
        isinstance(review, str), isinstance(record.get("media"), list) and bool(record["media"]),
        isinstance(title, str), isinstance(record.get("reply"), dict), isinstance(record.get("cw"), str),
        isinstance(more, str),
    )  # fmt: skip
    found += [mark("h", name) for name, there in zip(HAS, has, strict=True) if there]
    return found


HAS: Final = ("review", "image", "film", "reply", "warning", "more")
"""What one can ask for with `has:`."""


def _member(record: dict[str, Any], name: str, inner: str) -> Any:
    outer = record.get(name)
    return outer.get(inner) if isinstance(outer, dict) else None
