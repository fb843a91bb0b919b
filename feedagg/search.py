"""What a reader asks for: words and filters as text, parsed. Pure; `find.py` asks the database.

    ran kurosawa         both words           "slow cinema"        these words in this order
    samur*               words that begin so  -remake              not this word
    kind:movie           or post              has:review           image, film, reply, warning, more
    author:KEY           or a name            tag:garden, #garden
    year:1985            or 1980-1989         rating:8             half stars, 8-10 or 8- for at least
    since:2026-01-31     by date              until:2026-02-28

What cannot be understood is said in `problems` and left out, so that a slip never empties the page without a word.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from core.records import Post, Watch
from feedagg import words

KINDS: Final = ("post", "movie")
MAX_TERMS: Final = 32
MAX_LENGTH: Final = 500
MAX_YEARS: Final = 100
SHORTEST_BEGINNING: Final = 4
"""Letters before a `*`: fewer begin so many words that looking for them would cost every other reader."""

_PART = re.compile(r'(-?)(?:([a-z]+):)?("[^"]*"?|[^\s"]+)', re.IGNORECASE)
_RANGE = re.compile(r"(?:(>=|>|<=|<)?(\d{1,4}))(?:(-|\.\.)(\d{1,4})?)?")


class Term(NamedTuple):
    """One entry of the index: the whole of it, or how it begins."""

    text: str
    is_prefix: bool = False


@dataclass(frozen=True, slots=True)
class Query:
    """All of `every` (one of each group), none of `without`, each of `phrases` in this order.

    `authors` are names or keys, not looked up yet. `since` and `until`: milliseconds since 1970, until exclusive.
    """

    text: str = ""
    every: tuple[tuple[Term, ...], ...] = ()
    without: tuple[Term, ...] = ()
    phrases: tuple[tuple[str, ...], ...] = ()
    authors: tuple[str, ...] = ()
    since: int | None = None
    until: int | None = None
    problems: tuple[str, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether nothing is asked for."""
        return not (
            self.every or self.without or self.authors or self.since is not None or self.until is not None
        )


def tagged(tag: str) -> Query:
    """The records with this tag, whatever its case, accents and punctuation."""
    word = words.tag_word(tag)
    return Query(text=f"#{tag}", every=((Term(words.mark("t", word)),),)) if word else Query()


def parse(text: str) -> Query:
    """The query in a line of text."""
    reading = _Reading()
    for minus, name, what in _PART.findall(text[:MAX_LENGTH]):
        reading.part(bool(minus), name.lower(), what)
    if len(text) > MAX_LENGTH:
        reading.problems.append(f"Only the first {MAX_LENGTH} characters were read.")
    return Query(
        text=text[:MAX_LENGTH].strip(),
        every=tuple(dict.fromkeys(reading.every)),
        without=tuple(dict.fromkeys(reading.without)),
        phrases=tuple(reading.phrases),
        authors=tuple(reading.authors),
        since=reading.since,
        until=reading.until,
        problems=tuple(reading.problems),
    )


