"""One aggregator of many processes on a real PostgreSQL: workers are killed at random, nothing is lost or doubled."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from sqlalchemy import func, select

from core.peer import Peer, check_file
from feedagg import policy, sources, workers
from feedagg.database import Database, database_url
from feedagg.ingest import now_ms
from feedagg.tables import records
from tests.support.feedagg import scratch_url
from tests.support.waiting import eventually
from tests.unit.test_feedagg_pictures import picture
from tests.web.test_feedagg_images import Author, got

pytestmark = [pytest.mark.anyio, pytest.mark.postgres, pytest.mark.timeout(240)]

BEES = 24
KILLS = 8
LEASE_SECONDS = 2


@pytest.fixture
def url() -> Iterator[str]:
    with scratch_url("postgres") as found:
        assert found is not None
        yield found


class Process:
    """`feedagg serve --role ROLE` in a directory of its own."""

    def __init__(self, directory: Path, url: str, role: str) -> None:
        words = [
            "--dir",
            str(directory),
            "serve",
            "--role",
            role,
            "--db",
            url,
            "--web",
            "127.0.0.1:0",
            "--no-dht",
        ]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "feedagg", *words, "--json"],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "FEEDAGG_LEASE_SECONDS": str(LEASE_SECONDS)},
        )
        self._ready: dict[str, Any] | None = None

    async def ready(self) -> dict[str, Any]:
        if self._ready is None:
            assert self.process.stdout is not None
            line = await asyncio.to_thread(self.process.stdout.readline)
            assert line, f"it ended with {self.process.wait(60)}"
            self._ready = json.loads(line)
        return self._ready

    def kill(self) -> None:
        self.process.kill()
        self.end()

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)
        if self.process.stdout is not None:
            self.process.stdout.close()


@contextmanager
def processes() -> Iterator[list[Process]]:
    running: list[Process] = []
    try:
        yield running
    finally:
        for one in running:
            if one.process.poll() is None:
                one.process.send_signal(signal.SIGTERM)
        for one in running:
            one.end()


@asynccontextmanager
async def authors(count: int) -> AsyncIterator[tuple[Peer, list[Any], str]]:
    peer = await Peer.open(None)
    try:
        bees = [peer.bee(name=f"bee-{number}") for number in range(count)]
        host, port = await peer.listen()
        yield peer, bees, f"{host}:{port}"
    finally:
        await peer.close()


def texts_of(connection: Any) -> list[tuple[bytes, bytes, int]]:
    rows = connection.execute(
        select(records.c.bee, records.c.key, records.c.seq).where(records.c.status == 0)
    )
    return sorted((bytes(row[0]), bytes(row[1]), row[2]) for row in rows)


async def test_workers_are_killed_at_random_and_nothing_is_lost_or_doubled(tmp_path: Path, url: str) -> None:
    chance = random.Random(7)
    database = Database(database_url(tmp_path, url))
    try:
        async with authors(BEES) as (_, bees, address):
            with processes() as running:
                web = Process(tmp_path / "web", url, "web")
                jobs = Process(tmp_path / "jobs", url, "jobs")
                running += [
                    web,
                    jobs,
                    *(Process(tmp_path / f"w{number}", url, "ingest") for number in range(4)),
                ]
                for process in running:
                    await process.ready()
                for bee in bees:
                    await bee.put("profile/self", {"name": "Somebody"})
                    key = bee.core.key
                    database.write_now(
                        lambda connection, key=key: policy.add(connection, key, now_ms(), address)
                    )
                wanted: dict[tuple[bytes, bytes], int] = {}
                number = 0

                async def write_some() -> None:
                    nonlocal number
                    for bee in chance.sample(bees, 6):
                        for _ in range(chance.randrange(1, 4)):
                            number += 1
                            key = f"post/{number:016x}"
                            await bee.put(key, {"text": f"post {number}"})
                            entry = await bee.get(key)
                            wanted[bee.core.key, key.encode()] = entry.seq

                held: set[str] = set()
                for kill in range(KILLS):
                    for _ in range(chance.randrange(4, 12)):
                        await write_some()
                        await asyncio.sleep(chance.random() * 0.5)
                    held |= {
                        source.lease_owner
                        for source in database.read_now(sources.listing, 100)
                        if source.lease_owner is not None
                    }
                    victim = chance.choice([one for one in running if one not in (web, jobs)])
                    victim.kill()
                    running.remove(victim)
                    running.append(Process(tmp_path / f"after-{kill}", url, "ingest"))
                await write_some()
                expected = sorted((bee, key, seq) for (bee, key), seq in wanted.items())
                await eventually(lambda: database.read_now(texts_of) == expected, 120)
                for source in database.read_now(sources.listing, 100):
                    assert (source.tail, source.cursor) == (1, source.length)
                assert len(held) > 4  # the work was shared, and taken over

                # Every reader sees each record once, from a process that reads no bee itself.
                pages = (await web.ready())["web"]
                async with httpx2.AsyncClient(base_url=pages.rstrip("/")) as client:
                    seen: list[str] = []
                    address_of_page: str | None = "/feed.json"
                    while address_of_page:
                        page = (await client.get(address_of_page)).json()
                        seen += [item["id"] for item in page["items"]]
                        address_of_page = page.get("next_url")
                    assert len(seen) == len(set(seen)) == len(expected)
    finally:
        database.dispose()


async def test_an_append_reaches_an_open_page_of_another_process(tmp_path: Path, url: str) -> None:
    database = Database(database_url(tmp_path, url))
    try:
        async with authors(1) as (peer, (bee,), address):
            with processes() as running:
                web, ingest = (Process(tmp_path / role, url, role) for role in ("web", "ingest"))
                running += [web, ingest]
                pages = (await web.ready())["web"].rstrip("/")
                await ingest.ready()
                assert {worker.role for worker in database.read_now(workers.listing, now_ms())} == {
                    "web",
                    "ingest",
                }
                ada = Author(peer, bee, address)
                await ada.introduce()
                await bee.put("profile/self", {"name": "Ada", "avatar": await ada.upload(picture())})
                await bee.put("post/0000000000000001", {"text": "the first"})
                async with httpx2.AsyncClient(base_url=pages, timeout=30) as client:
                    form = {"key": bee.core.key.hex(), "peer": address}
                    answer = await client.post("/submit", data=form, headers={"accept": "application/json"})
                    assert answer.status_code == 202

                    async def shown() -> list[str]:
                        return [
                            item["content_text"] for item in (await client.get("/feed.json")).json()["items"]
                        ]

                    async with asyncio.timeout(60):
                        while await shown() != ["the first"]:
                            await asyncio.sleep(0.1)
                    async with client.stream("GET", "/live") as stream:
                        lines = stream.aiter_lines()
                        await anext(lines)
                        await bee.put("post/0000000000000002", {"text": "the second, live"})
                        async with asyncio.timeout(60):
                            async for line in lines:
                                if "the second, live" in line:
                                    break
                    # What needs blocks is answered by the process that has them.
                    query = {"bee": bee.core.key.hex(), "key": "post/0000000000000001"}
                    proof = await client.get("/proof/record", params=query)
                    assert proof.status_code == 200, proof.text
                    assert check_file(proof.content)
                    portrait = await got(client, f"/portrait/{bee.core.key.hex()}")
                    assert portrait.headers["content-type"] == "image/webp", portrait.text
    finally:
        database.dispose()


def test_a_bee_is_let_go_when_another_process_holds_it(tmp_path: Path, url: str) -> None:
    database = Database(database_url(tmp_path, url))
    try:
        bee, now = bytes(range(32)), 1_000_000
        database.write_now(lambda connection: sources.add(connection, bee, now, "command"))

        def claim(owner: str, at: int) -> list[Any]:
            return database.write_now(lambda connection: sources.claim(connection, owner, at, 10, 2_000))

        assert len(claim("one", now)) == 1
        assert claim("two", now + 1_000) == []
        assert len(claim("two", now + 2_001)) == 1
        held = database.read_now(sources.held_by_others, "one", [bee], now + 2_500)
        assert held == [bee]
        # Who comes back from a long pause cannot take it again by saying that it was reached.
        database.write_now(
            lambda connection: sources.contacted(
                connection, bee, now + 2_600, now + 3_000, None, "one", 7, 2_000
            )
        )
        source = database.read_now(sources.get, bee)
        assert source is not None
        assert (source.lease_owner, source.length) == ("two", 0)
        assert database.read_now(lambda connection: connection.execute(select(func.count())).scalar()) == 1
    finally:
        database.dispose()
