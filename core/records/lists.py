"""`list/<t16>` and `listitem/<list t16>/<order>`: films someone put together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from . import bounds
from .fields import Fields
from .film import Subject, read_subject
from .stamp import Stamp, read_stamp


@dataclass(frozen=True, slots=True, kw_only=True)
class FilmList(Stamp):
    """A list's head; its items stand under `listitem/<the same t16>/`."""

    name: str
    text: str | None = None
    ordered: bool = False

    @property
    def kind(self) -> str:
        return "list"

    def to_json(self) -> dict[str, Any]:
        out: dict[str, Any] = {"name": self.name}
        if self.text is not None:
            out["text"] = self.text
        if self.ordered:
            out["ordered"] = True
        return self._stamped(out)


@dataclass(frozen=True, slots=True, kw_only=True)
class ListItem(Stamp):
    """A film in the list whose key ends in `list_id`; items sort by `order` as text."""

    list_id: str
    order: str
    film: Subject
    note: str | None = None

    @property
    def kind(self) -> str:
        return "listitem"

    def to_json(self) -> dict[str, Any]:
        out: dict[str, Any] = {"film": self.film.to_json()}
        if self.note is not None:
            out["note"] = self.note
        return self._stamped(out)


def read_list(key: str, fields: Fields) -> FilmList:
    return FilmList(
        name=fields.text("name", chars=bounds.MAX_LIST_NAME),
        text=fields.optional_text("text", size=bounds.MAX_LIST_TEXT_BYTES),
        ordered=fields.switch("ordered"),
        **read_stamp(key, fields),
    )


def read_list_item(key: str, fields: Fields) -> ListItem:
    _, list_id, order = key.split("/", 2)
    return ListItem(
        list_id=list_id,
        order=order,
        film=read_subject(fields.object("film")),
        note=fields.optional_text("note", chars=bounds.MAX_NOTE),
        **read_stamp(key, fields),
    )
