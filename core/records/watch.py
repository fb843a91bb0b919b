"""`movie/<t16>`: a film someone watched or recommends, with a rating and a review if they gave one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from . import bounds
from .dates import is_partial_date
from .fields import Fields
from .film import Subject, read_subject
from .rejected import Reason, Reject
from .stamp import Stamp, read_stamp


@dataclass(frozen=True, slots=True)
class Review:
    """What someone wrote about a film; `spoiler` asks readers to open it on purpose."""

    text: str
    spoiler: bool = False
    extra: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        out: dict[str, Any] = {"text": self.text}
        if self.spoiler:
            out["spoiler"] = True
        out.update(self.extra)
        return out


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch(Stamp):
    """A film in someone's diary. `rating` counts half stars, 1 to 10; `source` names an import."""

    film: Subject
    watched_on: str | None = None
    rewatch: bool = False
    rating: int | None = None
    liked: bool = False
    review: Review | None = None
    tags: tuple[str, ...] = ()
    source: str | None = None

    @property
    def kind(self) -> str:
        return "movie"

    def to_json(self) -> dict[str, Any]:
        if self.by_hand:
            return self._stamped(_by_hand_json(self))
        out: dict[str, Any] = {"film": self.film.to_json()}
        if self.watched_on is not None:
            out["watchedOn"] = self.watched_on
        if self.rewatch:
            out["rewatch"] = True
        if self.rating is not None:
            out["rating"] = self.rating
        if self.liked:
            out["liked"] = True
        if self.review is not None:
            out["review"] = self.review.to_json()
        if self.tags:
            out["tags"] = list(self.tags)
        if self.source is not None:
            out["src"] = self.source
        return self._stamped(out)


def read_watch(key: str, fields: Fields) -> Watch:
    review = fields.optional_object("review")
    return Watch(
        film=read_subject(fields.object("film")),
        watched_on=_partial_date(fields, "watchedOn"),
        rewatch=fields.switch("rewatch"),
        rating=fields.optional_integer("rating", bounds.MIN_RATING, bounds.MAX_RATING),
        liked=fields.switch("liked"),
        review=_read_review(review) if review else None,
        tags=fields.tags(),
        source=fields.optional_text("src", chars=bounds.MAX_SOURCE),
        **read_stamp(key, fields, updates=True),
    )


def read_watch_by_hand(key: str, fields: Fields) -> Watch:
    """An entry of a bee made by hand, as in the Hyperbee workshop: `{title, year?, rating?, ...}`.

    Such a bee promised nothing, so a year or a rating of another form is kept unread instead of refused.
    """
    title = fields.text("title", chars=bounds.MAX_TITLE)
    return Watch(
        film=Subject(title=title, year=_lenient(fields, "year", bounds.MIN_YEAR, bounds.MAX_YEAR)),
        rating=_lenient(fields, "rating", bounds.MIN_RATING, bounds.MAX_RATING),
        **read_stamp(key, fields, by_hand=True),
    )


def _by_hand_json(watch: Watch) -> dict[str, Any]:
    out: dict[str, Any] = {"title": watch.film.title}
    if watch.film.year is not None:
        out["year"] = watch.film.year
    if watch.rating is not None:
        out["rating"] = watch.rating
    return out


def _lenient(fields: Fields, name: str, low: int, high: int) -> int | None:
    value = fields.take(name)
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 4:
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and low <= value <= high:
        return value
    fields.leave(name)
    return None


def _partial_date(fields: Fields, name: str) -> str | None:
    value = fields.optional_text(name, chars=10)
    if value is not None and not is_partial_date(value):
        path = fields.path(name)
        raise Reject(Reason.BAD_FORM, f"{path} must be a day, a month or a year, such as 2026-11-23.", path)
    return value


def _read_review(fields: Fields) -> Review:
    return Review(
        text=fields.text("text", size=bounds.MAX_REVIEW_BYTES),
        spoiler=fields.switch("spoiler"),
        extra=fields.rest(),
    )
