"""Reading a bee: one version of it, or whatever its log has come to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from ..errors import BadArgument, BlockNotAvailable, DecodingError, SnapshotNotAvailable
from ..hypercore import Hypercore
from . import walks
from .blocks import BlockReader, Missing, NodeCache
from .diff import Difference
from .encodings import Codec, Prefixed, resolve
from .extension import BeeExtension
from .history import Operation, Span, span_of
from .node import PROTOCOL, Header, decode_header
from .ranges import Entry, EntryMaker, encode_bounds, entry_maker, read_entry

Encoding = str | Codec | None
"""A name of `encodings.ENCODINGS`, an object with `encode` and `decode`, or None for the bee's own."""


class BeeView:
    """What every bee can do, and all that a reader needs.

    What is stored here is answered without suspending; what is not is downloaded, block by block, as the lookup comes
    to it. Every read of a live bee sees one version from its beginning to its end; if the log is truncated in
    between, walks raise `SnapshotNotAvailable` and `get` starts again.
    """

    def __init__(
        self,
        core: Hypercore,
        cache: NodeCache,
        extension: BeeExtension | None,
        *,
        version: int,
        prefix: bytes,
        key_codec: Codec,
        value_codec: Codec,
        live: Hypercore | None = None,
    ) -> None:
        self.core = core
        self.prefix = prefix
        """What stands before every key of this view in the log; empty unless it is a sub."""
        self._live = core if live is None else live
        """A session that follows the log, also when this view does not."""
        self._cache = cache
        self._extension = extension
        self._version = version
        """0: follow the log."""
        self._plain_key_codec = key_codec
        self._key_codec = Prefixed(prefix, key_codec) if prefix else key_codec
        self._value_codec = value_codec
        self._reader = BlockReader(core, cache)
        self._make_entry = entry_maker(self._key_codec, value_codec)

    # --- what it is ---------------------------------------------------------------------------

    @property
    def version(self) -> int:
        """The number of blocks this view sees; 1 is the empty bee."""
        return self._version or max(1, self.core.length)

    @property
    def key(self) -> bytes:
        """The 32-byte key of the log."""
        return self.core.key

    def __repr__(self) -> str:
        return f"<Hyperbee {self.core.id} version={self.version}>"

    async def get_header(self, *, wait: bool = True, timeout: float | None = None) -> Header | None:
        """Block 0, None when it is not here and `wait` is False. Raises `DecodingError` when it is no header."""
        block = self.core.block_if_local(0) if self.core.length else None
        if block is None:
            block = await self.core.get(0, wait=wait, timeout=timeout)
        return None if block is None else decode_header(block)

    @staticmethod
    async def is_hyperbee(core: Hypercore, *, wait: bool = True, timeout: float | None = None) -> bool:
        """Whether a log calls itself a bee. Raises `BlockNotAvailable` when its header is not here."""
        block = await core.get(0, wait=wait, timeout=timeout)
        if block is None:
            raise BlockNotAvailable("BLOCK_NOT_AVAILABLE: the header of the log is not stored here")
        try:
            return decode_header(block).protocol == PROTOCOL
        except DecodingError:
            return False

    # --- reading ------------------------------------------------------------------------------

    async def get(
        self,
        key: Any,
        *,
        wait: bool = True,
        timeout: float | None = None,
        key_encoding: Encoding = None,
        value_encoding: Encoding = None,
    ) -> Entry | None:
        """The entry of a key, or None.

        Waits up to `timeout` seconds in all for blocks that are not here (`RequestTimeout`), not at all with
        `wait=False` (`BlockNotAvailable`).
        """
        key_codec, make_entry = self._codecs(key_encoding, value_encoding)
        return await self.get_encoded(key_codec.encode(key), make_entry, wait=wait, timeout=timeout)

    async def get_encoded(
        self, target: bytes, make_entry: EntryMaker, *, wait: bool = True, timeout: float | None = None
    ) -> Entry | None:
        """`get` for a key that is encoded already, prefix and all."""
        await self._look_for_news()
        reader = self._reader
        reader.refresh()
        version = self.version
        deadline = None if timeout is None else asyncio.get_running_loop().time() + timeout
        announced = False
        while True:
            try:
                return self._lookup(version, target, make_entry)
            except Missing as missing:
                if not wait:
                    raise walks.not_here(missing.seq) from None
                if not announced and self._extension is not None:
                    announced = True
                    self._extension.looking_up(version, target)
                try:
                    await reader.fetch(missing.seq, version=version, deadline=deadline)
                except SnapshotNotAvailable:
                    if self._version:
                        raise
                    reader.refresh()
                    version, announced = self.version, False

    def _lookup(self, version: int, target: bytes, make_entry: EntryMaker) -> Entry | None:
        reader = self._reader
        seq = reader.find(version, target)
        return None if seq is None else read_entry(reader, seq, make_entry)

    async def get_by_seq(
        self, seq: int, *, wait: bool = True, timeout: float | None = None, value_encoding: Encoding = None
    ) -> Entry:
        """The operation number `seq` (1 is the first); a deletion has the value None."""
        if seq < 1:
            raise BadArgument("operations are counted from 1; block 0 is the header")
        _, make_entry = self._codecs(None, value_encoding)
        block = self.core.block_if_local(seq)
        if block is None:
            block = await self.core.get(seq, wait=wait, timeout=timeout)
        if block is None:
            raise walks.not_here(seq)
        return read_entry(self._reader, seq, make_entry)

    def range(
        self,
        *,
        gt: Any = None,
        gte: Any = None,
        lt: Any = None,
        lte: Any = None,
        reverse: bool = False,
        limit: int = -1,
        wait: bool = True,
        timeout: float | None = None,
        key_encoding: Encoding = None,
        value_encoding: Encoding = None,
    ) -> AsyncIterator[Entry]:
        """Entries in the order of their encoded keys; limit -1 is all of them. `timeout`: seconds for each wait."""
        key_codec, make_entry = self._codecs(key_encoding, value_encoding)
        bounds = encode_bounds(key_codec, gt=gt, gte=gte, lt=lt, lte=lte)
        return walks.range_walk(self, bounds, make_entry, reverse, limit, wait, timeout)

    async def peek(self, **options: Any) -> Entry | None:
        """The first entry of a range (the last with `reverse`), or None; options as for `range`."""
        async for entry in self.range(**{**options, "limit": 1}):
            return entry
        return None

    def history(
        self,
        *,
        gt: int | None = None,
        gte: int | None = None,
        lt: int | None = None,
        lte: int | None = None,
        reverse: bool = False,
        limit: int = -1,
        live: bool = False,
        wait: bool = True,
        timeout: float | None = None,
        value_encoding: Encoding = None,
    ) -> AsyncIterator[Operation]:
        """The operations [gte, lt) in the order they were made; negative numbers count from the newest.

        `live` never ends: it waits for what will be appended. `timeout`: seconds for each block that is downloaded.
        """
        if live and reverse:
            raise BadArgument("a live history cannot run backwards")
        _, make_entry = self._codecs(None, value_encoding)

        def span(version: int) -> Span:
            return span_of(version, gt=gt, gte=gte, lt=lt, lte=lte)

        return walks.history_walk(self, span, make_entry, reverse, limit, live, wait, timeout)

    def diff(
        self,
        other: int | BeeView,
        *,
        gt: Any = None,
        gte: Any = None,
        lt: Any = None,
        lte: Any = None,
        limit: int = -1,
        wait: bool = True,
        timeout: float | None = None,
        key_encoding: Encoding = None,
        value_encoding: Encoding = None,
    ) -> AsyncIterator[Difference]:
        """What differs between this version (`left`) and another version or view of the same bee (`right`)."""
        key_codec, make_entry = self._codecs(key_encoding, value_encoding)
        bounds = encode_bounds(key_codec, gt=gt, gte=gte, lt=lt, lte=lte)
        return walks.diff_walk(self, other, bounds, make_entry, limit, wait, timeout)

    async def update(self, *, wait: bool = False, timeout: float | None = None) -> bool:
        """Look for a newer version; True when there is one (see `Hypercore.update`)."""
        return await self.core.update(wait=wait, timeout=timeout)

    # --- for the walks and for subclasses -----------------------------------------------------

    def _codecs(self, key_encoding: Encoding, value_encoding: Encoding) -> tuple[Codec, EntryMaker]:
        """The codecs of one call: this view's own unless the call names others."""
        if key_encoding is None and value_encoding is None:
            return self._key_codec, self._make_entry
        key_codec = self._key_codec_of(key_encoding)
        return key_codec, entry_maker(key_codec, self._value_codec_of(value_encoding))

    def _key_codec_of(self, encoding: Encoding) -> Codec:
        if encoding is None:
            return self._key_codec
        return Prefixed(self.prefix, resolve(encoding)) if self.prefix else resolve(encoding)

    def _value_codec_of(self, encoding: Encoding) -> Codec:
        return self._value_codec if encoding is None else resolve(encoding)

    async def _look_for_news(self) -> None:
        if not self._version and not self.core.writable:
            await self.core.update()
