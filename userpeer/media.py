"""Images of one's posts: made fit to publish, then kept in a second core that `meta/self` names.

A blob is a run of bytes in that core, named by the four numbers of a Hyperblobs id, in blocks of 64 KiB, so that a
reader fetches just the blocks it shows.

Source of the layout: hyperblobs 2 `index.js`, `lib/streams.js`.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any, Final

from core.errors import MeadowError
from core.hyperbee import Hyperbee
from core.peer import Peer
from core.records import Blob, Image, Meta, parse_record

from .errors import InvalidField, NotFound
from .imaging import LONG_SIDE
from .publishing import Publisher

BLOCK_BYTES: Final = 64 * 1024
MAX_UPLOAD_BYTES: Final = 20 * 1024 * 1024
MAX_BLOB_BYTES: Final = 16 * 1024 * 1024
FETCH_SECONDS: Final = 15.0
WORKER_SECONDS: Final = 30.0
CORE_NAME: Final = "media"

_SIGNATURES: Final = (
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
)


def mime_of(data: bytes) -> str | None:
    """The kind of an image by its first bytes; None for what no page shows."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    return next((mime for signature, mime in _SIGNATURES if data.startswith(signature)), None)


class Media:
    """The media core of this peer, and those of the bees it reads."""

    def __init__(self, peer: Peer, bee: Hyperbee, publisher: Publisher) -> None:
        self._peer = peer
        self._bee = bee
        self._publisher = publisher
        self._core: Any = None
        self._theirs: dict[bytes, Any] = {}
        self._turn = asyncio.Lock()

    async def add(self, data: bytes, alt: str, *, side: int = LONG_SIDE) -> Image:
        """Make an uploaded file fit to publish, at most `side` pixels long, and append it; returns what a record names
        it by. Nothing is published before a record does. Raises `InvalidField` ("images") with a sentence.
        """
        if len(data) > MAX_UPLOAD_BYTES:
            limit = MAX_UPLOAD_BYTES // 1024**2
            raise InvalidField(
                "images", f"An image may have {limit} MB before it is made smaller; this one is larger."
            )
        self._publisher.may_write()
        prepared, facts = await _prepare(data, side)
        async with self._turn:
            core = await self._own()
            blocks = [prepared[at : at + BLOCK_BYTES] for at in range(0, len(prepared), BLOCK_BYTES)]
            blob = Blob(core.length, len(blocks), core.byte_length, len(prepared))
            await core.append(blocks)
        return Image(blob, alt.strip(), facts["w"], facts["h"])

    async def read(self, bee: Hyperbee, blob: Blob) -> bytes:
        """The bytes of a blob of anyone's. Raises `NotFound` when nobody who has it answers in time."""
        if not 0 < blob.byte_length <= MAX_BLOB_BYTES or blob.block_length > MAX_BLOB_BYTES // 1024:
            raise NotFound("This image is too large to be shown here.")
        core = await self._core_of(bee)
        wanted = range(blob.block_offset, blob.block_offset + blob.block_length)
        try:
            async with asyncio.timeout(FETCH_SECONDS):
                await core.download(start=wanted.start, end=wanted.stop).done()
                blocks = [await core.get(index) for index in wanted]
        except (TimeoutError, MeadowError):
            raise NotFound("Nobody who has this image is connected at the moment.") from None
        data = b"".join(blocks)
        if len(data) != blob.byte_length:
            raise NotFound("The record names other bytes than its media core holds.")
        return data

    @property
    def length(self) -> int:
        """Blocks of one's own media core; 0 before there is one."""
        return 0 if self._core is None else int(self._core.length)

    def is_own(self, key: bytes) -> bool:
        """Whether that is one's own media core."""
        return self._core is not None and self._core.key == key

    def is_theirs(self, key: bytes) -> bool:
        """Whether that is the media core of a bee whose images were looked at."""
        return key in self._theirs

    async def open(self) -> None:
        """Open one's own media core if `meta/self` names one, so that others can have it."""
        entry = await self._bee.get("meta/self")
        if entry is not None and isinstance(entry.value, dict) and entry.value.get("blobs"):
            core = self._peer.core(name=CORE_NAME)
            if core.key.hex() == entry.value["blobs"]:
                self._core = core

    async def _own(self) -> Any:
        if self._core is None:
            self._core = self._peer.core(name=CORE_NAME)
        key = self._core.key.hex()
        entry = await self._bee.get("meta/self")
        if entry is None:
            # The first record of a bee writes meta/self; that is the post to come, so say it now.
            await self._publisher.introduce(blobs=key)
        elif isinstance(entry.value, dict) and entry.value.get("blobs") != key:
            await self._publisher.change("meta/self", {"blobs": key})
        return self._core

    async def _core_of(self, bee: Hyperbee) -> Any:
        entry = await bee.get("meta/self", timeout=FETCH_SECONDS)
        meta = None if entry is None else parse_record("meta/self", entry.value)
        if not isinstance(meta, Meta) or meta.blobs is None:
            raise NotFound("This bee names no media core, so its images cannot be found.")
        key = bytes.fromhex(meta.blobs)
        core = self._theirs.get(key)
        if core is None:
            core = self._theirs[key] = self._peer.core(key=key)
        return core


async def _prepare(data: bytes, side: int) -> tuple[bytes, dict[str, Any]]:
    worker = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "userpeer.imaging",
        str(side),
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
    head, _, prepared = answer.partition(b"\n")
    facts = json.loads(head) if head else {"problem": "This image takes too long or too much memory to read."}
    if "problem" in facts:
        raise InvalidField("images", facts["problem"])
    return prepared, facts
