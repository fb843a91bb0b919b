"""`/proof`: checks a proof file in the reader's own browser; `/proof/record` and its like: the files."""

from __future__ import annotations

import base64
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final
from urllib.parse import unquote_to_bytes

from starlette.requests import Request
from starlette.responses import Response

from core.errors import BadArgument, MeadowError
from core.peer import Finding, Kind, check_file, parse_key
from feedagg import proofs, views
from feedagg.aggregator import Aggregator
from feedagg.marks import proof_href
from feedagg.proofs import NoProof
from feedagg.web import aggregator, page, problem

Maker = Callable[[Aggregator, bytes, bytes], Awaitable[bytes]]

FILES: Final[dict[str, tuple[Maker, str]]] = {
    "record": (proofs.record_file, "Authentic: this is the block that the author signed"),
    "lookup": (proofs.lookup_file, "Current: this is what the key maps to in the newest version known here"),
}
"""What can be asked for: how the file is made, and what it is for."""

MEDIA_TYPE: Final = "application/vnd.meadow.proof"


@dataclass(frozen=True, slots=True)
class Shown:
    """One file on the page: `data` as base64 for the script, `found` for readers without one."""

    name: str
    title: str
    href: str
    size: int
    data: str
    found: Finding | None
    text: str | None
    error: str | None


@dataclass(frozen=True, slots=True)
class ProofView:
    """`bee`, `key`, `permalink` are None on the bare page, where a reader brings a file. `not_now`: why a file is
    missing.
    """

    files: list[Shown]
    bee: str | None = None
    key: str | None = None
    permalink: str | None = None
    not_now: str | None = None


async def show(request: Request) -> Response:
    """`GET /proof`: the page; with `?bee=` and `?key=` it holds the files of that record already."""
    try:
        asked = _asked(request)
    except BadArgument as error:
        return problem(request, 400, "No such proof", str(error))
    if asked is None:
        return page(request, "feedagg/proof.html", ProofView([]))
    bee, key = asked
    here = aggregator(request)
    files, refusal = [], None
    for name in FILES:
        try:
            files.append(_shown(name, bee, key, await FILES[name][0](here, bee, key)))
        except NoProof as error:
            refusal = refusal or error
    if not files and refusal is not None and refusal.status != 503:
        return problem(request, refusal.status, "Not proved here", str(refusal))
    not_now = None if refusal is None or refusal.status != 503 else str(refusal)
    view = ProofView(files, bee.hex(), key.decode(errors="replace"), views.permalink(bee, key), not_now)
    return page(request, "feedagg/proof.html", view)


async def file(request: Request) -> Response:
    """`GET /proof/<name>?bee=&key=`: the file itself; any site's page may read it."""
    name = request.path_params["name"]
    if name not in FILES:
        return problem(request, 404, "No such proof", f"There are these: {', '.join(FILES)}.")
    try:
        asked = _asked(request)
        if asked is None:
            raise BadArgument("Say which record: ?bee= and ?key=.")
        data = await FILES[name][0](aggregator(request), *asked)
    except BadArgument as error:
        return problem(request, 400, "No such proof", str(error))
    except NoProof as error:
        return problem(request, error.status, "Not proved here", str(error))
    return proof_response(data, f"{name}-{_short(*asked)}")


def proof_response(data: bytes, name: str) -> Response:
    """A proof file to be saved under `name`."""
    headers = {
        "content-disposition": f'attachment; filename="{name}.meadow-proof"',
        "access-control-allow-origin": "*",
        "cache-control": "no-cache",
    }
    return Response(data, media_type=MEDIA_TYPE, headers=headers)


def _asked(request: Request) -> tuple[bytes, bytes] | None:
    """The bee and the key in the query, None when neither is there. Raises `BadArgument`."""
    values: dict[str, bytes] = {}
    for part in request.url.query.split("&"):
        name, equals, value = part.partition("=")
        if equals:
            values[name] = unquote_to_bytes(value.replace("+", " "))
    if "bee" not in values and "key" not in values:
        return None
    if not values.get("key"):
        raise BadArgument("Say which record: ?bee= and ?key=.")
    try:
        return parse_key(values.get("bee", b"").decode(errors="replace")), values["key"]
    except BadArgument as error:
        raise BadArgument(f"That names no bee: {error}.") from error


def _shown(name: str, bee: bytes, key: bytes, data: bytes) -> Shown:
    found, error = None, None
    try:
        found = check_file(data)
    except (
        MeadowError
    ) as problem_found:  # our own store is wrong: the page says so, and the script will agree
        error = str(problem_found)
    title = FILES[name][1]
    if found is not None and found.is_absent:
        title = "Removed: the key maps to nothing in the newest version known here"
    value = found.versions[0].value if found is not None and found.versions else None
    text = None if value is None else _in_words(value)
    href = proof_href(f"/proof/{name}", bee, key)
    return Shown(name, title, href, len(data), base64.b64encode(data).decode(), found, text, error)


def _in_words(value: bytes) -> str:
    """What a record says, for people: its text or title; else its bytes as text."""
    try:
        record = json.loads(value)
        parts = [record.get(name) for name in ("text", "title", "name")] if isinstance(record, dict) else []
        film = record.get("film") if isinstance(record, dict) else None
        parts.append(film.get("title") if isinstance(film, dict) else None)
        return next(part for part in parts if isinstance(part, str) and part)
    except (ValueError, StopIteration):
        return value.decode(errors="replace")[:2000]


def _short(bee: bytes, key: bytes) -> str:
    return f"{bee.hex()[:8]}-{blake2b(key, digest_size=4).hexdigest()}"


__all__ = ["Kind", "file", "proof_response", "show"]
