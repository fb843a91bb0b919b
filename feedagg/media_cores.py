"""The bytes of an image, out of the core that its author's `meta/self` names (docs/records.md).

A blob is a run of blocks. Only these are fetched, a few at a time, so that a blob that lies about its size ends when it
has sent more than it said, and they leave the store again. An author may call any core their media core, a bee that is
read here too, or one that this aggregator writes: such a core is kept here for its own sake, and nothing of it goes.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Coroutine
from typing import Any, Final

from sqlalchemy import Connection

from core.errors import MeadowError
from core.peer import Peer
from core.records import Blob, Meta, parse_record
from feedagg import queries, sources, transparency
from feedagg.database import Database
from feedagg.ingest import Ingest

log = logging.getLogger("feedagg.pictures")

BLOCKS_AT_ONCE: Final = 8
FETCH_SECONDS: Final = 20.0
OPEN_CORES: Final = 64
META_KEY: Final = b"meta/self"
_DISAGREE: Final = "The record and its media core disagree about the size of this image."


class NoPicture(Exception):
    """`str(error)` says why in a sentence; `status` is that of HTTP."""

    def __init__(self, sentence: str, status: int = 404) -> None:
        super().__init__(sentence)
        self.status = status


class MediaCores:
    """The media cores of all bees, the last used ones open."""

    def __init__(self, database: Database, peer: Peer, ingest: Ingest) -> None:
        self._database = database
        self._peer = peer
        self._ingest = ingest
        self._cores: OrderedDict[bytes, Any] = OrderedDict()
        self._chores: set[asyncio.Task[None]] = set()

    async def fetch(self, bee: bytes, blob: Blob) -> bytes:
        """The bytes of a blob of this bee. Raises `NoPicture`."""
        core = self._core(await self._media_key(bee))
        end = blob.block_offset + blob.block_length
        data = bytearray()
        try:
            async with asyncio.timeout(FETCH_SECONDS):
                for start in range(blob.block_offset, end, BLOCKS_AT_ONCE):
                    stop = min(start + BLOCKS_AT_ONCE, end)
                    download = core.download(start=start, end=stop)
                    try:
                        await download.done()
                    finally:
                        download.destroy()
                    for index in range(start, stop):
                        data += await core.get(index)
                    if len(data) > blob.byte_length:
                        raise NoPicture(_DISAGREE)
        except (TimeoutError, MeadowError):
            raise NoPicture("Nobody who has this image could be reached.", 504) from None
        finally:
            self._chore(self._forget(core, blob.block_offset, end))
        if len(data) != blob.byte_length:
            raise NoPicture(_DISAGREE)
        return bytes(data)

    async def settle(self) -> None:
        """Return once what was fetched is forgotten; for tests."""
        await asyncio.gather(*self._chores)

    async def close(self) -> None:
        for task in self._chores:
            task.cancel()
        await asyncio.gather(*self._chores, return_exceptions=True)

    async def _media_key(self, bee: bytes) -> bytes:
        """The media core of a bee, as its `meta/self` names it: from the database, else from the bee itself."""
        item = await self._database.read(queries.record, bee, META_KEY)
        value = None if item is None else item.value
        followed = self._ingest.followed.get(bee)
        if value is None and followed is not None:
            try:
                entry = await followed.bee.get(META_KEY, timeout=FETCH_SECONDS)
                value = None if entry is None else entry.value
            except (MeadowError, TimeoutError):
                raise NoPicture("Nobody who has this bee could be reached.", 504) from None
        meta = None if value is None else parse_record(META_KEY, value)
        if not isinstance(meta, Meta) or meta.blobs is None:
            raise NoPicture("This bee names no media core, so its images cannot be found.")
        return bytes.fromhex(meta.blobs)

    def _core(self, key: bytes) -> Any:
        core = self._cores.pop(key, None)
        if core is None:
            core = self._peer.core(key=key)
        self._cores[key] = core
        if len(self._cores) > OPEN_CORES:
            _, unused = self._cores.popitem(last=False)
            self._chore(unused.close())
        return core

    async def _forget(self, core: Any, start: int, end: int) -> None:
        """Drop the blocks: the picture is made of them, or never will be."""
        try:
            is_kept = await self._database.read(_is_kept, core.key)
            if not is_kept and not core.writable and core.key not in self._ingest.followed:
                await core.clear(start, end)
        except MeadowError as error:
            log.info("blocks of an image stay: %s", error)

    def _chore(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._chores.add(task)
        task.add_done_callback(self._chores.discard)


def _is_kept(connection: Connection, key: bytes) -> bool:
    """Whether the core is a bee that is read here, or one that this aggregator writes."""
    return sources.get(connection, key) is not None or key in transparency.published(connection).values()
