"""`/prove`: "prove that you cannot delete it", done while the reader waits."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from core.errors import BadArgument
from feedagg import views
from feedagg.marks import proof_href
from feedagg.operators import is_operator, proved_as_shown
from feedagg.pages.proof import asked_in_query
from feedagg.pages.proof_view import Shown, shown
from feedagg.proofs import NoProof, shown_item
from feedagg.prove import Proved, prove
from feedagg.web import aggregator, client_address, page, problem


@dataclass(frozen=True, slots=True)
class ProveView:
    """`proved` None: not done yet. `action`: where to send the button."""

    bee: str
    key: str
    permalink: str
    action: str
    proved: Proved | None = None
    file: Shown | None = None


async def show(request: Request) -> Response:
    """`GET /prove?bee=&key=`: what will be done, and the button."""
    return await _answer(request, do_it=False)


async def run(request: Request) -> Response:
    """`POST /prove?bee=&key=`: do it."""
    here = aggregator(request)
    wait = here.provings.take(client_address(request, trust_proxy=here.settings.trust_proxy))
    if wait > 0:
        sentence = (
            f"This dials other machines, so it is done only so often; try again in {math.ceil(wait)} seconds."
        )
        answer = problem(request, 429, "Slower, please", sentence)
        answer.headers["retry-after"] = str(math.ceil(wait))
        return answer
    return await _answer(request, do_it=True)


async def document(request: Request) -> Response:
    """`GET /prove.json?bee=&key=`: the same for the operator's command."""
    if not is_operator(request):
        return JSONResponse({"error": "This is for the operator; readers have the page /prove."}, 403)
    try:
        asked = asked_in_query(request, needs_key=True)
        if asked is None:
            raise BadArgument("Say which record: ?bee= and ?key=.")
        return JSONResponse(as_json(await prove(aggregator(request), *asked)))
    except BadArgument as error:
        return JSONResponse({"error": str(error)}, 400)
    except NoProof as error:
        return JSONResponse({"error": str(error)}, error.status)


async def _answer(request: Request, *, do_it: bool) -> Response:
    here = aggregator(request)
    try:
        asked = asked_in_query(request, needs_key=True)
        if asked is None:
            raise BadArgument("Say which record: ?bee= and ?key=.")
        bee, key = asked
        await here.database.read(shown_item, bee, key)
        proved = (
            proved_as_shown(await prove(here, bee, key), to_operator=is_operator(request)) if do_it else None
        )
    except BadArgument as error:
        return problem(request, 400, "Which record?", str(error))
    except NoProof as error:
        return problem(request, error.status, "Nothing to prove", str(error))
    file = None if proved is None or proved.file is None else shown("record", bee, key, proved.file)
    view = ProveView(
        bee.hex(), key.decode(errors="replace"), views.permalink(bee, key), proof_href("/prove", bee, key), proved, file
    )  # fmt: skip
    return page(request, "feedagg/prove.html", view)


def as_json(proved: Proved) -> dict[str, Any]:
    """The result for programs; hashes as hex."""
    return {
        "holds": proved.holds,
        "block": proved.seq,
        "listed": proved.was_listed,
        "goneWhileHidden": proved.was_hidden,
        "hashHere": proved.here,
        "hashThere": proved.there,
        "from": proved.source,
        "attempts": [{"place": one.place, "error": one.error} for one in proved.attempts],
        "secretKeys": [{"key": one.key.hex(), "for": purpose} for one, purpose in proved.keys],
        "holdsKeyOfABee": proved.holds_key_of_a_bee,
    }
