"""Mutated copies of real datagrams on every socket of every peer, while two peers meet.

The saboteur sees each datagram of an Internet of real peers (lookups, announces, handshakes, hole punching, probes, UDX
streams) and at once adds copies of its own: bits flipped, cut, grown, glued together, with the stream id of another, to
any socket of anybody, from the same address or from any. It cannot take anything away.
"""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.crypto.keys import key_pair
from core.dht.address import Address
from core.dht.connect import Connecting, ConnectOptions
from core.dht.server import Server
from core.dht.world import Meeting
from core.errors import MeadowError
from core.limits import MAX_DHT_REQUESTS, MAX_PUNCH_SOCKETS, MAX_SERVER_PUNCHES
from tests.support.nat_internet import Household, Internet, Kind

WORDS = b"words of an honest peer"
KEPT = 200


class Saboteur:
    """Adds to what `internet` carries. Everything it does follows from `seed`."""

    def __init__(self, internet: Internet, seed: int) -> None:
        self.internet = internet
        self.added = 0
        self.active = True
        self._draw = Random(seed)
        self._seen: list[bytes] = []
        self._carry = internet.carry
        internet.carry = self.carry  # type: ignore[method-assign]

    def carry(self, data: bytes, source: Address, to: Address, ttl: int) -> None:
        self._carry(data, source, to, ttl)
        draw = self._draw
        if not self.active:
            return
        if len(self._seen) < KEPT:
            self._seen.append(data)
        else:
            self._seen[draw.randrange(KEPT)] = data
        for _ in range(draw.randrange(2, 8)):
            self._inject(self.mutated(data), source)

    def _inject(self, data: bytes, source: Address) -> None:
        draw = self._draw
        self.added += 1
        household = draw.choice(self.internet.households)
        socket = draw.choice(list(household.ports))
        address = (
            source if draw.random() < 0.5 else (f"30.0.0.{draw.randrange(1, 250)}", draw.randrange(1, 65_536))
        )
        if data:  # an empty datagram is dropped by the hub
            household.receive(data, address, socket)

    def mutated(self, data: bytes) -> bytes:
        draw = self._draw
        out = bytearray(data)
        for _ in range(draw.randrange(1, 4)):
            kind = draw.randrange(8)
            at = draw.randrange(len(out) + 1)
            other = draw.choice(self._seen)
            if kind == 0 and out:
                out[draw.randrange(len(out))] ^= 1 << draw.randrange(8)
            elif kind == 1:
                del out[at:]
            elif kind == 2:
                out[at:at] = draw.randbytes(draw.randrange(1, 40))
            elif kind == 3:
                out += other
            elif kind == 4:
                out = bytearray(other[:at]) + out[at:]
            elif kind == 5:
                out[at : at + 8] = bytes((draw.choice((0, 0xFC, 0xFD, 0xFE, 0xFF)),)) * min(8, len(out) - at)
            elif kind == 6 and len(out) > 12:
                out[4:8] = other[4:8]
            elif kind == 7:
                out = bytearray(draw.randbytes(draw.randrange(1, 60)))
        return bytes(out[:1_500])


class Pair:
    """A server and a client of it; `over` when the words came through, or the attempt failed."""

    def __init__(self, internet: Internet, server: Household, client: Household) -> None:
        keys = key_pair()
        self.heard = b""
        self.failure: MeadowError | None = None
        self.meetings: list[Meeting] = []
        self.server = Server(server.world, keys, on_meeting=self._met)
        self.server.listen()
        internet.run(20, lambda: self.server.announced.done)
        self.connecting = Connecting(
            client.world,
            key_pair(),
            keys.public_key,
            ConnectOptions(),
            on_meeting=self._met,
            on_failure=self._failed,
        )
        self.connecting.start()

    def _met(self, meeting: Meeting) -> None:
        self.meetings.append(meeting)
        meeting.stream.on_data = self._heard
        meeting.stream.on_close = lambda _: meeting.ended()
        meeting.stream.resume()
        meeting.stream.write(WORDS)

    def _heard(self, data: bytes) -> None:
        self.heard += data

    def _failed(self, error: MeadowError) -> None:
        self.failure = error

    def end(self) -> None:
        self.connecting.cancel()
        self.server.close()
        for meeting in self.meetings:
            meeting.stream.destroy()


@pytest.mark.slow
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    seed=st.integers(0, 2**32),
    kinds=st.sampled_from(
        [("consistent", "consistent"), ("none", "consistent"), ("random", "consistent"), ("none", "none")]
    ),
)
def test_a_saboteur_breaks_nothing_for_good(seed: int, kinds: tuple[Kind, Kind]) -> None:
    """Nothing raises, nothing grows without bound, nothing is left; and once the saboteur is gone all is well."""
    internet = Internet(seed)
    for _ in range(6):
        internet.add("none")
        internet.run(3)
    households = internet.add(kinds[0]), internet.add(kinds[1])
    internet.run(10)
    saboteur = Saboteur(internet, seed)
    attacked = Pair(internet, *households)
    internet.run(30, lambda: attacked.failure is not None or len(attacked.heard) >= 2 * len(WORDS))
    assert saboteur.added > 50
    for household in internet.households:
        assert len(household.node.requests) < MAX_DHT_REQUESTS
        assert household.world.server_punches <= MAX_SERVER_PUNCHES
        assert len(household.probes) <= MAX_PUNCH_SOCKETS
        assert len(household.node.table) < 400
    saboteur.active = False
    attacked.end()
    internet.run(90)
    for household in internet.households:
        assert household.world.server_punches == 0
        assert household.probes == {}
    assert attacked.server._handshakes == {}
    honest = Pair(internet, *households)
    internet.run(60, lambda: honest.failure is not None or honest.heard == 2 * WORDS)
    assert honest.failure is None
    assert honest.heard == 2 * WORDS
