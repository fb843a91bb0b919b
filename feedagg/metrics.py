"""What Prometheus can ask: counters that grow while this process runs, and gauges that are read when it asks."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from sqlalchemy import Connection, func, select
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from feedagg import queries, reports, sources
from feedagg.decide import Row, Status
from feedagg.tables import SKIPPED, UNTOLD, decisions, purges, records

if TYPE_CHECKING:
    from feedagg.aggregator import Aggregator

SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

Snapshot = dict[str, Any]


class Metrics:
    """The metrics of one aggregator, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        own = self.registry
        self.requests = Counter(
            "feedagg_requests", "Requests answered.", ["route", "method", "status"], registry=own
        )
        self.request_seconds = Histogram(
            "feedagg_request_seconds", "Until an answer began.", ["route"], buckets=SECONDS, registry=own
        )
        self.records = Counter(
            "feedagg_ingest_records", "Rows written from bees, by what they are.", ["status"], registry=own
        )
        self.blocks = Counter("feedagg_ingest_blocks", "Blocks read from bees.", ["direction"], registry=own)
        self.skipped = Counter("feedagg_ingest_skipped", "Entries skipped.", ["reason"], registry=own)
        self.postponed = Counter("feedagg_ingest_postponed", "Times a bee's quota was used up.", registry=own)
        self.tick_seconds = Histogram(
            "feedagg_tick_seconds", "How long a tick took.", ["job"], buckets=SECONDS, registry=own
        )
        self.last_tick = Gauge(
            "feedagg_last_tick_timestamp_seconds", "When a tick ended.", ["job"], registry=own
        )
        self._now = _Now()
        self.registry.register(self._now)

    def stretch(self, blocks: int, rows: Sequence[Row], *, is_backward: bool) -> None:
        """One stretch of a bee was written."""
        self.blocks.labels("backward" if is_backward else "forward").inc(blocks)
        for row in rows:
            self.records.labels(Status(row["status"]).name.lower()).inc()
            if row["status"] == Status.SKIPPED:
                self.skipped.labels(row["reason"] or "").inc()

    def timed(self, name: str, job: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[None]]:
        """The job, measured."""

        async def run() -> None:
            began = time.perf_counter()
            try:
                await job()
            except asyncio.CancelledError:
                pass  # the scheduler ends, and would report this as a fault of the job
            finally:
                self.tick_seconds.labels(name).observe(time.perf_counter() - began)
                self.last_tick.labels(name).set_to_current_time()

        return run

    def ticked_seconds_ago(self, name: str) -> float | None:
        """How long ago a job ended last; None if it never did."""
        at = self.registry.get_sample_value("feedagg_last_tick_timestamp_seconds", {"job": name})
        return None if not at else time.time() - at

    async def text(self, aggregator: Aggregator) -> bytes:
        """Everything in Prometheus' text format."""
        snapshot = await aggregator.database.read(_counts)
        snapshot["connections"] = len(aggregator.peer.connections)
        snapshot["open_bees"] = len(aggregator.ingest.followed)
        snapshot["open_pages"] = aggregator.live.readers
        self._now.snapshot = snapshot
        return generate_latest(self.registry)


def _counts(connection: Connection) -> Snapshot:
    skipped = select(records.c.reason, func.count()).where(SKIPPED).group_by(records.c.reason)
    waiting = reports.waiting(connection)
    states = sources.by_state(connection)
    return {
        "bees": states,
        "connected_bees": sources.counts(connection)["connected"],
        "listed": queries.listed_count(connection),
        "skipped": {str(reason): number for reason, number in connection.execute(skipped)},
        "queues": {
            "approval": states[sources.PENDING],
            "reports": waiting["reports"],
            "appeals": waiting["appeals"],
            "purges": connection.execute(select(func.count()).select_from(purges)).scalar_one(),
            "untold_decisions": connection.execute(
                select(func.count()).select_from(decisions).where(UNTOLD)
            ).scalar_one(),
            "due_bees": sources.due_count(connection, time.time_ns() // 1_000_000),
        },
    }


class _Now:
    """Gauges of the moment, from the last snapshot."""

    def __init__(self) -> None:
        self.snapshot: Snapshot = {}

    def describe(self) -> list[Any]:
        return []

    def collect(self) -> Iterator[GaugeMetricFamily]:
        if not self.snapshot:
            return
        yield _labelled("feedagg_bees", "Bees by their standing.", "state", self.snapshot["bees"])
        yield _labelled("feedagg_queue_length", "What waits.", "queue", self.snapshot["queues"])
        yield _labelled(
            "feedagg_records_skipped", "Entries that are skipped now.", "reason", self.snapshot["skipped"]
        )
        for name, help_ in (
            ("connected_bees", "Bees that a connected peer holds."),
            ("listed", "Records in the merged feed."),
            ("connections", "Connections to peers."),
            ("open_bees", "Bees open in this process."),
            ("open_pages", "Open pages that are told of news."),
        ):
            yield GaugeMetricFamily(f"feedagg_{name}", help_, value=self.snapshot[name])


def _labelled(name: str, help_: str, label: str, values: dict[str, int]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, help_, labels=[label])
    for value, number in values.items():
        family.add_metric([value], number)
    return family


class Measured:
    """ASGI middleware: counts requests by the pattern of their route, never by what a stranger wrote into a path."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                route = scope.get("route")
                path = route.path if isinstance(route, Route) else "other"
                method = scope["method"] if scope["method"] in ("GET", "HEAD", "POST", "PUT") else "other"
                self._metrics.requests.labels(path, method, str(message["status"])).inc()
                self._metrics.request_seconds.labels(path).observe(time.perf_counter() - began)
            await send(message)

        await self._app(scope, receive, counted)
