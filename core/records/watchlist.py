"""`watchlist/<film ref>`: a film someone means to watch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .fields import Fields
from .film import Subject, film_ref, film_refs, read_subject
from .rejected import Reason, Reject
from .stamp import Stamp, read_stamp


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchlistItem(Stamp):
    """One film to watch; the key holds one of the names that the film claims."""

    film: Subject

    @property
    def kind(self) -> str:
        return "watchlist"

    def to_json(self) -> dict[str, Any]:
        return self._stamped({"film": self.film.to_json()})


def watchlist_key(film: Subject) -> str:
    return f"watchlist/{film_ref(film)}"


def read_watchlist_item(key: str, fields: Fields) -> WatchlistItem:
    film = read_subject(fields.object("film"))
    if key.partition("/")[2] not in film_refs(film):
        sentence = f"The key must end in {film_ref(film)}, which names the film in the value."
        raise Reject(Reason.KEY_MISMATCH, sentence, "film")
    return WatchlistItem(film=film, **read_stamp(key, fields))
