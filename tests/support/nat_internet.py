"""An Internet with NATs in it, in one process, with a seed and a clock of its own.

Every `Household` has one peer: behind no NAT, a consistent one (one outside port for a socket) or a random one (a new
port for each destination). Both kinds let in only what comes from an address and port that was sent to in the last 30
seconds, and keep an outside port as long as something is sent from it. Peers are
real ones (`core.dht.world.World`, `UdxStream`); only the sockets are made up.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import count
from typing import Literal

from core.dht.address import Address
from core.dht.commands import CLIENT, SERVER, Socket
from core.dht.node import DhtNode
from core.dht.world import OpenRelay, RelayConnection, World
from core.udx import UdxStream

Kind = Literal["none", "consistent", "random"]

SERVER_PORT = 49737
DELAY_SECONDS = (0.005, 0.04)
LOW_TTL = 5
FORGOTTEN_SECONDS = 30.0


@dataclass(eq=False)
class Hole:
    """One outside port: who it belongs to, and whom it lets in."""

    household: Household
    socket: Socket
    let_in: dict[Address, float]
    """When something was last sent there."""
    used: float


class Household:
    """One peer and the NAT before it; implements `core.dht.world.Outside`."""

    def __init__(self, internet: Internet, number: int, kind: Kind, **options: object) -> None:
        self.internet = internet
        self.kind = kind
        self.public_host = f"20.{number >> 16}.{number >> 8 & 255}.{number & 255}"
        self.local_host = self.public_host if kind == "none" else f"192.168.{number & 255}.2"
        self.ports: dict[Socket, int] = {SERVER: SERVER_PORT, CLIENT: 50_001}
        self.probes: dict[Socket, Callable[[Address], None]] = {}
        self.streams: dict[int, UdxStream] = {}
        self.awake: set[UdxStream] = set()
        self.sent_probes = 0
        self._next_port = 50_002
        self._outside: dict[tuple[Socket, Address | None], int] = {}
        self.node = DhtNode(
            server_port=SERVER_PORT,
            random=internet.random.randbytes,
            now=internet.now,
            **options,  # type: ignore[arg-type]
        )
        self.world = World(self.node, self, lambda: internet.now)

    # --- Outside --------------------------------------------------------------------------------------

    def local_addresses(self) -> Sequence[Address]:
        return [(self.local_host, SERVER_PORT)]

    def open_socket(self, on_probe: Callable[[Address], None]) -> Socket:
        name = f"punch {self._next_port}"
        self.ports[name] = self._next_port
        self.probes[name] = on_probe
        self._next_port += 1
        return name

    def release_socket(self, socket: Socket) -> None:
        self.probes.pop(socket, None)

    def link(self, socket: Socket) -> Hashable:
        return socket

    def socket_of(self, link: Hashable) -> Socket | None:
        return link if isinstance(link, str) else None

    def create_stream(self, firewall: Callable[[Hashable, Address], bool]) -> UdxStream:
        stream = UdxStream(self.internet.random.getrandbits(32), firewall=firewall)
        stream.on_wake = self.awake.add
        self.streams[stream.local_id] = stream
        return stream

    def dial_relay(
        self, public_key: bytes, on_open: Callable[[OpenRelay], None], on_close: Callable[[], None]
    ) -> RelayConnection:
        raise AssertionError("there is no relay in this Internet")

    # --- the NAT --------------------------------------------------------------------------------------

    def send(self, data: bytes, to: Address, socket: Socket, ttl: int) -> None:
        if data == b"\0":
            self.sent_probes += 1
        if self.kind == "none":
            self.internet.carry(data, (self.public_host, self.ports[socket]), to, ttl)
            return
        key = (socket, to if self.kind == "random" else None)
        now = self.internet.now
        port = self._outside.get(key)
        if port is None or self.internet.holes[self.public_host, port].used < now - FORGOTTEN_SECONDS:
            port = self._outside[key] = self.internet.free_port(self)
            self.internet.holes[self.public_host, port] = Hole(self, socket, {}, self.internet.now)
        hole = self.internet.holes[self.public_host, port]
        hole.let_in[to] = hole.used = now
        self.internet.carry(data, (self.public_host, port), to, ttl)

    def receive(self, data: bytes, source: Address, socket: Socket) -> None:
        now = self.internet.now
        if len(data) == 1:
            on_probe = self.probes.get(socket)
            if on_probe is not None:
                on_probe(source)
        elif data[0] == 0xFF:
            stream = self.streams.get(int.from_bytes(data[4:8], "little"))
            if stream is not None:
                stream.receive(data, source, now, socket)
                self.awake.add(stream)
        else:
            self.node.receive(data, source, socket, now)

    def flush(self) -> bool:
        """Send everything there is to send; False when that was nothing."""
        now = self.internet.now
        sent = False
        for data, to, socket, ttl in self.node.datagrams_to_send(now):
            self.send(data, to, socket, ttl)
            sent = True
        while self.awake:
            stream = self.awake.pop()
            for train in stream.trains_to_send(now):
                whole = b"".join(train.buffers)
                for at in range(0, len(whole), train.size):
                    self.send(whole[at : at + train.size], train.path.address, str(train.path.link), 0)
                sent = True
        return sent

    def deadline(self) -> float | None:
        due = [
            self.node.deadline(),
            self.world.timers.deadline(),
            *(s.deadline() for s in self.streams.values()),
        ]
        return min((at for at in due if at is not None), default=None)

    def on_timer(self) -> None:
        now = self.internet.now
        self.node.on_timer(now)
        self.world.timers.run(now)
        for stream in list(self.streams.values()):
            due = stream.deadline()
            if due is not None and due <= now:
                stream.on_timer(now)
                self.awake.add(stream)


class Internet:
    """`add` households, then `run`."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.now = 0.0
        self.households: list[Household] = []
        self.holes: dict[Address, Hole] = {}
        self._open: dict[str, Household] = {}
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()

    def add(self, kind: Kind, **options: object) -> Household:
        number = len(self.households) + 1
        if self.households:
            options.setdefault("bootstrap", [(self.households[0].public_host, SERVER_PORT)])
            options.setdefault("ephemeral", kind != "none")
        else:
            options.setdefault("ephemeral", False)
            options.setdefault("known_address", (f"20.0.0.{number}", SERVER_PORT))
        options.setdefault("firewalled", kind != "none")
        household = Household(self, number, kind, **options)
        self.households.append(household)
        if kind == "none":
            self._open[household.public_host] = household
        household.node.start(self.now)
        return household

    def free_port(self, household: Household) -> int:
        while True:
            port = self.random.randrange(1_024, 65_536)
            if (household.public_host, port) not in self.holes:
                return port

    def carry(self, data: bytes, source: Address, to: Address, ttl: int) -> None:
        if ttl == LOW_TTL:
            return  # it opened the sender's side and died on the way
        delay = self.random.uniform(*DELAY_SECONDS)
        heappush(self._events, (self.now + delay, next(self._order), lambda: self._deliver(data, source, to)))

    def _deliver(self, data: bytes, source: Address, to: Address) -> None:
        open_one = self._open.get(to[0])
        if open_one is not None:
            socket = next((name for name, port in open_one.ports.items() if port == to[1]), None)
            if socket is not None:
                open_one.receive(data, source, socket)
            return
        hole = self.holes.get(to)
        if hole is not None and hole.let_in.get(source, -1e9) >= self.now - FORGOTTEN_SECONDS:
            hole.household.receive(data, source, hole.socket)

    def run(self, seconds: float, until: Callable[[], bool] = lambda: False) -> None:
        """Let time pass, or stop as soon as `until` holds."""
        end = self.now + seconds
        while not until():
            while sum(household.flush() for household in self.households):
                pass
            due = min((at for one in self.households if (at := one.deadline()) is not None), default=end)
            at = min(due, self._events[0][0]) if self._events else due
            if at > end:
                break
            self.now = max(self.now, at)
            while self._events and self._events[0][0] <= self.now:
                heappop(self._events)[2]()
            for household in self.households:
                deadline = household.deadline()
                if deadline is not None and deadline <= self.now:
                    household.on_timer()
        else:
            return
        self.now = end
