"""What a person typed, and the record's value made of it.

A draft holds text as it was typed (None: not given, leave as it is; empty: take it out), so a form can show
it again beside the sentence that says what to mend. `apply` writes it over an earlier value and leaves every
field it does not know alone.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from core.records import Blob, Image, Post, Ref, Rejected, Subject, Watch, parse_record

from .errors import InvalidField

LABELS = {
    "text": "The text",
    "more": "The long text",
    "lang": "The language",
    "tags": "The tags",
    "cw": "The content warning",
    "title": "The title",
    "year": "The year",
    "tmdb": "The TMDB number",
    "imdb": "The IMDb id",
    "rating": "The rating",
    "review": "The review",
    "watched_on": "The date watched",
    "name": "The name",
    "bio": "The bio",
    "website": "The website",
}

# Where the fields of forms stand in records.
_FORM_NAMES = {"more.text": "more", "review.text": "review", "watchedOn": "watched_on", "film.ids": "tmdb"}

_YES = {True: True, False: False, "1": True, "": False}


@dataclass(frozen=True, slots=True)
class PostDraft:
    """The fields of a post. `more`: a long text in Markdown; `reply`: what it answers, as (root, parent); `images`:
    those to be added.
    """

    text: str | None = None
    more: str | None = None
    lang: str | None = None
    tags: str | None = None
    cw: str | None = None
    reply: tuple[Ref, Ref] | None = None
    images: tuple[Image, ...] = ()

    @classmethod
    def of(cls, post: Post) -> PostDraft:
        return cls(
            text=post.text,
            more=post.more.text if post.more else "",
            lang=post.lang or "",
            tags=" ".join(post.tags),
            cw=post.cw or "",
        )

    def apply(self, value: dict[str, Any]) -> None:
        """Write what was given into `value`. Raises `InvalidField`."""
        _set(value, "text", None if self.text is None else _tidy(self.text), keep_empty=True)
        if self.more is not None:
            more = {**(value.get("more") or {"mime": "text/markdown"}), "text": _tidy(self.more)}
            _set(value, "more", more if more["text"] else "")
        _set(value, "lang", _strip(self.lang))
        _set(value, "tags", _split_tags(self.tags))
        _set(value, "cw", _strip(self.cw))
        if self.reply is not None:
            root, parent = self.reply
            value["reply"] = {"root": root.to_json(), "parent": parent.to_json()}
        if self.images:
            value["media"] = [*value.get("media", []), *(image.to_json() for image in self.images)]


@dataclass(frozen=True, slots=True)
class MovieDraft:
    """The fields of a film in the diary; `liked`, `rewatch` and `spoiler` are "1" or "" in forms."""

    title: str | None = None
    year: str | None = None
    rating: str | None = None
    review: str | None = None
    spoiler: bool | str | None = None
    watched_on: str | None = None
    rewatch: bool | str | None = None
    liked: bool | str | None = None
    tags: str | None = None
    tmdb: str | None = None
    imdb: str | None = None

    @classmethod
    def of(cls, watch: Watch) -> MovieDraft:
        return cls(
            title=watch.film.title,
            year=_shown(watch.film.year),
            rating=_shown(watch.rating),
            review=watch.review.text if watch.review else "",
            spoiler="1" if watch.review and watch.review.spoiler else "",
            watched_on=watch.watched_on or "",
            rewatch="1" if watch.rewatch else "",
            liked="1" if watch.liked else "",
            tags=" ".join(watch.tags),
            tmdb=_shown(watch.film.tmdb),
            imdb=watch.film.imdb or "",
        )

    def apply(self, value: dict[str, Any]) -> None:
        """Write what was given into `value`. Raises `InvalidField`."""
        if "film" not in value and isinstance(value.get("title"), str):
            self._apply_by_hand(value)
            return
        film = value.setdefault("film", {})
        _set(film, "title", _strip(self.title), keep_empty=True)
        _set(film, "year", _number("year", self.year))
        film.setdefault("kind", "movie")
        ids = film.setdefault("ids", {})
        _set(ids, "tmdb", _number("tmdb", self.tmdb))
        _set(ids, "imdb", _strip(self.imdb))
        if not ids:
            del film["ids"]
        _set(value, "watchedOn", _strip(self.watched_on))
        _set(value, "rewatch", _switch(self.rewatch))
        _set(value, "rating", _number("rating", self.rating))
        _set(value, "liked", _switch(self.liked))
        self._apply_review(value)
        _set(value, "tags", _split_tags(self.tags))

    def _apply_review(self, value: dict[str, Any]) -> None:
        review = value.get("review") or {}
        _set(review, "text", None if self.review is None else _tidy(self.review))
        _set(review, "spoiler", _switch(self.spoiler))
        if review.get("text"):
            value["review"] = review
        else:
            value.pop("review", None)

    def _apply_by_hand(self, value: dict[str, Any]) -> None:
        """The simple form of the workshop has a title, a year and a rating, and nothing else."""
        for name in ("review", "watched_on", "tags", "tmdb", "imdb", "liked", "rewatch", "spoiler"):
            if getattr(self, name):
                sentence = (
                    f"{LABELS.get(name, name)} cannot be added: this record was put by hand in the simple"
                    " form, which has a title, a year and a rating. Publish the film anew to say more."
                )
                raise InvalidField(name, sentence)
        _set(value, "title", _strip(self.title), keep_empty=True)
        _set(value, "year", _number("year", self.year))
        _set(value, "rating", _number("rating", self.rating))


@dataclass(frozen=True, slots=True)
class ProfileDraft:
    """The fields of the profile. `avatar`: a blob of the media core, False to take it out, None to leave it."""

    name: str | None = None
    bio: str | None = None
    website: str | None = None
    avatar: Blob | bool | None = None

    def apply(self, value: dict[str, Any]) -> None:
        _set(value, "name", _strip(self.name), keep_empty=True)
        _set(value, "bio", None if self.bio is None else _tidy(self.bio))
        _set(value, "website", _strip(self.website))
        if self.avatar is False:
            value.pop("avatar", None)
        elif isinstance(self.avatar, Blob):
            value["avatar"] = self.avatar.to_json()


Draft = PostDraft | MovieDraft | ProfileDraft


def film_from(values: Any) -> Subject:
    """The film that a form with `title`, `year`, `tmdb` and `imdb` names. Raises `InvalidField`."""
    value: dict[str, Any] = {}
    MovieDraft(**{name: values.get(name, "") for name in ("title", "year", "tmdb", "imdb")}).apply(value)
    record = parse_record(f"movie/{'0' * 16}", value)
    if isinstance(record, Rejected):
        raise explain(record)
    assert isinstance(record, Watch)
    return record.film


def draft_from(cls: type[Draft], values: Any) -> Any:
    """A draft of the fields in a mapping (a form, the arguments of a command); others are ignored."""
    typed = [field.name for field in fields(cls) if field.name not in ("reply", "images", "avatar")]
    given = {name: values[name] for name in typed if name in values}
    for name, value in given.items():
        if value is not None and not isinstance(value, (str, bool)):
            raise InvalidField(name, f"{LABELS.get(name, name)} must be text.")
    return cls(**given)


def explain(rejected: Rejected) -> InvalidField:
    """A record's rejection in the words of the form that was filled in."""
    path = (rejected.field or "").split("[")[0]
    name = _FORM_NAMES.get(path) or path.rpartition(".")[2]
    label = LABELS.get(name)
    sentence = rejected.sentence
    if label is not None and rejected.field is not None:
        sentence = sentence.replace(rejected.field, label, 1)
        if sentence.startswith(f"{label} is missing") or "is empty" in sentence:
            sentence = f"{label} is empty; write something first."
    return InvalidField(name, sentence)


