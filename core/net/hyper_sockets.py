"""The sockets and streams of a HyperDHT node: what `core.dht.world.Outside` asks for, on a real machine."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable, Sequence
from typing import TYPE_CHECKING, Final

from ..dht.address import Address, is_loopback
from ..dht.commands import SERVER, Socket
from ..dht.world import OpenRelay, RelayConnection
from ..errors import PeerUnreachable
from ..limits import MAX_PUNCH_SOCKETS
from ..udx import UdxStream
from .interfaces import interface_hosts
from .udp import UdpSocket
from .udp_mux import LINGER_SECONDS, DatagramHub

if TYPE_CHECKING:
    from .hyperdht import HyperDht

# A released socket still sends what this turn of the loop has queued for it.
_RELEASE_SECONDS: Final = 0.05
_LOCAL_ADDRESSES_SECONDS: Final = 30.0


class HyperSockets:
    """Punch sockets are closed once they are released and no stream has used them for a while."""

    def __init__(self, node: HyperDht, host: str) -> None:
        self._node = node
        self._host = host
        self._loop = asyncio.get_running_loop()
        self._next = 0
        self._names: dict[DatagramHub, Socket] = {}
        self._released: set[Socket] = set()
        self._hosts: list[str] = []
        self._hosts_until = 0.0

    def __len__(self) -> int:
        """Punch sockets that are open."""
        return len(self._names)

    def local_addresses(self) -> Sequence[Address]:
        if SERVER not in self._node.hubs:
            return ()
        host, port = self._node.server_address
        if is_loopback(host):
            return ((host, port),)
        now = self._loop.time()
        if now >= self._hosts_until:
            self._hosts = interface_hosts()
            self._hosts_until = now + _LOCAL_ADDRESSES_SECONDS
        return [(one, port) for one in self._hosts]

    # --- sockets --------------------------------------------------------------------------------------

    def open_socket(self, on_probe: Callable[[Address], None]) -> Socket:
        if len(self._names) >= MAX_PUNCH_SOCKETS:
            raise PeerUnreachable("too many holes are being punched already")
        try:
            socket = UdpSocket(self._host)
        except OSError as error:
            raise PeerUnreachable(f"no socket to punch a hole from ({error.strerror or error})") from error
        self._next += 1
        name = f"punch {self._next}"
        hub = self._node.add_socket(name, socket)
        hub.on_probe = on_probe
        self._names[hub] = name
        return name

    def release_socket(self, socket: Socket) -> None:
        hub = self._node.hubs.get(socket)
        if hub is not None and hub in self._names:
            hub.on_probe = _ignore
            self._released.add(socket)
            self._loop.call_later(_RELEASE_SECONDS, self._close_if_idle, socket)

    def link(self, socket: Socket) -> Hashable:
        return self._node.hubs.get(socket)

    def socket_of(self, link: Hashable) -> Socket | None:
        return next((name for name, hub in self._node.hubs.items() if hub is link), None)

    def forget_all(self) -> None:
        """The node closed every socket."""
        self._names.clear()
        self._released.clear()

    def _close_if_idle(self, socket: Socket) -> None:
        hub = self._node.hubs.get(socket)
        if hub is None or socket not in self._released:
            return
        if any(stream.path is not None and stream.path.link is hub for stream in hub.streams.values()):
            return
        self._released.discard(socket)
        self._names.pop(hub, None)
        self._node.remove_socket(socket)

    # --- streams --------------------------------------------------------------------------------------

    def create_stream(self, firewall: Callable[[Hashable, Address], bool]) -> UdxStream:
        capacity = self._node.hubs[SERVER].stream_capacity
        stream = self._node.streams.create_stream(capacity=capacity, firewall=firewall)
        release = stream.on_release

        def released(ended: UdxStream) -> None:
            release(ended)
            hub = ended.path.link if ended.path is not None else None
            name = self._names.get(hub) if isinstance(hub, DatagramHub) else None
            if name is not None and not self._node.machine.closed:
                self._loop.call_later(LINGER_SECONDS, self._close_if_idle, name)

        stream.on_release = released
        return stream

    # --- relays ---------------------------------------------------------------------------------------

    def dial_relay(
        self, public_key: bytes, on_open: Callable[[OpenRelay], None], on_close: Callable[[], None]
    ) -> RelayConnection:
        return self._node.dial_relay(public_key, on_open, on_close)


def _ignore(address: Address) -> None:
    """A probe for a punch that is over."""
