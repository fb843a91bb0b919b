"""`/network`: whether others reach this aggregator, how many peers each bee has, how each is connected, what failed."""

from __future__ import annotations

import statistics
from collections import Counter
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from core.peer import ConnectionStatus, NetworkStatus
from feedagg import queries, sources, views
from feedagg.aggregator import Aggregator
from feedagg.operators import as_shown, is_operator
from feedagg.sources import Source
from feedagg.views import Author
from feedagg.web import aggregator, page

BEES = 50
CONNECTIONS = 50
TROUBLES = 20


@dataclass(frozen=True, slots=True)
class BeePeers:
    """How many peers share a bee with us now; `found`: known under its topic, None before its first search."""

    author: Author
    peers: int
    found: int | None


@dataclass(frozen=True, slots=True)
class Trouble:
    """A bee that was not reached, why, and when it is tried again."""

    author: Author
    source: Source


@dataclass(frozen=True, slots=True)
class NetworkView:
    """`connections` are the busiest, and empty for whoever is not the operator. `rtt`: the median, seconds."""

    status: NetworkStatus | None
    is_operator: bool
    open: int
    ways: dict[str, int]
    bytes_in: int
    bytes_out: int
    rtt: float | None
    connections: list[ConnectionStatus]
    counts: dict[str, int]
    bees: list[BeePeers]
    troubles: list[Trouble]
    href: str
    newer: str
    older: str


async def show(request: Request) -> Response:
    return page(request, "feedagg/network.html", await _view(request), block="network")


async def document(request: Request) -> Response:
    """`GET /network.json`: the same for programs; addresses, keys and errors of peers only for the operator."""
    view = await _view(request)
    body: dict[str, Any] = {
        "sentence": _sentence(view),
        "dht": None if view.status is None else _dht(view.status, is_operator=view.is_operator),
        "peers": view.open,
        "ways": view.ways,
        "bytesIn": view.bytes_in,
        "bytesOut": view.bytes_out,
        "rtt": view.rtt,
        "bees": [{"key": one.author.key, "peers": one.peers, "found": one.found} for one in view.bees],
        "unreachable": [
            {"key": one.author.key, "sentence": one.source.error, "nextTry": one.source.next_at}
            for one in view.troubles
        ],
    }
    if view.is_operator:
        body["connections"] = [_connection(one) for one in view.connections]
        errors = () if view.status is None else view.status.errors
        body["errors"] = [{"at": one.at, "key": one.key.hex(), "sentence": one.sentence} for one in errors]
    return JSONResponse(body, headers={"cache-control": "no-store"})


async def _view(request: Request) -> NetworkView:
    here = aggregator(request)
    network = here.peer.network
    asks = is_operator(request)
    every = [ConnectionStatus.of(connection) for connection in here.peer.connections]
    busiest = sorted(every, key=lambda one: one.bytes_in + one.bytes_out, reverse=True)
    trips = [one.rtt for one in every if one.rtt is not None]
    path = request.url.path
    start = _number(request.query_params.get("from"))
    ranked, has_more = _by_peers(here, start)

    def read(connection: Connection) -> tuple[dict[str, int], list[BeePeers], list[Trouble]]:
        failing = [as_shown(one, to_operator=asks) for one in sources.failing(connection, TROUBLES)]
        keys = [key for key, _, _ in ranked] + [source.bee for source in failing]
        profiles = queries.profiles(connection, keys)
        bees = [BeePeers(views.author(key, profiles.get(key)), peers, found) for key, peers, found in ranked]
        troubles = [Trouble(views.author(one.bee, profiles.get(one.bee)), one) for one in failing]
        return sources.counts(connection), bees, troubles

    counts, bees, troubles = await here.database.read(read)
    return NetworkView(
        status=None if network is None else network.status(),
        is_operator=asks,
        open=len(every),
        ways=dict(Counter(one.how for one in every).most_common()),
        bytes_in=sum(one.bytes_in for one in every),
        bytes_out=sum(one.bytes_out for one in every),
        rtt=statistics.median(trips) if trips else None,
        connections=busiest[:CONNECTIONS] if asks else [],
        counts=counts,
        bees=bees,
        troubles=troubles,
        href=f"{path}?from={start}" if start else path,
        newer=f"{path}?from={max(0, start - BEES)}" if start else "",
        older=f"{path}?from={start + BEES}" if has_more else "",
    )


def _by_peers(here: Aggregator, start: int) -> tuple[list[tuple[bytes, int, int | None]], bool]:
    """(key, peers now, peers found) of one page of bees, those with most peers first; whether there are more."""
    followed = here.ingest.followed
    order = sorted(followed, key=lambda key: (-len(followed[key].bee.core.peers), key))
    rows = []
    for key in order[start : start + BEES]:
        core, network = followed[key].bee.core, here.peer.network
        topic = None if network is None else network.topic_status(core.discovery_key)
        rows.append((key, len(core.peers), None if topic is None else topic.peers_found))
    return rows, len(order) > start + BEES


def _sentence(view: NetworkView) -> str:
    if view.status is None:
        return "The DHT is off: peers are found by address only."
    return view.status.sentence if view.is_operator else view.status.plain_sentence


def _dht(status: NetworkStatus, *, is_operator: bool) -> dict[str, Any]:
    said: dict[str, Any] = {
        "state": status.state,
        "nat": status.nat,
        "nodes": status.nodes,
        "isNode": status.is_node,
        "announced": status.announced,
        "topics": status.topics,
        "searches": status.queries,
        "waiting": status.waiting,
    }
    if is_operator:
        said |= {
            "address": status.address,
            "localAddress": status.local_address,
            "bootstrap": status.bootstrap,
        }
    return said


def _connection(one: ConnectionStatus) -> dict[str, Any]:
    return {
        "key": one.key.hex(),
        "address": one.address,
        "how": one.how,
        "dialled": one.dialled,
        "since": one.since,
        "bytesIn": one.bytes_in,
        "bytesOut": one.bytes_out,
        "rtt": one.rtt,
    }


def _number(text: str | None) -> int:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 7 else 0
