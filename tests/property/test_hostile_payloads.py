"""A real peer that keeps to the cryptography and lies inside it: what it can make a server, or a client, do.

Its handshakes authenticate and its hole-punch messages are sealed with the right key; what they say is anything.
"""

from __future__ import annotations

from hypothesis import example, given, settings
from hypothesis import strategies as st

from core.crypto.keys import key_pair
from core.dht.connect import Connecting, ConnectOptions
from core.dht.handshake import holepunch_secret
from core.dht.handshake_messages import (
    HolepunchInfo,
    Mode,
    NoisePayload,
    RelayInfo,
    RelayThrough,
    UdxInfo,
    encode_payload,
)
from core.dht.holepunch import BIRTHDAY_SOCKETS, RANDOM_PROBES
from core.dht.holepunch_messages import HolepunchBody, HolepunchPayload, PayloadBox, encode_holepunch
from core.dht.hyper_commands import PEER_HOLEPUNCH
from core.dht.messages import decode_request
from core.dht.router import Forward
from core.dht.world import Meeting
from core.errors import MeadowError
from core.limits import MAX_SERVER_PUNCHES
from tests.support.liars import KEYS, LIAR, TARGET, LyingServer, Scene
from tests.support.nat_internet import Internet, Kind

VICTIM = "40.0.0.7"

hosts = st.sampled_from(
    [VICTIM, LIAR[0], "127.0.0.1", "192.168.1.1", "0.0.0.0", "255.255.255.255", "20.0.0.1"]
)
addresses = st.tuples(hosts, st.integers(0, 65_535))
many_addresses = st.lists(addresses, max_size=40).map(tuple)
keys = st.binary(min_size=32, max_size=32)
numbers = st.integers(0, 5) | st.integers(0, 2**53 - 1)

noise_payloads = st.builds(
    NoisePayload,
    error=numbers,
    firewall=numbers,
    holepunch=st.none()
    | st.builds(
        HolepunchInfo, numbers, st.lists(st.builds(RelayInfo, addresses, addresses), max_size=9).map(tuple)
    ),
    addresses4=many_addresses,
    udx=st.none() | st.builds(UdxInfo, numbers),
    secret_stream=st.booleans(),
    relay_through=st.none() | st.builds(RelayThrough, keys, keys),
    relay_addresses=st.none() | many_addresses,
    version=st.sampled_from([1, 1, 1, 0, 7]),
)
sealed_payloads = st.builds(
    HolepunchPayload,
    error=st.sampled_from([0, 0, 0, 1, 3, 99]),
    firewall=st.integers(0, 5),
    round=st.integers(0, 3) | numbers,
    connected=st.booleans(),
    punching=st.booleans(),
    addresses=st.none() | many_addresses,
    remote_address=st.none() | addresses,
    token=st.none() | keys,
    remote_token=st.none() | keys,
)


def without_relays(payload: NoisePayload) -> NoisePayload:
    """There are no blind relays in this Internet; their garbage is in test_hyperdht.py."""
    return NoisePayload(
        payload.error,
        payload.firewall,
        payload.holepunch,
        payload.addresses4,
        (),
        payload.udx,
        payload.secret_stream,
        None,
        payload.relay_addresses,
        payload.version,
    )


plain = noise_payloads.map(without_relays).map(encode_payload) | st.binary(max_size=120)


@settings(max_examples=60)
@given(st.lists(plain, min_size=1, max_size=8))
def test_any_handshake_payload(payloads: list[bytes]) -> None:
    scene = Scene()
    for payload in payloads:
        scene.shake_hands(payload)
        assert scene.household.world.server_punches <= MAX_SERVER_PUNCHES
    assert len(scene.meetings) <= len(payloads)
    scene.ends_clean()


