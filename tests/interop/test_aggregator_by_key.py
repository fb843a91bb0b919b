"""An aggregator of ours finds a Node author's bee by its key alone, in a DHT of either kind, and shows it live."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from core.peer import Testnet
from tests.conftest import skip_or_fail
from tests.support.feedagg import aggregator, client, titles
from tests.support.node import NODE_DIRECTORY, why_node_is_missing

pytestmark = [pytest.mark.anyio, pytest.mark.interop]

Told = dict[str, Any]


@asynccontextmanager
async def node_author(
    directory: Path, *bootstrap: str
) -> AsyncIterator[tuple[asyncio.subprocess.Process, Told]]:
    """`author.js`, announced: (process, {"key", "bootstrap"})."""
    skip_or_fail(why_node_is_missing())
    node = await asyncio.create_subprocess_exec(
        "node",
        str(NODE_DIRECTORY / "author.js"),
        str(directory),
        *bootstrap,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert node.stdout is not None
        yield node, json.loads(await asyncio.wait_for(node.stdout.readline(), 60))
    finally:
        if node.returncode is None:
            node.kill()
        await node.wait()


@asynccontextmanager
async def dht_of(kind: str) -> AsyncIterator[tuple[str, ...]]:
    """The arguments of `author.js` for a DHT of Python nodes, or of the official ones (which it runs itself)."""
    if kind == "node":
        yield ()
        return
    async with await Testnet.open(6) as net:
        yield (",".join(net.bootstrap),)


@pytest.mark.parametrize("kind", ["node", "python"])
async def test_a_node_author_is_found_by_key_alone_and_followed_live(tmp_path: Path, kind: str) -> None:
    async with dht_of(kind) as arguments, node_author(tmp_path / "node", *arguments) as (node, told):
        assert node.stdin is not None
        async with (
            aggregator(tmp_path / "feed", bootstrap=",".join(told["bootstrap"])) as running,
            client(running) as web,
        ):
            answer = await web.post("/submit", json={"key": told["key"]})
            assert answer.status_code == 202
            await titles(web, {"Alien", "Brazil"})
            (connection,) = running.peer.connections
            assert connection.how in ("direct", "lan", "punched")
            node.stdin.write(b"Stalker\n")
            await titles(web, {"Alien", "Brazil", "Stalker"})
            node.stdin.close()
            await node.wait()  # it takes its announcement back when it ends in order
