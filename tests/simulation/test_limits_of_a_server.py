"""How much a server does for strangers, and what a client says when a server does not do its part."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from core.crypto.keys import key_pair
from core.dht import server_handshake
from core.dht.address import Address
from core.dht.connect import Connecting, ConnectOptions
from core.dht.handshake_messages import HolepunchInfo, NoisePayload, RelayInfo, UdxInfo, encode_payload
from core.dht.hyper_commands import OPEN
from core.dht.router import Forward, HandshakeAnswer
from core.dht.world import Meeting
from core.errors import MeadowError
from core.limits import MAX_WAITING_HANDSHAKES
from tests.support.liars import KEYS, TARGET, LyingServer, Scene
from tests.support.nat_internet import SERVER_PORT, Internet, Kind

GOOD = encode_payload(NoisePayload(udx=UdxInfo(7), secret_stream=True))


def test_clients_that_never_come_give_way_to_new_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.dht.server.MAX_WAITING_HANDSHAKES", 20)
    scene = Scene()
    before = len(scene.household.streams)
    for number in range(60):
        assert scene.shake_hands(GOOD) is not None, f"client {number} is served like the first"
        assert len(scene.server._waiting) <= 20
    living = [stream for stream in scene.household.streams.values() if not stream.closed]
    assert len(living) - before <= 20
    scene.ends_clean()
    assert not [stream for stream in scene.household.streams.values() if not stream.closed]
    assert MAX_WAITING_HANDSHAKES == 1_024


def test_no_more_holes_are_punched_for_strangers_than_there_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_handshake, "MAX_SERVER_PUNCHES", 3)
    scene = Scene()
    offered = 0
    for _ in range(10):
        assert scene.shake_hands(GOOD) is not None
        offered += scene.answer.holepunch is not None
        assert scene.household.world.server_punches <= 3
        assert len(scene.household.probes) <= 3
    assert offered == 3
    scene.ends_clean()
    assert scene.shake_hands(GOOD) is not None
    assert scene.answer.holepunch is not None, "and afterwards again"


def connect_to_a_liar(
    payload: bytes, kind: Kind, seen_at: Address | None = None
) -> tuple[list[Meeting], list[MeadowError], float]:
    """What came of it, and how many seconds it took. `seen_at`: where the relay pretends to see the server."""
    internet = Internet(6)
    for _ in range(5):
        internet.add("none")
        internet.run(2)
    liar, client = internet.households[3], internet.add(kind)
    internet.run(10)
    LyingServer(liar, payload, reflects=False)
    relay = internet.households[1]
    relay.world.router.put(TARGET, Forward((liar.public_host, SERVER_PORT), KEYS.public_key + b"\0"))
    if seen_at is not None:
        asked = client.world.router.handshake

        async def handshake(*given: Any, **options: Any) -> HandshakeAnswer:
            return replace(await asked(*given, **options), server_address=seen_at)

        client.world.router.handshake = handshake  # type: ignore[method-assign]
    met: list[Meeting] = []
    failed: list[MeadowError] = []
    start = internet.now
    Connecting(
        client.world,
        key_pair(),
        KEYS.public_key,
        ConnectOptions(relay_addresses=((relay.public_host, SERVER_PORT),)),
        on_meeting=met.append,
        on_failure=failed.append,
    ).start()
    internet.run(120, lambda: bool(met or failed))
    return met, failed, internet.now - start


RELAYS = HolepunchInfo(1, (RelayInfo(("20.0.0.2", SERVER_PORT), ("20.0.0.4", SERVER_PORT)),))
PUNCHES = encode_payload(NoisePayload(udx=UdxInfo(1), holepunch=RELAYS))


@pytest.mark.parametrize(
    ("payload", "kind", "words"),
    [
        (
            encode_payload(NoisePayload(error=1, udx=UdxInfo(1))),
            "consistent",
            "refused the connection with error 1",
        ),
        (encode_payload(NoisePayload(udx=None)), "consistent", "no stream"),
        (b"\x07", "consistent", "another version"),
        (PUNCHES, "none", "knew where we are and did not come"),
        (PUNCHES, "consistent", "did not answer"),
    ],
)
def test_what_a_server_fails_to_do_is_said_in_words(payload: bytes, kind: Kind, words: str) -> None:
    met, failed, seconds = connect_to_a_liar(payload, kind)
    assert met == []
    (error,) = failed
    assert words in str(error)
    assert seconds < 60


def test_an_open_server_that_is_not_there_is_a_meeting_that_nobody_answers() -> None:
    met, failed, _ = connect_to_a_liar(
        encode_payload(NoisePayload(firewall=OPEN, udx=UdxInfo(1), addresses4=(("20.9.9.9", 9),))),
        "consistent",
    )
    assert failed == []
    (meeting,) = met
    assert meeting.how == "direct"
    assert meeting.stream.remote_address == ("20.9.9.9", 9)


def test_an_open_server_that_names_only_private_addresses_is_sought_where_its_relay_sees_it() -> None:
    met, failed, _ = connect_to_a_liar(
        encode_payload(NoisePayload(firewall=OPEN, udx=UdxInfo(1), addresses4=(("192.168.1.9", 9),))),
        "consistent",
    )
    assert failed == []
    (meeting,) = met
    assert meeting.how == "direct"
    assert meeting.stream.remote_address == ("20.0.0.4", SERVER_PORT)


@pytest.mark.parametrize("host", ["127.0.0.1", "192.168.1.1", "10.0.0.1", "169.254.169.254", "0.0.0.0"])
def test_a_relay_cannot_aim_a_client_at_what_is_beside_it(host: str) -> None:
    """Whatever the server itself says."""
    for payload in (PUNCHES, encode_payload(NoisePayload(firewall=OPEN, udx=UdxInfo(1)))):
        met, (error,), _ = connect_to_a_liar(payload, "consistent", seen_at=(host, 53))
        assert met == []
        assert f"says that the peer is at {host}" in str(error)
