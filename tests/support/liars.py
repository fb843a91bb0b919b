"""A server that strangers write to, and a server that lies, in the simulated Internet."""

from __future__ import annotations

from collections.abc import Callable

from core.crypto.hashing import hash32
from core.crypto.keys import key_pair
from core.dht.address import Address
from core.dht.commands import SERVER
from core.dht.handshake import PeerHandshake
from core.dht.handshake_messages import (
    HandshakeBody,
    Mode,
    decode_handshake,
    encode_handshake,
)
from core.dht.holepunch_messages import HolepunchBody
from core.dht.hyper_commands import PEER_HANDSHAKE
from core.dht.incoming import IncomingRequest
from core.dht.messages import decode_request, encode_request
from core.dht.server import Server
from core.dht.world import Meeting
from core.errors import DecodingError
from tests.support.nat_internet import Household, Internet

KEYS = key_pair(bytes(32))
TARGET = hash32(KEYS.public_key)
LIAR: Address = ("30.0.0.1", 999)


class Scene:
    """A server behind a NAT, announced at honest nodes, and what it sends to addresses outside of them."""

    def __init__(self) -> None:
        self.internet = Internet(5)
        for _ in range(5):
            self.internet.add("none")
            self.internet.run(2)
        self.household = self.internet.add("consistent")
        self.internet.run(10)
        self.meetings: list[Meeting] = []
        self.server = Server(self.household.world, KEYS, on_meeting=self._met)
        self.server.listen()
        self.internet.run(20, lambda: self.server.announced.done)
        assert len(self.server.announcer.relays) == 3
        self.relay = self.server.announcer.relays[0].relay_address
        self.sent: list[tuple[bytes, Address]] = []
        carry = self.internet.carry

        def watched(data: bytes, source: Address, to: Address, ttl: int) -> None:
            if source[0] == self.household.public_host:
                self.sent.append((data, to))
            carry(data, source, to, ttl)

        self.internet.carry = watched  # type: ignore[method-assign]

    def _met(self, meeting: Meeting) -> None:
        self.meetings.append(meeting)
        meeting.stream.on_close = lambda _: meeting.ended()
        meeting.stream.resume()

    def arrive(self, command: int, value: bytes) -> None:
        data = encode_request(1, self.relay, command, target=TARGET, value=value)
        self.household.node.receive(data, self.relay, SERVER, self.internet.now)
        self.internet.run(0.2)

    def shake_hands(self, payload: bytes, mode: Mode = Mode.FROM_RELAY) -> PeerHandshake | None:
        """Our side after the server's answer; None when it did not answer."""
        handshake = PeerHandshake(key_pair(), KEYS.public_key)
        message = handshake._noise.write(payload)
        self.sent.clear()
        self.arrive(PEER_HANDSHAKE, encode_handshake(HandshakeBody(mode, message, LIAR)))
        for data, _ in self.sent:
            if data[0] != 0x03:
                continue
            request = decode_request(data)
            if request.command == PEER_HANDSHAKE and request.value is not None:
                self.answer = handshake.read(decode_handshake(request.value).noise)
                return handshake
        return None

    def probes_to(self, host: str) -> int:
        return sum(data == b"\0" and to[0] == host for data, to in self.sent)

    def ends_clean(self) -> None:
        for meeting in self.meetings:
            meeting.stream.destroy()
        self.internet.run(60)
        assert self.server._handshakes == {}
        assert self.household.world.server_punches == 0
        assert self.household.probes == {}


class LyingServer:
    """Answers a client's handshake with any payload, from an open host, and `reflects` what it says of punching."""

    def __init__(self, household: Household, payload: bytes, *, reflects: bool = True) -> None:
        self._reflects = reflects
        self.record = KEYS.public_key + b"\0"
        self._payload = payload
        household.world.router.add_server(TARGET, self)

    def on_handshake(
        self, body: HandshakeBody, request: IncomingRequest, answer: Callable[[bytes, str | None], None]
    ) -> None:
        handshake = PeerHandshake(KEYS)
        try:
            handshake.read(body.noise)
        except DecodingError:
            return
        answer(handshake._noise.write(self._payload), None)

    def on_holepunch(
        self, body: HolepunchBody, request: IncomingRequest, answer: Callable[[bytes, str | None], None]
    ) -> None:
        if self._reflects:
            answer(body.payload, None)
