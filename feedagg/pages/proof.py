"""`/proof`: checks a proof file in the reader's own browser; `/proof/record` and its like: the files."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from typing import Final
from urllib.parse import unquote_to_bytes

from starlette.requests import Request
from starlette.responses import Response

from core.errors import BadArgument
from core.peer import parse_key
from feedagg import views
from feedagg.marks import proof_href
from feedagg.pages.proof_view import Shown, shown
from feedagg.proofs import MAKERS, NoProof, lookup_file
from feedagg.web import aggregator, page, problem

MEDIA_TYPE: Final = "application/vnd.meadow.proof"

TOGETHER: Final = {
    "record": ("record", "lookup"),
    "history": ("history",),
    "witness": ("witness", "witness-entry"),
    "hidden": ("hidden",),
    "conflict": ("conflict",),
}
"""What a page shows for `?about=`: files that belong together."""


@dataclass(frozen=True, slots=True)
class ProofView:
    """`bee` and `key` are None on the bare page, where a reader brings a file. `not_now`: why a file is missing."""

    files: list[Shown]
    bee: str | None = None
    key: str | None = None
    more: tuple[tuple[str, str], ...] = ()
    not_now: str | None = None


async def show(request: Request) -> Response:
    """`GET /proof`: the page; with `?bee=` and `?key=` it holds the files of that record already."""
    try:
        asked = asked_in_query(request)
    except BadArgument as error:
        return problem(request, 400, "No such proof", str(error))
    if asked is None:
        return page(request, "feedagg/proof.html", ProofView([]))
    bee, key = asked
    here = aggregator(request)
    files, refusal = [], None
    for name in TOGETHER.get(request.query_params.get("about", ""), TOGETHER["record"]):
        try:
            # No page waits for the network: what a lookup lacks here is fetched only for who saves its file.
            made = (
                lookup_file(here, bee, key, seconds=0) if name == "lookup" else MAKERS[name](here, bee, key)
            )
            files.append(shown(name, bee, key, await made))
        except NoProof as error:
            refusal = refusal or error
    if not files and refusal is not None and refusal.status != 503:
        return problem(request, refusal.status, "Not proved here", str(refusal))
    not_now = None if refusal is None or refusal.status != 503 else str(refusal)
    more = _more(bee, key) if key else ()
    view = ProofView(files, bee.hex(), key.decode(errors="replace"), more, not_now)
    return page(request, "feedagg/proof.html", view)


async def file(request: Request) -> Response:
    """`GET /proof/<name>?bee=&key=`: the file itself; any site's page may read it."""
    name = request.path_params["name"]
    if name not in MAKERS:
        return problem(request, 404, "No such proof", f"There are these: {', '.join(MAKERS)}.")
    try:
        asked = asked_in_query(request, needs_key=name != "conflict")
        if asked is None:
            raise BadArgument("Say which record: ?bee= and ?key=.")
        data = await MAKERS[name](aggregator(request), *asked)
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


def asked_in_query(request: Request, *, needs_key: bool | None = None) -> tuple[bytes, bytes] | None:
    """The bee and the key in the query, None when neither is there. Raises `BadArgument`."""
    if needs_key is None:
        needs_key = request.query_params.get("about") != "conflict"
    values: dict[str, bytes] = {}
    for part in request.url.query.split("&"):
        name, equals, value = part.partition("=")
        if equals:
            values[name] = unquote_to_bytes(value.replace("+", " "))
    if "bee" not in values and "key" not in values:
        return None
    if needs_key and not values.get("key"):
        raise BadArgument("Say which record: ?bee= and ?key=.")
    try:
        return parse_key(values.get("bee", b"").decode(errors="replace")), values.get("key", b"")
    except BadArgument as error:
        raise BadArgument(f"That names no bee: {error}.") from error


def _more(bee: bytes, key: bytes) -> tuple[tuple[str, str], ...]:
    """Other things to know about a record: (address, words)."""
    here = proof_href("/proof", bee, key)
    return (
        (views.permalink(bee, key), "The record"),
        (here, "Its proof"),
        (f"{here}&about=history", "Edit history"),
        (f"{here}&about=witness", "When did it exist?"),
        (proof_href("/prove", bee, key), "Prove that you cannot delete it"),
    )


def _short(bee: bytes, key: bytes) -> str:
    return f"{bee.hex()[:8]}-{blake2b(key, digest_size=4).hexdigest()}"
