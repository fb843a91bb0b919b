"""Serving: keeping other people's bees alive from the page and from the command line, and who took how much."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from core.hyperbee import Hyperbee
from core.peer import Peer
from tests.support.screens import open_page
from tests.support.userpeer import command, json_lines, running, served_app
from tests.support.waiting import eventually
from userpeer.client import call_running
from userpeer.hyp.bees import MAX_SEEDS
from userpeer.service import PeerService
from userpeer.sharing import PAGE, passed_on, shared_bees

pytestmark = pytest.mark.anyio

UNKNOWN = "ab" * 32
Site = tuple[PeerService, httpx2.AsyncClient]


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with served_app(tmp_path) as (service, _, client):
        yield service, client


async def test_seeding_and_unseeding_without_javascript(site: Site) -> None:
    service, client = site
    answer = await client.post("/seed", data={"bee": f" hyper://{UNKNOWN}/ "})
    assert (answer.status_code, answer.headers["location"]) == (303, "/sharing?did=seeded")
    page = (await client.get(answer.headers["location"])).text
    assert "It is kept from now on" in page
    assert "Kept for somebody" in page
    assert "nothing yet" in page
    assert [bee.key for bee in shared_bees(service) if not bee.is_own] == [UNKNOWN]
    answer = await client.post("/unseed", data={"bee": UNKNOWN, "clear": "1"})
    assert answer.headers["location"] == "/sharing?did=cleared"
    page = (await client.get(answer.headers["location"])).text
    assert "its blocks here are forgotten" in page
    assert UNKNOWN not in page


@pytest.mark.parametrize("typed", ["", "not a key", "ab" * 31, "hyper://", "<script>"])
async def test_what_is_no_key_is_refused_and_kept_in_the_form(site: Site, typed: str) -> None:
    service, client = site
    answer = await client.post("/seed", data={"bee": typed})
    assert answer.status_code in (404, 422)
    assert 'aria-invalid="true"' in answer.text
    assert "<script>" not in answer.text
    assert not [bee for bee in shared_bees(service) if not bee.is_own]


async def test_the_personal_bee_cannot_be_unseeded_and_ones_own_can(site: Site) -> None:
    service, client = site
    answer = await client.post("/unseed", data={"bee": service.key})
    assert (answer.status_code, "it is your feed" in answer.text) == (422, True)
    held = await service.bees.create("films")
    assert (await client.post("/unseed", data={"bee": held.key.hex()})).status_code == 303
    page = (await client.get("/sharing")).text
    assert "Not shared" in page
    assert "Share it again" in page
    assert (await client.post("/seed", data={"bee": held.key.hex()})).status_code == 303
    assert "Not shared" not in (await client.get("/sharing")).text


async def test_a_long_list_has_pages(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    service, client = site
    for number in range(PAGE + 5):
        await service.bees.seed(f"{number:064x}")
    first = (await client.get("/sharing")).text
    assert first.count("Kept for somebody") == PAGE - 1  # and the personal bee
    older = next(bee.key for bee in shared_bees(service)[PAGE - 1 :])
    assert f"/sharing?after={older}" in first
    second = (await client.get(f"/sharing?after={older}")).text
    assert second.count("Kept for somebody") == 6
    assert "First page" in second
    monkeypatch.setattr("userpeer.pages.network.LOGS_SHOWN", 10)
    network = (await client.get("/network")).text
    assert network.count("Kept for somebody") == 9
    assert "And 36 more" in network


async def test_there_is_a_bound(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    _, client = site
    assert MAX_SEEDS == 10_000
    monkeypatch.setattr("userpeer.hyp.bees.MAX_SEEDS", 1)
    assert (await client.post("/seed", data={"bee": "1" * 64})).status_code == 303
    answer = await client.post("/seed", data={"bee": "2" * 64})
    assert "seeds 1 bee already" in answer.text


async def test_followed_bees_are_part_of_what_is_shared(site: Site) -> None:
    service, client = site
    followed = service.peer.bee(key=UNKNOWN)
    assert [each.key for each in passed_on(service)] == [UNKNOWN]
    assert "Also passed on while this peer runs" in (await client.get("/sharing")).text
    await followed.close()


def test_the_command_line_does_the_same_with_and_without_a_running_peer(tmp_path: Path) -> None:
    seeded = json_lines(command(tmp_path, "--json", "seed", UNKNOWN))
    assert seeded[0]["seeding"] is True
    with running(tmp_path):
        lines = command(tmp_path, "sharing").stdout.splitlines()
        assert lines[0].startswith("main ")
        assert any(line.startswith("ababab..ab") for line in lines)
        assert "No longer seeding" in command(tmp_path, "unseed", UNKNOWN).stdout
        again = command(tmp_path, "unseed", UNKNOWN)
        assert again.returncode == 1
        assert "not seeded here" in again.stderr
    assert [
        item["key"] for item in json_lines(command(tmp_path, "--json", "sharing")) if not item["own"]
    ] == []


async def copied(peer: Peer, key: str, host: str, port: int) -> Hyperbee:
    """A bee read whole by somebody who is given an address."""
    bee = peer.bee(key=key)
    await peer.connect(host, port)
    await eventually(lambda: bee.core.peers)
    await bee.core.update(wait=True, timeout=60)
    assert [entry.key async for entry in bee.range(timeout=60)]
    return bee


@pytest.mark.browser
async def test_in_a_browser_the_page_shows_live_who_takes_what(chromium: Any, tmp_path: Path) -> None:
    author = await Peer.open(None)
    reader = await Peer.open(None)
    try:
        bee = author.bee(name="theirs")
        for number in range(20):
            await bee.put(str(number), "x" * 100)
        async with open_page(chromium) as page:
            with running(tmp_path) as (_, ready):

                async def do(name: str, **arguments: Any) -> list[dict[str, Any]]:
                    return [item async for item in call_running(tmp_path / "control.sock", name, arguments)]

                await page.goto(f"{ready['web']}sharing")
                await page.get_by_label("Keep a bee alive").fill(bee.core.key.hex())
                await page.keyboard.press("Enter")
                await page.get_by_text("It is kept from now on").wait_for()
                panel = page.locator(f"#bee-{bee.core.key.hex()}")
                await panel.get_by_text("nothing yet").wait_for()
                listen_host, listen_port = ready["listen"].rsplit(":", 1)
                await author.connect(listen_host, int(listen_port))
                await panel.get_by_text(
                    "100 % of 21 blocks"
                ).wait_for()  # fetched by itself, shown without a reload
                await author.close()
                await copied(reader, bee.core.key.hex(), listen_host, int(listen_port))
                await panel.get_by_text("Taken by 1 peer").click()
                await panel.get_by_text(reader.public_key.hex()[:4]).first.wait_for()
                (item,) = await do("hyp.info", bees=[bee.core.key.hex()])
                assert item["takers"][0]["key"] == reader.public_key.hex()
                await panel.get_by_label("Also forget the blocks").check()
                await panel.get_by_role("button", name="Stop sharing").click()
                await page.get_by_text("its blocks here are forgotten").wait_for()
                assert await panel.count() == 0
                assert json.dumps(await do("hyp.list")).count(bee.core.key.hex()) == 0
    finally:
        await reader.close()
        await author.close()


@pytest.mark.browser
async def test_on_a_narrow_phone_nothing_is_cut_off(chromium: Any, tmp_path: Path) -> None:
    async with open_page(chromium, "phone", has_touch=True) as page:
        with running(tmp_path) as (_, ready):
            assert [
                item async for item in call_running(tmp_path / "control.sock", "hyp.seed", {"bee": UNKNOWN})
            ]
            await page.set_viewport_size({"width": 320, "height": 640})
            await page.goto(f"{ready['web']}sharing")
            await page.get_by_text("Kept for somebody").wait_for()
            assert await page.evaluate("document.documentElement.scrollWidth") <= 320
