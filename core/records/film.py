"""Films as a subject: what a record is about, written inline because no catalogue is signed.

Two subjects are the same film if they share a TMDB id, else an IMDb id, else a Wikidata id, else a
normalised title and year. `film_ref` is that rule as one text, fit to be a key segment.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field
from typing import Any, Final

from . import bounds
from .fields import Fields, check_url
from .rejected import Reason, Reject

KINDS: Final = ("movie", "tv", "season", "episode")

_IMDB = re.compile(r"tt[0-9]{1,12}\Z")
_WIKIDATA = re.compile(r"Q[1-9][0-9]{0,11}\Z")
_ASCII_WORDS = re.compile(r"[a-z0-9]+")
_TMDB_LAST: Final = 10**12
_SLUG_LIMIT: Final = 120


@dataclass(frozen=True, slots=True)
class Subject:
    """A film, a series, a season or an episode. `extra` holds the fields this program does not know."""

    title: str
    year: int | None = None
    kind: str = "movie"
    tmdb: int | None = None
    imdb: str | None = None
    wikidata: str | None = None
    urls: tuple[str, ...] = ()
    cover: str | None = None
    extra: dict[str, Any] = field(default_factory=dict)
    extra_ids: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        ids: dict[str, Any] = {
            name: value
            for name, value in (("tmdb", self.tmdb), ("imdb", self.imdb), ("wikidata", self.wikidata))
            if value is not None
        }
        ids.update(self.extra_ids)
        out: dict[str, Any] = {"title": self.title}
        if self.year is not None:
            out["year"] = self.year
        out["kind"] = self.kind
        if ids:
            out["ids"] = ids
        if self.urls:
            out["urls"] = list(self.urls)
        if self.cover is not None:
            out["cover"] = self.cover
        out.update(self.extra)
        return out


def read_subject(fields: Fields) -> Subject:
    """The subject in one JSON object; `kind` absent means a movie."""
    title = fields.text("title", chars=bounds.MAX_TITLE)
    year = fields.optional_integer("year", bounds.MIN_YEAR, bounds.MAX_YEAR)
    kind = fields.optional_text("kind") or "movie"
    if kind not in KINDS:
        path = fields.path("kind")
        raise Reject(Reason.BAD_FORM, f"{path} must be one of {', '.join(KINDS)}.", path)
    ids = fields.optional_object("ids")
    return Subject(
        title=title,
        year=year,
        kind=kind,
        tmdb=_tmdb(ids) if ids else None,
        imdb=_id(ids, "imdb", _IMDB, "tt0062622") if ids else None,
        wikidata=_id(ids, "wikidata", _WIKIDATA, "Q103474") if ids else None,
        urls=fields.items("urls", bounds.MAX_URLS, check_url),
        cover=fields.url("cover"),
        extra_ids=ids.rest() if ids else {},
        extra=fields.rest(),
    )


def film_ref(subject: Subject) -> str:
    """The strongest name of the film: `tmdb:N`, `imdb:ttN`, `wikidata:QN` or `t:<slug>:<year>`.

    TMDB numbers its series apart from its movies, so those refs name the kind: `tmdb:tv:N`.
    A film without a known year ends in `:`.
    """
    return film_refs(subject)[0]


def film_refs(subject: Subject) -> list[str]:
    """Every name this subject claims, the strongest first; the last one is always `t:<slug>:<year>`."""
    refs: list[str] = []
    if subject.tmdb is not None:
        kind = "" if subject.kind == "movie" else f"{subject.kind}:"
        refs.append(f"tmdb:{kind}{subject.tmdb}")
    if subject.imdb is not None:
        refs.append(f"imdb:{subject.imdb}")
    if subject.wikidata is not None:
        refs.append(f"wikidata:{subject.wikidata}")
    refs.append(f"t:{slug(subject.title)}:{'' if subject.year is None else subject.year}")
    return refs


def slug(title: str) -> str:
    """A title without case, accents and punctuation, its words joined by `-`; never empty.

    `Amélie` and `AMELIE` meet; letters of every script stay. A title of signs alone (`!!!`) becomes the hex
    of its UTF-8 bytes, so that two such titles stay apart.
    """
    if title.isascii():  # most titles, and much quicker
        words = _ASCII_WORDS.findall(title.lower())
    else:
        folded = unicodedata.normalize("NFKD", title.casefold())
        kept = [char if _is_word(char) else " " for char in folded if not unicodedata.combining(char)]
        words = unicodedata.normalize("NFC", "".join(kept)).casefold().split()
    text = "-".join(words)
    if not text:
        text = "x" + title.strip().encode("utf-8", "surrogatepass").hex()
    return text[:_SLUG_LIMIT].rstrip("-")


def _is_word(char: str) -> bool:
    return unicodedata.category(char)[0] in "LNM"


def _tmdb(ids: Fields) -> int | None:
    """TMDB's number, also when a program wrote it as text."""
    value = ids.take("tmdb")
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 12:
        return int(value)
    return ids.optional_integer("tmdb", 0, _TMDB_LAST)


def _id(ids: Fields, name: str, form: re.Pattern[str], example: str) -> str | None:
    value = ids.optional_text(name, chars=32)
    if value is not None and form.match(value) is None:
        path = ids.path(name)
        raise Reject(Reason.BAD_FORM, f"{path} must have the form {example}.", path)
    return value
