"""Our DHT nodes and the official ones in one network on loopback, each asking the other."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from hashlib import blake2b
from typing import Any

import pytest

from core.dht.address import Address, encode_address
from core.dht.commands import DOWN_HINT, UNKNOWN_COMMAND
from core.dht.incoming import IncomingRequest
from core.dht.outgoing import Reply
from core.dht.peer_id import peer_id
from core.dht.sampler import NatSampler
from core.net.dht_node import UdpDhtNode
from core.net.testnet import Testnet
from tests.support.node import NodePeer

pytestmark = [pytest.mark.anyio, pytest.mark.interop]

# hyperdht 6.34.0 `lib/constants.js`
IMMUTABLE_PUT = 8
IMMUTABLE_GET = 9
VALUES = 77

Start = Callable[..., Awaitable[NodePeer]]


@pytest.fixture
async def node(start_node: Start) -> NodePeer:
    return await start_node("dht.js")


@pytest.fixture
async def opened() -> AsyncIterator[list[UdpDhtNode]]:
    """Nodes put here are closed after the test."""
    nodes: list[UdpDhtNode] = []
    yield nodes
    for one in nodes:
        await one.close()


def pair(address: dict[str, Any]) -> Address:
    return address["host"], address["port"]


def place(address: Address) -> dict[str, Any]:
    return {"host": address[0], "port": address[1]}


def keep_values(one: UdpDhtNode) -> dict[bytes, bytes]:
    """The user command of `keepValues` in dht.js, on our side."""
    values: dict[bytes, bytes] = {}

    def handle(request: IncomingRequest) -> None:
        assert request.target is not None
        if request.token is not None and request.value is not None:
            values[request.target] = request.value
        request.reply(values.get(request.target))

    one.machine.on_command(VALUES, handle)
    return values


async def test_ours_walks_a_network_of_theirs(node: NodePeer, opened: list[UdpDhtNode]) -> None:
    net = await node("testnet", size=10)
    ours = await UdpDhtNode.open(host="127.0.0.1", bootstrap=net["bootstrap"], ephemeral=True)
    opened.append(ours)
    await ours.bootstrapped()
    # Their first node stays ephemeral and has no id; all others were found, and tell us apart from our address.
    assert sorted(ours.machine.known_nodes()) == sorted(pair(address) for address in net["addresses"][1:])
    assert ours.machine.public_address is not None
    for target in (os.urandom(32) for _ in range(3)):
        closest = await ours.find_node(target)
        theirs = await node("findNode", name="node0", target=target.hex())
        assert [(reply.address, reply.id) for reply in closest] == [
            (pair(found), bytes.fromhex(found["id"])) for found in theirs
        ]


async def test_ours_writes_where_theirs_reads(node: NodePeer, opened: list[UdpDhtNode]) -> None:
    """Tokens, commits, and command numbers above the internal ones."""
    net = await node("testnet", size=6)
    ours = await UdpDhtNode.open(host="127.0.0.1", bootstrap=net["bootstrap"], ephemeral=True)
    opened.append(ours)
    value = os.urandom(900)
    target = blake2b(value, digest_size=32).digest()

    def commit(reply: Reply, settle: Any) -> None:
        ours.machine.request(
            reply.address,
            IMMUTABLE_PUT,
            target=target,
            value=value,
            token=reply.token,
            on_reply=lambda _: settle(None),
            on_error=settle,
        )

    walk = ours.query(target, IMMUTABLE_GET, commit=commit)
    assert [reply.value async for reply in walk] == [None] * 5
    found = await node("immutableGet", name="node0", target=target.hex())
    assert bytes.fromhex(found["value"]) == value
    # And with a token that is not theirs, the write is refused with a fresh one, which is then good.
    refused = await ours.request(
        walk.closest_nodes[0], IMMUTABLE_PUT, target=target, value=value, token=bytes(32)
    )
    assert refused.error == 2
    assert refused.token is not None
    again = await ours.request(
        walk.closest_nodes[0], IMMUTABLE_PUT, target=target, value=value, token=refused.token
    )
    assert again.error == 0


async def test_ours_becomes_open_and_persistent_among_theirs(
    node: NodePeer, opened: list[UdpDhtNode]
) -> None:
    net = await node("testnet", size=6)
    quick = await UdpDhtNode.open(host="127.0.0.1", bootstrap=net["bootstrap"], ephemeral=True)
    persistent = await UdpDhtNode.open(host="127.0.0.1", bootstrap=net["bootstrap"], ephemeral=False)
    slow = await UdpDhtNode.open(
        host="127.0.0.1", bootstrap=net["bootstrap"], ephemeral=True, quick_firewall=False
    )
    opened += [quick, persistent, slow]
    for one in opened:
        await one.bootstrapped()
    assert quick.machine.remote_address == quick.server_address
    assert (quick.machine.firewalled, quick.machine.ephemeral) == (False, True)
    assert persistent.machine.id == peer_id(persistent.server_address)
    assert slow.machine.firewalled
    assert slow.machine.public_address == slow.client_address
    # Theirs learned of the one that has an id, and of no other.
    known = {pair(address) for address in (await node("info", name="node3"))["known"]}
    assert persistent.server_address in known
    assert not known & {quick.server_address, quick.client_address, slow.client_address}
    closest = await node("findNode", name="node1", target=peer_id(persistent.server_address).hex())
    assert pair(closest[0]) == persistent.server_address


async def test_theirs_asks_ours(node: NodePeer, opened: list[UdpDhtNode]) -> None:
    net = await node("testnet", size=4)
    ours = await UdpDhtNode.open(
        host="127.0.0.1", bootstrap=net["bootstrap"], ephemeral=False, firewalled=False
    )
    opened.append(ours)
    await ours.bootstrapped()
    values = keep_values(ours)
    to = place(ours.server_address)
    target = os.urandom(32)

    pong = await node("ping", name="node2", to=to)
    assert bytes.fromhex(pong["id"]) == peer_id(ours.server_address)
    assert pong["token"] is None
    later = await node("delayedPing", name="node2", to=to, ms=120)
    assert later["error"] == 0
    unknown = await node("request", name="node2", to=to, command=500, target=target.hex())
    assert unknown["error"] == UNKNOWN_COMMAND
    assert {pair(closer) for closer in unknown["closer"]} == set(ours.machine.closest(target))
    reply = await node("request", name="node2", to=to, command=VALUES, target=target.hex())
    assert reply["value"] is None
    kept = await node(
        "request",
        name="node2",
        to=to,
        command=VALUES,
        target=target.hex(),
        value="0badcafe",
        token=reply["token"],
    )
    assert kept["value"] == "0badcafe"
    assert values == {target: bytes.fromhex("0badcafe")}
    refused = await node(
        "request", name="node2", to=to, command=VALUES, target=target.hex(), value="00", token="11" * 32
    )
    assert refused["error"] == 2
    assert refused["token"] is not None
    assert values == {target: bytes.fromhex("0badcafe")}


async def test_theirs_live_in_a_network_of_ours(node: NodePeer) -> None:
    """A DHT of Python nodes only: theirs bootstrap from it, find their NAT, become persistent, write and read."""
    async with await Testnet.open(8) as net:
        kept = [keep_values(one) for one in net.nodes]
        client = await node("open", name="client", options={"bootstrap": net.bootstrap, "ephemeral": True})
        settled = await node("open", name="settled", options={"bootstrap": net.bootstrap, "ephemeral": False})
        hyper = await node(
            "open",
            name="hyper",
            hyper=True,
            options={"bootstrap": net.bootstrap, "ephemeral": True, "port": 0},
        )
        assert (client["host"], hyper["host"]) == ("127.0.0.1", "127.0.0.1")
        assert not settled["firewalled"]
        assert bytes.fromhex(settled["id"]) == peer_id(("127.0.0.1", settled["serverPort"]))
        await node("keepValues", name="settled", command=VALUES)

        ours = await net.add()
        assert ("127.0.0.1", settled["serverPort"]) in ours.machine.known_nodes()
        target = os.urandom(32)
        everybody = sorted(
            [*(one.server_address for one in net.nodes[:8]), ("127.0.0.1", settled["serverPort"])]
        )
        for name in ("client", "hyper"):
            found = await node("findNode", name=name, target=target.hex())
            assert sorted(map(pair, found)) == everybody
        written = await node(
            "query", name="client", target=target.hex(), command=VALUES, value="c0ffee", commit=True
        )
        assert written["errors"] == 0
        assert all(values[target] == b"\xc0\xff\xee" for values in kept)
        read = [reply async for reply in ours.query(target, VALUES)]
        assert sorted(reply.address for reply in read) == everybody
        assert {reply.value for reply in read} == {b"\xc0\xff\xee"}


async def test_a_hint_makes_ours_check_and_forget_a_dead_node_of_theirs(node: NodePeer) -> None:
    async with await Testnet.open(5) as net:
        theirs = await node("open", name="theirs", options={"bootstrap": net.bootstrap, "ephemeral": False})
        dead = ("127.0.0.1", theirs["serverPort"])
        observer, hinter = net.nodes[2], net.nodes[3]
        assert dead in observer.machine.known_nodes()
        hint = encode_address(dead)
        reply = await hinter.request(observer.server_address, DOWN_HINT, internal=True, value=hint)
        assert reply.error == 0
        await observer.ping(dead)  # it lives, whatever was said
        assert dead in observer.machine.known_nodes()
        await node("close", name="theirs")
        observer.machine.upkeep.tick(asyncio.get_running_loop().time())  # one check a tick and node
        await hinter.request(observer.server_address, DOWN_HINT, internal=True, value=hint)
        async with asyncio.timeout(60):  # four attempts of one second
            while dead in observer.machine.known_nodes():
                await asyncio.sleep(0.05)


async def test_the_sampler_judges_as_theirs(node: NodePeer) -> None:
    draw = random.Random(8)
    for ports in (1, 2, 3, 40):
        for hosts in (1, 2):
            samples = [(f"1.1.1.{draw.randrange(hosts)}", 1 + draw.randrange(ports)) for _ in range(300)]
            ours = NatSampler()
            judged = []
            for host, port in samples:
                ours.add(host, port)
                judged.append([ours.host, ours.port])
            assert judged == await node("sampler", samples=samples)
