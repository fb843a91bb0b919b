"""Backfill: the newest records at once, then history under a budget, and first of all what a reader waits for."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from core.records import format_date
from feedagg import sources
from feedagg.aggregator import Aggregator
from feedagg.decide import FIRST_LOOK
from feedagg.ingest import DEMANDED_BLOCKS, now_ms
from tests.support.feedagg import aggregator, author, client, site
from tests.support.screens import open_page

pytestmark = pytest.mark.anyio

POSTS = 1_000
SLOW = {"backfill_per_second": 1, "slice_blocks": 64}
"""At this budget the history takes a quarter of an hour."""


async def write_posts(bee: Any, count: int = POSTS) -> None:
    async with bee.batch() as batch:
        for n in range(count):
            at = format_date(now_ms() - (count - n) * 60_000)
            await batch.put(f"post/{n:016x}", {"text": f"Note number {n}.", "createdAt": at})


async def follow(running: Aggregator, bee: Any, address: str) -> None:
    await running.database.write(sources.add, bee.core.key, now_ms(), "command", address)


@pytest.fixture
async def slow(tmp_path: Path) -> AsyncIterator[tuple[Aggregator, httpx2.AsyncClient, Any]]:
    """An aggregator that has just met a long bee and has hardly any budget for its history."""
    async with author() as (_, bee, address), aggregator(tmp_path, **SLOW) as running, client(running) as web:
        await write_posts(bee)
        await follow(running, bee, address)
        async with asyncio.timeout(60):
            while running.ingest.records_read < FIRST_LOOK:
                await asyncio.sleep(0.01)
        yield running, web, bee


def notes(page: str) -> list[int]:
    return [int(n) for n in re.findall(r"Note number (\d+)\.", page)]


async def leaf(web: httpx2.AsyncClient, path: str, wanted: int) -> list[int]:
    """Leaf back from `path` as a reader does, looking again where more is being fetched; the notes seen, in order."""
    seen: list[int] = []
    url = path
    async with asyncio.timeout(50):
        while len(seen) < wanted:
            page = (await web.get(url)).text
            older = re.search(r'rel="next" href="([^"]+)"', page)
            if older is None:
                assert "being fetched" in page, url
                await asyncio.sleep(0.05)
                continue
            seen += notes(page)
            url = path + older.group(1).replace("&amp;", "&")
    return seen


async def test_the_newest_come_first_and_history_waits_for_its_budget(slow: Any) -> None:
    running, web, bee = slow
    page = (await web.get(f"/bee/{bee.core.key.hex()}?before=")).text
    assert notes(page)[:FIRST_LOOK] == list(range(POSTS - 1, POSTS - 1 - FIRST_LOOK, -1))
    core = running.ingest.followed[bee.core.key].bee.core
    assert not core.has(1, POSTS - 400)  # sparse: nobody asked for that yet


@pytest.mark.parametrize("is_feed", [True, False], ids=["feed", "bee"])
async def test_a_reader_who_leafs_back_makes_history_come(slow: Any, is_feed: bool) -> None:
    running, web, bee = slow
    wanted = FIRST_LOOK + 3 * DEMANDED_BLOCKS
    seen = await leaf(web, "/" if is_feed else f"/bee/{bee.core.key.hex()}", wanted)
    assert seen[:wanted] == list(range(POSTS - 1, POSTS - 1 - wanted, -1))
    assert running.ingest.records_read < POSTS - 100  # and no more than was looked for


async def test_what_an_author_who_is_away_still_has_is_said(tmp_path: Path) -> None:
    async with aggregator(tmp_path, **SLOW) as running, client(running) as web:
        async with author() as (_, bee, address):
            await write_posts(bee)
            key = bee.core.key
            await follow(running, bee, address)
            async with asyncio.timeout(60):
                while running.ingest.records_read < FIRST_LOOK:
                    await asyncio.sleep(0.01)
        async with asyncio.timeout(60):
            while "were not read yet" not in (page := (await web.get(f"/bee/{key.hex()}")).text):
                await asyncio.sleep(0.05)
        assert "being fetched" not in page
        assert notes(page)


@pytest.mark.browser
async def test_the_end_of_the_list_grows_under_the_reader(chromium: Any, tmp_path: Path) -> None:
    async with author() as (_, bee, address), site(tmp_path, **SLOW) as (running, url):
        await write_posts(bee, 300)
        await follow(running, bee, address)
        async with asyncio.timeout(60):
            while running.ingest.records_read < FIRST_LOOK:
                await asyncio.sleep(0.01)
        async with open_page(chromium) as page:
            await page.goto(f"{url}/bee/{bee.core.key.hex()}")
            await page.get_by_text("Note number 299.").wait_for()
            await page.get_by_role("link", name="Older").click(timeout=30_000)
            await page.get_by_text("Note number 269.").wait_for(timeout=30_000)
