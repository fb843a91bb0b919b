"""`/proofs/film/<name>`: the signed ratings behind a film's score, for a browser that adds them up itself."""

from __future__ import annotations

import asyncio
import base64
import math
from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from core.errors import MeadowError
from core.peer import encode_file, prove_record
from feedagg import proofs, queries
from feedagg.web import aggregator, client_address

MAX_RATINGS: Final = 1_000
"""Beyond these the score is not recomputed by readers; `people` says how many there are."""

_PAUSE: Final = 50


async def show(request: Request) -> Response:
    """A JSON document: `average` (half stars) and `people` as the page says them, and a proof file of each rating that
    is stored here, in base64; `missing` counts the others.
    """
    here, name = aggregator(request), request.path_params["name"]
    wait = here.recounts.take(client_address(request, trust_proxy=here.settings.trust_proxy))
    if wait > 0:
        sentence = f"Proofs of many ratings take work; ask again in {math.ceil(wait)} seconds."
        return JSONResponse({"error": sentence}, 429, {"retry-after": str(math.ceil(wait))})
    film = await here.database.read(queries.film, name)
    rated = await here.database.read(queries.ratings, name, MAX_RATINGS)
    files: list[str] = []
    for number, (bee, seq, _) in enumerate(rated):
        if number % _PAUSE == _PAUSE - 1:
            await asyncio.sleep(0)
        async with proofs.opened(here, bee) as log:
            try:
                files.append(base64.b64encode(encode_file(prove_record(log.core, seq))).decode())
            except MeadowError:  # its block is not stored here: indexed and no more
                continue
    body = {
        "film": name, "average": film.average, "people": film.ratings, "missing": film.ratings - len(files),
        "proofs": files,
    }  # fmt: skip
    return JSONResponse(body, headers={"access-control-allow-origin": "*", "cache-control": "no-cache"})
