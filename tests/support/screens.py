"""A real browser for tests, and pictures of pages for `docs/screenshots/`."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from tests.support.waiting import PATIENCE_SECONDS

if TYPE_CHECKING:
    from playwright.async_api import Browser, Locator, Page

NAMES = ("chromium", "chromium-browser", "google-chrome")
ON_PATH = next((path for path in map(shutil.which, NAMES) if path), "/usr/bin/chromium")
CHROMIUM = Path(os.environ.get("MEADOW_TEST_CHROMIUM", ON_PATH))
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
LATENCY = int(os.environ.get("MEADOW_TEST_BROWSER_LATENCY", "0"))
"""Milliseconds that each request of a page is made to wait, to find tests that win only because loopback is quick."""
SLOWDOWN = float(os.environ.get("MEADOW_TEST_BROWSER_SLOWDOWN", "1"))
"""How many times slower a page's own processor is made to seem: 6 is a cheap phone."""
PATIENCE_MILLISECONDS = PATIENCE_SECONDS * 1000

SCREENSHOTS = Path(__file__).parents[2] / "docs" / "screenshots"

# name -> width, colour scheme
VIEWS: Mapping[str, tuple[int, str]] = {
    "light": (1280, "light"),
    "dark": (1280, "dark"),
    "phone": (390, "light"),
}
_HEIGHT = 900


def why_browser_is_missing() -> str | None:
    """A sentence, or None when a browser can be started."""
    try:
        import playwright.async_api  # noqa: F401
    except ImportError:
        return "the package playwright is not installed"
    return (
        None
        if CHROMIUM.exists()
        else f"there is no Chromium at {CHROMIUM}; name one with MEADOW_TEST_CHROMIUM"
    )


@asynccontextmanager
async def browser() -> AsyncIterator[Browser]:
    """Chromium without a window."""
    from playwright.async_api import async_playwright, expect

    expect.set_options(timeout=PATIENCE_MILLISECONDS)
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(
            executable_path=CHROMIUM, args=ARGUMENTS, timeout=PATIENCE_MILLISECONDS
        )
        try:
            yield chromium
        finally:
            await chromium.close()


@asynccontextmanager
async def open_page(chromium: Browser, view: str = "light", **options: Any) -> AsyncIterator[Page]:
    """A page of its own context; leaving it asserts that nothing broke the policy and no script failed.

    `options` are Playwright's for a context, and win over those of the view.
    """
    width, scheme = VIEWS[view]
    of_view: dict[str, Any] = {
        "viewport": {"width": width, "height": _HEIGHT},
        "color_scheme": scheme,
        "reduced_motion": "reduce",
    }
    context = await chromium.new_context(**of_view | options)
    context.set_default_timeout(PATIENCE_MILLISECONDS)
    page = await context.new_page()
    await _slow_down(page)
    troubles: list[str] = []
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on(
        "console",
        lambda message: troubles.append(message.text) if "Content Security Policy" in message.text else None,
    )
    try:
        yield page
    finally:
        await context.close()
    assert troubles == []


async def _slow_down(page: Page) -> None:
    """As `MEADOW_TEST_BROWSER_LATENCY` and `MEADOW_TEST_BROWSER_SLOWDOWN` say."""
    if not LATENCY and SLOWDOWN == 1:
        return
    session = await page.context.new_cdp_session(page)
    if LATENCY:
        line = {"offline": False, "latency": LATENCY, "downloadThroughput": -1, "uploadThroughput": -1}
        await session.send("Network.emulateNetworkConditions", line)
    if SLOWDOWN != 1:
        await session.send("Emulation.setCPUThrottlingRate", {"rate": SLOWDOWN})


async def press(target: Locator) -> None:
    """Click what brings another page, and wait for that page: what is asked next must not be answered by this one."""
    async with target.page.expect_navigation():
        await target.click()


async def capture(chromium: Browser, name: str, url: str, *, directory: Path = SCREENSHOTS) -> list[Path]:
    """Three pictures of the whole page at `url`: NAME-light.png, NAME-dark.png (1280 wide), NAME-phone.png (390)."""
    directory.mkdir(parents=True, exist_ok=True)
    made = []
    for view in VIEWS:
        async with open_page(chromium, view) as page:
            await page.goto(url, wait_until="load")
            await page.wait_for_timeout(300)  # times and a first live block may still settle
            path = directory / f"{name}-{view}.png"
            await page.screenshot(path=path, full_page=True)
            _shrink(path)
            made.append(path)
    return made


def _shrink(path: Path) -> None:
    """256 colours: a third of the bytes, for a repository that keeps them all."""
    with Image.open(path) as picture:
        small = picture.convert("RGB").quantize(256, dither=Image.Dither.NONE)
    small.save(path, optimize=True)
