"""Many bees in one process: one connection for all that two peers share, and no socket, task or query for each.

The rules for 10,000 topics are simulated in `tests/simulation/test_swarm.py`; `python -m bench swarm` joins so many.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from core.peer import Peer, Testnet
from core.swarm.discovery import MAX_QUERIES
from tests.support.waiting import eventually

pytestmark = pytest.mark.anyio

BEES = 400


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.skipif(
    not Path("/proc/self/fd").exists(), reason="open descriptors are counted as Linux shows them"
)
async def test_two_peers_share_four_hundred_bees_over_one_connection() -> None:
    async with await Testnet.open(4) as net:
        author = await Peer.open(None, bootstrap=net.bootstrap)
        reader = await Peer.open(None, bootstrap=net.bootstrap)
        try:
            tasks, open_before = len(asyncio.all_tasks()), descriptors()
            bees = [author.bee(name=str(number)) for number in range(BEES)]
            for number, bee in enumerate(bees):
                await bee.put("number", number)
            most_queries = 0
            theirs = [reader.bee(key=bee.core.key) for bee in bees]

            def attached() -> bool:
                nonlocal most_queries
                assert author.network is not None
                assert reader.network is not None
                for network in (author.network, reader.network):
                    most_queries = max(most_queries, network.status().queries)
                return all(bee.core.peers for bee in theirs)

            await eventually(attached, 120.0)
            assert 0 < most_queries <= MAX_QUERIES
            assert len(reader.connections) == len(author.connections) == 1
            await eventually(lambda: len(asyncio.all_tasks()) <= tasks and descriptors() <= open_before)
            await asyncio.gather(*(bee.core.update(wait=True, timeout=60.0) for bee in theirs))
            entries = await asyncio.gather(*(bee.get("number", timeout=60) for bee in theirs))
            assert [entry.value for entry in entries if entry is not None] == list(range(BEES))
        finally:
            await reader.close()
            await author.close()
