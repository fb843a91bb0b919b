"""A proof file as a page shows it: the bytes for the browser, and what they say for readers without a script."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from core.errors import MeadowError
from core.peer import Finding, check_file
from feedagg.feeds import stars
from feedagg.marks import proof_href
from feedagg.proofs import PURPOSES
from feedagg.web import page, problem, wants_json


@dataclass(frozen=True, slots=True)
class Said:
    """What one version says: in words, and as it was signed (empty for a removal)."""

    words: str
    raw: str = ""


@dataclass(frozen=True, slots=True)
class Shown:
    """One file on a page: `data` as base64 for the script, `found` and `said` for readers without one."""

    name: str
    title: str
    href: str
    size: int
    data: str
    found: Finding | None
    said: list[Said]
    error: str | None


def shown(name: str, bee: bytes, key: bytes, data: bytes) -> Shown:
    """The file called `name` (`proofs.PURPOSES`) about a record, checked once more here."""
    found, error = None, None
    try:
        found = check_file(data)
    except MeadowError as wrong:  # our own store is wrong: the page says so, and the script will agree
        error = str(wrong)
    title = PURPOSES[name]
    if found is not None and found.is_absent:
        title = "Not there: in the newest version known here, the key maps to nothing"
    versions = () if found is None else found.versions
    said = [
        Said("(removed)")
        if version.value is None
        else Said(in_words(version.value), version.value.decode(errors="replace"))
        for version in versions
    ]
    return Shown(
        name, title, proof_href(f"/proof/{name}", bee, key), len(data), base64.b64encode(data).decode(), found, said,
        error
    )  # fmt: skip


def in_words(value: bytes) -> str:
    """What a record says, for people: every part that a reader could be deceived about; else its bytes as text.

    The counterpart of `templates/static/proof/words.js`.
    """
    raw = value.decode(errors="replace")[:2000]
    try:
        record = json.loads(value)
    except (ValueError, RecursionError):
        return raw
    if not isinstance(record, dict):
        return raw
    cw, tags = record.get("cw"), record.get("tags")
    parts = [
        f"Content warning: {cw}" if isinstance(cw, str) and cw else None,
        _film_line(record),
        *(record.get(name) for name in ("text", "name", "bio")),
        *(_text_in(record.get(name)) for name in ("review", "more")),
        record.get("reason"),
        " ".join(f"#{tag}" for tag in tags if isinstance(tag, str) and tag)
        if isinstance(tags, list)
        else None,
    ]
    said = "\n".join(part for part in parts if isinstance(part, str) and part)
    return said.encode("utf-8", "replace").decode() or raw  # half a surrogate pair is no text


def _text_in(outer: Any) -> Any:
    return outer.get("text") if isinstance(outer, dict) else None


def _film_line(record: dict[str, Any]) -> str:
    """Title, year, stars and when it was watched; empty for what is about no film."""
    film = record.get("film")
    film = film if isinstance(film, dict) else record
    title, year, rating, watched = (
        film.get("title"),
        film.get("year"),
        record.get("rating"),
        record.get("watchedOn"),
    )
    if not isinstance(title, str) or not title:
        return ""
    return " · ".join(
        [
            f"{title} ({year})" if type(year) is int else title,
            *([stars(rating)] if type(rating) is int and 1 <= rating <= 10 else []),
            *([f"watched {watched}"] if isinstance(watched, str) and watched else []),
            *(name for name in ("rewatch", "liked") if record.get(name) is True),
        ]
    )


def absent(request: Request, status: int, title: str, sentence: str, file: Shown | None) -> Response:
    """A record that is not shown, with the proof of why, if there is one at hand."""
    if file is None:
        return problem(request, status, title, sentence)
    if wants_json(request):
        return problem(request, status, title, sentence, proof=file.href)
    view = {"status": status, "title": title, "sentence": sentence, "file": file}
    return page(request, "feedagg/absent.html", view, status=status)
