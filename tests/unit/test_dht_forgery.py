"""Forged and replayed datagrams: what a storing node keeps is what its owner wrote, and a replay opens nothing."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from core.crypto.hashing import hash32
from core.crypto.keys import KeyPair, key_pair
from core.dht.address import Address
from core.dht.commands import INVALID_TOKEN
from core.dht.handshake import PeerHandshake
from core.dht.handshake_messages import HandshakeBody, Mode, NoisePayload, UdxInfo, encode_handshake
from core.dht.hyper_commands import (
    ANNOUNCE,
    LOOKUP,
    MUTABLE_GET,
    MUTABLE_PUT,
    PEER_HANDSHAKE,
    SEQ_TOO_LOW,
    UNANNOUNCE,
)
from core.dht.messages import ResponseMessage, encode_request
from core.dht.records import (
    decode_lookup_reply,
    decode_mutable_value,
    encode_announcement,
    encode_mutable_put,
)
from core.dht.signatures import sign_announcement, sign_mutable, sign_unannouncement
from core.net.hyperdht import HyperDht
from core.net.testnet import Testnet
from tests.support.hyperdht import Echo, serve_echo
from tests.support.stranger_socket import Stranger

pytestmark = pytest.mark.anyio

OWNER = key_pair(bytes(range(32)))
FORGER = key_pair(bytes(32))
TOPIC = hash32(b"topic")
SELF = hash32(OWNER.public_key)
ELSEWHERE = "127.0.0.9"


@pytest.fixture
async def net() -> AsyncIterator[Testnet]:
    async with await Testnet.open(4) as network:
        yield network


@dataclass
class Victim:
    """A storing node, and the token it gave to `host`."""

    node: HyperDht
    says: ResponseMessage

    @property
    def address(self) -> Address:
        return self.node.server_address

    @property
    def token(self) -> bytes:
        assert self.says.token is not None
        return self.says.token

    @property
    def id(self) -> bytes:
        assert self.says.id is not None
        return self.says.id

    def announcement(self, pair: KeyPair, target: bytes) -> bytes:
        return encode_announcement(sign_announcement(pair, target, self.id, self.token, (("10.0.0.1", 1),)))

    async def holds(self, stranger: Stranger) -> set[bytes]:
        """The keys that are announced under the topic."""
        answer = await stranger.ask(self.address, LOOKUP, target=TOPIC)
        peers, _ = decode_lookup_reply(answer.value) if answer.value is not None else ([], 0)
        return {peer.public_key for peer in peers}


async def said(
    stranger: Stranger, victim: Victim, command: int, target: bytes, value: bytes, token: bytes
) -> int:
    """Bytes that came back for one datagram."""
    await stranger.settled(victim.address)
    stranger.received.clear()
    data = encode_request(7, victim.address, command, target=target, value=value, token=token)
    stranger.send(data, victim.address)
    await stranger.settled(victim.address)
    return stranger.sizes_by_tid().get(7, 0)


async def test_a_signature_that_is_not_the_owners_is_met_with_silence(net: Testnet) -> None:
    with Stranger() as stranger:
        victim = Victim(net.nodes[2], await stranger.introduction(net.nodes[2].server_address))
        good = victim.announcement(OWNER, TOPIC)
        other = Victim(net.nodes[1], await stranger.introduction(net.nodes[1].server_address))
        forgeries = {
            "signed by nobody": good[:-64] + os.urandom(64),
            "one bit": good[:-1] + bytes((good[-1] ^ 1,)),
            "other relays": good.replace(b"\x0a\x00\x00\x01", b"\x0a\x00\x00\x02"),
            "another key": good.replace(OWNER.public_key, FORGER.public_key),
            "for another topic": victim.announcement(OWNER, hash32(b"another")),
            "for another node": other.announcement(OWNER, TOPIC),
            "a taking back": encode_announcement(sign_unannouncement(OWNER, TOPIC, victim.id, victim.token)),
        }
        for name, forgery in forgeries.items():
            size = await said(stranger, victim, ANNOUNCE, TOPIC, forgery, victim.token)
            assert (name, size) == (name, 0)
        assert await victim.holds(stranger) == set()
        assert await said(stranger, victim, ANNOUNCE, TOPIC, good, victim.token) > 0
        assert await victim.holds(stranger) == {OWNER.public_key}
        # Nobody else takes it back, neither with a signature of his own nor with the owner's for something else.
        for forgery in (
            encode_announcement(sign_unannouncement(FORGER, TOPIC, victim.id, victim.token)),
            encode_announcement(sign_unannouncement(OWNER, SELF, victim.id, victim.token)),
            good,
        ):
            await said(stranger, victim, UNANNOUNCE, TOPIC, forgery, victim.token)
            assert await victim.holds(stranger) == {OWNER.public_key}


async def test_an_announcement_overheard_is_worth_nothing_elsewhere(net: Testnet) -> None:
    """A token is good for the host it was given to: the replay is refused, and the way to the owner stays."""
    with Stranger() as owner, Stranger(ELSEWHERE) as thief:
        victim = Victim(net.nodes[2], await owner.introduction(net.nodes[2].server_address))
        overheard = victim.announcement(OWNER, SELF)
        await owner.ask(victim.address, ANNOUNCE, target=SELF, value=overheard, token=victim.token)
        router = victim.node.world.router
        assert router.relay_for(SELF) == owner.address
        refused = await thief.ask(victim.address, ANNOUNCE, target=SELF, value=overheard, token=victim.token)
        assert refused.error == INVALID_TOKEN
        assert router.relay_for(SELF) == owner.address
        # With a token of his own the signature is not the one over it.
        own = await thief.introduction(victim.address)
        assert own.token is not None
        assert await said(thief, victim, ANNOUNCE, SELF, overheard, own.token) == 0
        assert router.relay_for(SELF) == owner.address
        # Another key under the owner's target is a mere entry there; handshakes go on to the owner.
        theirs = Victim(victim.node, own)
        await thief.ask(
            victim.address, ANNOUNCE, target=SELF, value=theirs.announcement(FORGER, SELF), token=own.token
        )
        assert router.relay_for(SELF) == owner.address


async def test_values_are_their_owners(net: Testnet) -> None:
    with Stranger() as stranger:
        victim = Victim(net.nodes[2], await stranger.introduction(net.nodes[2].server_address))
        newer = encode_mutable_put(OWNER.public_key, sign_mutable(OWNER, 5, b"newer"))
        older = encode_mutable_put(OWNER.public_key, sign_mutable(OWNER, 4, b"older"))
        forged = encode_mutable_put(OWNER.public_key, sign_mutable(FORGER, 6, b"forged"))
        foreign = encode_mutable_put(FORGER.public_key, sign_mutable(FORGER, 6, b"foreign"))
        assert await said(stranger, victim, MUTABLE_PUT, SELF, newer, victim.token) > 0
        for value in (forged, foreign, newer.replace(b"newer", b"never")):
            assert await said(stranger, victim, MUTABLE_PUT, SELF, value, victim.token) == 0
        replayed = await stranger.ask(
            victim.address, MUTABLE_PUT, target=SELF, value=older, token=victim.token
        )
        assert replayed.error == SEQ_TOO_LOW
        answer = await stranger.ask(victim.address, MUTABLE_GET, target=SELF, value=b"\0")
        assert answer.value is not None
        assert decode_mutable_value(answer.value).value == b"newer"


@pytest.mark.slow  # what the replays began lives for ten seconds
async def test_a_handshake_replayed_opens_nothing(net: Testnet) -> None:
    """A thousand replays from eight hosts: one answer, one stream, and no connection, for none of them has the key."""
    node = await net.add()
    served = await serve_echo(node, OWNER)
    (server,) = node.servers
    payload = NoisePayload(udx=UdxInfo(77), secret_stream=True)
    message = PeerHandshake(key_pair(), OWNER.public_key).write(payload)
    thieves = [Stranger(f"127.0.0.{number}") for number in range(11, 19)]
    try:
        body = encode_handshake(HandshakeBody(Mode.FROM_CLIENT, message))
        data = encode_request(9, node.server_address, PEER_HANDSHAKE, target=SELF, value=body)
        for number in range(1_000):
            thieves[number % 8].send(data, node.server_address)
            if number % 100 == 99:
                await thieves[0].settled(node.server_address)
        assert len(server._handshakes) == 1
        assert len(served.meetings) == 1
        answers = {
            answer[10:] for thief in thieves for answer in thief.received if answer[2:4] == b"\x09\x00"
        }
        assert len(answers) == 1
        honest = Echo(await net.add())
        connection = honest.take(await net.nodes[-1].connect(OWNER.public_key))
        async with asyncio.timeout(60):
            assert await honest.send(connection, b"honest") == b"honest"
        assert served.echoed == 1
        connection.close()
        # What the replays began ends by itself: no header of a secret stream ever came.
        async with asyncio.timeout(60):
            while node.streams.streams or server._waiting:
                await asyncio.sleep(0.1)
        assert not served.connections[0].opened.done() or served.connections[0].opened.exception() is not None
    finally:
        for thief in thieves:
            thief.close()
