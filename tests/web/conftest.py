"""What tests of pages share."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.conftest import skip_or_fail
from tests.support.screens import browser, why_browser_is_missing


@pytest.fixture(scope="module")
async def chromium() -> AsyncIterator[Any]:
    """A Chromium without a window, one for all tests of a file; they skip where there is none."""
    skip_or_fail(why_browser_is_missing())
    async with browser() as started:
        yield started