@settings(max_examples=60)
@given(st.lists(sealed_payloads, min_size=1, max_size=12))
@example([HolepunchPayload(firewall=2, punching=True, addresses=((VICTIM, 7),) * 40)] * 12)
@example([HolepunchPayload(firewall=3, punching=True, addresses=((VICTIM, 7),), remote_token=bytes(32))] * 12)
@example([HolepunchPayload(firewall=3, punching=True, addresses=(LIAR,), remote_token=bytes(32))] * 12)
def test_no_hole_punch_payload_turns_probes_on_somebody(payloads: list[HolepunchPayload]) -> None:
    """Whoever cannot show the token that was sent to an address gets that address a few single bytes, no flood."""
    scene = Scene()
    handshake = scene.shake_hands(encode_payload(NoisePayload(udx=UdxInfo(7), secret_stream=True)))
    assert handshake is not None
    assert scene.answer.holepunch is not None
    box = PayloadBox(holepunch_secret(handshake.result().handshake_hash))
    for payload in payloads:
        body = HolepunchBody(Mode.FROM_RELAY, scene.answer.holepunch.id, box.seal(payload), LIAR)
        scene.arrive(PEER_HOLEPUNCH, encode_holepunch(body))
    scene.internet.run(40)
    assert scene.probes_to(VICTIM) <= 16
    assert sum(data == b"\0" for data, _ in scene.sent) <= len(payloads) + 16
    assert len(scene.household.ports) <= 12, "no birthday sockets for who proved nothing"
    scene.ends_clean()


def test_who_proves_its_address_is_punched_to_at_most_as_long_as_agreed() -> None:
    """The most that one client can make a server send, with everything right: 1,750 bytes in 35 seconds."""
    scene = Scene()
    handshake = scene.shake_hands(encode_payload(NoisePayload(udx=UdxInfo(7), secret_stream=True)))
    assert handshake is not None
    assert scene.answer.holepunch is not None
    box = PayloadBox(holepunch_secret(handshake.result().handshake_hash))

    def say(payload: HolepunchPayload) -> HolepunchPayload:
        body = HolepunchBody(Mode.FROM_RELAY, scene.answer.holepunch.id, box.seal(payload), LIAR)  # type: ignore[union-attr]
        scene.sent.clear()
        scene.arrive(PEER_HOLEPUNCH, encode_holepunch(body))
        scene.internet.run(3, lambda: any(_is_punch(data) for data, _ in scene.sent))
        answer = next(decode_request(data) for data, _ in scene.sent if _is_punch(data))
        return box.open(_payload_of(answer.value or b""))

    first = say(HolepunchPayload(firewall=3, round=0, addresses=((LIAR[0], 0),)))
    assert first.token is not None
    say(
        HolepunchPayload(
            firewall=3, round=1, punching=True, addresses=((LIAR[0], 0),), remote_token=first.token
        )
    )
    scene.internet.run(60)
    assert 100 < scene.probes_to(LIAR[0]) <= RANDOM_PROBES
    assert len(scene.household.ports) < BIRTHDAY_SOCKETS
    scene.ends_clean()


def _is_punch(data: bytes) -> bool:
    return data[0] == 0x03 and decode_request(data).command == PEER_HOLEPUNCH


def _payload_of(value: bytes) -> bytes:
    from core.dht.holepunch_messages import decode_holepunch

    return decode_holepunch(value).payload


# --- a server that lies -------------------------------------------------------------------------------


@settings(max_examples=80)
@given(plain, st.sampled_from(["none", "consistent", "random"]))
def test_a_client_survives_any_answer(payload: bytes, kind: Kind) -> None:
    internet = Internet(6)
    for _ in range(5):
        internet.add("none")
        internet.run(2)
    liar, client = internet.households[3], internet.add(kind)
    internet.run(10)
    LyingServer(liar, payload)
    relay = internet.households[1]
    relay.world.router.put(TARGET, Forward((liar.public_host, 49_737), KEYS.public_key + b"\0"))
    met: list[Meeting] = []
    failed: list[MeadowError] = []
    connecting = Connecting(
        client.world,
        key_pair(),
        KEYS.public_key,
        ConnectOptions(),
        on_meeting=met.append,
        on_failure=failed.append,
    )
    connecting.start()
    internet.run(60, lambda: bool(met or failed))
    assert met or failed
    connecting.cancel()
    for meeting in met:
        meeting.stream.destroy()
        meeting.ended()
    internet.run(30)
    assert client.probes == {}
    assert client.sent_probes < 200
