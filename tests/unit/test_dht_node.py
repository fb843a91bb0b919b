"""The DHT node on real sockets: its life, its ends, and the network of one call."""

from __future__ import annotations

import asyncio
import os
import socket

import pytest

from core.dht.commands import SERVER
from core.dht.peer_id import distance, peer_id
from core.errors import LocalProtocolError, RequestCancelled, RequestTimeout, SessionClosed
from core.net.dht_node import UdpDhtNode
from core.net.testnet import Testnet

pytestmark = pytest.mark.anyio

KEEP = 9


async def network(size: int) -> Testnet:
    """Nodes of dht-rpc alone: what is built on them is tested elsewhere."""
    return await Testnet.open(size, open_node=UdpDhtNode.open)


def open_sockets() -> int:
    return sum(
        os.readlink(f"/proc/self/fd/{fd}").startswith("socket:")
        for fd in os.listdir("/proc/self/fd")
        if link(fd)
    )


def link(fd: str) -> bool:
    return os.path.islink(f"/proc/self/fd/{fd}")


async def test_a_network_of_one_call_leaves_nothing_behind() -> None:
    tasks, sockets = asyncio.all_tasks(), open_sockets()
    async with await network(8) as net:
        assert len({node.server_address for node in net.nodes}) == 8
        assert all(node.machine.id == peer_id(node.server_address) for node in net.nodes)
        client = await net.add()
        for _ in range(5):
            target = os.urandom(32)
            found = await client.find_node(target)
            nearest = sorted(net.nodes[:8], key=lambda node: distance(peer_id(node.server_address), target))
            assert [reply.address for reply in found] == [node.server_address for node in nearest]
        assert asyncio.all_tasks() == tasks  # no task for a node, a walk or a request
    assert open_sockets() == sockets
    assert asyncio.all_tasks() == tasks


async def test_a_network_of_one_node_stores_already() -> None:
    async with await network(1) as net:
        (only,) = net.nodes
        assert only.machine.id is not None
        only.machine.on_command(KEEP, lambda request: request.reply(request.value if request.token else None))
        client = await net.add()
        walk = client.query(bytes(32), KEEP, b"value", commit=True)
        assert [reply.value async for reply in walk] == [None]
        assert walk.closest_nodes == [only.server_address]


async def test_walks_can_be_left_early_and_cancelled() -> None:
    async with await network(6) as net:
        client = await net.add()
        walk = client.query(os.urandom(32), KEEP)
        walk.cancel()
        assert [reply async for reply in walk] == []
        waiting = asyncio.create_task(client.find_node(os.urandom(32)))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        asking = asyncio.create_task(client.ping(("127.0.0.1", 9)))
        await asyncio.sleep(0)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert len(client.machine.requests) == 0
        assert not client.machine.active_queries


async def test_who_does_not_answer_is_said_so() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as deaf:
        deaf.bind(("127.0.0.1", 0))
        async with await UdpDhtNode.open(host="127.0.0.1") as node:
            await node.bootstrapped()
            with pytest.raises(RequestTimeout, match="did not answer"):
                await node.ping(deaf.getsockname(), retries=0)


async def test_closing_ends_what_is_under_way() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as deaf:
        deaf.bind(("127.0.0.1", 0))
        node = await UdpDhtNode.open(host="127.0.0.1", bootstrap=[deaf.getsockname()])
        waits = asyncio.create_task(node.bootstrapped())
        asks = asyncio.create_task(node.ping(deaf.getsockname()))
        walks = asyncio.create_task(node.find_node(bytes(32)))
        await asyncio.sleep(0.02)
        await node.close()
        await node.close()
        for task, error in ((waits, SessionClosed), (asks, RequestCancelled), (walks, RequestCancelled)):
            with pytest.raises(error):
                await task
        with pytest.raises(LocalProtocolError):
            node.query(bytes(32), KEEP)


async def test_suspending_gives_the_ports_back_and_resuming_takes_them_again() -> None:
    async with await network(4) as net:
        node = await net.add(ephemeral=False, firewalled=False)
        server, client = node.server_address, node.client_address
        asks = asyncio.create_task(node.ping(("127.0.0.1", 9)))
        await asyncio.sleep(0.01)
        await node.suspend()
        with pytest.raises(RequestCancelled):
            await asks
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
            taken.bind(server)
        await node.resume()
        assert (node.server_address, node.client_address) == (server, client)
        assert len(await node.find_node(bytes(32))) == 4
        assert (await net.nodes[1].ping(server)).id == peer_id(server)


async def test_ports_are_tried_in_order() -> None:
    async with await UdpDhtNode.open(host="127.0.0.1") as first:
        taken = first.server_address[1]
        async with await UdpDhtNode.open(host="127.0.0.1", ports=[taken]) as second:
            assert second.server_address[1] != taken
        with pytest.raises(OSError, match="in use"):
            await UdpDhtNode.open(host="127.0.0.1", ports=[taken], any_port=False)
        await first.close()
        async with await UdpDhtNode.open(host="127.0.0.1", ports=[taken], any_port=False) as third:
            assert third.machine.server_port == taken


async def test_a_bootstrap_node_may_be_given_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    async def getaddrinfo(host: str, port: None, **_: object) -> list[tuple[object, ...]]:
        if host != "first.example":
            raise socket.gaierror(f"no such name: {host}")
        return [(socket.AF_INET, socket.SOCK_DGRAM, 17, "", ("127.0.0.1", 0))]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
    async with await network(3) as net:
        _, port = net.nodes[0].server_address
        named = await net.add(bootstrap=[f"first.example:{port}"])
        assert len(await named.find_node(bytes(32))) == 3
        nowhere = await net.add(bootstrap=["gone.example:1", f"127.0.0.1:{port}"])
        assert len(await nowhere.find_node(bytes(32))) == 3


async def test_garbage_on_the_socket_is_survived() -> None:
    async with await network(3) as net:
        target = net.nodes[1]
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            for size in range(60):
                for first in (b"", b"\x03", b"\x13", b"\xff\x01"):
                    stranger.sendto(first + os.urandom(size), target.server_address)
        assert (await net.nodes[2].ping(target.server_address)).error == 0
        assert target.hubs[SERVER].socket.send_errors == 0
