"""The aggregator in a real browser: live without shoving, without JavaScript, on a phone, by keyboard."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import expect

from core.records import format_date
from feedagg import sources
from feedagg.aggregator import Aggregator
from feedagg.ingest import now_ms
from tests.support.feedagg import author, site
from tests.support.screens import open_page, press
from tests.support.waiting import eventually

pytestmark = [pytest.mark.anyio, pytest.mark.browser]


@pytest.fixture
async def followed(tmp_path: Path) -> AsyncIterator[tuple[Aggregator, str, Any]]:
    """A site that follows one bee of forty posts: (running, url, bee)."""
    async with author() as (_, bee, address), site(tmp_path) as (running, url):
        await bee.put("profile/self", {"name": "Ada Meadows", "createdAt": format_date(now_ms())})
        for n in range(40):
            at = format_date(now_ms() - (50 - n) * 60_000)
            await bee.put(f"post/{n:016x}", {"text": f"Note number {n}.", "createdAt": at})
        await running.database.write(sources.add, bee.core.key, now_ms(), "command", address)
        await eventually(lambda: running.ingest.records_read >= 41)
        yield running, url, bee


def post(text: str) -> dict[str, str]:
    return {"text": text, "createdAt": format_date(now_ms())}


async def test_appends_reach_an_open_page_newest_first_and_once(chromium: Any, followed: Any) -> None:
    _, url, bee = followed
    async with open_page(chromium) as page:
        await page.goto(url)
        await page.get_by_text("Live", exact=True).wait_for()
        for n in range(10):
            await bee.put(f"post/{1000 + n:016x}", post(f"Fresh {n}!"))
            await page.get_by_text(f"Fresh {n}!").wait_for()
        newest = page.locator("#records > li")
        for n in range(10):
            await expect(newest.nth(n)).to_contain_text(f"Fresh {9 - n}!")
            await expect(page.get_by_text(f"Fresh {n}!")).to_have_count(1)


async def test_an_edit_and_a_removal_reach_an_open_page(chromium: Any, followed: Any) -> None:
    _, url, bee = followed
    async with open_page(chromium) as page:
        await page.goto(url)
        await page.get_by_text("Live", exact=True).wait_for()
        key = f"post/{30:016x}"
        entry = await bee.get(key)
        await bee.put(
            key, {**entry.value, "text": "Note thirty, mended.", "updatedAt": format_date(now_ms())}
        )
        await page.get_by_text("Note thirty, mended.").wait_for()
        await expect(page.get_by_text("Note number 30.")).to_have_count(0)
        cards = page.locator("#records > li")
        await expect(cards.nth(8)).to_contain_text("Note number 31.")
        await expect(cards.nth(9)).to_contain_text("Note thirty, mended.")  # it kept its place
        await bee.delete(key)
        await page.get_by_text("Note thirty, mended.").wait_for(state="detached")


async def test_a_reader_further_down_is_told_and_not_shoved(chromium: Any, followed: Any) -> None:
    _, url, bee = followed
    async with open_page(chromium) as page:
        await page.goto(url)
        await page.get_by_text("Live", exact=True).wait_for()
        card = page.get_by_text("Note number 20.")
        await card.scroll_into_view_if_needed()
        before = await card.bounding_box()
        await bee.put("post/00000000000003e8", post("While you read"))
        await bee.put("post/00000000000003e9", post("And another"))
        button = page.get_by_role("button", name="2 new records")
        await button.wait_for()
        assert await card.bounding_box() == before
        await expect(page.get_by_text("While you read")).to_have_count(0)
        await button.click()
        await page.get_by_text("While you read").wait_for()
        await expect(page.locator("#records > li").first).to_contain_text("And another")


async def test_who_stands_on_a_card_is_told_and_who_cannot_see_hears(chromium: Any, followed: Any) -> None:
    _, url, bee = followed
    async with open_page(chromium) as page:
        await page.goto(url)
        await page.get_by_text("Live", exact=True).wait_for()
        await bee.put("post/00000000000003e8", post("Nobody reads yet"))
        await page.get_by_text("Nobody reads yet").wait_for()
        said = page.locator("#arrived")
        await expect(said).to_have_attribute("role", "status")
        await expect(said).to_have_text("A new record by Ada Meadows")
        await page.keyboard.press("j")
        standing = page.locator("article:focus")
        await expect(standing).to_contain_text("Nobody reads yet")
        before = await standing.bounding_box()
        await bee.put("post/00000000000003e9", post("While you stand here"))
        await page.get_by_role("button", name="1 new record", exact=True).wait_for()
        await expect(page.get_by_text("While you stand here")).to_have_count(0)
        assert await standing.bounding_box() == before
        await page.keyboard.press(".")
        await expect(page.locator("#records > li").first).to_contain_text("While you stand here")


async def test_a_page_that_lost_its_connection_is_told_what_it_missed(chromium: Any, followed: Any) -> None:
    _, url, bee = followed
    async with open_page(chromium) as page:
        await page.goto(url)
        await page.get_by_text("Live", exact=True).wait_for()
        await page.context.set_offline(True)
        await bee.put("post/00000000000003e8", post("Said in the tunnel"))
        await asyncio.sleep(0.3)
        await page.context.set_offline(False)
        await page.get_by_text("Said in the tunnel").wait_for()
        assert await page.get_by_text("Said in the tunnel").count() == 1


async def test_a_key_is_pasted_and_its_posts_arrive(chromium: Any, tmp_path: Path) -> None:
    async with author() as (_, bee, address), site(tmp_path) as (_, url):
        await bee.put("post/0000000000000001", post("First of many"))
        async with open_page(chromium) as page:
            await page.goto(url)
            await press(page.get_by_role("link", name="Add the first bee"))
            await page.get_by_label("Key of the bee").fill("nonsense")
            await page.get_by_role("button", name="Follow this bee").click()
            await page.get_by_text("This is not the key of a bee").wait_for()
            await expect(page.get_by_label("Key of the bee")).to_have_value("nonsense")
            await page.get_by_label("Key of the bee").fill(bee.core.id)
            await page.get_by_label("Where a peer holds it").fill(address)
            await page.get_by_role("button", name="Follow this bee").click()
            await page.get_by_text("First of many").wait_for()
            await bee.put("post/0000000000000002", post("Second, live"))
            await page.get_by_text("Second, live").wait_for()


async def test_a_bee_that_cannot_be_reached_says_so_and_then_appears_by_itself(
    chromium: Any, tmp_path: Path
) -> None:
    async with author() as (peer, bee, _), site(tmp_path) as (_, url):
        await bee.put("post/0000000000000001", post("Late but here"))
        async with open_page(chromium) as page:
            await page.goto(f"{url}/submit")
            await page.get_by_label("Key of the bee").fill(bee.core.id)
            await page.get_by_label("Where a peer holds it").fill("127.0.0.1:1")
            await page.get_by_role("button", name="Follow this bee").click()
            await page.get_by_text("nobody answers at 127.0.0.1:1").wait_for()
            await page.get_by_text("Not reached yet").wait_for()
            host, port = await peer.listen()
            await page.evaluate(
                "body => fetch('/submit', {method: 'POST', body: new URLSearchParams(body)})",
                {"key": bee.core.id, "peer": f"{host}:{port}"},
            )
            await page.get_by_text("Late but here").wait_for()


async def test_everything_is_there_without_javascript(chromium: Any, followed: Any) -> None:
    _, url, _ = followed
    async with open_page(chromium, java_script_enabled=False) as page:
        await page.goto(url)
        await expect(page.locator("#records > li")).to_have_count(30)
        await press(page.get_by_role("link", name="Older"))
        await expect(page.locator("#records > li").first).to_contain_text("Note number 9.")
        await press(page.locator("#records > li").first.get_by_role("link", name="UTC"))
        await page.get_by_text("Where this stands").wait_for()
        await press(page.get_by_role("link", name="Ada Meadows").first)
        await page.locator(".receipt > summary").click()
        await page.get_by_text("Length seen").wait_for()


@pytest.mark.parametrize("view", ["light", "dark", "phone"])
async def test_no_page_is_wider_than_its_window(chromium: Any, followed: Any, view: str) -> None:
    running, url, bee = followed
    await bee.put("post/00000000000003e8", post("W" * 900 + " https://example.org/" + "x" * 900))
    await eventually(lambda: running.ingest.records_read >= 42)
    key = bee.core.key.hex()
    async with open_page(chromium, view) as page:
        for path in (
            "/",
            "/bees",
            f"/bee/{key}",
            f"/bee/{key}/post/{5:016x}",
            "/submit",
            "/about",
            "/nothing",
        ):
            await page.goto(url + path)
            width = await page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
            assert width <= 0, path


async def test_the_keyboard_reaches_the_content_first(chromium: Any, followed: Any) -> None:
    _, url, _ = followed
    async with open_page(chromium) as page:
        await page.goto(url)
        await page.keyboard.press("Tab")
        await expect(page.locator(":focus")).to_have_text("Skip to the content")
        await page.keyboard.press("Enter")
        await expect(page).to_have_url(f"{url}/#main")


async def test_a_script_that_comes_late_still_hears_the_connection(chromium: Any, followed: Any) -> None:
    _, url, bee = followed
    async with open_page(chromium) as page:

        async def late(route: Any) -> None:
            await asyncio.sleep(1.0)
            await route.continue_()

        await page.route("**/feed-live.js*", late)
        await page.goto(url)
        await page.get_by_text("Live", exact=True).wait_for()
        await bee.put(f"post/{1000:016x}", post("Heard all the same"))
        await page.get_by_text("Heard all the same").wait_for()
