"""The opened peer: its bee, who is connected, and where its key was submitted.

Both doors, the web page and the commands, get one `PeerService` and nothing else.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from core.errors import BadArgument, StoreSealed
from core.hyperbee import Hyperbee
from core.peer import ConnectionStatus, Peer, key_to_id, parse_key
from core.records import is_bee_key

from .backup import Backup
from .coverage import Coverage, OwnLog
from .coverage.beside import Unread
from .draft_store import DraftStore
from .errors import NotFound, UserError
from .hyp.bees import Bees
from .library import FollowedBee, Follows, Library, Shelf
from .media import Media
from .moving.job import ImportJob
from .pending import Waiting
from .publishing import Publisher, Written
from .reading import Reader
from .restoring import Restoring
from .sealing import Sealing
from .settings import Address, Settings
from .submitting import Submissions
from .unlocking import Ask

BEE_NAME = "main"
MAX_UNREAD = 20
"""Of one's records that no feed lists, so many are named."""


@dataclass(frozen=True, slots=True)
class Connected:
    """One peer on the line, and what it took of our bee. `has`: how many blocks of it the peer knows of."""

    connection: ConnectionStatus
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
        self.coverage = Coverage(settings.coverage, self.key, self._tell, self._unread)
        self.drafts = DraftStore(settings.drafts)
        self.waiting = Waiting(settings.pending, publisher, self.drafts, settings.undo_seconds, self._tell)
        self.media = Media(peer, bee, publisher)
        self.sealing = Sealing(peer, in_memory=settings.memory_only)
        self.importing = ImportJob(publisher, self.reader, self._tell)
        self.bees = Bees(peer, bee)
        self.restoring = Restoring(
            settings.restored,
            peer,
            bee,
            self._found_again,
            self.waiting.start,
            self._tell,
            settle_seconds=settings.settle_seconds,
        )
        publisher.may_write = self.restoring.refuse
        self.listening: Address | None = None
        self.stop: Callable[[], None] | None = None
        """Ends the process that serves; None when nobody does."""
        self._listeners: list[Callable[[], None]] = []
        self._shelf: Shelf | None = None
        self._follows: Follows | None = None

    async def start(self) -> None:
        """Sign what an earlier process left waiting; a restored peer looks for its records first."""
        self.restoring.start()
        if self.restoring.is_over:
            await self.waiting.start()

    # --- reading others -------------------------------------------------------------------------------

    def start_reading(self) -> None:
        """Open the library: one's own bee and those one follows are read from now on."""
        self._shelf = Shelf(self.settings.library)
        self._follows = Follows(self.peer, self._shelf, self._read_something)
        self._follows.follow(self.key, is_mine=True)
        self._read_something()

    @property
    def library(self) -> Library:
        """What is here of all bees that are read. Only after `start_reading`."""
        assert self._shelf is not None, "the library is not open"
        return Library(self._shelf, self.key)

    @property
    def follows(self) -> Follows:
        """The bees that are read. Only after `start_reading`."""
        assert self._follows is not None, "the library is not open"
        return self._follows

    def followed(self) -> list[str]:
        """The keys (64 hex) of the bees one follows, the latest first."""
        return self.library.followed()

    async def follow(self, text: str) -> Written:
        """Follow the bee of a key as people paste it (hex or z-base-32). Raises `UserError`."""
        key = bee_key(text)
        if key == self.key:
            raise UserError("That is your own key; what you write is in your timeline already.")
        return await self.publisher.keep(f"follow/{key}", {})

    async def unfollow(self, key: str) -> None:
        """Raises `NotFound` when it is not followed."""
        if await self.bee.get(f"follow/{key}") is None:
            raise NotFound("You do not follow this bee.")
        await self.publisher.delete(f"follow/{key}")

    def look_at(self, key: str) -> FollowedBee:
        """Read a bee for as long as this peer runs, without following it."""
        return self.follows.follow(key)

    def on_change(self, listener: Callable[[], None]) -> None:
        """Call `listener` whenever something that a page shows may be different."""
        self._listeners.append(listener)

    def _read_something(self) -> None:
        """After more was read: whom one follows is itself written in one's bee."""
        for key in self.followed():
            self.follows.follow(key)
        self._tell()

    def _tell(self) -> None:
        for listener in self._listeners:
            listener()

    async def close(self) -> None:
        """Sign what waits, stop reading. The peer itself is its opener's to close."""
        await self.restoring.close()
        await self.coverage.close()
        await self.importing.close()
        await self.waiting.close()
        await self.bees.close()
        if self._follows is not None:
            await self._follows.close()
        if self._shelf is not None:
            self._shelf.close()

    async def backup(self) -> Backup:
        """What a restored peer needs: the keys, how long the logs are, and to whom the bee was submitted."""
        core = self.bee.core
        return Backup(
            self.peer.store.primary_key,
            self.key,
            core.length,
            core.fork,
            core.tree_hash().hex() if core.length else "",
            self.media.length,
            tuple(submission.url for submission in self.submissions.all() if submission.accepted),
            time.time(),
        )

    async def own_log(self) -> OwnLog:
        """One's own log, to be laid beside what others say of it."""
        core = self.bee.core
        return OwnLog(
            core.length,
            core.fork,
            lambda length: core.tree_hash(length).hex(),
            self.library.counts() if self._shelf is not None else await self.reader.counts(),
            self.restoring.is_over,
        )

    async def _unread(self, most: int) -> list[Unread]:
        found = await self.reader.rejected(min(most, MAX_UNREAD))
        return [Unread(one.key, one.sentence) for one in found]

    async def _found_again(self) -> None:
        """What a restored peer wrote before is here."""
        await self.publisher.observe()
        await self.media.open()

    # --- about oneself --------------------------------------------------------------------------------

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
                    connection=ConnectionStatus.of(connection),
                    blocks_sent=view.blocks_sent if view else 0,
                    bytes_sent=view.bytes_sent if view else 0,
                    has=view.remote_length if view else None,
                )
            )
        return out


