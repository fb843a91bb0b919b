"""HyperDHT of Python nodes alone, on loopback: connections, suspending, and what is left behind."""

from __future__ import annotations

import asyncio
import gc
import secrets
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from core.crypto.keys import key_pair
from core.dht import connect
from core.dht.address import Address
from core.dht.commands import Socket
from core.errors import LocalProtocolError, PeerUnreachable, TooFewNodes
from core.net.connection import Connection
from core.net.hyper_sockets import HyperSockets
from core.net.hyperdht import HyperDht
from core.net.meeting import plain_connection
from core.net.testnet import Testnet
from tests.support.hyperdht import Echo, echo_through, serve_echo
from tests.support.waiting import eventually

pytestmark = pytest.mark.anyio

SERVER = key_pair(bytes(range(32)))


@pytest.fixture
async def net() -> AsyncIterator[Testnet]:
    async with await Testnet.open(5, open_node=HyperDht.open) as network:
        yield network


async def test_connecting_by_key(net: Testnet) -> None:
    server, client = await net.add(), await net.add()
    echo = await serve_echo(server, SERVER)
    data = secrets.token_bytes(200_000)
    async with asyncio.timeout(60):
        assert await echo_through(client, SERVER.public_key, data) == data
    assert len(echo.meetings) == 1
    with pytest.raises(LocalProtocolError):
        server.serve(SERVER, lambda _: None)


@pytest.mark.parametrize("fast_open", [True, False])
async def test_punching(net: Testnet, fast_open: bool) -> None:
    server = await net.add(quick_firewall=False)
    client = await net.add(quick_firewall=False)
    served = await serve_echo(server, SERVER, share_local_addresses=False)
    echo = Echo(client)
    async with asyncio.timeout(60):
        connection = echo.take(await client.connect(SERVER.public_key, local=False, fast_open=fast_open))
        assert await echo.send(connection, b"through") == b"through"
    assert connection.how == "punched"
    assert [meeting.how for meeting in served.meetings] == ["punched"]
    connection.close()


