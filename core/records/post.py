"""`post/<t16>`: something a person said."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from . import bounds
from .fields import Fields
from .film import Subject, read_subject
from .media import Image, read_image
from .ref import Ref, read_ref
from .stamp import Stamp, read_stamp


@dataclass(frozen=True, slots=True)
class More:
    """The long form of a post, for its own page."""

    text: str
    mime: str = "text/markdown"
    extra: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return {"mime": self.mime, "text": self.text, **self.extra}


@dataclass(frozen=True, slots=True, kw_only=True)
class Post(Stamp):
    """A post. `root` and `parent` are both set on a reply; `cw` is a content warning."""

    text: str
    more: More | None = None
    lang: str | None = None
    tags: tuple[str, ...] = ()
    media: tuple[Image, ...] = ()
    cw: str | None = None
    root: Ref | None = None
    parent: Ref | None = None
    film: Subject | None = None

    @property
    def kind(self) -> str:
        return "post"

    def to_json(self) -> dict[str, Any]:
        out: dict[str, Any] = {"text": self.text}
        if self.more is not None:
            out["more"] = self.more.to_json()
        if self.lang is not None:
            out["lang"] = self.lang
        if self.tags:
            out["tags"] = list(self.tags)
        if self.media:
            out["media"] = [image.to_json() for image in self.media]
        if self.cw is not None:
            out["cw"] = self.cw
        if self.root is not None and self.parent is not None:
            out["reply"] = {"root": self.root.to_json(), "parent": self.parent.to_json()}
        if self.film is not None:
            out["film"] = self.film.to_json()
        return self._stamped(out)


def read_post(key: str, fields: Fields) -> Post:
    more = fields.optional_object("more")
    reply = fields.optional_object("reply")
    film = fields.optional_object("film")
    return Post(
        text=fields.text("text", size=bounds.MAX_TEXT_BYTES),
        more=_read_more(more) if more else None,
        lang=fields.language("lang"),
        tags=fields.tags(),
        media=fields.items("media", bounds.MAX_IMAGES, read_image),
        cw=fields.optional_text("cw", chars=bounds.MAX_CONTENT_WARNING),
        root=read_ref(reply.object("root")) if reply else None,
        parent=read_ref(reply.object("parent")) if reply else None,
        film=read_subject(film) if film else None,
        **read_stamp(key, fields, updates=True),
    )


def read_post_by_hand(key: str, fields: Fields) -> Post:
    """An entry of a bee made by hand: only its text and its date are read, the rest is kept."""
    text = fields.text("text", size=bounds.MAX_TEXT_BYTES)
    return Post(text=text, **read_stamp(key, fields, by_hand=True))


def _read_more(fields: Fields) -> More:
    return More(
        mime=fields.optional_text("mime", chars=64) or "text/markdown",
        text=fields.text("text", size=bounds.MAX_MORE_BYTES),
        extra=fields.rest(),
    )
