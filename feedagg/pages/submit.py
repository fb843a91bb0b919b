"""`/submit`: give the aggregator a key."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from core.errors import BadArgument
from core.peer import key_to_id, parse_key
from feedagg import policy, sources
from feedagg.addresses import check_name, normal
from feedagg.ingest import now_ms
from feedagg.operators import as_shown, is_operator
from feedagg.queries import Tally
from feedagg.receipts import receipt
from feedagg.sources import Source
from feedagg.web import aggregator, base_url, client_address, page, problem, wants_json

FIRST_ANSWER_SECONDS = 1.0
"""A submission waits this long for the first try, so that most answers already say what became of it."""


class Refused(Exception):
    """`str(error)` says why and how to mend it; `field` is the one to mend."""

    def __init__(self, field: str, sentence: str, status: int = 400) -> None:
        super().__init__(sentence)
        self.field = field
        self.status = status


@dataclass(frozen=True, slots=True)
class SubmitView:
    """The form as it was sent, and what is wrong with it (by field)."""

    key: str = ""
    peer: str = ""
    errors: dict[str, str] | None = None
    has_dht: bool = False


async def show(request: Request) -> Response:
    query = request.query_params
    has_dht = aggregator(request).peer.network is not None
    view = SubmitView(query.get("key", ""), query.get("peer", ""), {}, has_dht)
    return page(request, "feedagg/submit.html", view)


async def send(request: Request) -> Response:
    """`POST /submit` with `key` and optional `peer`, as a form or as JSON."""
    here = aggregator(request)
    settings = here.settings
    wait = here.submissions.take(client_address(request, trust_proxy=settings.trust_proxy))
    if wait > 0:
        sentence = (
            f"Too many keys from this address; try again in {math.ceil(wait)} seconds. The limit is "
            f"{settings.submit_burst} at once and {settings.submit_per_hour} an hour."
        )
        answer: Response
        if _answers_json(request):
            answer = JSONResponse({"error": sentence}, 429)
        else:
            answer = problem(request, 429, "Slower, please", sentence)
        answer.headers["retry-after"] = str(math.ceil(wait))
        return answer
    form = SubmitView()
    try:
        form = await _form(request)
        source = await _accept(request, form)
    except Refused as refusal:
        if _answers_json(request):
            return JSONResponse({"error": str(refusal), "field": refusal.field}, refusal.status)
        has_dht = here.peer.network is not None
        wrong = SubmitView(form.key, form.peer, {refusal.field: str(refusal)}, has_dht)
        return page(request, "feedagg/submit.html", wrong, block="form", status=refusal.status)
    if _answers_json(request):
        return JSONResponse(_answer(request, source), 202)
    return RedirectResponse(f"/bee/{source.key}", 303)


async def _accept(request: Request, form: SubmitView) -> Source:
    here = aggregator(request)
    if not form.key:
        raise Refused("key", "Paste the key of a bee: 64 hex digits or 52 letters of z-base-32.")
    try:
        bee = parse_key(form.key)
    except BadArgument as error:
        raise Refused("key", f"This is not the key of a bee: {error}. Copy it again from the peer.") from None
    address = None
    if form.peer:
        try:
            address = normal(form.peer)
            check_name(address, here.settings)
        except BadArgument as error:
            raise Refused("peer", str(error)) from None

    settings = here.settings
    submitter = here.token.stands_for(client_address(request, trust_proxy=settings.trust_proxy))

    def submit(connection: Connection) -> Source:
        return policy.submit(
            connection,
            bee,
            now_ms(),
            address,
            submitter,
            max_sources=settings.max_sources,
            max_per_submitter=settings.max_per_submitter,
        )

    try:
        given = await here.database.write(submit)
    except policy.Refusal as error:
        raise Refused("key", str(error), error.status) from None
    if given.state != sources.FOLLOWING:
        return given
    await here.contact.tick()
    await here.contact.outcome(bee, FIRST_ANSWER_SECONDS)
    source = await here.database.read(sources.get, bee)
    assert source is not None
    return source


async def _form(request: Request) -> SubmitView:
    try:
        if request.headers.get("content-type", "").partition(";")[0].strip() == "application/json":
            sent: Any = json.loads(await request.body())
            if not isinstance(sent, dict):
                raise Refused("key", "Send a JSON object with `key` and, if you know it, `peer`.")
        else:
            sent = dict(await request.form(max_files=0, max_fields=8))
    except (ValueError, RecursionError, ClientDisconnect):
        raise Refused("key", "The request could not be read; send a form or a JSON object.") from None
    key, peer = sent.get("key") or "", sent.get("peer") or ""
    if not isinstance(key, str) or not isinstance(peer, str):
        raise Refused("key", "`key` and `peer` must be texts.")
    return SubmitView(key.strip(), peer.strip(), {})


def _answers_json(request: Request) -> bool:
    """As `Accept` asks; who sends JSON and asks for nothing gets JSON."""
    if wants_json(request):
        return True
    sends_json = request.headers.get("content-type", "").startswith("application/json")
    return sends_json and "text/html" not in request.headers.get("accept", "")


def _answer(request: Request, source: Source) -> dict[str, Any]:
    source = as_shown(source, to_operator=is_operator(request))
    state = receipt(source, Tally({}, {}, {}, 0)).state
    base = base_url(request)
    return {
        "key": source.key,
        "id": key_to_id(source.bee),
        "state": state,
        "message": source.error or MESSAGES.get(state, ""),
        "url": f"{base}/bee/{source.key}",
        "length": source.length,
        "nextTry": source.next_at,
    }


MESSAGES = {
    "pending": "Received. The operator of this aggregator looks at every bee before it is followed.",
    "paused": "The operator has paused this bee; it is not read now.",
    "following": "The bee is connected; its newest records are read first.",
    "empty": "The bee is connected and holds nothing yet.",
    "waiting": "Accepted. The bee was not reached yet; this is tried again and again.",
    "unreachable": "Accepted, but the bee cannot be reached now; this is tried again and again.",
}
