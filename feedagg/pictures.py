"""The images of records, fetched from their authors' media cores and made small; served from here and nowhere else.

    /image/... ──> cache ──> (meta/self.blobs) ──> blocks of the blob ──> worker process ──> cache
                               media_cores.py        a few at a time       limits, no EXIF

What is kept is the bounded cache. What could not be had is not asked for again at once.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections import OrderedDict
from hashlib import blake2b
from typing import Any, Final

from core.peer import Peer
from core.records import Blob
from feedagg import imaging, picture_cache
from feedagg.database import Database
from feedagg.ingest import Ingest
from feedagg.media_cores import MediaCores, NoPicture
from feedagg.picture_cache import PictureCache
from feedagg.settings import Settings

DIRECTORY: Final = "pictures"
MAX_IMAGE_BYTES: Final = 16 * 1024 * 1024
MAX_BLOCKS: Final = 4_096
WORKER_SECONDS: Final = 30.0
AT_ONCE: Final = 4
MARKS_AT_ONCE: Final = 2
"""Authors' pictures have turns of their own: there is one on every card, and authors who are away hold up no image."""

WAITING: Final = 64
"""Pictures of each kind that may wait for their turn; beyond that the asker is told to come back."""

PATIENCE_SECONDS: Final = 2.0
"""How long a list waits for the picture of an author: a browser has few connections, and there is the honeycomb."""

FORGET_SECONDS: Final = 60.0
REMEMBERED: Final = 5_000


class Pictures:
    """All pictures of one aggregator."""

    def __init__(self, database: Database, peer: Peer, ingest: Ingest, settings: Settings) -> None:
        self.media = MediaCores(database, peer, ingest)
        limit = settings.image_cache_mb * 1024**2
        self._cache = PictureCache(settings.dir / DIRECTORY, limit)
        self.is_on = limit > 0
        self._is_open = False
        self._making: dict[str, asyncio.Task[list[bytes]]] = {}
        self._asking: set[asyncio.Task[bytes]] = set()
        self._failed: OrderedDict[str, tuple[float, NoPicture]] = OrderedDict()
        self._turns = {
            imaging.WIDTHS: asyncio.Semaphore(AT_ONCE),
            (imaging.MARK,): asyncio.Semaphore(MARKS_AT_ONCE),
        }
        self._under_way = dict.fromkeys(self._turns, 0)

    async def get(self, bee: bytes, blob: Blob, width: int) -> bytes:
        """The picture as WebP, its longer side at most `width` (one of `imaging.WIDTHS`); of width `imaging.MARK`, a
        square of an author's picture. Raises `NoPicture`.
        """
        if not self.is_on:
            raise NoPicture("This aggregator shows no images.")
        if not 0 < blob.byte_length <= MAX_IMAGE_BYTES or not 0 < blob.block_length <= MAX_BLOCKS:
            raise NoPicture(f"The image is empty or larger than {MAX_IMAGE_BYTES // 1024**2} MB.", 413)
        if not self._is_open:
            self._is_open = True
            await asyncio.to_thread(self._cache.open)
        name = _name(bee, blob)
        kept = await asyncio.to_thread(self._cache.get, f"{name}-{width}")
        if kept is not None:
            return kept
        widths = (width,) if width == imaging.MARK else imaging.WIDTHS
        made = await self._made(name, bee, blob, widths)
        return made[widths.index(width)]

    async def get_soon(self, bee: bytes, blob: Blob, width: int) -> bytes:
        """The same, but who asks waits for `PATIENCE_SECONDS` at most; it is fetched nevertheless."""
        task = asyncio.create_task(self.get(bee, blob, width))
        self._asking.add(task)
        task.add_done_callback(self._asked)
        try:
            return await asyncio.wait_for(asyncio.shield(task), PATIENCE_SECONDS)
        except TimeoutError:
            raise NoPicture("This picture is being fetched; come back in a while.", 503) from None

    def _asked(self, task: asyncio.Task[bytes]) -> None:
        self._asking.discard(task)
        if not task.cancelled():
            task.exception()  # whoever waited for it has it; else nobody misses it

    async def drop(self, bee: bytes) -> int:
        """Delete all pictures of a bee, those that are just being made too; returns how many files went."""
        for name, task in list(self._making.items()):
            if name.startswith(beginning(bee)):
                task.cancel()
        return await asyncio.to_thread(picture_cache.drop, self._cache.directory, beginning(bee))

    async def close(self) -> None:
        tasks = [*self._making.values(), *self._asking]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.media.close()

    async def _made(self, name: str, bee: bytes, blob: Blob, widths: tuple[int, ...]) -> list[bytes]:
        """The picture in each of these widths, made once however many ask."""
        name = f"{name}-{widths[0]}"
        now = asyncio.get_running_loop().time()
        until, failure = self._failed.get(name, (0.0, None))
        if failure is not None and now < until:
            raise NoPicture(str(failure), failure.status)
        task = self._making.get(name)
        if task is None:
            if self._under_way[widths] >= AT_ONCE + WAITING:
                raise NoPicture("Too many images are being fetched at the moment; come back in a while.", 503)
            task = self._making[name] = asyncio.create_task(self._make(name, bee, blob, widths))
            task.add_done_callback(lambda _: self._making.pop(name, None))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if not task.cancelled():
                raise  # whoever asked has gone
            raise NoPicture("This picture was purged while it was made.") from None

    async def _make(self, name: str, bee: bytes, blob: Blob, widths: tuple[int, ...]) -> list[bytes]:
        self._under_way[widths] += 1
        try:
            async with self._turns[widths]:
                made = await _resized(await self.media.fetch(bee, blob), widths)
        except NoPicture as failure:
            self._failed[name] = asyncio.get_running_loop().time() + FORGET_SECONDS, failure
            if len(self._failed) > REMEMBERED:
                self._failed.popitem(last=False)
            raise
        finally:
            self._under_way[widths] -= 1
        for width, data in zip(widths, made, strict=True):
            await asyncio.to_thread(self._cache.put, f"{_name(bee, blob)}-{width}", data)
        return made


def beginning(bee: bytes) -> str:
    """How the files of a bee's pictures are called, so that a purge finds them."""
    return f"{bee.hex()[:24]}-"


def _name(bee: bytes, blob: Blob) -> str:
    return f"{beginning(bee)}{_hash(blob)}"


def version(blob: Blob) -> str:
    """A few letters that change when the picture does, for its address."""
    return _hash(blob)[:10]


def _hash(blob: Blob) -> str:
    numbers = (blob.block_offset, blob.block_length, blob.byte_offset, blob.byte_length)
    return blake2b(repr(numbers).encode(), digest_size=16).hexdigest()


async def _resized(data: bytes, widths: tuple[int, ...]) -> list[bytes]:
    """The image in each of these widths, by the worker. Raises `NoPicture`."""
    worker = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "feedagg.imaging",
        *map(str, widths),
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
