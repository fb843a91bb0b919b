"""What the peers of one process stand on: the DHT node, its router and store, the clock, sockets and streams.

Connecting and serving (`connect.py`, `server.py`, `announcer.py`, `holepunch.py`) are written against this, so that
they run the same on real sockets and in a simulation. `Outside` is the only part of it that does I/O.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Final, Literal, Protocol, TypeAlias

from ..errors import MeadowError
from ..limits import MAX_RELAY_CACHE
from ..protomux import Mux
from ..secret_stream.handshake import HandshakeResult
from ..udx import UdxStream
from .address import Address
from .commands import Socket
from .node import DhtNode
from .router import Router
from .storing import StoringNode
from .timers import Timers

RANDOM_PUNCH_SECONDS: Final = 20.0
MAX_RANDOM_PUNCHES: Final = 1
MAX_RELAYS_KEPT: Final = 8

How: TypeAlias = Literal["direct", "lan", "punched", "relayed"]
"""Over which kind of path two peers met."""


@dataclass(slots=True, eq=False)
class Meeting:
    """Two peers have a stream between them. It is connected and paused: set its callbacks, then `resume` it, and
    call `ended` when it closes. `how` changes when a relayed stream finds a direct path.
    """

    stream: UdxStream
    handshake: HandshakeResult
    is_initiator: bool
    how: How
    ended: Callable[[], None]


class RelayConnection(Protocol):
    """A connection to a blind relay, open or not yet."""

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class OpenRelay:
    """An open one: its channels, and the stream below them, whose path the relayed stream shares."""

    mux: Mux
    stream: UdxStream
    public_key: bytes
    """Ours on it."""


class Outside(Protocol):
    """Sockets and streams, real or simulated."""

    def local_addresses(self) -> Sequence[Address]:
        """Addresses of this machine's interfaces, with the port of the server socket."""

    def open_socket(self, on_probe: Callable[[Address], None]) -> Socket:
        """One more UDP socket; requests may name it. Raises `MeadowError` when there are too many."""

    def release_socket(self, socket: Socket) -> None:
        """No more probes are expected; it is closed once no stream uses it."""

    def link(self, socket: Socket) -> Hashable:
        """What streams call that socket."""

    def socket_of(self, link: Hashable) -> Socket | None: ...

    def create_stream(self, firewall: Callable[[Hashable, Address], bool]) -> UdxStream: ...

    def dial_relay(
        self, public_key: bytes, on_open: Callable[[OpenRelay], None], on_close: Callable[[], None]
    ) -> RelayConnection:
        """Connect to a relay as to any server. `on_close` runs once, later, when that failed or ended."""


class RandomPunches:
    """Guessing ports takes thousands of packets: one attempt at a time, and a pause after it."""

    __slots__ = ("_clock", "_last", "_running")

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._running = 0
        self._last: float | None = None

    @property
    def allowed(self) -> bool:
        rested = self._last is None or self._clock() - self._last >= RANDOM_PUNCH_SECONDS
        return self._running < MAX_RANDOM_PUNCHES and rested

    def begin(self) -> None:
        self._running += 1

    def withdraw(self) -> None:
        """It was not begun after all."""
        self._running -= 1

    def end(self) -> None:
        self._running -= 1
        self._last = self._clock()


class RelayAddresses:
    """Nodes through which a server was reached before, by its key: the next time nothing is searched for."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: dict[bytes, tuple[Address, ...]] = {}

    def get(self, public_key: bytes) -> tuple[Address, ...]:
        return self._known.get(public_key, ())

    def put(self, public_key: bytes, addresses: Sequence[Address]) -> None:
        self._known.pop(public_key, None)
        if len(self._known) >= MAX_RELAY_CACHE:
            del self._known[next(iter(self._known))]
        self._known[public_key] = tuple(addresses[:MAX_RELAYS_KEPT])


class World:
    """One for each DHT node."""

    def __init__(self, node: DhtNode, outside: Outside, clock: Callable[[], float]) -> None:
        self.node = node
        self.outside = outside
        self.timers = Timers(clock)
        self.router = Router(node, clock)
        self.storing = StoringNode(node, self.router, clock)
        self.random_punches = RandomPunches(clock)
        self.relay_addresses = RelayAddresses()
        self.server_punches = 0
        """Hole punches under way that strangers made us begin."""

    def send_probe(self, socket: Socket, address: Address, *, ttl: int = 0) -> None:
        """One byte. Nobody answers for a probe that goes nowhere."""
        if address[1] > 0:
            self.node.send_datagram(b"\0", address, socket, ttl)


OnMeeting = Callable[[Meeting], None]
OnFailure = Callable[[MeadowError], None]
KeyFirewall = Callable[[bytes, Address], bool]
"""Takes a remote key and address; True refuses them."""
