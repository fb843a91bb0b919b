"""Garbage in every payload of HyperDHT: decoders answer with their value or `DecodingError`, nodes with silence."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.crypto.keys import key_pair
from core.dht import handshake_messages, holepunch_messages, records, relay
from core.dht.address import Address
from core.dht.allowance import FairAllowance
from core.dht.cache import AgingCache
from core.dht.hyper_commands import CONSISTENT, PEER_HANDSHAKE, UNKNOWN
from core.dht.messages import encode_request
from core.dht.nat import NatSamples
from core.dht.networks import is_private, is_reserved, match_address
from core.dht.server import Server
from core.errors import DecodingError, RemoteProtocolError
from core.limits import MAX_HANDSHAKE_BURST, MAX_SERVER_HANDSHAKES
from tests.support.nat_internet import SERVER_PORT, Internet

DECODERS: list[Callable[[bytes], Any]] = [
    records.decode_announcement,
    records.decode_lookup_reply,
    records.decode_mutable_put,
    records.decode_mutable_value,
    records.decode_peer,
    handshake_messages.decode_handshake,
    handshake_messages.decode_payload,
    holepunch_messages.decode_holepunch,
    holepunch_messages.decode_holepunch_payload,
    lambda data: relay.decode_pair(data, 0),
]

hosts = st.ip_addresses(v=4).map(str)
addresses = st.tuples(hosts, st.integers(0, 65535))
keys = st.binary(min_size=32, max_size=32)
peers = st.builds(records.PeerRecord, keys, st.lists(addresses, max_size=5).map(tuple))


@pytest.mark.parametrize("decode", DECODERS)
@given(data=st.binary(max_size=300))
def test_garbage(decode: Callable[[bytes], Any], data: bytes) -> None:
    try:
        decode(data)
    except DecodingError:
        pass


@given(
    st.builds(
        records.Announcement,
        st.none() | peers,
        st.none() | keys,
        st.none() | st.binary(min_size=64, max_size=64),
        st.integers(0, 2**53 - 1),
    )
)
def test_announcement_round_trip(announcement: records.Announcement) -> None:
    assert records.decode_announcement(records.encode_announcement(announcement)) == announcement


@given(
    st.builds(
        holepunch_messages.HolepunchPayload,
        st.integers(0, 300),
        st.integers(0, 3),
        st.integers(0, 70_000),
        st.booleans(),
        st.booleans(),
        st.none() | st.lists(addresses, max_size=4).map(tuple),
        st.none() | addresses,
        st.none() | keys,
        st.none() | keys,
    ),
    st.integers(0, 400),
)
def test_sealed_payload(payload: holepunch_messages.HolepunchPayload, bit: int) -> None:
    box = holepunch_messages.PayloadBox(bytes(32))
    sealed = box.seal(payload)
    assert box.open(sealed) == payload
    spoiled = bytearray(sealed)
    spoiled[bit % len(sealed)] ^= 1
    with pytest.raises(RemoteProtocolError):
        box.open(bytes(spoiled))


@given(hosts)
def test_no_network_is_private_and_reserved(host: str) -> None:
    assert not (is_private(host) and is_reserved(host))


@given(st.lists(addresses, min_size=1, max_size=4), st.lists(addresses, min_size=1, max_size=4))
def test_matched_address_is_one_of_theirs(own: list[Address], theirs: list[Address]) -> None:
    match = match_address(own, theirs)
    shares = any(a[0].split(".")[0] == b[0].split(".")[0] for a in own for b in theirs)
    assert (match in theirs) if shares else match is None


@given(st.lists(st.tuples(st.sampled_from(["1.1.1.1", "2.2.2.2"]), st.integers(1, 3)), max_size=12))
def test_verdict_about_a_nat(samples: list[Address]) -> None:
    nat = NatSamples(is_open=False)
    for number, to in enumerate(samples):
        assert nat.add(to, ("9.9.9.9", number + 1))
        assert not nat.add(to, ("9.9.9.9", number + 1)), "nobody is counted twice"
        best = max(samples[: number + 1].count(one) for one in samples[: number + 1])
        if number < 2:
            assert nat.firewall == UNKNOWN
        elif best >= 3:
            assert nat.firewall == CONSISTENT
            assert nat.addresses
            assert samples[: number + 1].count(nat.addresses[0]) == best


@given(st.lists(st.tuples(st.integers(0, 20), st.floats(0, 30)), max_size=60))
def test_cache_keeps_the_young_and_never_too_many(steps: list[tuple[int, float]]) -> None:
    now = 0.0
    cache: AgingCache[int, int] = AgingCache(8, 30.0, lambda: now)
    put: dict[int, float] = {}
    for number, (key, pause) in enumerate(steps):
        now += pause
        cache.put(key, number)
        put[key] = now
        assert cache.get(key) == number
        assert len(cache) <= 8
        for known, _ in list(cache.items()):
            assert put[known] > now - 40.001, "nothing is older than 4/3 of its age"


# --- a server among strangers -------------------------------------------------------------------------


def serving(seed: int) -> tuple[Internet, Server, list[tuple[bytes, Address]]]:
    """A server on an open host that announces itself to nobody, and everything it sends."""
    internet = Internet(seed)
    household = internet.add("none")
    internet.run(3)
    server = Server(household.world, key_pair(bytes(32)), on_meeting=lambda _: None)
    household.world.router.add_server(server.target, server)
    sent: list[tuple[bytes, Address]] = []
    internet.carry = lambda data, source, to, ttl: sent.append((data, to))  # type: ignore[method-assign]
    return internet, server, sent


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 10), st.booleans(), st.binary(max_size=200)), max_size=20))
def test_garbage_for_every_command(requests: list[tuple[int, bool, bytes]]) -> None:
    internet, server, _ = serving(1)
    node = internet.households[0].node
    for command, for_server, value in requests:
        target = server.target if for_server else bytes(32)
        data = encode_request(7, ("20.0.0.1", SERVER_PORT), command, target=target, value=value)
        node.receive(data, ("30.0.0.1", 999), "server", internet.now)
    internet.run(20)
    assert server._handshakes == {}, "what was no handshake is forgotten"


@given(st.lists(st.tuples(st.floats(0, 0.7), st.sampled_from(["a", "b", "c"])), max_size=400))
def test_an_allowance_is_never_overdrawn(steps: list[tuple[float, str]]) -> None:
    allowance = FairAllowance(10, 20, 0.0)
    now, taken = 0.0, 0
    for pause, host in steps:
        now += pause
        taken += allowance.take(host, now)
        assert taken <= 20 + 10 * now + 1


def test_one_who_floods_leaves_room_for_others() -> None:
    allowance = FairAllowance(500, 1_000, 0.0)
    served = refused = 0
    for number in range(100_000):  # ten thousand a second
        now = number / 10_000
        refused += not allowance.take("6.6.6.6", now)
        if number % 100 == 0:
            served += allowance.take(f"7.7.7.{number // 100 % 3}", now)
    assert served == 1_000
    assert refused > 90_000
    # Who pretends to be ten thousand hosts gets no more either.
    taken = sum(allowance.take(f"9.9.{number >> 8 & 255}.{number & 255}", 10.0) for number in range(10_000))
    assert taken <= 1_000


def test_flood_of_handshakes_is_bounded() -> None:
    """Not one of 20,000 invented messages is answered, and few cost us a Diffie-Hellman."""
    internet, server, sent = serving(2)
    node = internet.households[0].node
    for number in range(20_000):
        noise = internet.random.randbytes(116)
        body = handshake_messages.HandshakeBody(0, noise)
        data = encode_request(
            number & 0xFFFF,
            ("20.0.0.1", SERVER_PORT),
            PEER_HANDSHAKE,
            target=server.target,
            value=handshake_messages.encode_handshake(body),
        )
        node.receive(data, (f"30.0.{number >> 8 & 255}.1", 999), "server", internet.now)
    internet.run(0.1)
    assert len(server._handshakes) <= min(MAX_SERVER_HANDSHAKES, MAX_HANDSHAKE_BURST + 20)
    assert not [data for data, to in sent if to[0].startswith("30.")]
    internet.run(15)
    assert server._handshakes == {}


def test_same_message_gets_the_same_answer_once_computed() -> None:
    internet, server, sent = serving(3)
    node = internet.households[0].node
    from core.dht.handshake import PeerHandshake

    client = PeerHandshake(key_pair(), server.public_key)
    payload = handshake_messages.NoisePayload(udx=handshake_messages.UdxInfo(77), secret_stream=True)
    body = handshake_messages.HandshakeBody(0, client.write(payload))
    data = encode_request(
        5,
        ("20.0.0.1", SERVER_PORT),
        PEER_HANDSHAKE,
        target=server.target,
        value=handshake_messages.encode_handshake(body),
    )
    for port in (100, 100, 200):
        node.receive(data, ("30.0.0.1", port), "server", internet.now)
    internet.run(0.1)
    answers = [data[10:] for data, to in sent if to[0] == "30.0.0.1" and data[0] == 0x13]
    assert len(answers) == 3
    assert len(set(answers)) == 1
    assert len(server._handshakes) == 1


def test_relaying_is_never_aimed_at_our_own_loopback() -> None:
    internet, _, sent = serving(4)
    node = internet.households[0].node
    for mode in (0, 1):
        body = handshake_messages.HandshakeBody(mode, b"x" * 100, ("127.0.0.1", 22), ("127.0.0.1", 22))
        value = handshake_messages.encode_handshake(body)
        data = encode_request(5, ("20.0.0.1", SERVER_PORT), PEER_HANDSHAKE, target=bytes(32), value=value)
        node.receive(data, ("30.0.0.1", 100), "server", internet.now)
        punch = holepunch_messages.HolepunchBody(mode, 1, b"x" * 100, ("127.0.0.1", 22))
        data = encode_request(
            6,
            ("20.0.0.1", SERVER_PORT),
            1,
            target=bytes(32),
            value=holepunch_messages.encode_holepunch(punch),
        )
        node.receive(data, ("30.0.0.1", 100), "server", internet.now)
    internet.run(0.1)
    assert not [to for _, to in sent if to[0].startswith("127.")]
