"""`userpeer dht`, `run --bootstrap` and `net`, as programs: a reader in this process finds the author by key alone."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest

from core.peer import Peer
from tests.support.userpeer import eventually, json_lines, program, running

pytestmark = pytest.mark.anyio


async def test_a_peer_on_the_dht_of_one_command_is_found_by_its_key(tmp_path: Path) -> None:
    dht = subprocess.Popen(
        [sys.executable, "-m", "userpeer", "dht", "--nodes", "4", "--json"], stdout=subprocess.PIPE, text=True
    )
    reader = None
    try:
        assert dht.stdout is not None
        bootstrap = json.loads(dht.stdout.readline())["bootstrap"]
        with running(tmp_path, "--bootstrap", bootstrap, network=True) as (_, ready):
            reader = await Peer.open(None, bootstrap=[bootstrap])
            theirs = reader.bee(key=ready["key"])
            assert await reader.find(theirs.core, 10.0)
            key = reader.public_key.hex()

            async def listed() -> bool:
                net = await asyncio.to_thread(program, tmp_path, "net", "--json")
                (item,) = json_lines(net)
                assert item["dht"]["state"] == "online"
                return key in [one["key"] for one in item["connections"]]

            # When both dial at once, one connection may take the place of another meanwhile.
            await eventually(listed, 30.0)
    finally:
        if reader is not None:
            await reader.close()
        dht.terminate()
        dht.wait(10)
        if dht.stdout is not None:
            dht.stdout.close()
