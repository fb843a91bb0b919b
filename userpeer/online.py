"""How the peer becomes reachable: a TCP address, and the DHT. Both are the same again after a restart."""

from __future__ import annotations

import os
from pathlib import Path

from core.errors import PeerUnreachable
from core.peer import Peer

from .settings import ANY_PORT, Address, Settings


async def listen(peer: Peer, settings: Settings) -> Address:
    """Where it was asked for; else where it was the last time, so that who knows the address finds it again.

    Raises `PeerUnreachable` when the address cannot be had.
    """
    wanted = settings.listen
    if wanted is not None:
        return await _listen_at(peer, wanted)
    try:
        address = await _listen_at(peer, ANY_PORT._replace(port=_remembered(settings.last_port) or 0))
    except PeerUnreachable:  # something else has that port now
        address = await _listen_at(peer, ANY_PORT)
    _remember(settings.last_port, address.port)
    return address


async def go_online(peer: Peer, settings: Settings) -> None:
    """Join the DHT, if one is named, on the UDP port asked for, or on that of the last time, or on a usual one.

    Raises `PeerUnreachable` when there is no socket to be had.
    """
    if settings.bootstrap is None:
        return
    last = _remembered(settings.last_dht_port)
    for port in (settings.port,) if settings.port is not None else (last, None) if last else (None,):
        try:
            network = await peer.go_online(
                settings.bootstrap, is_node=settings.dht_node, port=port, announce=settings.announce
            )
            break
        except OSError as error:
            if port is None or port == settings.port:
                where = "" if port is None else f" at port {port}"
                raise PeerUnreachable(
                    f"No UDP socket can be opened{where} for the DHT: {error.strerror or error}. "
                    + ("Without it: --no-dht." if port is None else "Choose another with --port.")
                ) from error
    _remember(settings.last_dht_port, network.dht.server_address[1])


def cannot_open(option: str, wanted: Address, error: OSError) -> PeerUnreachable:
    """The sentence for an address that is taken or is none of this machine's."""
    reason = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
    return PeerUnreachable(
        f"{wanted} cannot be opened: {reason}. Choose another with {option} HOST:PORT; port 0 is a free one."
    )


async def _listen_at(peer: Peer, wanted: Address) -> Address:
    try:
        return Address(*await peer.listen(wanted.host, wanted.port))
    except OSError as error:
        raise cannot_open("--listen", wanted, error) from error


def _remembered(file: Path) -> int | None:
    """None when there was no last time."""
    try:
        port = int(file.read_text("ascii"))
    except (OSError, ValueError):
        return None
    return port if 0 < port < 65_536 else None


def _remember(file: Path, port: int) -> None:
    file.write_text(f"{port}\n", "ascii")
