"""The aggregator in the DHT: a key is enough, live, on one connection; off means off; ten thousand cost little."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx2
import pytest

from core.crypto.hashing import discovery_key
from core.crypto.keys import key_pair
from core.peer import Peer, Testnet
from core.records import format_date
from feedagg import contact, finding, sources
from feedagg.aggregator import Aggregator
from feedagg.ingest import now_ms
from tests.support.feedagg import aggregator, client
from tests.support.hyperswarm import driver_of
from tests.support.userpeer import program, running
from tests.support.waiting import eventually

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(240)]


@pytest.fixture
async def net() -> AsyncIterator[Testnet]:
    async with await Testnet.open(4) as net:
        yield net


def post(text: str) -> dict[str, str]:
    return {"text": text, "createdAt": format_date(now_ms())}


async def source_of(site: Aggregator, key: bytes) -> sources.Source:
    found = await site.database.read(sources.get, key)
    assert found is not None
    return found


def announced(site: Aggregator) -> set[bytes]:
    """The discovery keys that the aggregator has joined."""
    return set(driver_of(site.peer).swarm.topics)


def own_bees(site: Aggregator) -> set[bytes]:
    """The discovery keys of the aggregator's own two bees."""
    return {bee.core.discovery_key for bee in (site.publisher.log, site.publisher.feed)}


async def shown(web: httpx2.AsyncClient) -> list[str]:
    return [item["content_text"] for item in (await web.get("/feed.json")).json()["items"]]


def udp_sockets(pid: int | str = "self") -> int:
    """How many UDP sockets a process holds, as Linux tells."""
    held = set()
    for name in os.listdir(f"/proc/{pid}/fd"):
        with suppress(FileNotFoundError):  # closed meanwhile
            held.add(os.readlink(f"/proc/{pid}/fd/{name}"))
    tables = [Path(f"/proc/{pid}/net/{name}") for name in ("udp", "udp6")]
    lines = [line for table in tables if table.exists() for line in table.read_text().splitlines()[1:]]
    return sum(1 for line in lines if f"socket:[{line.split()[9]}]" in held)


