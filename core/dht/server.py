"""A server: reachable by its key alone, by whoever asks one of the nodes that keep its announcement.

Source: hyperdht 6.34.0 `lib/server.js`. What strangers can make it hold is bounded three ways: new handshakes by a
rate (`allowance.py`), handshakes kept by two numbers, hole punches (each has a UDP socket) by a smaller one.
"""

from __future__ import annotations

from collections.abc import Callable

from ..crypto.hashing import hash32
from ..crypto.keys import KeyPair
from ..limits import (
    MAX_HANDSHAKE_BURST,
    MAX_HANDSHAKE_NOISE_BYTES,
    MAX_HANDSHAKES_PER_SECOND,
    MAX_SERVER_HANDSHAKES,
    MAX_WAITING_HANDSHAKES,
)
from .address import Address
from .allowance import FairAllowance
from .announcer import Announcer
from .commands import Socket
from .flow import Outcome
from .handshake_messages import HandshakeBody
from .holepunch_messages import HolepunchBody
from .incoming import IncomingRequest
from .server_handshake import ServerHandshake
from .world import KeyFirewall, OnMeeting, World


class Server:
    """Serves one key pair. `on_meeting` gets every peer; `firewall(key, address)` refuses those it is True for.

    `relay_through` (public keys of blind relays): offer clients to meet there as well. `punch` False: no hole
    punching, `share_local_addresses` False: nobody is told of our interfaces.
    """

    def __init__(
        self,
        world: World,
        key_pair: KeyPair,
        *,
        on_meeting: OnMeeting,
        firewall: KeyFirewall | None = None,
        relay_through: Callable[[], bytes | None] | None = None,
        punch: bool = True,
        share_local_addresses: bool = True,
    ) -> None:
        self.world = world
        self.key_pair = key_pair
        self.target = hash32(key_pair.public_key)
        self.announcer = Announcer(world, key_pair)
        self.record = self.announcer.record
        self.on_meeting = on_meeting
        self.firewall = firewall
        self.relay_through = relay_through
        self.punch = punch
        self.share_local_addresses = share_local_addresses
        self.closed = False
        self.suspended = False
        # In order of age, both: the oldest are given up first.
        self._handshakes: dict[bytes, ServerHandshake] = {}
        self._waiting: dict[bytes, ServerHandshake] = {}
        self._by_id: dict[int, ServerHandshake] = {}
        self._next_id = 0
        self._allowance = FairAllowance(MAX_HANDSHAKES_PER_SECOND, MAX_HANDSHAKE_BURST, world.timers.now())

    @property
    def public_key(self) -> bytes:
        return self.key_pair.public_key

    @property
    def relay_addresses(self) -> tuple[Address, ...]:
        """What an announcement of a topic should say about how to reach us."""
        return self.announcer.relay_addresses

    @property
    def announced(self) -> Outcome[None]:
        """Set once the first announcement was tried."""
        return self.announcer.announced

    def listen(self) -> None:
        """Begin to answer, and to be announced. Raises `LocalProtocolError` when this key is served already."""
        self.world.router.add_server(self.target, self)
        self.announcer.start()

    def close(self) -> Outcome[None]:
        """Answer nobody any more; the outcome is set when the announcements were taken back. Peers stay connected."""
        self.closed = True
        self.world.router.remove_server(self.target)
        self._clear()
        return self.announcer.stop()

    def suspend(self) -> Outcome[None]:
        self.suspended = True
        self._clear()
        return self.announcer.suspend()

    def resume(self) -> None:
        self.suspended = False
        self.announcer.resume()

    def refresh(self) -> None:
        """The network changed: announce again."""
        self.announcer.refresh()

    def forget(self, handshake: ServerHandshake) -> None:
        """The handshake is over for good (called by itself)."""
        self._handshakes.pop(handshake.key, None)
        self._waiting.pop(handshake.key, None)
        self._by_id.pop(handshake.id, None)

    def settled(self, handshake: ServerHandshake) -> None:
        """Its client came, or will not come any more; only the answer is kept (called by itself)."""
        self._waiting.pop(handshake.key, None)

    # --- what the router brings -----------------------------------------------------------------------

    def on_handshake(
        self, body: HandshakeBody, request: IncomingRequest, answer: Callable[[bytes, Socket | None], None]
    ) -> None:
        """The same message gets the same answer, by whatever relay it comes and however often."""
        if self.closed or self.suspended or len(body.noise) > MAX_HANDSHAKE_NOISE_BYTES:
            return
        key = hash32(body.noise)
        handshake = self._handshakes.get(key)
        if handshake is None:
            if not self._allowance.take(self._host_of(body, request), self.world.timers.now()):
                return
            self._make_room()
            self._next_id += 1
            handshake = ServerHandshake(self, self._next_id, key, body, request)
            self._handshakes[key] = self._waiting[key] = self._by_id[self._next_id] = handshake
            handshake.begin()
        if handshake.reply is not None:
            answer(handshake.reply, handshake.answer_socket)

    def on_holepunch(
        self, body: HolepunchBody, request: IncomingRequest, answer: Callable[[bytes, Socket | None], None]
    ) -> None:
        handshake = self._by_id.get(body.id)
        if handshake is not None and not self.closed and not self.suspended:
            handshake.on_holepunch(body, request, answer)

    def _host_of(self, body: HandshakeBody, request: IncomingRequest) -> str:
        """Whose part of the allowance it is. Only our own relays are believed about where a client is."""
        if body.peer_address is not None and self.announcer.is_relay(request.address):
            return body.peer_address[0]
        return request.address[0]

    def _make_room(self) -> None:
        for handshakes, limit in (
            (self._waiting, MAX_WAITING_HANDSHAKES),
            (self._handshakes, MAX_SERVER_HANDSHAKES),
        ):
            while len(handshakes) >= limit:
                oldest = next(iter(handshakes.values()))
                oldest.drop()
                self.forget(oldest)

    def _clear(self) -> None:
        for handshake in list(self._handshakes.values()):
            handshake.drop()
        self._handshakes.clear()
        self._waiting.clear()
        self._by_id.clear()
