"""A network of DHT nodes in one process, with a seed and a clock of its own: delay, loss, death and birth.

`SimulatedNetwork.add` makes a node at an address of its own and joins it through the first one; `run` lets time
pass. Nothing here sleeps: a minute of two hundred nodes takes a second or two. A node made with `behind_nat=True`
can be reached only by those it has sent to, from the socket it sent from.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count
from typing import Any

from core.dht.address import Address
from core.dht.commands import CLIENT, SERVER
from core.dht.node import DhtNode
from core.dht.world import World

SERVER_PORT = 49737
CLIENT_PORT = 50001


@dataclass(eq=False)
class Host:
    """One machine: a node and its two sockets. `scheduled_at` is when its timer is already set."""

    name: str
    node: DhtNode
    behind_nat: bool
    alive: bool = True
    scheduled_at: float | None = None
    awake: bool = False
    sent: int = 0
    opened: set[tuple[str, Address]] = field(default_factory=set)
    world: World | None = None

    @property
    def address(self) -> Address:
        return self.name, SERVER_PORT


class NoOutside:
    """Of a machine that neither dials nor is dialled here."""

    def local_addresses(self) -> Sequence[Address]:
        return ()

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"nothing here needs {name}")


class SimulatedNetwork:
    """`delay` is the one-way time in seconds, drawn evenly; `loss` the part of datagrams that vanish."""

    def __init__(self, seed: int, *, delay: tuple[float, float] = (0.005, 0.08), loss: float = 0.0) -> None:
        self.random = random.Random(seed)
        self.now = 0.0
        self.loss = loss
        self.hosts: dict[str, Host] = {}
        self.delivered = 0
        self.watch: Callable[[bytes, Address, Address], None] = lambda data, source, to: None
        self._delay = delay
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()
        self._names = count(1)
        self._waking: list[Host] = []

    @property
    def living(self) -> list[Host]:
        return [host for host in self.hosts.values() if host.alive]

    def add(self, *, behind_nat: bool = False, start: bool = True, **options: Any) -> Host:
        """A new machine. Without a `bootstrap` option it joins through up to three of those that live."""
        number = next(self._names)
        name = f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"
        if "bootstrap" not in options:
            open_hosts = [host for host in self.living if not host.behind_nat][:3]
            options["bootstrap"] = [host.address for host in open_hosts]
            if not open_hosts:
                options["known_address"] = (name, SERVER_PORT)
        options.setdefault("ephemeral", False)
        options.setdefault("firewalled", behind_nat)
        node = DhtNode(server_port=SERVER_PORT, random=self.random.randbytes, now=self.now, **options)
        host = Host(name, node, behind_nat)
        self.hosts[name] = host
        node.wake = lambda: self._wake(host)
        if start:
            node.start(self.now)
            self._wake(host)
        return host

    def add_world(self, **options: Any) -> Host:
        """A new machine that also stores, routes and can announce servers (it has no streams and no more sockets)."""
        host = self.add(**options)
        world = host.world = World(host.node, NoOutside(), lambda: self.now)

        def run() -> None:
            if host.alive:
                world.timers.run(self.now)
                self._wake(host)
                set_timer()

        def set_timer() -> None:
            due = world.timers.deadline()
            if due is not None:
                self.at(due, run)

        world.timers.wake = set_timer
        return host

    @property
    def events(self) -> int:
        """What is still to happen."""
        return len(self._events)

    def kill(self, host: Host) -> None:
        """The power cord: it says nothing to anybody."""
        host.alive = False
        host.node.close()
        del self.hosts[host.name]

    def inject(self, data: bytes, source: Address, host: Host, socket: str = SERVER) -> None:
        """A datagram out of nowhere, at once."""
        host.node.receive(data, source, socket, self.now)
        self._flush()

    def run(self, seconds: float = float("inf"), until: Callable[[], bool] | None = None) -> None:
        """Let time pass, or stop as soon as `until` holds."""
        end = self.now + seconds
        self._flush()
        while self._events and self._events[0][0] <= end:
            if until is not None and until():
                return
            self.now, _, event = heappop(self._events)
            event()
            self._flush()
        if seconds != float("inf"):
            self.now = end

    def at(self, time: float, event: Callable[[], None]) -> None:
        heappush(self._events, (time, next(self._order), event))

    def _wake(self, host: Host) -> None:
        if not host.awake:
            host.awake = True
            self._waking.append(host)

    def _flush(self) -> None:
        while self._waking:
            host = self._waking.pop()
            host.awake = False
            if not host.alive:
                continue
            for data, to, socket, _ in host.node.datagrams_to_send(self.now):
                host.sent += 1
                self._transmit(data, host, socket, to)
            self._set_timer(host)

    def _set_timer(self, host: Host) -> None:
        due = host.node.deadline()
        if due is None or (host.scheduled_at is not None and host.scheduled_at <= due):
            return
        host.scheduled_at = due

        def fire() -> None:
            if host.scheduled_at == due and host.alive:
                host.scheduled_at = None
                host.node.on_timer(self.now)
                self._wake(host)

        self.at(max(due, self.now), fire)

    def _transmit(self, data: bytes, host: Host, socket: str, to: Address) -> None:
        source = (host.name, SERVER_PORT if socket == SERVER else CLIENT_PORT)
        self.watch(data, source, to)
        host.opened.add((socket, to))
        if self.random.random() >= self.loss:
            self.at(self.now + self.random.uniform(*self._delay), lambda: self._deliver(data, source, to))

    def _deliver(self, data: bytes, source: Address, to: Address) -> None:
        host = self.hosts.get(to[0])
        socket = {SERVER_PORT: SERVER, CLIENT_PORT: CLIENT}.get(to[1])
        if host is None or socket is None or (host.behind_nat and (socket, source) not in host.opened):
            return
        self.delivered += 1
        host.node.receive(data, source, socket, self.now)
        self._wake(host)
