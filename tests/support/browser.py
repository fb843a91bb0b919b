"""Chromium for tests, driven by Playwright; `why_chromium_is_missing` says why there is none."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from playwright.async_api import Browser, Page, async_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")


def chromium_path() -> str | None:
    """Where the machine's own Chromium is; Playwright's download is not needed."""
    return next((path for path in map(shutil.which, NAMES) if path), None)


def why_chromium_is_missing() -> str | None:
    return None if chromium_path() else f"no Chromium: none of {', '.join(NAMES)} is on the PATH"


@asynccontextmanager
async def open_browser() -> AsyncIterator[Browser]:
    """A headless Chromium."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=chromium_path(), args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        try:
            yield browser
        finally:
            await browser.close()


def listen_for_complaints(page: Page) -> list[str]:
    """A list that grows with every script error and every console error, a broken policy among them."""
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(f"error: {error}"))
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    return complaints


async def overflow(page: Page) -> int:
    """How many pixels the page is wider than its window."""
    return int(await page.evaluate("document.documentElement.scrollWidth - window.innerWidth"))
