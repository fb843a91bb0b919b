"""The network page of the aggregator: what everybody sees, what only the operator does, and the command."""

from __future__ import annotations

import asyncio
import json
import secrets
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from core.peer import Peer, Testnet
from feedagg import operators, sources
from feedagg.ingest import now_ms
from feedagg.server import WEB_URL_FILE
from tests.support.feedagg import aggregator, author, client, site
from tests.support.screens import open_page
from tests.support.waiting import eventually

pytestmark = pytest.mark.anyio


@pytest.fixture
async def net() -> AsyncIterator[Testnet]:
    async with await Testnet.open(4) as net:
        yield net


async def test_an_aggregator_without_bees_says_what_to_do(tmp_path: Path) -> None:
    async with aggregator(tmp_path) as running, client(running) as web:
        page = (await web.get("/network")).text
        assert "The DHT is switched off" in page
        assert "Nobody is connected." in page
        assert "Add the first bee" in page
        assert (await web.get("/network.json")).json()["dht"] is None


async def test_how_each_peer_is_connected_and_what_failed(tmp_path: Path, net: Testnet) -> None:
    by_key = await Peer.open(None, bootstrap=net.bootstrap)
    async with (
        author() as (by_address, second, address),
        aggregator(tmp_path, bootstrap=net.bootstrap[0]) as running,
        client(running) as web,
    ):
        first = by_key.bee(name="main")
        await first.put("profile/self", {"name": "Found by key"})
        await second.put("profile/self", {"name": "Found at an address"})
        gone, refused = secrets.token_bytes(32), secrets.token_bytes(32)
        await web.post("/submit", json={"key": first.core.key.hex()})
        await web.post("/submit", json={"key": second.core.key.hex(), "peer": address})
        await web.post("/submit", json={"key": gone.hex()})
        await web.post("/submit", json={"key": refused.hex(), "peer": "127.0.0.1:1"})

        async def all_settled() -> bool:
            said = (await web.get("/network.json")).json()
            return said["peers"] == 2 and len(said["unreachable"]) == 2 and "Found by key" in await names(web)

        await eventually(all_settled)
        said = (await web.get("/network.json")).json()
        assert said["ways"].pop("tcp") == 1
        assert said["ways"] in ({"lan": 1}, {"direct": 1}, {"punched": 1})
        peers = {one["key"]: one["peers"] for one in said["bees"]}
        assert (peers[first.core.key.hex()], peers[second.core.key.hex()], peers[gone.hex()]) == (1, 1, 0)
        keys = {one["key"] for one in said["connections"]}
        assert keys == {by_key.public_key.hex(), by_address.public_key.hex()}
        assert all(one["bytesIn"] > 0 and one["bytesOut"] > 0 for one in said["connections"])
        assert said["dht"]["state"] == "online"
        page = (await web.get("/network")).text
        for words in (
            "Found by key",
            "Found at an address",
            "Same network",
            "TCP",
            address,
            "Nobody announces",
        ):
            assert words in page, words
    await by_key.close()


async def names(web: object) -> str:
    return (await web.get("/bees")).text  # type: ignore[attr-defined, no-any-return]


async def test_strangers_see_no_address_and_no_key_of_a_peer(tmp_path: Path, net: Testnet) -> None:
    peer = await Peer.open(None, bootstrap=net.bootstrap)
    bee = peer.bee(name="main")
    await bee.put("post/0000000000000001", {"text": "here"})
    public = "http://feed.example.org"
    async with (
        aggregator(tmp_path, bootstrap=net.bootstrap[0], public_url=public) as running,
        client(running) as web,
    ):
        await web.post("/submit", json={"key": bee.core.key.hex()})
        await running.database.write(sources.add, bytes(range(32)), now_ms(), "command", "10.1.2.3:4567")
        await running.database.write(
            sources.failed, bytes(range(32)), "nobody answers at 10.1.2.3:4567 (refused)", 0
        )
        await eventually(lambda: running.peer.connections)
        (connection,) = running.peer.connections
        assert running.peer.network is not None
        status = running.peer.network.status()
        secret = [
            connection.remote_address, connection.remote_public_key.hex(), "10.1.2.3", net.bootstrap[0],
            status.local_address,
        ]  # fmt: skip
        for path in ("/network", "/network.json", f"/bee/{bytes(range(32)).hex()}", "/bees"):
            text = (await web.get(path)).text
            assert [one for one in secret if one in text] == [], path
        said = (await web.get("/network.json")).json()
        assert "connections" not in said
        assert [one["sentence"] for one in said["unreachable"]] == [
            "nobody answers at the address given (refused)"
        ]

        wrong = await web.get("/network.json", headers={"authorization": "Bearer " + "x" * 43})
        assert "connections" not in wrong.json()
        right = {"authorization": f"Bearer {running.token.reveal()}"}
        assert secret[0] in (await web.get("/network.json", headers=right)).text
        entered = await web.post("/admin/enter", data={"token": running.token.reveal()})
        assert entered.status_code == 303
        assert secret[0] in (await web.get("/admin/network")).text
        assert secret[0] not in (await web.get("/network")).text, "the session is for the admin pages"
        web.cookies.clear()
        assert (await web.get("/admin/network")).status_code == 303
        # Guessing ends soon, and the right token does not help whoever guessed.
        for _ in range(40):
            await web.get("/network.json", headers={"authorization": "Bearer guess"})
        assert "connections" not in (await web.get("/network.json", headers=right)).json()
    await peer.close()


