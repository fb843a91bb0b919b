"""Fixtures of the unit tests."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from core.corestore import Corestore
from core.hyperbee import Hyperbee


@pytest.fixture
async def store() -> AsyncIterator[Corestore]:
    store = Corestore(None)
    yield store
    await store.close()


@pytest.fixture
async def bee(store: Corestore) -> Hyperbee:
    return Hyperbee(store.get(name="bee"), key_encoding="utf-8", value_encoding="json")
