"""Whoever forges a source address makes our nodes send no more to it than the official ones would.

The same datagrams go to a node of ours and to one of theirs, each in a network of as many nodes that keep the same
records, and what comes back is weighed.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass

import pytest

from core.crypto.hashing import hash32
from core.crypto.keys import key_pair
from core.dht.address import Address, encode_address
from core.dht.commands import DELAYED_PING, DOWN_HINT, FIND_NODE, PING, PING_NAT
from core.dht.handshake import PeerHandshake
from core.dht.handshake_messages import HandshakeBody, Mode, NoisePayload, UdxInfo, encode_handshake
from core.dht.holepunch_messages import HolepunchBody, encode_holepunch
from core.dht.hyper_commands import (
    ANNOUNCE,
    FIND_PEER,
    IMMUTABLE_GET,
    IMMUTABLE_PUT,
    LOOKUP,
    MUTABLE_GET,
    MUTABLE_PUT,
    OPEN,
    PEER_HANDSHAKE,
    PEER_HOLEPUNCH,
    PLUGIN,
    UNANNOUNCE,
    UNKNOWN,
)
from core.dht.messages import ResponseMessage, encode_request
from core.dht.records import encode_announcement, encode_mutable_put
from core.dht.signatures import sign_announcement, sign_mutable, sign_unannouncement
from core.net.testnet import Testnet
from tests.support.hyperdht import Open, opener, serve_echo
from tests.support.node import NodePeer
from tests.support.stranger_socket import Stranger

pytestmark = [pytest.mark.anyio, pytest.mark.interop]

Start = Callable[..., Awaitable[NodePeer]]

NODES = 24  # enough that an answer names twenty
SERVER = key_pair(bytes(range(32)))
AUTHOR = key_pair(bytes(32))
TOPIC = hash32(b"a topic that many announce")
TEXT = b"x" * 900


@dataclass
class Side:
    """A node that keeps records, ours or theirs, and what it said of itself; who writes to it, and whom they name."""

    node: Address
    stranger: Stranger
    victim: Stranger
    says: ResponseMessage


@pytest.fixture
async def open_dht() -> AsyncIterator[Open]:
    async with opener() as open_one:
        yield open_one


def announcement(seed: int, side: Side, target: bytes) -> bytes:
    assert side.says.id is not None
    assert side.says.token is not None
    pair = SERVER if seed < 0 else key_pair(seed.to_bytes(32, "little"))
    relays = tuple((f"10.0.0.{number}", 49737) for number in range(3))
    return encode_announcement(sign_announcement(pair, target, side.says.id, side.says.token, relays))


async def fill(side: Side) -> None:
    """Everything a node can be made to keep: a full topic, a server, both kinds of values."""
    token = side.says.token
    for seed in range(1, 31):
        await side.stranger.ask(
            side.node, ANNOUNCE, target=TOPIC, token=token, value=announcement(seed, side, TOPIC)
        )
    target = hash32(SERVER.public_key)
    await side.stranger.ask(
        side.node, ANNOUNCE, target=target, token=token, value=announcement(-1, side, target)
    )
    put = encode_mutable_put(AUTHOR.public_key, sign_mutable(AUTHOR, 4, TEXT))
    await side.stranger.ask(side.node, MUTABLE_PUT, target=hash32(AUTHOR.public_key), token=token, value=put)
    await side.stranger.ask(side.node, IMMUTABLE_PUT, target=hash32(TEXT), token=token, value=TEXT)


def datagrams(side: Side) -> Iterator[tuple[str, bytes]]:
    """Named requests, every command in every form that could be answered at length; the number is the tid."""
    says = side.says
    assert says.id is not None
    assert says.token is not None
    unsigned = encode_announcement(sign_unannouncement(AUTHOR, TOPIC, says.id, says.token))
    server = hash32(SERVER.public_key)
    victim, to = side.victim.address, side.node
    values: dict[str, bytes | None] = {
        "nothing": None,
        "garbage": b"\xff" * 40,
        "a port": side.stranger.address[1].to_bytes(2, "little"),
        "an address": encode_address(victim),
        "a small number": b"\x00\x00\x00\x00",
        "an announcement": announcement(1, side, TOPIC),
        "an unannouncement": unsigned,
        "a mutable value": encode_mutable_put(AUTHOR.public_key, sign_mutable(AUTHOR, 5, b"new")),
        "an old mutable value": encode_mutable_put(AUTHOR.public_key, sign_mutable(AUTHOR, 1, b"old")),
        "a text": TEXT,
        "a plugin's": b"\x04name\x01\x00\x00",
    }
    for mode in (Mode.FROM_CLIENT, Mode.FROM_SERVER, Mode.FROM_RELAY, Mode.FROM_SECOND_RELAY, Mode.REPLY):
        for peer in (None, victim):
            where = "to a victim" if peer else "to nobody"
            values[f"a handshake {mode} {where}"] = encode_handshake(
                HandshakeBody(mode, b"n" * 100, peer, peer)
            )
            values[f"a hole punch {mode} {where}"] = encode_holepunch(
                HolepunchBody(mode, 1, b"p" * 100, peer)
            )
    targets = {
        "no target": None,
        "nobody's target": bytes(32),
        "the topic": TOPIC,
        "the server": server,
        "the author": hash32(AUTHOR.public_key),
        "the text": hash32(TEXT),
    }
    commands = [(True, number) for number in (PING, PING_NAT, FIND_NODE, DOWN_HINT, DELAYED_PING, 5, 77)] + [
        (False, number)
        for number in (
            PEER_HANDSHAKE,
            PEER_HOLEPUNCH,
            FIND_PEER,
            LOOKUP,
            ANNOUNCE,
            UNANNOUNCE,
            MUTABLE_PUT,
            MUTABLE_GET,
            IMMUTABLE_PUT,
            IMMUTABLE_GET,
            PLUGIN,
            11,
            500,
        )
    ]
    tid = 0
    for internal, command in commands:
        for target_name, target in targets.items():
            for value_name, value in values.items():
                for token_name, token in (("no token", None), ("a wrong token", bytes(32))):
                    tid += 1
                    name = f"{'internal ' if internal else ''}{command}: {target_name}, {value_name}, {token_name}"
                    yield (
                        name,
                        encode_request(
                            tid, to, command, internal=internal, target=target, value=value, token=token
                        ),
                    )


async def weigh(side: Side) -> dict[str, tuple[int, int]]:
    """Bytes that came back to the sender and to the victim, for each datagram."""
    named = list(datagrams(side))
    await side.stranger.settled(side.node)
    side.stranger.received.clear()
    side.victim.received.clear()
    for number, (_, data) in enumerate(named):
        side.stranger.send(data, side.node)
        if number % 50 == 49:
            await side.stranger.ask(side.node, PING, internal=True)
    await side.stranger.settled(side.node)
    at_sender, at_victim = side.stranger.sizes_by_tid(), side.victim.sizes_by_tid()
    return {name: (at_sender.get(tid, 0), at_victim.get(tid, 0)) for tid, (name, _) in enumerate(named, 1)}


async def weighed(node: Address) -> dict[str, tuple[int, int]]:
    with Stranger() as stranger, Stranger() as victim:
        side = Side(node, stranger, victim, await stranger.introduction(node))
        await fill(side)
        return await weigh(side)


async def test_no_answer_is_larger_than_theirs(start_node: Start) -> None:
    node = await start_node("dht.js")
    net = await node("testnet", size=NODES)
    keeper = net["addresses"][NODES // 2]
    theirs = await weighed((keeper["host"], keeper["port"]))
    await node.close()
    async with await Testnet.open(NODES) as ours_net:
        ours = await weighed(ours_net.nodes[NODES // 2].server_address)
    larger = {
        name: (ours[name], theirs[name])
        for name in ours
        if ours[name][0] > theirs[name][0] or ours[name][1] > theirs[name][1]
    }
    assert larger == {}
    answered = sum(sizes != (0, 0) for sizes in theirs.values())
    assert answered > len(theirs) / 3, "most of what was sent had an answer to be weighed"


# --- handshakes ---------------------------------------------------------------------------------------

QUIET_SECONDS = 4.0  # between the last attempts to reach somebody who does not answer lie two
FORMS = {
    "from a client": (Mode.FROM_CLIENT, False),
    "through a relay": (Mode.FROM_RELAY, True),
    "through two relays": (Mode.FROM_SECOND_RELAY, True),
}


def first_message(firewall: int) -> bytes:
    payload = NoisePayload(firewall=firewall, udx=UdxInfo(77), secret_stream=True)
    return PeerHandshake(key_pair(), SERVER.public_key).write(payload)


async def handshake_sizes(server: Address, kind: str, firewall: int) -> int:
    """Bytes that a silent sender, and the one it names, get for one good handshake, sent twice, until the server
    has given up on them.
    """
    mode, named = FORMS[kind]
    with Stranger() as stranger, Stranger() as victim:
        peer = victim.address if named else None
        relay = stranger.address if named else None
        value = encode_handshake(HandshakeBody(mode, first_message(firewall), peer, relay))
        data = encode_request(1, server, PEER_HANDSHAKE, target=hash32(SERVER.public_key), value=value)
        stranger.send(data, server)
        stranger.send(data, server)
        received, before = 0, -1
        while received != before:
            await asyncio.sleep(QUIET_SECONDS)
            before, received = received, sum(map(len, [*stranger.received, *victim.received]))
        assert received > 0
        return received


async def all_handshakes(server: Address) -> dict[tuple[str, int], int]:
    cases = [(kind, firewall) for kind in FORMS for firewall in (UNKNOWN, OPEN)]
    sizes = await asyncio.gather(*(handshake_sizes(server, *case) for case in cases))
    return dict(zip(cases, sizes, strict=True))


async def test_a_handshake_of_a_forger_brings_no_more_than_theirs_does(
    start_node: Start, open_dht: Open
) -> None:
    node = await start_node("hyperdht.js")
    bootstrap = (await node("testnet", size=6))["bootstrap"]
    opened = await node("open", name="server", options={"bootstrap": bootstrap, "firewalled": False})
    await node("listen", name="server", seed=bytes(range(32)).hex())
    dht = await open_dht(bootstrap=bootstrap, firewalled=False, ephemeral=True)
    await serve_echo(dht, SERVER)
    theirs, ours = await asyncio.gather(
        all_handshakes(("127.0.0.1", opened["port"])), all_handshakes(dht.server_address)
    )
    larger = {case: (ours[case], theirs[case]) for case in ours if ours[case] > theirs[case]}
    assert larger == {}
