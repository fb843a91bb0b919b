"""What tests of pages share."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from feedagg.aggregator import Aggregator
from tests.conftest import skip_or_fail
from tests.support.feedagg import aggregator, client
from tests.support.screens import browser, why_browser_is_missing

BROWSER_SECONDS = 900
"""For one test. Each wait in it has a deadline of its own; this one is for what hangs."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("browser") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(BROWSER_SECONDS))


@pytest.fixture(scope="module")
async def chromium() -> AsyncIterator[Any]:
    """A Chromium without a window, one for all tests of a file; they skip where there is none."""
    skip_or_fail(why_browser_is_missing())
    async with browser() as started:
        yield started


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Aggregator]:
    """An aggregator without anybody to read."""
    async with aggregator(tmp_path) as opened:
        yield opened


@pytest.fixture
async def web(running: Aggregator) -> AsyncIterator[httpx2.AsyncClient]:
    """Who asks for its pages."""
    async with client(running) as opened:
        yield opened
