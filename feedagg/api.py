"""What programs read: the limits, the state of this process."""

from __future__ import annotations

import time

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from feedagg import limits, sources
from feedagg.web import aggregator


async def health(request: Request) -> Response:
    """`GET /health`: 200 while the database answers."""
    here = aggregator(request)
    counts = await here.database.read(sources.counts)
    body = {
        "status": "ok",
        "uptimeSeconds": round(time.time() - here.started_at, 1),
        "database": "sqlite" if here.database.is_sqlite else here.database.url.get_backend_name(),
        "bees": counts,
        "connections": len(here.peer.connections),
        "recordsRead": here.ingest.records_read,
        "openPages": here.live.readers,
        "key": here.peer.public_key.hex(),
    }
    return JSONResponse(body, headers={"cache-control": "no-store"})


async def limits_document(request: Request) -> Response:
    """`GET /limits.json`: every limit that binds strangers."""
    return JSONResponse(limits.of(aggregator(request).settings))