async def test_on_one_network_no_hole_is_punched(net: Testnet, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[Socket] = []
    open_socket = HyperSockets.open_socket

    def counted(sockets: HyperSockets, on_probe: Callable[[Address], None]) -> Socket:
        opened.append(open_socket(sockets, on_probe))
        return opened[-1]

    monkeypatch.setattr(HyperSockets, "open_socket", counted)
    monkeypatch.setattr(connect, "LOCAL_HEAD_START_SECONDS", 30.0)  # whatever else this machine does
    server = await net.add(quick_firewall=False)
    client = await net.add(quick_firewall=False)
    served = await serve_echo(server, SERVER)
    async with asyncio.timeout(60):
        assert await echo_through(client, SERVER.public_key, b"near") == b"near"
    assert [meeting.how for meeting in served.meetings] == ["lan"]
    assert opened == []


async def test_a_local_address_that_does_not_answer_is_no_obstacle(
    net: Testnet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two networks behind one address: what the server calls its local address is nobody's here."""
    server = await net.add(quick_firewall=False)
    client = await net.add(quick_firewall=False)
    monkeypatch.setattr(server.sockets, "local_addresses", lambda: [("127.0.0.1", 9)])
    served = await serve_echo(server, SERVER)
    async with asyncio.timeout(60):
        assert await echo_through(client, SERVER.public_key, b"near") == b"near"
    assert [meeting.how for meeting in served.meetings] == ["punched"]


async def test_what_has_arrived_already_opens_no_connection_that_its_owner_does_not_hold_yet(
    net: Testnet,
) -> None:
    """Whoever was dialed speaks first; its header may be there before the dialer takes the meeting up."""
    server, client = await net.add(), await net.add()
    served = await serve_echo(server, SERVER)
    meeting = await client.connect(SERVER.public_key)
    async with asyncio.timeout(60):
        while not meeting.stream.receiver.unread:
            await asyncio.sleep(0.01)
        opened: list[Connection] = []
        connection = plain_connection(
            meeting, client.key_pair, on_open=opened.append, on_close=lambda _: None
        )
        assert opened == []
        assert await connection.opened
        assert opened == [connection]
        (other,) = served.connections
        await other.opened
        unused = (connection.exchanged, other.exchanged)
        assert unused == (False, False), "headers alone say nothing about who wants this connection"
        assert connection.mux is not None
        connection.mux._send(b"hello")
        while not connection.exchanged:
            await asyncio.sleep(0.01)
        assert other.exchanged
    connection.close()


async def test_twenty_clients_at_once(net: Testnet) -> None:
    server, client = await net.add(), await net.add()
    echo = await serve_echo(server, SERVER)
    async with asyncio.timeout(60):
        answers = await asyncio.gather(
            *(echo_through(client, SERVER.public_key, bytes([n]), key_pair=key_pair()) for n in range(20))
        )
    assert answers == [bytes([n]) for n in range(20)]
    assert len(echo.meetings) == 20


async def test_sleeping_and_waking(net: Testnet) -> None:
    server, client = await net.add(), await net.add()
    echo = await serve_echo(server, SERVER)
    seen = Echo(client)
    connection = seen.take(await client.connect(SERVER.public_key))
    await connection.opened
    port = server.server_address[1]
    await server.suspend()
    assert server.hubs == {}
    async with asyncio.timeout(60):
        await connection.closed
    with pytest.raises(PeerUnreachable):
        await client.connect(SERVER.public_key)
    with pytest.raises(PeerUnreachable, match="switched off"):
        await server.connect(SERVER.public_key)
    await server.resume()
    assert server.server_address[1] == port
    async with asyncio.timeout(60):
        while True:
            try:
                assert await echo_through(client, SERVER.public_key, b"back") == b"back"
                break
            except PeerUnreachable:
                await asyncio.sleep(0.2)
    assert len(echo.meetings) == 2


async def test_a_cancelled_connect_leaves_nothing(net: Testnet) -> None:
    client = await net.add()
    attempt = asyncio.ensure_future(client.connect(secrets.token_bytes(32)))
    await asyncio.sleep(0)
    attempt.cancel()
    with pytest.raises(asyncio.CancelledError):
        await attempt
    assert client.streams.streams == {}
    assert not client._dials


async def test_values(net: Testnet) -> None:
    writer, reader = await net.add(), await net.add()
    target = await writer.immutable_put(b"value")
    assert await reader.immutable_get(target) == b"value"
    await writer.mutable_put(SERVER, b"a", seq=3)
    await writer.mutable_put(SERVER, b"b", seq=4)
    found = await reader.mutable_get(SERVER.public_key, seq=4)
    assert found is not None
    assert found.value == b"b"
    assert await reader.mutable_get(SERVER.public_key, seq=5) is None
    with pytest.raises(Exception, match="error 17"):
        await writer.mutable_put(SERVER, b"older", seq=1)
    with pytest.raises(Exception, match="error 16"):
        await writer.mutable_put(SERVER, b"another", seq=4)


async def test_alone_in_the_world() -> None:
    node = await HyperDht.open(host="127.0.0.1", ports=(0,), bootstrap=())
    try:
        await node.bootstrapped()
        with pytest.raises(PeerUnreachable, match="nobody in the DHT knows this key"):
            await node.connect(SERVER.public_key)
        with pytest.raises(TooFewNodes):
            await node.announce(bytes(32)).finished()
        server: Any = await asyncio.wait_for(node.listen(SERVER, lambda _: None), 60)
        assert server.relay_addresses == ()
    finally:
        await asyncio.wait_for(node.close(), 60)


async def test_nothing_is_left_behind() -> None:
    loop = asyncio.get_running_loop()
    before = len(asyncio.all_tasks())
    async with await Testnet.open(4, open_node=HyperDht.open) as network:
        server, client = await network.add(quick_firewall=False), await network.add(quick_firewall=False)
        await serve_echo(server, SERVER, share_local_addresses=False)
        for _ in range(3):
            assert await echo_through(client, SERVER.public_key, b"x", local=False) == b"x"
        nodes = list(network.nodes)
    await eventually(lambda: len(asyncio.all_tasks()) == before)
    gc.collect()
    for node in nodes:
        assert node.hubs == {}
        assert len(node.sockets) == 0
        assert node.streams.streams == {}
        assert node.world.timers.deadline() is None
    pending = [handle for handle in loop._scheduled if not handle.cancelled()]  # type: ignore[attr-defined]
    assert len(pending) <= 12, "only the last look at sockets that are closed already"
