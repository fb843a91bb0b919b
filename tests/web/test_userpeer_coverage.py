"""What an aggregator says about me: its signed receipt, checked by one's own peer and laid beside one's log."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from feedagg import moderation, sources
from feedagg.ingest import now_ms
from tests.support.feedagg import site
from tests.support.screens import open_page
from tests.support.userpeer import running
from tests.support.waiting import eventually
from userpeer.client import call_running

pytestmark = pytest.mark.anyio
PATIENCE = 30_000


@pytest.fixture
async def both(tmp_path: Path) -> AsyncIterator[tuple[Any, str, dict[str, Any], Any]]:
    """An aggregator and its address; a running peer's ready event, and a function that does a command on it."""

    async def do(name: str, **arguments: Any) -> list[dict[str, Any]]:
        return [item async for item in call_running(tmp_path / "me" / "control.sock", name, arguments)]

    async with site(tmp_path / "site") as (aggregator, url):
        with running(tmp_path / "me") as (_, ready):
            yield aggregator, url, ready, do


async def read_to_the_end(aggregator: Any, key: str, length: int) -> None:
    async def is_read() -> bool:
        source = await aggregator.database.read(sources.get, bytes.fromhex(key))
        return source is not None and source.cursor == length and source.position.complete

    await eventually(is_read)


@pytest.mark.browser
@pytest.mark.parametrize("script", [True, False])
async def test_the_page_lays_the_receipt_beside_ones_log(chromium: Any, both: Any, script: bool) -> None:
    aggregator, url, ready, do = both
    key = ready["key"]
    (hidden,) = await do("post", text="Bees like borage.")
    await do("movie", title="Ran", year="1985")
    async with open_page(chromium, java_script_enabled=script) as page:
        page.set_default_timeout(PATIENCE)
        about = page.locator(".about-me")

        async def ask() -> None:
            await about.get_by_role("button", name="Ask").click()
            await page.wait_for_load_state()

        await page.goto(ready["web"] + "aggregators")
        await page.get_by_text("Nobody has your key yet").wait_for()
        await page.get_by_label("Address of the aggregator").fill(url)
        await page.get_by_role("button", name="Give it my key").click()
        await about.wait_for()
        await read_to_the_end(aggregator, key, (await do("bee.info"))[0]["length"])
        await ask()
        await about.get_by_text("What it holds is your log: the hash over 4 blocks is the same").wait_for()
        await about.get_by_text("It shows all your posts and films.").wait_for()
        await about.get_by_text("It follows your bee and is connected.").wait_for()
        rows = await about.locator("tbody tr").all_inner_texts()
        assert [row.split()[:3] for row in rows] == [
            ["Blocks", "4", "4"],
            ["Posts", "1", "1"],
            ["Films", "1", "1"],
        ]
        assert await about.get_by_text(aggregator.peer.public_key.hex()[:8]).count() == 1

        # What it does not show, and why: a record it hides, and one that no feed can read.
        await do("bee.put", key="post/odd", value={"no": "text"})
        await read_to_the_end(aggregator, key, 5)
        reason = "<b>off</b> topic"
        await aggregator.database.write(
            moderation.hide, bytes.fromhex(key), hidden["key"].encode(), reason, now_ms()
        )
        await ask()
        await about.get_by_text("It hides 1 record of yours.").wait_for()
        await about.get_by_text(f"{hidden['key']}. The reason it gives: {reason}").wait_for()
        await about.get_by_text(
            "It skipped 1 record: The key does not have the form its kind asks for."
        ).wait_for()
        await about.get_by_text("Of yours, no feed lists post/odd:").wait_for()

        await page.get_by_role("button", name="off this list").click()
        await page.get_by_text("It is off your list. It still has your key").wait_for()
        await page.get_by_text("Nobody has your key yet").wait_for()


async def test_one_that_is_silent_and_what_it_said_before(tmp_path: Path) -> None:
    def control(name: str, **arguments: Any) -> Any:
        return call_running(tmp_path / "me" / "control.sock", name, arguments)

    with running(tmp_path / "me") as (_, ready):
        async with site(tmp_path / "site") as (aggregator, url):
            async for _ in control("post", text="hello"):
                pass
            async for _ in control("submit", url=url):
                pass
            await read_to_the_end(aggregator, ready["key"], 3)
            (item,) = [item async for item in control("aggregators")]
            assert item["problem"] is None
            assert item["says"]["receipt"]["listed"] == {"post": 1}
        (item,) = [item async for item in control("aggregators")]
        assert item["problem"].startswith("It could not be reached: ")
        assert item["says"]["receipt"]["listed"] == {"post": 1}
    assert (tmp_path / "me" / "coverage.json").stat().st_mode & 0o777 == 0o600


async def test_one_that_does_not_know_us(tmp_path: Path) -> None:
    async with site(tmp_path / "site") as (aggregator, url):
        with running(tmp_path / "me"):
            control = tmp_path / "me" / "control.sock"
            _ = [item async for item in call_running(control, "submit", {"url": url})]
            await aggregator.database.write(
                lambda connection: connection.exec_driver_sql("DELETE FROM sources")
            )
            (item,) = [item async for item in call_running(control, "aggregators", {})]
            assert item["problem"] == "It does not know your bee. Give it your key again."
            assert item["says"] is None