@pytest.mark.parametrize("header", ["x-forwarded-for", "forwarded", "via", "x-real-ip"])
async def test_what_comes_through_a_proxy_is_a_stranger(tmp_path: Path, header: str) -> None:
    async with aggregator(tmp_path) as running, client(running) as web:
        assert "connections" in (await web.get("/network.json")).json()
        assert "connections" not in (await web.get("/network.json", headers={header: "127.0.0.1"})).json()


@pytest.mark.parametrize(
    ("sentence", "shown"),
    [
        ("nobody answers at 127.0.0.1:9 (refused)", "nobody answers at the address given (refused)"),
        ("[fd00::1]:80 did not answer within 10 seconds", "the address given did not answer within 10 seconds"),
        ("The peer at box.lan:7 answers but does not", "The peer at the address given answers but does not"),
        ("There is no host called box.lan; check it", "There is no host of that name; check it"),
        ("the address of a peer that holds it (host:port).", "the address of a peer that holds it (host:port)."),
    ],
)  # fmt: skip
def test_addresses_leave_a_sentence(sentence: str, shown: str) -> None:
    assert operators.without_addresses(sentence) == shown


async def test_a_connected_bee_without_records_is_said_to_be_one(tmp_path: Path) -> None:
    async with author() as (_, bee, address), aggregator(tmp_path) as running, client(running) as web:
        await running.database.write(sources.add, bee.core.key, now_ms(), "command", address)
        sentence = "What its author writes shows up here by itself."

        async def page() -> str:
            return (await web.get(f"/bee/{bee.core.key.hex()}")).text

        async def is_said() -> bool:
            text = await page()
            return "Connected, no records yet" in text and sentence in text

        await eventually(is_said)
        await bee.put("profile/self", {"name": "Comes later"})

        async def came() -> bool:
            text = await page()
            return "Comes later" in text and sentence not in text

        await eventually(came)


async def test_a_long_list_has_pages(tmp_path: Path) -> None:
    async with aggregator(tmp_path) as running, client(running) as web:
        for number in range(60):
            source = bytes([number]) * 32
            await running.database.write(sources.add, source, now_ms(), "web")

        async def all_tried() -> bool:
            await running.contact.tick()
            return (await running.database.read(sources.counts))["unreachable"] == 60

        await eventually(all_tried)
        first = (await web.get("/network")).text
        assert 'href="/network?from=50"' in first
        second = (await web.get("/network?from=50")).text
        assert second.count("0 connected") == 10
        assert (await web.get("/network?from=nonsense")).status_code == 200
        assert (await web.get("/network?from=999999")).status_code == 200


async def test_the_command_asks_the_running_aggregator(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "feedagg", "--dir", str(tmp_path), "net"]
    asleep = await asyncio.to_thread(subprocess.run, words, capture_output=True, text=True, timeout=60)
    assert asleep.returncode == 1
    assert "No aggregator runs in" in asleep.stderr
    async with author() as (peer, bee, address), site(tmp_path) as (running, url):
        (tmp_path / WEB_URL_FILE).write_text(url + "/")
        await running.database.write(sources.add, bee.core.key, now_ms(), "command", address)
        await eventually(lambda: running.peer.connections)
        said = await asyncio.to_thread(subprocess.run, words, capture_output=True, text=True, timeout=60)
        assert said.returncode == 0, said.stderr
        assert "The DHT is off" in said.stdout
        assert address in said.stdout
        assert f"bee {bee.core.key.hex()[:8]}  1 connected" in said.stdout
        said = await asyncio.to_thread(
            subprocess.run, [*words, "--json"], capture_output=True, text=True, timeout=60
        )
        (connection,) = json.loads(said.stdout)["connections"]
        assert (connection["key"], connection["how"]) == (peer.public_key.hex(), "tcp")


@pytest.mark.browser
async def test_the_page_follows_by_itself_and_without_javascript_by_a_link(
    chromium: Any, tmp_path: Path
) -> None:
    async with author() as (_, bee, address), site(tmp_path) as (running, url):
        await bee.put("profile/self", {"name": "Comes later"})
        async with open_page(chromium, "phone") as page:
            await page.goto(f"{url}/network")
            await page.get_by_text("Nobody is connected.").wait_for()
            await running.database.write(sources.add, bee.core.key, now_ms(), "command", address)
            await page.get_by_text("1 peer is connected").wait_for(timeout=60_000)
            wide = await page.evaluate(
                "document.documentElement.scrollWidth > document.documentElement.clientWidth"
            )
            assert not wide
        async with open_page(chromium, java_script_enabled=False) as page:
            await page.goto(f"{url}/network")
            assert await page.get_by_text("1 peer is connected").count() == 1
            await running.database.write(sources.add, b"\x07" * 32, now_ms(), "command")
            await page.get_by_role("link", name="Show how it is now").click()
            await page.get_by_text("of 2 bees").wait_for(timeout=60_000)
