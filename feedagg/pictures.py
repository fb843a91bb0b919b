"""The images of records, fetched from their authors' media cores and made small; served from here and nowhere else.

    /image/... ──> cache ──> (meta/self.blobs) ──> blocks of the blob ──> worker process ──> cache
                              whose core it is      a few at a time       limits, no EXIF

A blob is a run of blocks in the core that the author's `meta/self` names (docs/records.md). Only these blocks are
fetched, a few at a time, so that a blob that lies about its size ends when it has sent more than it said. They leave
the store when the picture is made: what is kept is the bounded cache. What could not be had is not asked for again at
once.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from collections import OrderedDict
from collections.abc import Coroutine
from hashlib import blake2b
from typing import Any, Final

from core.errors import MeadowError
from core.peer import Peer
from core.records import Blob, Image, Meta, parse_record
from feedagg import imaging, queries
from feedagg.database import Database
from feedagg.ingest import Ingest
from feedagg.picture_cache import PictureCache
from feedagg.settings import Settings

log = logging.getLogger("feedagg.pictures")

MAX_IMAGE_BYTES: Final = 16 * 1024 * 1024
MAX_BLOCKS: Final = 4_096
BLOCKS_AT_ONCE: Final = 8
FETCH_SECONDS: Final = 20.0
WORKER_SECONDS: Final = 30.0
AT_ONCE: Final = 4
WAITING: Final = 64
"""Pictures that may wait for their turn; beyond that the asker is told to come back."""

FORGET_SECONDS: Final = 60.0
REMEMBERED: Final = 5_000
OPEN_CORES: Final = 64
META_KEY: Final = b"meta/self"


class NoPicture(Exception):
    """`str(error)` says why in a sentence; `status` is that of HTTP."""

    def __init__(self, sentence: str, status: int = 404) -> None:
        super().__init__(sentence)
        self.status = status


class Pictures:
    """All pictures of one aggregator."""

    def __init__(self, database: Database, peer: Peer, ingest: Ingest, settings: Settings) -> None:
        self._database = database
        self._peer = peer
        self._ingest = ingest
        limit = settings.image_cache_mb * 1024**2
        self._cache = PictureCache(settings.dir / "pictures", limit)
        self.is_on = limit > 0
        self._is_open = False
        self._cores: OrderedDict[bytes, Any] = OrderedDict()
        self._making: dict[str, asyncio.Task[list[bytes]]] = {}
        self._failed: OrderedDict[str, tuple[float, NoPicture]] = OrderedDict()
        self._turn = asyncio.Semaphore(AT_ONCE)
        self._chores: set[asyncio.Task[None]] = set()

    async def get(self, bee: bytes, image: Image, width: int) -> bytes:
        """The picture as WebP, its longer side at most `width` (one of `imaging.WIDTHS`). Raises `NoPicture`."""
        if not self.is_on:
            raise NoPicture("This aggregator shows no images.")
        blob = image.blob
        if not 0 < blob.byte_length <= MAX_IMAGE_BYTES or not 0 < blob.block_length <= MAX_BLOCKS:
            raise NoPicture(f"The image is empty or larger than {MAX_IMAGE_BYTES // 1024**2} MB.", 413)
        if not self._is_open:
            self._is_open = True
            await asyncio.to_thread(self._cache.open)
        name = _name(bee, blob)
        kept = await asyncio.to_thread(self._cache.get, f"{name}-{width}")
        if kept is not None:
            return kept
        made = await self._made(name, bee, blob)
        return made[imaging.WIDTHS.index(width)]

    async def close(self) -> None:
        tasks = [*self._making.values(), *self._chores]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _made(self, name: str, bee: bytes, blob: Blob) -> list[bytes]:
        """The picture in every width, made once however many ask."""
        now = asyncio.get_running_loop().time()
        until, failure = self._failed.get(name, (0.0, None))
        if failure is not None and now < until:
            raise NoPicture(str(failure), failure.status)
        task = self._making.get(name)
        if task is None:
            if len(self._making) >= AT_ONCE + WAITING:
                raise NoPicture("Too many images are being fetched at the moment; come back in a while.", 503)
            task = self._making[name] = asyncio.create_task(self._make(name, bee, blob))
            task.add_done_callback(lambda _: self._making.pop(name, None))
        return await asyncio.shield(task)

    async def _make(self, name: str, bee: bytes, blob: Blob) -> list[bytes]:
        try:
            async with self._turn:
                made = await _resized(await self._fetch(bee, blob))
        except NoPicture as failure:
            self._failed[name] = asyncio.get_running_loop().time() + FORGET_SECONDS, failure
            if len(self._failed) > REMEMBERED:
                self._failed.popitem(last=False)
            raise
        for width, data in zip(imaging.WIDTHS, made, strict=True):
            await asyncio.to_thread(self._cache.put, f"{name}-{width}", data)
        return made

    # --- from the author's media core --------------------------------------------------------------

    async def _fetch(self, bee: bytes, blob: Blob) -> bytes:
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
                        raise NoPicture(
                            "The record and its media core disagree about the size of this image."
                        )
        except (TimeoutError, MeadowError):
            raise NoPicture("Nobody who has this image could be reached.", 504) from None
        finally:
            self._chore(self._forget(core, blob.block_offset, end))
        if len(data) != blob.byte_length:
            raise NoPicture("The record and its media core disagree about the size of this image.")
        return bytes(data)

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

    @staticmethod
    async def _forget(core: Any, start: int, end: int) -> None:
        """Drop the blocks: the picture is made of them, or never will be."""
        try:
            await core.clear(start, end)
        except MeadowError as error:
            log.info("blocks of an image stay: %s", error)

    def _chore(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._chores.add(task)
        task.add_done_callback(self._chores.discard)


def _name(bee: bytes, blob: Blob) -> str:
    numbers = (blob.block_offset, blob.block_length, blob.byte_offset, blob.byte_length)
    return blake2b(bee + repr(numbers).encode(), digest_size=20).hexdigest()


def version(blob: Blob) -> str:
    """A few letters that change when the picture does, for its address."""
    return _name(b"", blob)[:10]


async def _resized(data: bytes) -> list[bytes]:
    """The image in every width, by the worker. Raises `NoPicture`."""
    worker = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "feedagg.imaging",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(WORKER_SECONDS):
            answer, _ = await worker.communicate(data)
    except TimeoutError:
        answer = b""
    finally:
        if worker.returncode is None:
            worker.kill()
            await worker.wait()
    head, _, files = answer.partition(b"\n")
    facts: dict[str, Any] = (
        json.loads(head) if head else {"problem": "It takes too long or too much memory to read."}
    )
    if "problem" in facts:
        raise NoPicture(f"This image cannot be shown. {facts['problem']}", 415)
    made: list[bytes] = []
    at = 0
    for size in facts["sizes"]:
        made.append(files[at : at + size])
        at += size
    return made
