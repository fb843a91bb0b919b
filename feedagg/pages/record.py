"""`/bee/<key>/<record>`: one record for ever; or why it is not shown."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlencode

from sqlalchemy import Connection
from starlette.requests import Request
from starlette.responses import Response

from core.errors import MeadowError
from core.records import value_hash
from feedagg import listings, proofs, queries, sources, views
from feedagg.aggregator import Aggregator
from feedagg.decide import Status
from feedagg.listings import FeedLink
from feedagg.pages import thread
from feedagg.pages.keys import bee_of
from feedagg.pages.proof_view import Shown, absent, shown
from feedagg.pages.thread import Above
from feedagg.policy import as_sentence
from feedagg.proofs import MAKERS
from feedagg.queries import Item
from feedagg.receipts import MEANINGS
from feedagg.sources import Source
from feedagg.views import Card
from feedagg.web import aggregator, page, problem, wants_json


@dataclass(frozen=True, slots=True)
class RecordView:
    """`hash`: BLAKE2b-256 of the value's bytes, as a reply to it names them."""

    card: Card
    bee: str
    key: str
    keyhex: str
    seq: int
    hash: str
    first_seen: int
    created_at: int | None
    above: Above | None
    feeds: list[FeedLink]


async def show(request: Request) -> Response:
    return await show_key(request, bee_of(request), request.path_params["key"].encode())


async def show_key(request: Request, bee: bytes, key: bytes) -> Response:
    here = aggregator(request)

    def read(
        connection: Connection,
    ) -> tuple[Source | None, Item | None, Card | None, Above | None, str | None]:
        item = queries.record(connection, bee, key)
        card = None if item is None else views.whole_card(connection, item)
        above = None if item is None else thread.above(connection, item)
        return sources.get(connection, bee), item, card, above, queries.why_hidden(connection, bee, key)

    source, item, card, above, hidden_because = await here.database.read(read)
    if hidden_because is None and source is not None and source.state == sources.REFUSED:
        hidden_because = f"the whole bee is refused here: {source.state_reason}"
    if hidden_because is not None:
        sentence = (
            f"This aggregator hides this record. The reason given: {as_sentence(hidden_because)} It is still in the "
            "author's bee, which nobody but the author can change; any reader of that bee can see it."
        )
        if wants_json(request):
            return problem(request, 451, "Hidden here", sentence)
        is_refused = source is not None and source.state == sources.REFUSED
        about = urlencode({"bee": bee.hex(), "keyhex": "" if is_refused else key.hex()})
        proof = await _proved(here, "hidden", bee, key)
        hidden = {"sentence": sentence, "appeal": f"/appeal?{about}", "bee": bee.hex(), "file": proof}
        return page(request, "feedagg/hidden.html", hidden, status=451)
    if item is None or card is None or item.value is None:
        is_provable = item is None or item.status in (Status.STALE, Status.DELETED)
        file = await _proved(here, "lookup", bee, key) if source is not None and is_provable else None
        return _absent(request, source, item, file if file and file.found and file.found.is_absent else None)
    view = RecordView(
        card=card,
        bee=bee.hex(),
        key=key.decode(errors="replace"),
        keyhex=key.hex(),
        seq=item.seq,
        hash=value_hash(item.value),
        first_seen=item.first_seen,
        created_at=item.created_at,
        above=above,
        feeds=listings.links(listings.thread_path(bee.hex(), key)),
    )
    return page(request, "feedagg/record.html", view)


async def _proved(here: Aggregator, name: str, bee: bytes, key: bytes) -> Shown | None:
    """The proof of this name, if it can be made of what is stored here; no page waits for the network."""
    try:
        made = (
            proofs.lookup_file(here, bee, key, seconds=0)
            if name == "lookup"
            else MAKERS[name](here, bee, key)
        )
        return shown(name, bee, key, await made)
    except MeadowError:
        return None


def _absent(request: Request, source: Source | None, item: Item | None, file: Shown | None) -> Response:
    if source is None:
        sentence = (
            "This bee is not followed here. If you have its key and know a peer that holds it, submit it."
        )
        return problem(request, 404, "A bee we do not know", sentence)
    if item is None or item.status == Status.STALE:
        if source.position.complete:
            sentence = "This bee has no record of this name, as far as it was read: to its first operation."
        else:
            sentence = "This record was not met yet. The bee is still being read; look again in a while."
        return absent(request, 404, "No such record", sentence, file)
    if item.status == Status.DELETED:
        sentence = (
            "Its author removed this record, and this aggregator has dropped its copy. Whoever kept the old "
            "block can still prove that it existed."
        )
        return absent(request, 410, "Removed by its author", sentence, file)
    if item.status == Status.SKIPPED:
        why = MEANINGS.get(item.reason or "", "It is not a record that this program can show.")
        return problem(request, 404, "Not a record we can show", f"The bee has an entry of this name. {why}")
    return problem(
        request, 404, "Not shown as a page", "This entry is read, but it is neither a post nor a movie."
    )
