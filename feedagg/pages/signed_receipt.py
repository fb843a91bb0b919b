"""`/receipt/<bee>`: the coverage receipt of a bee, signed by this aggregator."""

from __future__ import annotations

from sqlalchemy import Connection
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from feedagg import proofs, queries, signed_receipts, sources
from feedagg.ingest import now_ms
from feedagg.operators import as_shown
from feedagg.pages.keys import bee_of
from feedagg.receipts import Receipt, receipt
from feedagg.web import aggregator, problem


async def show(request: Request) -> Response:
    bee = bee_of(request)
    here = aggregator(request)

    def read(connection: Connection) -> Receipt | None:
        source = sources.get(connection, bee)
        if source is None:
            return None
        return receipt(as_shown(source, to_operator=False), queries.tally(connection, bee))

    made = await here.database.read(read)
    if made is None:
        return problem(
            request, 404, "A bee we do not know", "This bee is not followed here, so there is no receipt."
        )
    async with proofs.opened(here, bee) as log:
        length = log.core.length
        tree = log.core.tree_hash(length)
    signed = signed_receipts.sign(here.peer, signed_receipts.statement(made, tree, length, now_ms()))
    headers = {
        "content-disposition": f'attachment; filename="receipt-{bee.hex()[:8]}.json"',
        "access-control-allow-origin": "*",
        "cache-control": "no-store",
    }
    return JSONResponse(signed, headers=headers)
