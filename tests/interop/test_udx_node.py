"""Our UDX and udx-native: 64 MB each way through a relay that loses packets, and every feature of a stream."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from core.errors import StreamReset
from core.net.udp import UdpSocket
from core.net.udp_mux import DatagramHub
from core.udx import UdxStream
from core.udx.mtu import MAX_PAYLOAD
from tests.support.lossy_relay import lossy_relay
from tests.support.node import NodePeer
from tests.support.udx_end import Watched, content_hash
from tests.support.waiting import eventually

pytestmark = [pytest.mark.anyio, pytest.mark.interop]

HOST = "127.0.0.1"
SIZE = 64_000_000
SEED = 7
OURS, THEIRS = 11, 22
GREETING = b"hello"
PATIENCE = 60.0


@pytest.fixture
async def node(start_node: Callable[..., Awaitable[NodePeer]]) -> NodePeer:
    return await start_node("udx.js")


@pytest.fixture
async def hub() -> AsyncIterator[DatagramHub]:
    hub = DatagramHub(UdpSocket())
    yield hub
    hub.close()
    hub.table.close()


def passive(hub: DatagramHub) -> Watched:
    """A stream of ours that connects to where its first packet comes from."""

    def connect(link: object, address: tuple[str, int]) -> bool:
        if not watched.stream.connected:
            watched.stream.connect(THEIRS, address, hub)
        return True

    watched = Watched(hub.create_stream(OURS, firewall=connect))
    return watched


async def joined(node: NodePeer, hub: DatagramHub) -> Watched:
    """A stream of ours connected to the stream `a` of Node, both ways, nothing in between."""
    port = (await node("bind", socket="s"))["port"]
    await node("stream", name="a", local=THEIRS)
    watched = Watched(hub.create_stream(OURS))
    await node("connect", name="a", socket="s", remote=OURS, port=hub.socket.local_address[1])
    watched.stream.connect(THEIRS, (HOST, port), hub)
    return watched


@pytest.mark.parametrize("loss", [0.0, 0.01, 0.05])
@pytest.mark.parametrize("ours_sends", [True, False], ids=["ours sends", "native sends"])
@pytest.mark.parametrize("ours_connects", [True, False], ids=["ours connects", "native connects"])
@pytest.mark.timeout(180)
async def test_64_megabytes_arrive(
    node: NodePeer, hub: DatagramHub, loss: float, ours_sends: bool, ours_connects: bool
) -> None:
    """Who does not connect waits for the first packet and answers where that came from."""
    our_port = hub.socket.local_address[1]
    their_port = (await node("bind", socket="s"))["port"]
    with lossy_relay(loss, SEED) as relay:
        relay.join((HOST, our_port), (HOST, their_port))
        if ours_connects:
            await node("stream", name="a", local=THEIRS, passive={"remote": OURS})
            watched = Watched(hub.create_stream(OURS))
            watched.stream.connect(THEIRS, (HOST, relay.ports[0]), hub)
        else:
            await node("stream", name="a", local=THEIRS)
            watched = passive(hub)
            await node("connect", name="a", socket="s", remote=OURS, port=relay.ports[1])
        if ours_sends != ours_connects:  # the one that waits cannot send before it hears something
            if ours_connects:
                watched.stream.write(GREETING)
            else:
                await node("write", name="a", data=GREETING.hex())
            await eventually(lambda: watched.stream.connected)
            await eventually(lambda: heard(node, watched, ours_connects))
        expected = content_hash("64 MB", SIZE)
        if ours_sends:
            arrived = asyncio.create_task(node("received", name="a"))
            await watched.send("64 MB", SIZE)
            answer = await arrived
        else:
            sent = await node("send", name="a", seed="64 MB", bytes=SIZE)
            assert sent["hash"] == expected
            answer = await watched.received
        assert answer["bytes"] == SIZE
        assert answer["hash"] == expected
        rightward, leftward = relay.stop()
    assert rightward.packets > 0
    assert leftward.packets > 0
    if ours_sends and not loss:
        assert watched.stream.sender.max_payload == MAX_PAYLOAD, "native took no larger packets"
    if loss:
        data = rightward if ours_sends else leftward
        assert data.dropped > SIZE / 1472 * loss / 2, "the relay lost nothing: this proved nothing"


@pytest.mark.parametrize("ours_sends", [True, False], ids=["ours sends", "native sends"])
@pytest.mark.timeout(180)
async def test_200_streams_at_once(node: NodePeer, hub: DatagramHub, ours_sends: bool) -> None:
    """Over one socket at each end, each with bytes of its own: all finish, none has another's, none is left."""
    count, size = 200, 50_000
    port = (await node("bind", socket="s"))["port"]
    watched = []
    for number in range(count):
        await node("stream", name=str(number), local=count + number)
        watched.append(Watched(hub.create_stream(number)))
        await node("connect", name=str(number), socket="s", remote=number, port=hub.socket.local_address[1])
        watched[number].stream.connect(count + number, (HOST, port), hub)
    numbers = range(count)
    if ours_sends:
        arriving = [node("received", name=str(number)) for number in numbers]
        sending = [watched[number].send(str(number), size) for number in numbers]
    else:
        arriving = [watched[number].received for number in numbers]
        sending = [node("send", name=str(number), seed=str(number), bytes=size) for number in numbers]
    answers = (await asyncio.gather(*arriving, *sending))[:count]
    assert [answer["hash"] for answer in answers] == [content_hash(str(number), size) for number in numbers]
    for number in numbers:
        # The direction in which nothing was sent ends too.
        if not ours_sends:
            watched[number].stream.end()
        assert await node("closed", name=str(number)) is None
        assert await watched[number].closed is None
    assert hub.streams == {}


