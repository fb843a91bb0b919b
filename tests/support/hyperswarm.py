"""Swarms of both kinds on one DHT of this machine: peers of ours, and official ones in a Node process."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from core.peer import Connection, Peer, Testnet
from core.swarm.driver import SwarmDriver
from tests.support.node import NodePeer
from tests.support.waiting import eventually

SECONDS = 60.0
"""For whatever must happen; a loaded machine is slow."""

Seen = tuple[str, bool, str]
"""A connection as either side sees it: the remote key, who dialed, and an id that both sides share."""


class Place:
    """`bootstrap` is where the DHT begins. Everything opened here is closed by `place`."""

    def __init__(self, node: NodePeer, bootstrap: Sequence[str], stack: AsyncExitStack) -> None:
        self.node = node
        self.bootstrap = list(bootstrap)
        self._stack = stack

    async def ours(self, **options: Any) -> Peer:
        """A peer of ours, bootstrapped."""
        peer = await Peer.open(None, bootstrap=self.bootstrap, **options)
        self._stack.push_async_callback(peer.close)
        await driver_of(peer).dht.bootstrapped()
        return peer

    async def theirs(self, name: str, **arguments: Any) -> bytes:
        """A swarm of the official package called `name`, bootstrapped; its key."""
        opened = await self.node("open", name=name, bootstrap=self.bootstrap, **arguments)
        return bytes.fromhex(opened["key"])

    async def seen_by_theirs(self, name: str) -> list[Seen]:
        connections = await self.node("connections", name=name)
        return [(one["key"], one["initiator"], one["id"]) for one in connections]

    async def one_connection(self, peer: Peer, name: str, key: bytes) -> Connection:
        """Wait until `peer` and `name` (its key is `key`) list one connection with each other: the same one."""

        async def settled() -> Connection | None:
            theirs = await self.seen_by_theirs(name)
            mine = [one for one in peer.connections if one.remote_public_key == key]
            if len(theirs) != 1 or len(mine) != 1 or mine[0].mux is None:
                return None
            expected = (peer.public_key.hex(), not mine[0].is_initiator, mine[0].mux.handshake_hash.hex())
            return mine[0] if theirs[0] == expected else None

        connection: Connection = await eventually(settled, SECONDS)
        return connection

    async def nobody(self, peer: Peer, name: str) -> None:
        """Wait until neither side lists a connection."""

        async def gone() -> bool:
            return not peer.connections and not await self.seen_by_theirs(name)

        await eventually(gone, SECONDS)


@asynccontextmanager
async def place_of(node: NodePeer, kind: str) -> AsyncIterator[Place]:
    """`kind` says whose the nodes of the DHT are: "theirs" (the official testnet) or "ours" (Python alone)."""
    async with AsyncExitStack() as stack:
        if kind == "ours":
            net = await stack.enter_async_context(await Testnet.open(5))
            yield Place(node, net.bootstrap, stack)
        else:
            yield Place(node, (await node("testnet", size=5))["bootstrap"], stack)


def driver_of(peer: Peer) -> SwarmDriver:
    assert peer.network is not None
    return peer.network.driver
