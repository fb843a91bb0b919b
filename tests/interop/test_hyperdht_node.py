"""Our HyperDHT and the official one: values, announcements and connections by key, each way, on loopback."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from core.corestore import Corestore
from core.crypto.hashing import hash32
from core.crypto.keys import key_pair
from core.dht.records import PeerRecord
from core.dht.server import Server
from core.errors import PeerUnreachable
from core.net.hyperdht import HyperDht
from core.net.testnet import Testnet
from tests.support.hyperdht import Echo, Open, echo_through, opener, serve_core, serve_echo
from tests.support.node import NodePeer

pytestmark = [pytest.mark.anyio, pytest.mark.interop]

Start = Callable[..., Awaitable[NodePeer]]

SEED = bytes(range(32))
SERVER = key_pair(SEED)


@pytest.fixture
async def node(start_node: Start) -> NodePeer:
    return await start_node("hyperdht.js")


@pytest.fixture
async def open_dht() -> AsyncIterator[Open]:
    """Opens nodes of ours that are closed after the test."""
    async with opener() as open_one:
        yield open_one


async def node_testnet(node: NodePeer, size: int = 6) -> list[str]:
    answer = await node("testnet", size=size)
    return list(answer["bootstrap"])


# --- storing ------------------------------------------------------------------------------------------


async def test_values_and_peers_of_ours_in_their_network(node: NodePeer, open_dht: Open) -> None:
    bootstrap = await node_testnet(node)
    await node("open", name="asker", options={"bootstrap": bootstrap})
    dht = await open_dht(bootstrap=bootstrap)
    topic = secrets.token_bytes(32)

    target = await dht.immutable_put(b"kept by strangers")
    assert (
        bytes.fromhex(await node("immutableGet", name="asker", target=target.hex())) == b"kept by strangers"
    )
    await dht.mutable_put(SERVER, b"first", seq=1)
    await dht.mutable_put(SERVER, b"second", seq=2)
    found = await node("mutableGet", name="asker", key=SERVER.public_key.hex())
    assert found == {"seq": 2, "value": b"second".hex()}

    await dht.announce(topic, SERVER, [("127.0.0.1", 4000)]).finished()
    peers = await node("lookup", name="asker", topic=topic.hex())
    assert peers
    assert all(peer == {"key": SERVER.public_key.hex(), "relays": [["127.0.0.1", 4000]]} for peer in peers)
    await dht.unannounce(topic, SERVER)
    assert await node("lookup", name="asker", topic=topic.hex()) == []


async def test_values_and_peers_of_theirs_in_our_network(node: NodePeer, open_dht: Open) -> None:
    async with await Testnet.open(6, open_node=HyperDht.open) as net:
        dht = await open_dht(bootstrap=net.bootstrap)
        await node("open", name="peer", options={"bootstrap": net.bootstrap})
        topic = secrets.token_bytes(32)

        target = await node("immutablePut", name="peer", value=b"kept by us".hex())
        assert await dht.immutable_get(bytes.fromhex(target)) == b"kept by us"
        await node("mutablePut", name="peer", seed=SEED.hex(), value=b"one".hex(), seq=1)
        await node("mutablePut", name="peer", seed=SEED.hex(), value=b"five".hex(), seq=5)
        value = await dht.mutable_get(SERVER.public_key)
        assert value is not None
        assert (value.seq, value.value) == (5, b"five")
        assert await node("mutableGet", name="peer", key=SERVER.public_key.hex(), seq=6) is None

        await node("announce", name="peer", topic=topic.hex(), seed=SEED.hex())
        found = [peer async for reply in dht.lookup(topic) for peer in reply.peers]
        assert len(found) >= 4, "every node of this small network keeps it"
        assert set(found) == {PeerRecord(SERVER.public_key)}
        await node("unannounce", name="peer", topic=topic.hex(), seed=SEED.hex())
        assert [reply async for reply in dht.lookup(topic)] == []


# --- connecting ---------------------------------------------------------------------------------------

CLIENTS = {
    "open": {"firewalled": False, "ephemeral": True},
    "firewalled": {"quick_firewall": False},
}
NODE_OPTIONS = {
    "open": {"firewalled": False},
    "firewalled": {"quickFirewall": False},
}


@pytest.mark.parametrize("server", CLIENTS)
@pytest.mark.parametrize("client", CLIENTS)
async def test_we_connect_to_their_server(node: NodePeer, open_dht: Open, server: str, client: str) -> None:
    bootstrap = await node_testnet(node)
    await node("open", name="server", options={"bootstrap": bootstrap, **NODE_OPTIONS[server]})
    listening = await node("listen", name="server", seed=SEED.hex())
    assert listening["key"] == SERVER.public_key.hex()
    dht = await open_dht(bootstrap=bootstrap, **CLIENTS[client])
    async with asyncio.timeout(60):
        assert await echo_through(dht, SERVER.public_key, b"\x01" * 100) == b"\x01" * 100
    assert await node("served", name="server") == 1


@pytest.mark.parametrize("server", CLIENTS)
@pytest.mark.parametrize("client", CLIENTS)
async def test_they_connect_to_our_server(node: NodePeer, open_dht: Open, server: str, client: str) -> None:
    bootstrap = await node_testnet(node)
    await node("open", name="client", options={"bootstrap": bootstrap, **NODE_OPTIONS[client]})
    dht = await open_dht(bootstrap=bootstrap, **CLIENTS[server])
    echo = await serve_echo(dht, SERVER)
    data = secrets.token_bytes(100)
    answer = await node("connect", name="client", key=SERVER.public_key.hex(), data=data.hex())
    assert answer["data"] == data.hex()
    assert answer["remoteKey"] == SERVER.public_key.hex()
    assert len(echo.meetings) == 1


@pytest.mark.parametrize("fast_open", [True, False])
async def test_we_punch_through_to_their_server(node: NodePeer, open_dht: Open, fast_open: bool) -> None:
    bootstrap = await node_testnet(node)
    await node("open", name="server", options={"bootstrap": bootstrap, "quickFirewall": False})
    await node("listen", name="server", seed=SEED.hex(), options={"noLocal": True})
    dht = await open_dht(bootstrap=bootstrap, quick_firewall=False)
    echo = Echo(dht)
    async with asyncio.timeout(60):
        meeting = await dht.connect(SERVER.public_key, local=False, fast_open=fast_open)
        connection = echo.take(meeting)
        await connection.opened
    assert meeting.how == "punched"
    assert connection.how == "punched"


@pytest.mark.parametrize("fast_open", [True, False])
async def test_they_punch_through_to_our_server(node: NodePeer, open_dht: Open, fast_open: bool) -> None:
    bootstrap = await node_testnet(node)
    await node("open", name="client", options={"bootstrap": bootstrap, "quickFirewall": False})
    dht = await open_dht(bootstrap=bootstrap, quick_firewall=False)
    echo = await serve_echo(dht, SERVER, share_local_addresses=False)
    options = {"localConnection": False, "fastOpen": fast_open}
    answer = await node("connect", name="client", key=SERVER.public_key.hex(), data="aabb", options=options)
    assert answer["data"] == "aabb"
    assert [meeting.how for meeting in echo.meetings] == ["punched"]


async def test_nobody_listens_on_that_key(node: NodePeer, open_dht: Open) -> None:
    bootstrap = await node_testnet(node)
    dht = await open_dht(bootstrap=bootstrap)
    with pytest.raises(PeerUnreachable, match="nobody in the DHT knows this key"):
        await dht.connect(secrets.token_bytes(32))


async def test_a_refused_key_gets_no_answer(node: NodePeer, open_dht: Open) -> None:
    bootstrap = await node_testnet(node)
    await node("open", name="client", options={"bootstrap": bootstrap})
    dht = await open_dht(bootstrap=bootstrap)
    refused = key_pair()
    echo = await serve_echo(dht, SERVER, firewall=lambda key, _: key != refused.public_key)
    with pytest.raises(Exception, match="PEER_CONNECTION_FAILED"):
        await node("connect", name="client", key=SERVER.public_key.hex(), data="00")
    assert echo.meetings == []


async def test_connecting_through_a_known_relay(node: NodePeer, open_dht: Open) -> None:
    """A node whose only hint is one that forwards: no walk finds it sooner."""
    bootstrap = await node_testnet(node)
    await node("open", name="server", options={"bootstrap": bootstrap, **NODE_OPTIONS["firewalled"]})
    listening = await node("listen", name="server", seed=SEED.hex())
    dht = await open_dht(bootstrap=bootstrap, quick_firewall=False)
    relays = [tuple(relay) for relay in listening["relays"]]
    echo = Echo(dht)
    connection = echo.take(await dht.connect(SERVER.public_key, relay_addresses=relays))
    await asyncio.wait_for(connection.opened, 60)


# --- replication --------------------------------------------------------------------------------------


async def test_a_core_of_theirs_is_read_by_key_alone(node: NodePeer, open_dht: Open) -> None:
    bootstrap = await node_testnet(node)
    await node("open", name="server", options={"bootstrap": bootstrap})
    blocks = [bytes([number]) * 2000 for number in range(50)]
    opened = await node("core", blocks=[block.hex() for block in blocks])
    await node("listen", name="server", seed=SEED.hex(), serve="core")
    dht = await open_dht(bootstrap=bootstrap)
    store = Corestore(None)
    try:
        core = store.get(bytes.fromhex(opened["key"]))
        connection = serve_core(store, await dht.connect(SERVER.public_key), dht.key_pair)
        async with asyncio.timeout(60):
            assert [await core.get(index) for index in range(50)] == blocks
        connection.close()
    finally:
        await store.close()


async def test_a_core_of_ours_is_read_by_key_alone(node: NodePeer, open_dht: Open) -> None:
    bootstrap = await node_testnet(node)
    await node("open", name="client", options={"bootstrap": bootstrap})
    dht = await open_dht(bootstrap=bootstrap)
    store = Corestore(None)
    try:
        core = store.get(name="core")
        blocks = [bytes([number]) * 2000 for number in range(50)]
        await core.append(blocks)
        await dht.listen(SERVER, lambda meeting: _keep(serve_core(store, meeting, SERVER)))
        read = await node(
            "replicate", name="client", key=SERVER.public_key.hex(), core=core.key.hex(), length=len(blocks)
        )
        assert [bytes.fromhex(block) for block in read] == blocks
    finally:
        await store.close()


def _keep(_: Any) -> None:
    """The connection lives by its socket."""


# --- a network of ours alone, used by them --------------------------------------------------------------


async def test_they_meet_in_a_network_of_ours(node: NodePeer, open_dht: Open) -> None:
    async with await Testnet.open(5, open_node=HyperDht.open) as net:
        await node("open", name="server", options={"bootstrap": net.bootstrap, **NODE_OPTIONS["firewalled"]})
        await node("open", name="client", options={"bootstrap": net.bootstrap, **NODE_OPTIONS["firewalled"]})
        listening = await node("listen", name="server", seed=SEED.hex())
        assert len(listening["relays"]) == 3
        answer = await node("connect", name="client", key=SERVER.public_key.hex(), data="0102")
        assert answer["data"] == "0102"
        keepers = [one for one in net.nodes if one.world.router.relay_for(hash32(SERVER.public_key))]
        assert len(keepers) == 3
        await node("unlisten", name="server")
        assert not any(one.world.router.relay_for(hash32(SERVER.public_key)) for one in net.nodes)


async def test_our_server_is_forgotten_when_it_closes(node: NodePeer, open_dht: Open) -> None:
    bootstrap = await node_testnet(node)
    await node("open", name="asker", options={"bootstrap": bootstrap})
    dht = await open_dht(bootstrap=bootstrap)
    server: Server = await dht.listen(SERVER, lambda meeting: meeting.stream.destroy())
    assert len(server.relay_addresses) == 3
    assert len(await node("findPeer", name="asker", key=SERVER.public_key.hex())) == 3
    await dht.close_server(server)
    assert await node("findPeer", name="asker", key=SERVER.public_key.hex()) == []