async def heard(node: NodePeer, watched: Watched, native_hears: bool) -> bool:
    if native_hears:
        return bool((await node("progress", name="a"))["bytes"] == len(GREETING))
    return watched.bytes == len(GREETING)


async def test_both_ends_close_in_order(node: NodePeer, hub: DatagramHub) -> None:
    watched = await joined(node, hub)
    watched.stream.write(b"ping")
    await node("write", name="a", data=b"pong".hex())
    await node("end", name="a")
    assert (await watched.received)["bytes"] == 4
    assert (await node("received", name="a"))["bytes"] == 4
    assert await node("closed", name="a") is None
    assert await watched.closed is None
    assert hub.streams == {}


async def test_one_direction_ends_and_the_other_goes_on(node: NodePeer, hub: DatagramHub) -> None:
    watched = await joined(node, hub)
    watched.stream.on_end = lambda: None  # Watched would end too
    await node("end", name="a")
    await eventually(lambda: watched.stream.receiver.ended)
    watched.stream.write(b"still here")
    watched.stream.end()
    assert (await node("received", name="a"))["bytes"] == 10
    assert await node("closed", name="a") is None
    assert await watched.closed is None


async def test_destroyed_by_ours(node: NodePeer, hub: DatagramHub) -> None:
    watched = await joined(node, hub)
    watched.stream.destroy()
    assert await node("closed", name="a") == "ECONNRESET"


async def test_destroyed_by_native(node: NodePeer, hub: DatagramHub) -> None:
    watched = await joined(node, hub)
    await node("destroy", name="a")
    assert isinstance(await watched.closed, StreamReset)
    assert hub.streams == {}


async def test_messages_each_way(node: NodePeer, hub: DatagramHub) -> None:
    watched = await joined(node, hub)

    async def arrived() -> bool:
        watched.stream.send_message(b"to native")
        await node("message", name="a", data=b"to ours".hex())
        return bool(watched.messages and await node("messages", name="a"))

    await eventually(arrived)
    assert set(watched.messages) == {b"to ours"}
    assert set(await node("messages", name="a")) == {b"to native".hex()}
    assert watched.bytes == 0


async def test_a_reader_that_stops_stops_native(node: NodePeer, hub: DatagramHub) -> None:
    watched = await joined(node, hub)
    stream = watched.stream
    stream.pause()
    sent = asyncio.create_task(node("send", name="a", seed="slow", bytes=16_000_000))
    await eventually(lambda: stream.receiver.window == 0)
    before = stream.packets_received
    await eventually(
        lambda: stream.packets_received > before
    )  # native asks, with HEARTBEATs, whether there is room
    assert watched.bytes == 0
    assert (
        stream.receiver.unread_bytes <= stream.receiver.capacity + 6000
    )  # it counts in packets, and its probes not
    stream.resume()
    answer = await watched.received
    assert answer["hash"] == content_hash("slow", 16_000_000) == (await sent)["hash"]


@pytest.mark.parametrize("ours_asks", [True, False], ids=["ours asks", "native asks"])
async def test_keep_alive_is_answered(node: NodePeer, hub: DatagramHub, ours_asks: bool) -> None:
    watched = await joined(node, hub)
    stream = watched.stream
    stream.write(b"awake")
    await eventually(lambda: stream.sender.una == 1)
    before = stream.packets_received
    if ours_asks:
        stream.keep_alive = 0.05
        stream.on_wake(stream)
    else:
        await node("keepAlive", name="a", ms=50)
    await eventually(lambda: stream.packets_received >= before + 3)
    assert stream.sender.una == stream.sender.next == 1  # heartbeats take no sequence number
    assert not stream.closed


