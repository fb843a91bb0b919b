"""Health, metrics, and the quota of a new bee as its page tells it."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy.exc import OperationalError

from feedagg import policy, quotas, sources
from feedagg.aggregator import Aggregator
from feedagg.ingest import now_ms
from feedagg.jobs import CLAIM
from tests.support.feedagg import aggregator, author, client
from tests.support.waiting import PATIENCE_SECONDS
from tests.web.test_feedagg_pages import BEE, fill, sample

pytestmark = pytest.mark.anyio

ENDLESS_HOUR_MS = 10**12
"""So that no hour turns while a test counts what one may hold."""


async def until(running: Aggregator, key: bytes, records: int) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while running.ingest.records_read < records:
            await running.contact.tick()
            await running.contact.outcome(key, 0.1)


def values(text: str) -> dict[tuple[str, ...], float]:
    """(name, label values ...) -> value."""
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def test_metrics_count_what_happened(tmp_path: Path) -> None:
    async with author() as (_, bee, address), aggregator(tmp_path) as running, client(running) as web:
        for n in range(5):
            await bee.put(f"post/{n:016x}", {"text": "words", "createdAt": "2026-01-01T00:00:00Z"})
        await bee.put("post/bad", {"text": 5})
        await running.database.write(policy.add, bee.core.key, now_ms(), address)
        await until(running, bee.core.key, 6)
        await web.get("/bee/" + "0" * 64)
        await web.get("/nothing/<hostile>")
        found = values((await web.get("/metrics")).text)
        assert found["feedagg_ingest_records_total", "shown"] == 5
        assert found["feedagg_ingest_blocks_total", "forward"] == 6
        assert sum(value for key, value in found.items() if key[0] == "feedagg_ingest_skipped_total") == 1
        assert found["feedagg_bees", "following"] == 1
        assert found["feedagg_listed",] == 5
        assert found["feedagg_requests_total", "GET", "/bee/{bee}", "404"] == 1
        assert found["feedagg_requests_total", "GET", "other", "404"] == 1
        assert found["feedagg_queue_length", "reports"] == 0
        while not values((await web.get("/metrics")).text).get(("feedagg_tick_seconds_count", CLAIM)):
            await asyncio.sleep(0.05)


async def test_metrics_are_for_the_operator_unless_the_setting_opens_them(tmp_path: Path) -> None:
    async with (
        aggregator(tmp_path / "a", public_url="https://meadow.example") as running,
        client(running) as web,
    ):
        refused = await web.get("/metrics")
        assert refused.status_code == 403
        assert "public_metrics" in refused.text
        token = {"authorization": f"Bearer {running.token.reveal()}"}
        assert (await web.get("/metrics", headers=token)).status_code == 200
        assert (await web.get("/metrics", headers={"authorization": "Bearer x"})).status_code == 403
    opened = {"public_url": "https://meadow.example", "public_metrics": True}
    async with aggregator(tmp_path / "b", **opened) as running, client(running) as web:
        assert (await web.get("/metrics")).status_code == 200


async def test_health_says_what_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with aggregator(tmp_path) as running, client(running) as web:
        assert (await web.get("/health")).json()["status"] == "ok"
        assert (await web.get("/health/live")).status_code == 200

        async def fails(*_: object, **__: object) -> None:
            raise OperationalError("select", {}, Exception("gone"))

        monkeypatch.setattr(running.database, "read", fails)
        broken = await web.get("/health/ready")
        assert broken.status_code == 503
        assert "it fails" in broken.json()["checks"]["database"]
        assert (await web.get("/health/live")).status_code == 200
        monkeypatch.undo()
        running.metrics.last_tick.labels(CLAIM).set(1)
        running._jobs.pause()
        stuck = await web.get("/health")
        assert stuck.status_code == 503
        assert "the last tick was" in stuck.json()["checks"]["jobs"]


async def test_what_is_over_the_quota_is_read_later_and_the_page_says_when(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quotas, "HOUR_MS", ENDLESS_HOUR_MS)
    limits = {"operations_per_hour": 30, "operations_per_second": 10_000}
    async with (
        author() as (_, bee, address),
        aggregator(tmp_path, **limits) as running,
        client(running) as web,
    ):
        for n in range(100):
            await bee.put(f"post/{n:016x}", {"text": f"n {n}", "createdAt": "2026-01-01T00:00:00Z"})
        key = bee.core.key
        answer = await web.post("/submit", json={"key": key.hex(), "peer": address})
        assert answer.status_code == 202
        while not running.ingest.waiting:
            await asyncio.sleep(0.02)
        source = await running.database.read(sources.get, key)
        assert source is not None
        assert source.hour_operations == 30
        assert running.ingest.records_read == 30
        while not (await web.get(f"/api/v1/bees/{key.hex()}")).json()["bee"]["waitsUntil"]:
            await asyncio.sleep(0.02)
        page = (await web.get(f"/bee/{key.hex()}")).text
        assert re.search("quota</a> is used up.*reading goes on at", page)
        assert re.search("70 older operations wait.*quota</a> is used up until", page)
        assert "are being fetched" not in page  # nor in the feed, whose reader would wait for nothing
        assert "are being fetched" not in (await web.get("/?sort=arrival")).text
        assert values((await web.get("/metrics")).text)["feedagg_ingest_postponed_total",] >= 1
        # Trusted, it is read to its first operation.
        await running.database.write(
            lambda connection: policy.trust(connection, key, now_ms(), is_trusted=True)
        )
        await running.standing.tick()
        while running.ingest.records_read < 100:
            await asyncio.sleep(0.02)
        assert "quota</a> is used up" not in (await web.get(f"/bee/{key.hex()}")).text


async def test_the_quota_is_remembered_over_a_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quotas, "HOUR_MS", ENDLESS_HOUR_MS)
    limits = {"operations_per_hour": 30, "operations_per_second": 10_000}
    async with author() as (_, bee, address):
        for n in range(40):
            await bee.put(f"post/{n:016x}", {"text": f"n {n}", "createdAt": "2026-01-01T00:00:00Z"})
        key = bee.core.key
        for _ in range(2):
            async with aggregator(tmp_path, **limits) as running, client(running) as web:
                await web.post("/submit", json={"key": key.hex(), "peer": address})
                while not running.ingest.waiting:
                    await running.contact.tick()
                    await asyncio.sleep(0.02)
                source = await running.database.read(sources.get, key)
                assert source is not None
                assert source.hour_operations == 30


async def test_limits_are_published(tmp_path: Path) -> None:
    async with aggregator(tmp_path) as running, client(running) as web:
        await fill(running, sample(), BEE)
        limits = (await web.get("/limits.json")).json()
        assert (limits["operationsPerSecond"], limits["operationsPerHour"]) == (50, 2_500)
        assert limits["operationsPerDay"] == 20_000
        assert "operations of a new bee read in a day" in (await web.get("/about")).text


async def test_an_end_in_the_middle_of_a_tick_is_no_fault(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with aggregator(tmp_path) as running:
        begun = asyncio.Event()

        async def never() -> None:
            begun.set()
            await asyncio.Event().wait()

        job = running.metrics.timed("never", never)
        running._jobs.add_job(job, "interval", seconds=0.01, name="never")
        await begun.wait()
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []
