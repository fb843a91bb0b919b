"""The operator's day in a real browser: token, report, hide, appeal, purge; without JavaScript too."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import expect

from feedagg import policy, reports, sources
from feedagg.aggregator import Aggregator
from feedagg.ingest import now_ms
from tests.support.feedagg import site
from tests.support.screens import VIEWS, open_page
from tests.web.test_feedagg_pages import BEE, fill, sample

pytestmark = [pytest.mark.anyio, pytest.mark.browser]

KEY = "post/0000000000000001"
WAITING = bytes([9]) * 32


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[tuple[Aggregator, str]]:
    async with site(tmp_path, no_dht=True) as (running, url):
        await fill(running, sample())
        yield running, url


async def enter(page: Any, running: Aggregator, url: str) -> None:
    await page.goto(f"{url}/admin")
    await page.get_by_label("Token").fill(running.token.reveal())
    await page.get_by_role("button", name="Enter").click()
    await page.get_by_role("heading", name="Overview").wait_for()


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no-scripts"])
async def test_a_report_is_upheld_appealed_and_granted(chromium: Any, here: Any, scripts: bool) -> None:
    running, url = here
    async with open_page(chromium, java_script_enabled=scripts) as reader:
        await reader.goto(f"{url}/bee/{BEE.hex()}/{KEY}")
        await reader.get_by_role("link", name="Report this record").click()
        await reader.get_by_label("It is spam").check()
        await reader.get_by_label("In your words").fill("Somebody sells something.")
        await reader.get_by_role("button", name="Send the report").click()
        await reader.get_by_text("Thank you").wait_for()
        async with open_page(chromium, java_script_enabled=scripts) as operator:
            await enter(operator, running, url)
            await operator.get_by_role("link", name="Decide what waits: 1").click()
            await operator.get_by_text("Somebody sells something.").wait_for()
            await operator.get_by_label("Reason: Hide it").fill("It sells something.")
            await operator.get_by_role("button", name="Hide it").click()
            await operator.get_by_text("The record is hidden.").wait_for()
            await operator.get_by_text("Nothing waits").wait_for()

            await reader.goto(f"{url}/bee/{BEE.hex()}")
            await reader.get_by_text("It sells something.").wait_for()
            await reader.get_by_role("link", name="Appeal").click()
            await reader.get_by_label("Why should it be decided otherwise?").fill("It gives seeds away.")
            await reader.get_by_role("button", name="Send the appeal").click()
            await reader.get_by_text("Your appeal waits").wait_for()

            await operator.goto(f"{url}/admin/queue")
            await operator.get_by_text("It gives seeds away.").wait_for()
            await operator.get_by_role("button", name="Grant").click()
            await operator.get_by_text("The appeal is granted.").wait_for()
            await operator.get_by_role("button", name="Leave").click()
            await operator.get_by_role("heading", name="For the operator").wait_for()
        await reader.goto(f"{url}/bee/{BEE.hex()}/{KEY}")
        await reader.get_by_text("Where this stands").wait_for()


async def test_a_bee_waits_is_accepted_refused_and_purged(chromium: Any, here: Any) -> None:
    running, url = here
    await running.database.write(policy.choose, now_ms(), policy.APPROVAL)
    async with open_page(chromium) as page:
        await page.goto(f"{url}/submit")
        await page.get_by_label("Key of the bee").fill(WAITING.hex())
        await page.get_by_role("button", name="Follow this bee").click()
        await page.get_by_text("Waits for approval").wait_for()
        await enter(page, running, url)
        await page.goto(f"{url}/admin/queue")
        await page.get_by_role("button", name="Accept").click()
        await page.get_by_text("The bee is followed.").wait_for()
        await page.goto(f"{url}/admin/bee/{WAITING.hex()}")
        await page.get_by_label("Reason: Purge").fill("A mistake.")
        await page.get_by_role("button", name="Purge").click()
        await expect(
            page.get_by_label("Yes, drop our copy")
        ).to_be_focused()  # the browser asks for the tick first
        source = await running.database.read(sources.get, WAITING)
        assert source is not None
        assert source.state == sources.FOLLOWING
        await page.get_by_label("Yes, drop our copy").check()
        await page.get_by_role("button", name="Purge").click()
        await page.get_by_text("Our copy of the bee is dropped.").wait_for()
        await page.goto(f"{url}/bee/{WAITING.hex()}")
        await page.get_by_text("The operator refused this bee").wait_for()


@pytest.mark.parametrize("view", VIEWS)
async def test_every_page_fits_its_window(chromium: Any, here: Any, view: str) -> None:
    running, url = here
    await running.database.write(reports.report, BEE, KEY.encode(), "spam", "w" * 300, "somebody", now_ms())
    async with open_page(chromium, view) as page:
        if view == "phone":
            await page.set_viewport_size({"width": 320, "height": 700})
        await enter(page, running, url)
        for path in ("", "/bees", f"/bee/{BEE.hex()}", "/queue", "/hidden", "/decisions", "/settings"):
            await page.goto(f"{url}/admin{path}")
            wide = await page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
            assert wide <= 0, path
        for path in ("/api", "/decisions", f"/report?bee={BEE.hex()}&keyhex={KEY.encode().hex()}"):
            await page.goto(url + path)
            wide = await page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
            assert wide <= 0, path
