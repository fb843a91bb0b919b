"""The opened peer: its bee, who is connected, and where its key was submitted.

Both doors, the web page and the commands, get one `PeerService` and nothing else.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from core.hyperbee import Hyperbee
from core.peer import Peer, key_to_id

from .publishing import Publisher
from .reading import Reader
from .settings import Address, Settings
from .submitting import Submissions

BEE_NAME = "main"


@dataclass(frozen=True, slots=True)
class Connected:
    """One peer on the line: its network key (hex), its address, and what it took of our bee."""

    key: str
    address: str
    since: float
    blocks_sent: int
    bytes_sent: int
    has: int | None


@dataclass(frozen=True, slots=True)
class BeeInfo:
    """The figures of one's own log."""

    key: str
    id: str
    discovery_key: str
    length: int
    byte_length: int
    fork: int
    writable: bool


class PeerService:
    """One open peer. Make it with `async with open_service(settings)`."""

    def __init__(self, settings: Settings, peer: Peer, bee: Hyperbee, publisher: Publisher) -> None:
        self.settings = settings
        self.peer = peer
        self.bee = bee
        self.publisher = publisher
        self.reader = Reader(bee)
        self.submissions = Submissions(settings.aggregators)
        self.listening: Address | None = None

    @property
    def key(self) -> str:
        """The bee's public key, 64 hex digits: what one gives to others."""
        return self.bee.core.key.hex()

    @property
    def id(self) -> str:
        """The same key in z-base-32, 52 characters."""
        return key_to_id(self.bee.core.key)

    def info(self) -> BeeInfo:
        core = self.bee.core
        return BeeInfo(
            key=self.key,
            id=self.id,
            discovery_key=core.discovery_key.hex(),
            length=core.length,
            byte_length=core.byte_length,
            fork=core.fork,
            writable=core.writable,
        )

    def connected(self) -> list[Connected]:
        """Who is connected now, those who have been here longest first."""
        readers: dict[bytes, Any] = {view.remote_public_key: view for view in self.bee.core.peers}
        out = []
        for connection in self.peer.connections:
            view = readers.get(connection.remote_public_key)
            out.append(
                Connected(
                    key=connection.remote_public_key.hex(),
                    address=connection.remote_address,
                    since=connection.opened_at,
                    blocks_sent=view.blocks_sent if view else 0,
                    bytes_sent=view.bytes_sent if view else 0,
                    has=view.remote_length if view else None,
                )
            )
        return out


@asynccontextmanager
async def open_service(settings: Settings) -> AsyncIterator[PeerService]:
    """Open the peer in `settings.directory`, making it at the first start.

    Raises `StorageLocked` when another process holds it, and other `StorageError`s with a sentence.
    """
    settings.prepare()
    peer = await Peer.open(settings.store)
    try:
        bee = peer.bee(name=BEE_NAME)
        publisher = await Publisher.open(bee)
        yield PeerService(settings, peer, bee, publisher)
    finally:
        await peer.close()