def _set(value: dict[str, Any], name: str, new: Any, *, keep_empty: bool = False) -> None:
    """None leaves the field alone; what is empty or false takes it out."""
    if new is None:
        return
    if new or keep_empty:
        value[name] = new
    else:
        value.pop(name, None)


def _strip(text: str | None) -> str | None:
    return None if text is None else text.strip()


def _tidy(text: str) -> str:
    """Line ends as a browser's form sends them become those of everyone else."""
    return text.replace("\r\n", "\n").replace("\r", "\n").strip()


def _number(field: str, text: str | None) -> int | None:
    """A whole number, or 0 for an empty field (which takes it out), or None."""
    if text is None:
        return None
    digits = text.strip()
    if not digits:
        return 0
    if not digits.isascii() or not digits.isdigit() or len(digits) > 15:
        shown = digits if len(digits) <= 20 else digits[:20] + "…"
        raise InvalidField(field, f"{LABELS[field]} must be a whole number, not {shown!r}.")
    # 0 would mean "take it out"; -1 is refused by the record's own rule, with its own sentence.
    return int(digits) or -1


def _switch(value: bool | str | None) -> bool | None:
    return None if value is None else _YES.get(value, True)


def _split_tags(text: str | None) -> list[str] | None:
    """`bees #meadow, honey` -> three tags, each once."""
    if text is None:
        return None
    words = [word.lstrip("#") for word in text.replace(",", " ").split()]
    return list(dict.fromkeys(word for word in words if word))


def _shown(number: int | None) -> str:
    return "" if number is None else str(number)
