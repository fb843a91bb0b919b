"""A proof file as a page shows it: the bytes for the browser, and what they say for readers without a script."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from core.errors import MeadowError
from core.peer import Finding, check_file
from feedagg.marks import proof_href
from feedagg.proofs import PURPOSES
from feedagg.web import page, problem, wants_json


@dataclass(frozen=True, slots=True)
class Shown:
    """One file on a page: `data` as base64 for the script, `found` and `texts` for readers without one."""

    name: str
    title: str
    href: str
    size: int
    data: str
    found: Finding | None
    texts: list[str]
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
    texts = ["(removed)" if version.value is None else in_words(version.value) for version in versions]
    return Shown(
        name, title, proof_href(f"/proof/{name}", bee, key), len(data), base64.b64encode(data).decode(), found, texts,
        error
    )  # fmt: skip


def in_words(value: bytes) -> str:
    """What a record says, for people: its text, title or reason; else its bytes as text."""
    try:
        record = json.loads(value)
        parts = (
            [record.get(name) for name in ("text", "title", "name", "reason")]
            if isinstance(record, dict)
            else []
        )
        film = record.get("film") if isinstance(record, dict) else None
        parts.append(film.get("title") if isinstance(film, dict) else None)
        return next(part for part in parts if isinstance(part, str) and part)
    except (ValueError, RecursionError, StopIteration):
        return value.decode(errors="replace")[:2000]


def absent(request: Request, status: int, title: str, sentence: str, file: Shown | None) -> Response:
    """A record that is not shown, with the proof of why, if there is one at hand."""
    if file is None:
        return problem(request, status, title, sentence)
    if wants_json(request):
        return problem(request, status, title, sentence, proof=file.href)
    view = {"status": status, "title": title, "sentence": sentence, "file": file}
    return page(request, "feedagg/absent.html", view, status=status)