@dataclass(slots=True)
class _Reading:
    every: list[tuple[Term, ...]] = field(default_factory=list)
    without: list[Term] = field(default_factory=list)
    phrases: list[tuple[str, ...]] = field(default_factory=list)
    authors: list[str] = field(default_factory=list)
    since: int | None = None
    until: int | None = None
    problems: list[str] = field(default_factory=list)
    terms: int = 0

    def part(self, is_without: bool, name: str, what: str) -> None:
        bare = what.strip('"')
        reader = self._filters().get(name)
        if not name and bare.startswith("#") and len(bare) > 1:
            reader, bare = self._tag, bare[1:]
        if reader is None:
            self._words(
                f"{name} {bare}" if name else bare, is_phrase=what.startswith('"'), is_without=is_without
            )
        elif bare:
            found = reader(bare)
            if is_without:
                self.without += found
            elif found:
                self.every.append(found)

    def _filters(self) -> dict[str, Callable[[str], tuple[Term, ...]]]:
        return {
            "kind": self._kind, "author": self._author, "from": self._author, "tag": self._tag, "year": self._year,
            "rating": self._rating, "has": self._has, "since": self._since, "until": self._until,
        }  # fmt: skip

    def _words(self, text: str, *, is_phrase: bool, is_without: bool) -> None:
        found = words.words(text)
        if self.terms + len(found) > MAX_TERMS:
            if not any("words" in problem for problem in self.problems):
                self.problems.append(f"At most {MAX_TERMS} words can be looked for; the rest was left out.")
            return
        self.terms += len(found)
        is_prefix = text.endswith("*") and not is_phrase and bool(found)
        if is_prefix and len(found[-1]) < SHORTEST_BEGINNING:
            self.problems.append(
                f"A beginning needs {SHORTEST_BEGINNING} letters before its *; “{text}” has fewer."
            )
            found, is_prefix = found[:-1], False
        terms = [Term(word) for word in found]
        if is_prefix:
            terms[-1] = Term(found[-1], is_prefix=True)
        if is_without:
            self.without += terms
            return
        self.every += [(term,) for term in terms]
        if len(found) > 1 and not is_prefix:
            self.phrases.append(tuple(found))

    def _kind(self, text: str) -> tuple[Term, ...]:
        kind = text.lower().removesuffix("s")
        if kind not in KINDS:
            self.problems.append(f"There is no kind “{text}”: write kind:post or kind:movie.")
            return ()
        return (Term(words.mark("k", kind)),)

    def _tag(self, text: str) -> tuple[Term, ...]:
        word = words.tag_word(text.lstrip("#"))
        return (Term(words.mark("t", word)),) if word else ()

    def _has(self, text: str) -> tuple[Term, ...]:
        if text.lower() not in words.HAS:
            self.problems.append(f"Nothing can have “{text}”: write has: and one of {', '.join(words.HAS)}.")
            return ()
        return (Term(words.mark("h", text.lower())),)

    def _author(self, text: str) -> tuple[Term, ...]:
        self.authors.append(text)
        return ()

    def _year(self, text: str) -> tuple[Term, ...]:
        span = _span(text, 1870, 2200)
        if span is None or span[1] - span[0] >= MAX_YEARS:
            self.problems.append(
                f"“{text}” is no year: write year:1985, or year:1980-1989 for at most {MAX_YEARS} years."
            )
            return ()
        return tuple(Term(words.mark("y", str(year))) for year in range(span[0], span[1] + 1))

    def _rating(self, text: str) -> tuple[Term, ...]:
        span = _span(text, 1, 10)
        if span is None:
            self.problems.append(
                f"“{text}” is no rating: write rating:8 (half stars, 1 to 10), rating:8-10 or rating:8-."
            )
            return ()
        return tuple(Term(words.mark("r", str(rating))) for rating in range(span[0], span[1] + 1))

    def _since(self, text: str) -> tuple[Term, ...]:
        self.since = self._day(text) if self.since is None else self.since
        return ()

    def _until(self, text: str) -> tuple[Term, ...]:
        day = self._day(text)
        if day is not None:
            self.until = day + int(timedelta(days=1).total_seconds()) * 1000
        return ()

    def _day(self, text: str) -> int | None:
        try:
            return int(datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC).timestamp() * 1000)
        except ValueError:
            self.problems.append(f"“{text}” is no date: write it like 2026-01-31.")
            return None


def _span(text: str, lowest: int, highest: int) -> tuple[int, int] | None:
    """`8`, `8-10`, `8-`, `>=8`, `<8` as the numbers from and to; None for what is none of these."""
    match = _RANGE.fullmatch(text)
    if match is None:
        return None
    sign, first, dash, last = match.groups()
    start = int(first)
    end = highest if dash and last is None else int(last or first)
    if sign:
        if dash:
            return None
        start, end = {
            ">=": (start, highest), ">": (start + 1, highest), "<=": (lowest, start), "<": (lowest, start - 1),
        }[sign]  # fmt: skip
    start, end = max(start, lowest), min(end, highest)
    return (start, end) if start <= end else None


def texts_of(record: object) -> list[str]:
    """What a phrase may stand in: the texts of a parsed record; none if it is neither post nor film."""
    if isinstance(record, Post):
        film = "" if record.film is None else record.film.title
        return [record.text, "" if record.more is None else record.more.text, film, *record.tags]
    if isinstance(record, Watch):
        return [record.film.title, "" if record.review is None else record.review.text, *record.tags]
    return []


def holds(query: Query, texts: Iterable[str]) -> bool:
    """Whether every phrase stands in one of these texts, in its order."""
    if not query.phrases:
        return True
    lines = [f" {' '.join(words.words(text))} " for text in texts]
    return all(any(f" {' '.join(phrase)} " in line for line in lines) for phrase in query.phrases)
