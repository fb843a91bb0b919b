"""Whoever has a bee's key finds the people who hold it, over a DHT of Python nodes on this machine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import pytest

from core.errors import BadArgument
from core.hyperbee import Hyperbee
from core.net.hyperdht import HyperDht
from core.net.meeting import plain_connection
from core.peer import Peer, Testnet
from core.swarm.links import Link
from core.udx import UdxStream
from tests.support.waiting import eventually

pytestmark = pytest.mark.anyio


async def read(peer: Peer, bee: Hyperbee, key: str) -> object:
    """The value under `key`, once somebody who has the bee is found."""
    assert await peer.find(bee.core, 60.0)
    await bee.core.update(wait=True, timeout=60)
    entry = await bee.get(key, timeout=60)
    return None if entry is None else entry.value


@pytest.fixture
async def net() -> AsyncIterator[Testnet]:
    async with await Testnet.open(4) as net:
        yield net


async def test_a_bee_is_read_by_its_key_alone(net: Testnet) -> None:
    author = await Peer.open(None, bootstrap=net.bootstrap)
    reader = await Peer.open(None, bootstrap=net.bootstrap)
    try:
        bee = author.bee(name="main")
        await bee.put("post/1", "hello")
        assert author.network is not None
        await author.network.driver.flushed()
        theirs = reader.bee(key=bee.core.key)
        assert await read(reader, theirs, "post/1") == "hello"
        # When both dial at once there are two for a moment.
        await eventually(lambda: len(reader.connections) == 1)
        (connection,) = reader.connections
        assert connection.how in ("direct", "lan", "punched")
        assert connection.remote_public_key == author.public_key
        await bee.put("post/1", "changed")
        await eventually(lambda: theirs.core.length == bee.core.length)
    finally:
        await reader.close()
        await author.close()


async def test_events_of_a_log_that_two_peers_share(net: Testnet) -> None:
    author = await Peer.open(None, bootstrap=net.bootstrap)
    reader = await Peer.open(None, bootstrap=net.bootstrap)
    try:
        core = author.bee(name="main").core
        theirs = reader.core(key=core.key)
        told: dict[str, list[Any]] = {}
        for who, log, names in (
            ("author", core, ("append", "upload", "peer-add", "peer-remove")),
            ("reader", theirs, ("append", "download", "peer-add")),
        ):
            for name in names:
                log.on(name, lambda *what, at=f"{who} {name}": told.setdefault(at, []).append(what))
        await core.append([b"one", b"two"])
        assert told == {"author append": [()]}
        assert await reader.find(theirs, 60)
        await theirs.update(wait=True)
        assert await theirs.get(1) == b"two"
        await eventually(lambda: "author upload" in told)
        assert [what[:2] for what in told["reader download"]] == [(1, 3)]
        assert [what[:2] for what in told["author upload"]] == [(1, 3)]
        assert {"author peer-add", "reader peer-add", "reader append"} <= set(told)
        await reader.close()
        await eventually(lambda: "author peer-remove" in told)
    finally:
        await reader.close()
        await author.close()


async def test_one_connection_carries_all_bees_two_peers_share(net: Testnet) -> None:
    author = await Peer.open(None, bootstrap=net.bootstrap)
    reader = await Peer.open(None, bootstrap=net.bootstrap)
    try:
        bees = [author.bee(name=f"bee {number}") for number in range(20)]
        for bee in bees:
            await bee.put("a", 1)
        theirs = [reader.bee(key=bee.core.key) for bee in bees]
        for bee in theirs:
            assert await read(reader, bee, "a") == 1
        assert reader.network is not None
        await reader.network.driver.flushed()
        await asyncio.sleep(0.3)
        await eventually(lambda: len(reader.connections) == len(author.connections) == 1)
        status = reader.network.status()
        assert (status.topics, status.state) == (20, "online")
        topic = reader.network.topic_status(bees[0].core.discovery_key)
        assert topic is not None
        assert topic.peers_found == 1
        assert topic.error is None
    finally:
        await reader.close()
        await author.close()


async def test_two_that_dial_each_other_at_once_end_with_one_connection_on_both_sides(net: Testnet) -> None:
    for _ in range(8):
        peers = [await Peer.open(None, bootstrap=net.bootstrap) for _ in range(2)]
        try:
            for peer in peers:
                assert peer.network is not None
                await (await peer.join(bytes(32), client=False)).flushed()
            for peer, other in zip(peers, reversed(peers), strict=True):
                assert peer.network is not None
                peer.network.driver.join_peer(other.public_key)

            def settled(peers: list[Peer] = peers) -> bool:
                """One link for both, and each side lists the connection that it is."""
                for peer, other in zip(peers, reversed(peers), strict=True):
                    if [one.remote_public_key for one in peer.connections] != [other.public_key]:
                        return False
                return peers[0].connections[0].is_initiator is not peers[1].connections[0].is_initiator

            await eventually(settled)
        finally:
            for peer in peers:
                await peer.close()


async def test_with_an_address_no_second_connection_is_made(net: Testnet) -> None:
    author = await Peer.open(None, bootstrap=net.bootstrap)
    reader = await Peer.open(None)
    try:
        bee = author.bee(name="main")
        await bee.put("a", 1)
        await reader.connect(*await author.listen())
        theirs = reader.bee(key=bee.core.key)
        await eventually(lambda: theirs.core.peers)
        assert await read(reader, theirs, "a") == 1
        network = await reader.go_online(net.bootstrap)
        await network.driver.flushed()
        await asyncio.sleep(0.3)
        assert [connection.how for connection in reader.connections] == ["tcp"]
    finally:
        await reader.close()
        await author.close()


async def test_a_connection_by_address_ends_for_a_newer_one_that_proves_alive(net: Testnet) -> None:
    """Whoever dials by key though it is connected by an address must have lost that connection."""
    author = await Peer.open(None, bootstrap=net.bootstrap)
    reader = await Peer.open(None)
    try:
        assert author.network is not None
        author.bee(name="main")  # what is open is announced, and the peer with it
        await author.network.driver.flushed()
        by_address = await reader.connect(*await author.listen())
        await eventually(lambda: [one.how for one in author.connections] == ["tcp"])
        network = await reader.go_online(net.bootstrap)
        pair = network.driver._key_pair
        meeting = await network.dht.connect(author.public_key, key_pair=pair)
        plain_connection(meeting, pair, on_open=lambda _: None, on_close=lambda _: None)
        await eventually(by_address.closed.done)
        await eventually(lambda: len(author.connections) == 1)
        assert author.connections[0].how != "tcp"
    finally:
        await reader.close()
        await author.close()


async def test_a_closed_bee_is_announced_no_longer_and_switched_off_means_off(net: Testnet) -> None:
    author = await Peer.open(None, bootstrap=net.bootstrap)
    reader = await Peer.open(None, bootstrap=net.bootstrap)
    try:
        assert author.network is not None
        assert reader.network is not None
        bee = author.bee(name="main")
        await bee.put("a", 1)
        key, topic = bee.core.key, bee.core.discovery_key
        await author.network.driver.flushed()

        async def announced() -> bool:
            found = [peer async for reply in net.nodes[0].lookup(topic) for peer in reply.peers]
            return any(peer.public_key == author.public_key for peer in found)

        assert await announced()
        await author.network.suspend()
        assert not await announced()
        assert author.network.status().state == "suspended"
        await author.network.resume()
        theirs = reader.bee(key=key)
        assert await read(reader, theirs, "a") == 1
        await bee.core.close()

        async def gone() -> bool:
            return not await announced()

        await eventually(gone)
        assert author.network.topic_status(topic) is None
    finally:
        await reader.close()
        await author.close()


async def test_a_reader_whose_author_comes_later_is_connected_when_it_does(net: Testnet) -> None:
    author = await Peer.open(None)
    bee = author.bee(name="main")
    await bee.put("a", 1)
    reader = await Peer.open(None, bootstrap=net.bootstrap)
    try:
        theirs = reader.bee(key=bee.core.key)
        assert not await reader.find(theirs.core, 0.3)
        await author.go_online(net.bootstrap)
        # The author looks the topic up when it announces itself, and finds the reader there.
        assert await read(reader, theirs, "a") == 1
    finally:
        await reader.close()
        await author.close()


async def test_nothing_is_left_when_a_peer_is_closed(net: Testnet) -> None:
    before = len(asyncio.all_tasks())
    peer = await Peer.open(None, bootstrap=net.bootstrap)
    for number in range(50):
        peer.bee(name=str(number))
    await peer.close()
    await eventually(lambda: len(asyncio.all_tasks()) == before)


async def test_a_peer_without_a_network_says_so() -> None:
    peer = await Peer.open(None)
    with pytest.raises(BadArgument, match="no network"):
        await peer.join(bytes(32))
    with pytest.raises(BadArgument, match="HOST:PORT"):
        await peer.go_online(["nowhere"])
    await peer.close()


async def test_a_dial_that_was_overtaken_does_not_end_the_connection_in_use(
    net: Testnet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its header and its end arrive together: whoever sent them had settled on the other connection by then."""
    # Behind firewalls the first packet of a dial is what makes the connection; so header and end come in one burst.
    monkeypatch.setattr(HyperDht, "open", partial(HyperDht.open, quick_firewall=False))
    author = await Peer.open(None, bootstrap=net.bootstrap)
    reader = await Peer.open(None, bootstrap=net.bootstrap)
    try:
        bee = author.bee(name="main")
        await bee.put("a", 1)
        assert author.network is not None
        assert reader.network is not None
        await author.network.driver.flushed()
        assert await read(reader, reader.bee(key=bee.core.key), "a") == 1
        await eventually(lambda: len(author.connections) == len(reader.connections) == 1)
        (kept,) = author.connections
        swarm, dht = author.network.driver.swarm, reader.network.dht
        came: list[Link] = []
        deaf: set[UdxStream] = (
            set()
        )  # these acknowledge nothing: gone, when what they sent is under way still
        receive = UdxStream.receive_segments

        def unless_deaf(stream: UdxStream, *data: Any) -> int:
            return data[2] if stream in deaf else receive(stream, *data)

        monkeypatch.setattr(UdxStream, "receive_segments", unless_deaf)

        def has_its_header(link: Link) -> bool:
            connection = link.user.connection
            return link.is_closing or (connection is not None and connection.opened.done())

        incoming = swarm.incoming

        def noted(link: Link, now: float) -> None:
            came.append(link)
            incoming(link, now)

        monkeypatch.setattr(swarm, "incoming", noted)
        for number in range(3):
            meeting = await dht.connect(
                author.public_key, local=False, key_pair=reader.network.driver._key_pair
            )
            plain_connection(meeting, dht.key_pair, on_open=lambda _: None, on_close=lambda _: None)
            deaf.add(meeting.stream)
            await eventually(lambda number=number: len(came) > number and has_its_header(came[number]))
            assert author.connections[:1] == [kept]
            meeting.stream.destroy()
            await eventually(lambda number=number: came[number].is_closing)
            await eventually(lambda: len(swarm.links.everything) == 1)
            assert author.connections == [kept]
        # The end of one that had proved itself may come before that is worked through.
        gone = came[-1]
        author.network.driver._proved(gone, gone.user.connection)
        assert author.connections == [kept]
        # A living one replaces it, and one that waited behind another, acknowledged long ago, does so at once.
        meeting = await dht.connect(author.public_key, local=False, key_pair=reader.network.driver._key_pair)
        plain_connection(meeting, dht.key_pair, on_open=lambda _: None, on_close=lambda _: None)
        await eventually(lambda: kept not in author.connections and len(author.connections) == 1)
        proved: list[Link] = []
        monkeypatch.setattr(swarm, "proved", lambda link, _: proved.append(link))
        author.network.driver._prove(came[-1])
        await eventually(lambda: proved == [came[-1]])
    finally:
        await reader.close()
        await author.close()
