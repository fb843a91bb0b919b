"""What programs read: the limits, the state of this process."""

from __future__ import annotations

import asyncio
import time
from typing import Final

from prometheus_client import CONTENT_TYPE_LATEST
from sqlalchemy.exc import SQLAlchemyError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from feedagg import limits, sources
from feedagg.jobs import CLAIM
from feedagg.operators import is_operator
from feedagg.web import aggregator, problem

ANSWER_SECONDS: Final = 5
LATE_SECONDS: Final = 60
"""The tick comes every second; one that late means that something holds it."""


async def health(request: Request) -> Response:
    """`GET /health` and `/health/ready`: 200 while it can do its work, 503 with what cannot."""
    here = aggregator(request)
    checks = {"database": "ok", "jobs": "ok"}
    counts = {}
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            counts = await here.database.read(sources.counts)
    except TimeoutError:
        checks["database"] = f"no answer within {ANSWER_SECONDS} seconds"
    except SQLAlchemyError as error:
        checks["database"] = f"it fails: {type(error).__name__}"
    ticked = here.metrics.ticked_seconds_ago(CLAIM)
    late = ticked if ticked is not None else time.time() - here.started_at
    if late > LATE_SECONDS:
        checks["jobs"] = f"the last tick was {late:.0f} seconds ago"
    is_ready = all(found == "ok" for found in checks.values())
    body = {
        "status": "ok" if is_ready else "failing",
        "checks": checks,
        "uptimeSeconds": round(time.time() - here.started_at, 1),
        "database": "sqlite" if here.database.is_sqlite else here.database.url.get_backend_name(),
        "bees": counts,
        "connections": len(here.peer.connections),
        "recordsRead": here.ingest.records_read,
        "openPages": here.live.readers,
        "key": here.peer.public_key.hex(),
    }
    return JSONResponse(body, 200 if is_ready else 503, {"cache-control": "no-store"})


async def alive(_: Request) -> Response:
    """`GET /health/live`: 200 while the process answers at all."""
    return JSONResponse({"status": "ok"}, headers={"cache-control": "no-store"})


async def metrics(request: Request) -> Response:
    """`GET /metrics` in Prometheus' text format: for the operator, or for everybody if the setting says so."""
    here = aggregator(request)
    if not here.settings.public_metrics and not is_operator(request):
        sentence = (
            "These figures are for the operator: ask from this machine, or with Authorization: Bearer and the token. "
            "The setting public_metrics opens them to everybody."
        )
        return problem(request, 403, "For the operator", sentence)
    return Response(
        await here.metrics.text(here), media_type=CONTENT_TYPE_LATEST, headers={"cache-control": "no-store"}
    )


async def limits_document(request: Request) -> Response:
    """`GET /limits.json`: every limit that binds strangers."""
    return JSONResponse(limits.of(aggregator(request).settings))
