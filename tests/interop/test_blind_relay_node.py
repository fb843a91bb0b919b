"""Two peers that cannot reach each other meet at an official blind relay, and leave it when a direct path appears."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from core.crypto.keys import key_pair
from core.dht.client_punch import ClientPunch
from core.dht.server_handshake import ServerHandshake
from core.net.hyperdht import HyperDht
from tests.support.hyperdht import Echo, Open, opener, serve_echo
from tests.support.node import NodePeer

pytestmark = [pytest.mark.anyio, pytest.mark.interop]

Start = Callable[..., Awaitable[NodePeer]]

SERVER = key_pair(bytes(range(32)))
RELAY_SEED = bytes(32)
FIREWALLED = {"quickFirewall": False}


class Place:
    """A testnet with a relay in it."""

    def __init__(self, node: NodePeer, bootstrap: list[str], relay: bytes) -> None:
        self.node = node
        self.bootstrap = bootstrap
        self.relay = relay


@pytest.fixture
async def place(start_node: Start) -> Place:
    node = await start_node("hyperdht.js")
    bootstrap = list((await node("testnet", size=6))["bootstrap"])
    await node("open", name="relay", options={"bootstrap": bootstrap, "firewalled": False})
    relay = await node("relay", name="relay", seed=RELAY_SEED.hex())
    return Place(node, bootstrap, bytes.fromhex(relay["key"]))


@pytest.fixture
async def open_dht() -> AsyncIterator[Open]:
    async with opener() as open_one:
        yield open_one


async def relayed_client(place: Place, dht: HyperDht, **options: Any) -> Echo:
    echo = Echo(dht)
    async with asyncio.timeout(60):
        meeting = await dht.connect(SERVER.public_key, relay_through=place.relay, local=False, **options)
        connection = echo.take(meeting)
        data = secrets.token_bytes(5000)
        assert await echo.send(connection, data) == data
    return echo


async def test_our_client_brings_their_server_to_the_relay(place: Place, open_dht: Open) -> None:
    await place.node("open", name="server", options={"bootstrap": place.bootstrap, **FIREWALLED})
    options = {"noLocal": True, "holepunch": False}
    await place.node("listen", name="server", seed=SERVER.secret_key[:32].hex(), options=options)
    dht = await open_dht(bootstrap=place.bootstrap, quick_firewall=False)
    echo = await relayed_client(place, dht)
    assert [meeting.how for meeting in echo.meetings] == ["relayed"]


async def test_their_server_brings_our_client_to_the_relay(place: Place, open_dht: Open) -> None:
    await place.node("open", name="server", options={"bootstrap": place.bootstrap, **FIREWALLED})
    options = {"noLocal": True, "holepunch": False, "relayThrough": place.relay.hex()}
    await place.node("listen", name="server", seed=SERVER.secret_key[:32].hex(), options=options)
    dht = await open_dht(bootstrap=place.bootstrap, quick_firewall=False)
    echo = Echo(dht)
    async with asyncio.timeout(60):
        connection = echo.take(await dht.connect(SERVER.public_key, local=False))
        assert await echo.send(connection, b"by your relay") == b"by your relay"
    assert connection.how == "relayed"


@pytest.mark.parametrize("chosen_by", ["client", "server"])
async def test_their_client_and_our_server_meet_at_the_relay(
    place: Place, open_dht: Open, chosen_by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ServerHandshake, "on_holepunch", lambda *_: None)
    await place.node("open", name="client", options={"bootstrap": place.bootstrap, **FIREWALLED})
    dht = await open_dht(bootstrap=place.bootstrap, quick_firewall=False)
    relay_through = (lambda: place.relay) if chosen_by == "server" else None
    echo = await serve_echo(dht, SERVER, share_local_addresses=False, relay_through=relay_through)
    options: dict[str, Any] = {"localConnection": False, "fastOpen": False}
    if chosen_by == "client":
        options["relayThrough"] = place.relay.hex()
    echo_data = secrets.token_bytes(3000)
    answer = await place.node(
        "connect", name="client", key=SERVER.public_key.hex(), data=echo_data.hex(), options=options
    )
    assert answer["data"] == echo_data.hex()
    assert [meeting.how for meeting in echo.meetings] == ["relayed"]


async def test_our_client_leaves_the_relay_for_a_punched_path(
    place: Place, open_dht: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = ClientPunch.start
    held_back: list[ClientPunch] = []
    monkeypatch.setattr(ClientPunch, "start", lambda punch: held_back.append(punch))
    await place.node("open", name="server", options={"bootstrap": place.bootstrap, **FIREWALLED})
    seed = SERVER.secret_key[:32].hex()
    await place.node("listen", name="server", seed=seed, options={"noLocal": True})
    dht = await open_dht(bootstrap=place.bootstrap, quick_firewall=False)
    echo = await relayed_client(place, dht)
    (meeting,), (connection,) = echo.meetings, echo.connections
    assert meeting.how == "relayed"
    relay_side = meeting.stream.remote_address
    (punch,) = held_back
    start(punch)
    async with asyncio.timeout(60):
        while meeting.how == "relayed":
            data = secrets.token_bytes(2000)
            assert await echo.send(connection, data) == data
            await asyncio.sleep(0.05)
        for _ in range(20):
            data = secrets.token_bytes(2000)
            assert await echo.send(connection, data) == data
        while dht._relays:
            await asyncio.sleep(0.05)
    assert meeting.how == "punched"
    assert meeting.stream.remote_address != relay_side
    data = secrets.token_bytes(50_000)
    assert await echo.send(connection, data) == data, "the relay is gone, the stream is not"


async def test_their_client_leaves_the_relay_for_a_punched_path(
    place: Place, open_dht: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer_punch = ServerHandshake.on_holepunch
    served: list[Echo] = []

    def deaf_at_first(handshake: ServerHandshake, *arguments: Any) -> None:
        if any(echo.echoed for echo in served):  # the connection through the relay is in use
            answer_punch(handshake, *arguments)

    monkeypatch.setattr(ServerHandshake, "on_holepunch", deaf_at_first)
    await place.node("open", name="client", options={"bootstrap": place.bootstrap, **FIREWALLED})
    dht = await open_dht(bootstrap=place.bootstrap, quick_firewall=False)
    echo = await serve_echo(dht, SERVER, share_local_addresses=False)
    served.append(echo)
    options = {"localConnection": False, "relayThrough": place.relay.hex(), "fastOpen": False}
    answer = await place.node(
        "connect", name="client", key=SERVER.public_key.hex(), data="0102", options=options, linger=4000
    )
    assert answer["data"] == "0102"
    (meeting,) = echo.meetings
    assert meeting.how == "punched"
    assert answer["remotes"][0] != answer["remotes"][1], "their side moved too"
