"""`/about`: what this is, what it promises, and every limit."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from feedagg import limits, transparency
from feedagg.web import aggregator, page


@dataclass(frozen=True, slots=True)
class AboutView:
    """`limits`: (name, meaning, value). `key`: the aggregator's own, under which peers know it; `log`, `feed`: of the
    two bees that it writes.
    """

    limits: list[tuple[str, str, int]]
    key: str
    log: str
    feed: str
    peer_addresses: str


async def show(request: Request) -> Response:
    here = aggregator(request)
    rows = [(name, limits.MEANINGS[name], value) for name, value in limits.of(here.settings).items()]
    own = await here.database.read(transparency.published)
    log, feed = (own.get(name, b"").hex() for name in (transparency.LOG, transparency.FEED))
    view = AboutView(rows, here.peer.public_key.hex(), log, feed, here.settings.peer_addresses)
    return page(request, "feedagg/about.html", view)
