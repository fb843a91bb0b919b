"""Making a hole through two NATs from both sides at once.

A NAT lets in only what looks like an answer. So each side sends a byte to where the other will come from: the first
ones are lost, but each opens its own side, and then one arrives. Who may be guessing, and how:

    both consistent             a probe a second to every address the other says it has
    one consistent, one random  the consistent side knows only the other's host: it tries random ports, while the
                                other sends from 256 sockets; after some hundred probes two meet (the birthday paradox)
    both random                 hopeless

Probes with a small time to live open our side without reaching the other's. The side that connects (the initiator)
takes the first probe it gets as the path; the other side only sends each probe back. Source: hyperdht 6.34.0
`lib/holepuncher.js`.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final

from ..errors import MeadowError
from .address import Address, may_be_visited
from .commands import Socket
from .flow import Flow
from .hyper_commands import CONSISTENT, OPEN, RANDOM, UNKNOWN
from .nat import Nat
from .world import World

LOW_TTL: Final = 5
CONSISTENT_ROUNDS: Final = 10
ROUND_SECONDS: Final = 1.0
RANDOM_PROBES: Final = 1_750
PROBE_SECONDS: Final = 0.020
BIRTHDAY_SOCKETS: Final = 256
BIRTHDAY_REST_SECONDS: Final = 0.1
MAX_REOPENS: Final = 3
MAX_REMOTE_ADDRESSES: Final = 8
"""Addresses of its own that a peer may make us send probes to; honest ones name two or three."""
_LOWEST_PORT: Final = 1_000


@dataclass(frozen=True, slots=True)
class RemoteAddress:
    """`verified`: it has shown that it receives at this host."""

    address: Address
    verified: bool


class Puncher:
    """One attempt with one peer. `on_path(socket, address)` tells the initiator where a probe came through.

    `on_abort` is called once if the attempt ends without a path (`destroy`, or all probes sent). Raises `MeadowError`
    when no socket can be had.
    """

    def __init__(
        self,
        world: World,
        *,
        is_initiator: bool,
        remote_firewall: int,
        on_path: Callable[[Socket, Address], None],
        on_abort: Callable[[], None],
    ) -> None:
        self.is_initiator = is_initiator
        self.remote_firewall = remote_firewall
        self.remote_addresses: list[RemoteAddress] = []
        self.remote_punching = False
        self.punching = False
        self.connected = False
        self.destroyed = False
        self.on_path = on_path
        self.on_abort = on_abort
        self._world = world
        self._randomized = False
        self._sockets: list[Socket] = []
        self._flow: Flow[None] | None = None
        self._punch_began: bool | None = None
        self._open()
        self.nat = Nat(world, self.socket)

    @property
    def socket(self) -> Socket:
        """The one that requests about this attempt leave from."""
        return self._sockets[0]

    def owns(self, socket: Socket | None) -> bool:
        """Whether `socket` is one that this attempt opened."""
        return socket in self._sockets

    @property
    def done(self) -> bool:
        return self.destroyed or self.connected

    # --- what the peer says ---------------------------------------------------------------------------

    def update_remote(
        self,
        *,
        punching: bool,
        firewall: int,
        addresses: tuple[Address, ...] | None,
        verified: str | None,
    ) -> None:
        """`verified`: a host that has just been proved; those proved before stay so."""
        proved = {known.address[0] for known in self.remote_addresses if known.verified}
        if verified is not None:
            proved.add(verified)
        self.remote_firewall = firewall
        self.remote_punching = punching
        self.remote_addresses = [
            RemoteAddress(address, address[0] in proved)
            for address in (addresses or ())[:MAX_REMOTE_ADDRESSES]
        ]

    def probe(self, address: Address, *, low_ttl: bool = False, socket: Socket | None = None) -> None:
        self._world.send_probe(socket or self.socket, address, ttl=LOW_TTL if low_ttl else 0)

    # --- what we are ----------------------------------------------------------------------------------

    async def analyze(self, *, allow_reopen: bool) -> bool:
        """Wait for the verdict about our NAT; True when it is one that punching may succeed with.

        With `allow_reopen` other sockets are tried: some NATs (of mobile networks) give one a better hole.
        """
        await self.nat.analyzed
        if not self._unstable:
            return True
        if not allow_reopen:
            return False
        for _ in range(MAX_REOPENS):
            if self.done or self.punching or not self._unstable:
                break
            self._reopen()
            await self.nat.analyzed
        return _coerce(self.nat.firewall) == CONSISTENT

    @property
    def _unstable(self) -> bool:
        ours = self.nat.firewall
        return ours == UNKNOWN or (self.remote_firewall >= RANDOM and ours >= RANDOM)

    def _reopen(self) -> None:
        old = self._sockets.pop()
        self.nat.close()
        self._world.outside.release_socket(old)
        self._open()
        self.nat = Nat(self._world, self.socket)

    def _open(self) -> Socket:
        socket: Socket = ""
        # Named before it exists: no probe can arrive until this call has returned to the event loop.
        socket = self._world.outside.open_socket(lambda address: self._on_probe(socket, address))
        self._sockets.append(socket)
        return socket

    # --- punching -------------------------------------------------------------------------------------

    def punch(self) -> bool:
        """Begin, once; False when it cannot be done with these two NATs."""
        if self._punch_began is None:
            self.punching = not self.done
            self._punch_began = self._begin()
            self.punching = self.punching and self._punch_began
        return self._punch_began

    def _begin(self) -> bool:
        if self.done or not self.remote_addresses:
            return False
        ours, theirs = _coerce(self.nat.firewall), _coerce(self.remote_firewall)
        if ours == CONSISTENT and theirs == CONSISTENT:
            self._run(self._probe_addresses())
            return True
        verified = next((known.address for known in self.remote_addresses if known.verified), None)
        if verified is None:
            return False
        if ours == CONSISTENT and theirs >= RANDOM:
            self._begin_randomized()
            self._run(self._probe_random_ports(verified[0]))
            return True
        if ours >= RANDOM and theirs == CONSISTENT:
            self._begin_randomized()
            self._open_birthday_sockets(verified)
            self._run(self._probe_from_all(verified))
            return True
        return False

    def _run(self, conversation: Coroutine[Any, Any, None]) -> None:
        async def until_done() -> None:
            await conversation
            if not self.connected:
                self.destroy()

        self._flow = Flow(until_done())

    async def _probe_addresses(self) -> None:
        if not self.is_initiator:
            # We answered an early probe already; let the other side's first ones come.
            await self._world.timers.sleep(ROUND_SECONDS)
        for number in range(1, CONSISTENT_ROUNDS + 1):
            if not self.punching:
                return
            for known in self.remote_addresses:
                # What nobody proved could be a victim's address: it gets a quarter.
                if known.verified or number % 4 == 0:
                    self.probe(known.address)
            await self._world.timers.sleep(ROUND_SECONDS)

    async def _probe_random_ports(self, host: str) -> None:
        draw = self._world.node.random
        for _ in range(RANDOM_PROBES):
            if not self.punching:
                return
            port = _LOWEST_PORT + int.from_bytes(draw(4), "little") % (65_536 - _LOWEST_PORT)
            self.probe((host, port))
            await self._world.timers.sleep(PROBE_SECONDS)

    def _open_birthday_sockets(self, remote: Address) -> None:
        self.probe(remote, low_ttl=True)
        while len(self._sockets) < BIRTHDAY_SOCKETS:
            try:
                socket = self._open()
            except MeadowError:
                break  # fewer do as well, only less often
            self.probe(remote, low_ttl=True, socket=socket)

    async def _probe_from_all(self, remote: Address) -> None:
        await self._world.timers.sleep(BIRTHDAY_REST_SECONDS)
        for number in range(RANDOM_PROBES):
            if not self.punching:
                return
            count = len(self._sockets)
            self.probe(remote, low_ttl=number < count, socket=self._sockets[number % count])
            await self._world.timers.sleep(PROBE_SECONDS)

    def _on_probe(self, socket: Socket, address: Address) -> None:
        if self.destroyed or not may_be_visited(address):
            return
        if not self.is_initiator:
            self.probe(address, socket=socket)
            return
        if self.connected:
            return
        self.connected = True
        self.punching = False
        for other in self._sockets:
            if other != socket:
                self._world.outside.release_socket(other)
        self._sockets = [socket]
        self._end_randomized()
        self.on_path(socket, address)

    # --- the end --------------------------------------------------------------------------------------

    def _begin_randomized(self) -> None:
        self._randomized = True
        self._world.random_punches.begin()

    def _end_randomized(self) -> None:
        if self._randomized:
            self._randomized = False
            self._world.random_punches.end()

    def destroy(self) -> None:
        """Give the sockets back (one that carries a stream stays open below it)."""
        if self.destroyed:
            return
        self.destroyed = True
        self.punching = False
        for socket in self._sockets:
            self._world.outside.release_socket(socket)
        self.nat.close()
        if self._flow is not None:
            self._flow.cancel()
        self._end_randomized()
        if not self.connected:
            self.on_abort()


def _coerce(firewall: int) -> int:
    """An open socket is a consistent one that needs no hole."""
    return CONSISTENT if firewall == OPEN else firewall
