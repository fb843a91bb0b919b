"""Fixtures that every kind of test may use."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from hypothesis import settings

from tests.support.node import NodePeer, steps, why_node_is_missing

# A shared machine may stop for a second at any time: how long an example takes proves nothing here.
settings.register_profile("meadow", deadline=None)
settings.load_profile("meadow")

MUST_NOT_SKIP = os.environ.get("CI", "").lower() in {"1", "true"}


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


def skip_or_fail(reason: str | None) -> None:
    """Skip with the reason, or fail with it where CI promises that what is missing is there."""
    if reason is None:
        return
    if MUST_NOT_SKIP:
        pytest.fail(f"CI must not skip this: {reason}")
    pytest.skip(reason)


@pytest.fixture
async def node_peer() -> AsyncIterator[NodePeer]:
    """A running Node peer."""
    skip_or_fail(why_node_is_missing())
    async with await NodePeer.start() as peer:
        yield peer


@pytest.fixture
async def start_node() -> AsyncIterator[Callable[..., Awaitable[NodePeer]]]:
    """Starts as many Node peers as a test asks for (`await start_node()`), and closes them after it."""
    skip_or_fail(why_node_is_missing())
    peers: list[NodePeer] = []

    async def start(script: str = "peer.js", arguments: tuple[str, ...] = ()) -> NodePeer:
        peers.append(await NodePeer.start(script, arguments))
        return peers[-1]

    yield start
    for peer in peers:
        await peer.close()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """How much of this run was done with the official packages: passed cases, and how often Node was handed a step."""
    if steps.taken:
        passed = terminalreporter.stats.get("passed", [])
        cases = sum(1 for report in passed if "interop" in report.keywords)
        terminalreporter.write_line(
            f"{cases} interop cases passed, in which Node was handed {steps.taken:,} steps"
        )