async def test_native_moves_to_another_socket(node: NodePeer, hub: DatagramHub) -> None:
    watched = await joined(node, hub)
    await node("write", name="a", data=b"first".hex())
    await eventually(lambda: watched.bytes == 5)
    other = (await node("bind", socket="t"))["port"]
    watched.stream.change_remote(THEIRS, (HOST, other), hub)
    await node("changeRemote", name="a", socket="t", remote=OURS, port=hub.socket.local_address[1])
    await node("write", name="a", data=b"second".hex())
    watched.stream.write(b"over the new path")
    await eventually(lambda: watched.bytes == 11)
    await eventually(lambda: watched.stream.sender.idle)


async def test_ours_moves_to_another_socket_under_way(node: NodePeer, hub: DatagramHub) -> None:
    """What was sent before stays bound to the old path; `on_remote_changed` tells when that is over."""
    watched = await joined(node, hub)
    changed = asyncio.Event()
    watched.stream.on_remote_changed = changed.set
    arrived = asyncio.create_task(node("received", name="a"))
    sending = asyncio.create_task(watched.send("moving", 8_000_000))
    await eventually(lambda: watched.stream.sender.una > 100)
    second = DatagramHub(UdpSocket(), hub.table)
    try:
        await node("changeRemote", name="a", socket="s", remote=OURS, port=second.socket.local_address[1])
        path = watched.stream.path
        assert path is not None
        watched.stream.firewall = lambda link, address: True  # acks come over the new socket from now on
        watched.stream.change_remote(THEIRS, path.address, second)
        await sending
        assert (await arrived)["hash"] == content_hash("moving", 8_000_000)
        await asyncio.wait_for(changed.wait(), PATIENCE)
        assert second.socket.datagrams_sent > 0
    finally:
        second.close()


async def relaying(hub: DatagramHub, left: NodePeer, right: NodePeer) -> tuple[UdxStream, UdxStream]:
    """Two linked streams of ours between the streams `a` of two Node processes."""
    port = hub.socket.local_address[1]
    ports = [(await node("bind", socket="s"))["port"] for node in (left, right)]
    one, two = hub.create_stream(1), hub.create_stream(2)
    one.connect(10, (HOST, ports[0]), hub)
    two.connect(20, (HOST, ports[1]), hub)
    one.relay_to(two)
    two.relay_to(one)
    for node, local, remote in ((left, 10, 1), (right, 20, 2)):
        await node("stream", name="a", local=local)
        await node("connect", name="a", socket="s", remote=remote, port=port)
    return one, two


async def test_ours_relays_between_two_native_ends(
    start_node: Callable[..., Awaitable[NodePeer]], hub: DatagramHub
) -> None:
    left, right = await start_node("udx.js"), await start_node("udx.js")
    one, two = await relaying(hub, left, right)
    await left("send", name="a", seed="relayed", bytes=4_000_000)
    assert (await right("received", name="a"))["hash"] == content_hash("relayed", 4_000_000)
    assert one.receiver.next == two.receiver.next == 0  # nothing was taken for itself


async def test_a_destroy_closes_the_relay_it_goes_through(
    start_node: Callable[..., Awaitable[NodePeer]], hub: DatagramHub
) -> None:
    left, right = await start_node("udx.js"), await start_node("udx.js")
    relays = await relaying(hub, left, right)
    await right("destroy", name="a")
    assert await left("closed", name="a") == "ECONNRESET"
    assert relays[1].closed


async def test_ours_through_a_native_relay(node: NodePeer, hub: DatagramHub) -> None:
    port = (await node("bind", socket="s"))["port"]
    other = DatagramHub(UdpSocket())
    ends = [Watched(hub.create_stream(10)), Watched(other.create_stream(20))]
    try:
        for number, link, local in ((1, hub, 10), (2, other, 20)):
            await node("stream", name=f"r{number}", local=number)
            await node(
                "connect", name=f"r{number}", socket="s", remote=local, port=link.socket.local_address[1]
            )
            ends[number - 1].stream.connect(number, (HOST, port), link)
        await node("relay", name="r1", to="r2")
        await node("relay", name="r2", to="r1")
        await ends[0].send("through", 4_000_000)
        assert (await ends[1].received)["hash"] == content_hash("through", 4_000_000)
        assert await ends[0].closed is None
    finally:
        other.close()
        other.table.close()
