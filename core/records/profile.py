"""`profile/self`: who the author says they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from . import bounds
from .fields import Fields, check_language
from .media import Blob, read_blob
from .stamp import Stamp, read_stamp


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile(Stamp):
    """A name and a few words; nothing here is proved but that the key's owner wrote it."""

    name: str
    bio: str | None = None
    website: str | None = None
    avatar: Blob | None = None
    langs: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        return "profile"

    def to_json(self) -> dict[str, Any]:
        out: dict[str, Any] = {"name": self.name}
        if self.bio is not None:
            out["bio"] = self.bio
        if self.website is not None:
            out["website"] = self.website
        if self.avatar is not None:
            out["avatar"] = self.avatar.to_json()
        if self.langs:
            out["langs"] = list(self.langs)
        return self._stamped(out)


def read_profile(key: str, fields: Fields) -> Profile:
    avatar = fields.optional_object("avatar")
    return Profile(
        name=fields.text("name", chars=bounds.MAX_NAME),
        bio=fields.optional_text("bio", chars=bounds.MAX_BIO),
        website=fields.url("website"),
        avatar=read_blob(avatar) if avatar else None,
        langs=fields.items("langs", bounds.MAX_LANGS, check_language),
        **read_stamp(key, fields, updates=True),
    )
