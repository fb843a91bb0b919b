"""Pictures of the operator's pages: a few things happen first, so that there is something to decide."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from tests.support.screens import SCREENSHOTS, VIEWS, open_page

if TYPE_CHECKING:
    from playwright.async_api import Browser

PAGES = ("overview", "queue", "bees", "hidden", "decisions", "settings")


def _operator(directory: Path, *words: str) -> str:
    """A command of the aggregator in `directory`."""
    command = [sys.executable, "-m", "feedagg", "--dir", str(directory), *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


async def take(chromium: Browser, feed: str, directory: Path, items: list[Any]) -> None:
    """The pictures `admin-*`, `report`, `appeal`, `decisions` and `api`. `items`: of feed.json."""
    token = _operator(directory, "admin-token")
    bees = [item["authors"][0]["url"].rsplit("/", 1)[1] for item in items]
    keys = [unquote(item["url"].split(bee + "/", 1)[1]) for item, bee in zip(items, bees, strict=True)]
    _operator(directory, "hide", bees[5], keys[5], "--reason", "A spoiler without a mark.")
    _operator(directory, "refuse", "ab" * 32, "--reason", "Known elsewhere for advertising.")
    about = [f"bee={bee}&keyhex={key.encode().hex()}" for bee, key in zip(bees, keys, strict=True)]
    async with open_page(chromium) as page:
        await page.goto(f"{feed}report?{about[0]}")
        await page.get_by_label("It is spam").check()
        await page.get_by_label("In your words").fill("The same words stand under three films.")
        await page.get_by_role("button", name="Send the report").click()
        await page.goto(f"{feed}appeal?{about[5]}")
        await page.get_by_label("Why should it").fill("It is marked now: see the edit.")
        await page.get_by_role("button", name="Send the appeal").click()
    public = {
        "report": f"report?{about[1]}",
        "appeal": f"appeal?{about[5]}",
        "decisions": "decisions",
        "api": "api",
    }
    for view in VIEWS:
        async with open_page(chromium, view) as page:
            await page.goto(f"{feed}admin")
            await page.screenshot(path=SCREENSHOTS / f"admin-enter-{view}.png", full_page=True)
            await page.get_by_label("Token").fill(token)
            await page.get_by_role("button", name="Enter").click()
            await page.get_by_role("heading", name="Overview").wait_for()
            own = {f"admin-{name}": "admin" + ("" if name == "overview" else f"/{name}") for name in PAGES}
            for name, path in {**own, "admin-bee": f"admin/bee/{bees[0]}", **public}.items():
                await page.goto(feed + path)
                await page.wait_for_timeout(300)
                await page.screenshot(path=SCREENSHOTS / f"{name}-{view}.png", full_page=True)