@contextmanager
def serving(directory: Path, *options: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    """`feedagg serve` as a program: (process, ready line)."""
    free = ("--web", "127.0.0.1:0", "--listen", "127.0.0.1:0", "--json")
    process = subprocess.Popen(
        [sys.executable, "-m", "feedagg", "--dir", str(directory), "serve", *free, *options],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, "feedagg ended before it was ready"
        yield process, json.loads(line)
    finally:
        process.terminate()
        process.wait(60)
        if process.stdout is not None:
            process.stdout.close()


async def test_two_programs_that_know_a_key_and_a_dht_and_a_post_on_an_open_page(
    tmp_path: Path, net: Testnet
) -> None:
    """`userpeer run --bootstrap` and `feedagg serve --bootstrap`; the key alone is submitted; then a live append."""
    bootstrap = ",".join(net.bootstrap)
    author, feed = tmp_path / "author", tmp_path / "feed"
    with (
        running(author, "--bootstrap", bootstrap, network=True) as (_, ready),
        serving(feed, "--bootstrap", bootstrap) as (_, site),
    ):
        assert (await asyncio.to_thread(program, author, "post", "found by key alone")).returncode == 0
        async with httpx2.AsyncClient(base_url=site["web"], timeout=30) as web:
            answer = await web.post(
                "/submit", data={"key": ready["key"]}, headers={"accept": "application/json"}
            )
            assert answer.status_code == 202, answer.text

            async def is_shown() -> bool:
                return "found by key alone" in await shown(web)

            await eventually(is_shown)
            async with web.stream("GET", "/live") as live:
                lines = live.aiter_lines()
                await anext(lines)
                await asyncio.to_thread(program, author, "post", "appended while you look")
                async with asyncio.timeout(60):
                    async for line in lines:
                        if "appended while you look" in line:
                            break
            assert (await web.get("/health")).json()["connections"] == 1


async def test_a_bee_that_nobody_announces_gets_a_sentence_until_its_author_comes(
    tmp_path: Path, net: Testnet
) -> None:
    async with aggregator(tmp_path, bootstrap=net.bootstrap[0]) as site, client(site) as web:
        author = await Peer.open(None)
        try:
            bee = author.bee(name="main")
            await bee.put("post/0000000000000001", post("late, but here"))
            await web.post("/submit", json={"key": bee.core.key.hex()})

            async def is_said() -> bool:
                return "Nobody announces this bee" in ((await source_of(site, bee.core.key)).error or "")

            await eventually(is_said)
            assert "Nobody announces this bee" in (await web.get(f"/bee/{bee.core.key.hex()}")).text
            await author.go_online(net.bootstrap)

            async def is_shown() -> bool:
                return "late, but here" in await shown(web)

            await eventually(is_shown)
        finally:
            await author.close()


async def test_a_dht_that_does_not_answer_is_told_from_a_bee_that_nobody_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finding, "PATIENCE_SECONDS", 1.0)
    # Its one node is gone; a port that was just free answers nothing.
    lonely = await Testnet.open(1)
    bootstrap = lonely.bootstrap[0]
    await lonely.close()
    async with aggregator(tmp_path, bootstrap=bootstrap) as site, client(site) as web:
        key = secrets.token_bytes(32)
        await web.post("/submit", json={"key": key.hex()})

        async def sentence() -> str:
            return (await source_of(site, key)).error or ""

        await eventually(sentence, 40)
        assert "The DHT" in await sentence()
        assert "Nobody announces" not in await sentence()


async def test_a_peer_that_is_announced_but_gone_is_said_to_be(
    tmp_path: Path, net: Testnet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finding, "PATIENCE_SECONDS", 3.0)
    peer = await Peer.open(None)
    bee = peer.bee(name="main")
    await net.nodes[0].announce(bee.core.discovery_key, key_pair(bytes(32))).finished()
    async with aggregator(tmp_path, bootstrap=net.bootstrap[0]) as site, client(site) as web:
        await web.post("/submit", json={"key": bee.core.key.hex()})

        async def sentence() -> str:
            return (await source_of(site, bee.core.key)).error or ""

        await eventually(sentence)
        assert "announces this bee in the DHT, but no connection came about" in await sentence()
    await peer.close()


async def test_one_connection_carries_all_bees_of_an_author_whichever_way_it_was_found(
    tmp_path: Path, net: Testnet
) -> None:
    author = await Peer.open(None, bootstrap=net.bootstrap)
    try:
        bees = [author.bee(name=str(number)) for number in range(20)]
        for number, bee in enumerate(bees):
            await bee.put("post/0000000000000001", post(f"words of bee {number}."))
        host, port = await author.listen()
        assert author.network is not None
        await author.network.driver.flushed()
        async with aggregator(tmp_path, bootstrap=net.bootstrap[0]) as site, client(site) as web:

            def add_all(connection: Any) -> None:
                for number, bee in enumerate(bees):
                    # Half of them with an address, half by key alone, all at once.
                    address = f"{host}:{port}" if number % 2 else None
                    sources.add(connection, bee.core.key, now_ms(), "command", address)

            await site.database.write(add_all)

            async def all_shown() -> bool:
                return len(await shown(web)) == 20

            await eventually(all_shown)
            await eventually(lambda: len(site.peer.connections) == len(author.connections) == 1)
            assert site.peer.network is not None
            await site.peer.network.driver.flushed()
            assert announced(site) == {*(bee.core.discovery_key for bee in bees), *own_bees(site)}, (
                "followed bees are announced, however they were found"
            )
    finally:
        await author.close()


async def test_a_bee_found_in_the_dht_does_not_wait_for_an_address_that_never_answers(
    tmp_path: Path, net: Testnet, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(*_: Any, **__: Any) -> None:
        await asyncio.Event().wait()

    author = await Peer.open(None, bootstrap=net.bootstrap)
    try:
        bee = author.bee(name="main")
        await bee.put("post/0000000000000001", post("not held up"))
        async with aggregator(tmp_path, bootstrap=net.bootstrap[0]) as site, client(site) as web:
            monkeypatch.setattr(contact, "resolve", never)
            await web.post("/submit", json={"key": bee.core.key.hex(), "peer": "127.0.0.1:9"})

            async def is_shown() -> bool:
                return "not held up" in await shown(web)

            await eventually(is_shown)
            assert (await source_of(site, bee.core.key)).connected
    finally:
        await author.close()


async def test_without_the_dht_only_addresses_are_dialled(tmp_path: Path, net: Testnet) -> None:
    author = await Peer.open(None, bootstrap=net.bootstrap)
    try:
        bee = author.bee(name="main")
        await bee.put("post/0000000000000001", post("by address"))
        host, port = await author.listen()
        with serving(tmp_path, "--no-dht") as (process, ready):
            assert udp_sockets(process.pid) == 0
            async with httpx2.AsyncClient(base_url=ready["web"], timeout=30) as web:
                answer = await web.post("/submit", json={"key": bee.core.key.hex()})
                assert "the DHT is off here" in answer.json()["message"]
                assert author.connections == []
                answer = await web.post("/submit", json={"key": bee.core.key.hex(), "peer": f"{host}:{port}"})

                async def is_shown() -> bool:
                    return "by address" in await shown(web)

                await eventually(is_shown)
            assert udp_sockets(process.pid) == 0
            assert [connection.how for connection in author.connections] == ["tcp"]
    finally:
        await author.close()


async def test_a_bee_that_is_dropped_is_announced_no_longer(tmp_path: Path, net: Testnet) -> None:
    author = await Peer.open(None, bootstrap=net.bootstrap)
    try:
        bee = author.bee(name="main")
        await bee.put("post/0000000000000001", post("here and gone"))
        key, topic = bee.core.key, bee.core.discovery_key
        async with aggregator(tmp_path, bootstrap=net.bootstrap[0]) as site, client(site) as web:

            async def is_announced() -> bool:
                found = [peer async for reply in net.nodes[0].lookup(topic) for peer in reply.peers]
                return any(peer.public_key == site.peer.public_key for peer in found)

            async def is_gone() -> bool:
                return not await is_announced()

            await web.post("/submit", json={"key": key.hex()})
            await eventually(is_announced)
            await site.contact.drop(key)
            await eventually(is_gone)
            assert site.peer.network is not None
            assert site.peer.network.topic_status(topic) is None
    finally:
        await author.close()


async def test_many_bees_that_nobody_has_cost_no_socket_and_no_task_each(
    tmp_path: Path, net: Testnet
) -> None:
    bees = [secrets.token_bytes(32) for _ in range(400)]
    tries = 8
    async with aggregator(tmp_path, bootstrap=net.bootstrap[0], tries_at_once=tries) as site:
        network = site.peer.network
        assert network is not None
        tasks, udp = len(asyncio.all_tasks()), udp_sockets()

        def add_all(connection: Any) -> None:
            for bee in bees:
                sources.add(connection, bee, now_ms(), "web")

        await site.database.write(add_all)
        most_tasks = most_queries = 0

        async def all_tried() -> bool:
            nonlocal most_tasks, most_queries
            most_tasks = max(most_tasks, len(asyncio.all_tasks()))
            most_queries = max(most_queries, network.status().queries)
            await asyncio.gather(site.contact.tick(), site.contact.tick())
            return (await site.database.read(sources.counts))["unreachable"] == len(bees)

        await eventually(all_tried, 90)
        assert udp_sockets() == udp
        # A visit, its search and its two waits; and what the test itself does.
        assert most_tasks - tasks <= tries * 5 + 10
        assert most_queries <= tries + 1, "the rows say who is searched for, not the swarm"
        assert announced(site) == {*map(discovery_key, bees), *own_bees(site)}
        # Some are due again by now; between their visits nothing is left of them.
        await eventually(lambda: len(asyncio.all_tasks()) - tasks <= 10)
