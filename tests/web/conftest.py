"""What tests of pages share."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser

from tests.conftest import skip_or_fail
from tests.support.browser import open_browser, why_chromium_is_missing


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    """A headless Chromium; skips where there is none."""
    skip_or_fail(why_chromium_is_missing())
    async with open_browser() as opened:
        yield opened
