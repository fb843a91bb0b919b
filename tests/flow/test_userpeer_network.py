"""`userpeer dht`, `run --bootstrap` and `net`, as programs: a reader in this process finds the author by key alone."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from core.dht.hyper_commands import IMMUTABLE_GET
from core.dht.peer_id import peer_id
from core.net.testnet import Testnet
from core.peer import Peer
from tests.support.userpeer import command, json_lines, program, running
from tests.support.waiting import eventually

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
            assert await reader.find(theirs.core, 60.0)
            key = reader.public_key.hex()

            async def listed() -> bool:
                net = await asyncio.to_thread(program, tmp_path, "net", "--json")
                (item,) = json_lines(net)
                assert item["dht"]["state"] == "online"
                return key in [one["key"] for one in item["connections"]]

            # When both dial at once, one connection may take the place of another meanwhile.
            await eventually(listed)
    finally:
        if reader is not None:
            await reader.close()
        dht.terminate()
        dht.wait(60)
        if dht.stdout is not None:
            dht.stdout.close()


async def test_a_peer_may_be_a_node_that_stores_for_others(tmp_path: Path) -> None:
    async with await Testnet.open(3) as net:
        with (
            running(tmp_path / "node", "--bootstrap", *net.bootstrap, "--dht-node", network=True),
            running(tmp_path / "guest", "--bootstrap", *net.bootstrap, network=True),
        ):

            async def said(name: str) -> dict[str, Any]:
                (item,) = json_lines(await asyncio.to_thread(program, tmp_path / name, "net", "--json"))
                return dict(item["dht"])

            async def is_node() -> bool:
                return bool((await said("node"))["is_node"])

            await eventually(is_node)
            assert not (await said("guest"))["is_node"], "others become nodes after twenty quiet minutes"
            host, _, port = (await said("node"))["address"].rpartition(":")
            address = (host, int(port))
            stranger = await net.add()
            assert (await stranger.ping(address)).id == peer_id(address)
            target = await stranger.immutable_put(b"kept by a person's peer")
            kept = {
                reply.address: reply.value
                async for reply in stranger.query(target, IMMUTABLE_GET)
                if reply.id is not None
            }
            assert kept[address] == b"kept by a person's peer"
            assert len(kept) == 4, "the three nodes of this network and the peer"


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ("nowhere", "'nowhere' is not the HOST:PORT of a bootstrap node, as in 127.0.0.1:49737."),
        ("", "No bootstrap node is named; give at least one HOST:PORT"),
        ("127.0.0.1:99999", "is not the HOST:PORT of a bootstrap node"),
        ("a..b:49737", "not 'a..b:49737'"),
    ],
)
def test_a_bootstrap_node_that_cannot_be_one_is_told_and_nothing_is_started(
    tmp_path: Path, given: str, sentence: str
) -> None:
    done = command(tmp_path, "run", "--web", "127.0.0.1:0", "--bootstrap", given)
    assert done.returncode == 1
    assert sentence in done.stderr


def test_a_dht_takes_the_port_it_was_told_or_none(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        done = command(tmp_path, "dht", "--nodes", "2", "--port", str(port))
    assert done.returncode == 1
    assert f"UDP port {port} cannot be opened: Address already in use. Choose another" in done.stderr


def test_net_of_a_peer_that_does_not_run_or_has_no_dht(tmp_path: Path) -> None:
    assert "Your peer does not run" in command(tmp_path, "net").stdout
    with running(tmp_path):
        assert "The DHT is off" in command(tmp_path, "net").stdout