async def open_peer(settings: Settings, passphrase: Ask | None = None) -> Peer:
    """The peer alone, its keys opened by a passphrase if they are sealed. Raises `StoreSealed`, `WrongPassphrase`."""
    directory = None if settings.memory_only else settings.store
    try:
        return await Peer.open(directory)
    except StoreSealed:
        if passphrase is None:
            raise
    return await Peer.open(directory, passphrase=passphrase())


@asynccontextmanager
async def open_service(
    settings: Settings, *, reads: bool = False, passphrase: Ask | None = None
) -> AsyncIterator[PeerService]:
    """Open the peer in `settings.directory`, making it at the first start. `reads`: with its library, as pages need.
    `passphrase` is asked for when the keys are sealed.

    Raises `StorageLocked` when another process holds it, and other `StorageError`s with a sentence.
    """
    settings.prepare()
    peer = await open_peer(settings, passphrase)
    try:
        bee = peer.bee(name=BEE_NAME)
        publisher = await Publisher.open(bee)
        service = PeerService(settings, peer, bee, publisher)
        try:
            if service.restoring.is_over:
                await service.media.open()
            else:
                await service.bees.name_anew()
            if reads:
                await service.start()
                service.start_reading()
            yield service
        finally:
            await service.close()
    finally:
        await peer.close()


def bee_key(text: str) -> str:
    """The 64 hex digits of a bee's key in any spelling. Raises `UserError` with a sentence."""
    text = text.strip().removeprefix("hyper://").strip("/")
    if is_bee_key(text.lower()):
        return text.lower()
    try:
        return parse_key(text).hex()
    except BadArgument:
        raise UserError(
            "That is not a key. A key has 64 hex digits (0-9, a-f), or 52 letters and digits in the short spelling."
        ) from None
