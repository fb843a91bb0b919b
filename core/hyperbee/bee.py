"""`Hyperbee`: a sorted map of keys to values in an append-only log, readable in every version it ever had."""

from __future__ import annotations

from types import TracebackType
from typing import Any

from ..errors import BadArgument, LocalProtocolError
from ..hypercore import Hypercore
from .batch import Batch
from .blocks import NodeCache
from .encodings import Codec, encode_utf8, resolve
from .extension import BeeExtension
from .node import Metadata
from .ranges import Entry, entry_maker
from .unlinked import clear_unlinked
from .view import BeeView, Encoding
from .watch import Differ, EntryWatcher, Mapper, Watcher
from .writer import Judge, Writer


class Hyperbee(BeeView):
    """A bee on a log, or a view of one: a sub, a checkout, a snapshot. Reading is in `BeeView`.

    `key_encoding`, `value_encoding`: names (`encodings.ENCODINGS`), codecs, or None for bytes. `extension`: ask peers
    which blocks a lookup will need, and answer them. `always_duplicate`: False drops a put of the value already
    there. `metadata`: goes into the header of a new bee. `sep`: what subs put between their name and a key.
    """

    def __init__(
        self,
        core: Hypercore,
        *,
        key_encoding: Encoding = None,
        value_encoding: Encoding = None,
        extension: bool = True,
        always_duplicate: bool = True,
        metadata: Metadata | None = None,
        sep: bytes | str = b"\x00",
        read_only: bool = False,
    ) -> None:
        cache = NodeCache(core.fork)
        super().__init__(
            core,
            cache,
            BeeExtension(core) if extension else None,
            version=0,
            prefix=b"",
            key_codec=resolve(key_encoding),
            value_codec=resolve(value_encoding),
        )
        self._writer: Writer | None = None
        if not read_only:
            self._writer = Writer(core, cache, always_duplicate=always_duplicate, metadata=metadata)
        self._sep = _separator(sep)
        self._is_main = True
        self._watchers: set[Watcher | EntryWatcher] = set()

    def _derive(
        self, core: Hypercore, version: int, prefix: bytes, key_codec: Codec, value_codec: Codec
    ) -> Hyperbee:
        """Another view of the same bee: it shares the cache, the writer and the extension."""
        view = Hyperbee.__new__(Hyperbee)
        BeeView.__init__(
            view,
            core,
            self._cache,
            self._extension,
            version=version,
            prefix=prefix,
            key_codec=key_codec,
            value_codec=value_codec,
            live=self._live,
        )
        view._writer = None if version else self._writer
        view._sep = self._sep
        view._is_main = False
        view._watchers = set()
        return view

    @property
    def writable(self) -> bool:
        """Whether this view writes: checkouts and snapshots never do."""
        return self._writer is not None and self.core.writable

    # --- writing ------------------------------------------------------------------------------

    async def put(
        self,
        key: Any,
        value: Any,
        *,
        cas: Judge | None = None,
        key_encoding: Encoding = None,
        value_encoding: Encoding = None,
    ) -> bool:
        """Set a key; returns when it is durable. A value of None is stored as a missing value.

        `cas(previous, next)` may refuse to replace an existing entry by returning False (or an awaitable of it).
        False when it did, or when the value is already there and the bee was opened with `always_duplicate=False`.
        Raises `SessionNotWritable`, `BadArgument` (key or value do not fit the encoding), `StorageFull`.
        """
        writer = self._require_writer()
        key_codec, value_codec = self._key_codec_of(key_encoding), self._value_codec_of(value_encoding)
        encoded_key = key_codec.encode(key)
        encoded_value = None if value is None else value_codec.encode(value)
        make_entry = None if cas is None else entry_maker(key_codec, value_codec)
        transaction = await writer.begin()
        try:
            done = await writer.put(
                transaction, encoded_key, encoded_value, cas, cas and Entry(0, key, value), make_entry
            )
        except BaseException:
            writer.abandon(transaction)
            raise
        await writer.append(transaction)
        return done

    async def write_header(self) -> None:
        """Append the header of a new bee now, not with its first write: readers can tell an empty bee from none.

        Nothing happens when it is there. Returns when it is durable; raises `SessionNotWritable`.
        """
        writer = self._require_writer()
        await writer.append(await writer.begin())

    async def delete(
        self,
        key: Any,
        *,
        cas: Judge | None = None,
        key_encoding: Encoding = None,
        value_encoding: Encoding = None,
    ) -> bool:
        """Remove a key; False (and nothing is written) when it is not there or `cas` refused."""
        writer = self._require_writer()
        key_codec, make_entry = self._codecs(key_encoding, value_encoding)
        encoded_key = key_codec.encode(key)
        transaction = await writer.begin()
        try:
            done = await writer.delete(transaction, encoded_key, cas, cas and Entry(0, key, None), make_entry)
        except BaseException:
            writer.abandon(transaction)
            raise
        await writer.append(transaction)
        return done

    def batch(self, *, key_encoding: Encoding = None, value_encoding: Encoding = None) -> Batch:
        """Many operations in one append: `async with bee.batch() as batch: await batch.put(...)`."""
        return Batch(
            self,
            self._require_writer(),
            self._key_codec_of(key_encoding),
            self._value_codec_of(value_encoding),
        )

    async def clear_unlinked(self, *, gte: int = 1, lt: int | None = None, wait: bool = True) -> int:
        """Forget the local blocks [gte, lt) that this version does not refer to any more; returns how many.

        The log keeps its length and peers may still have them. Older versions become unreadable here. With `wait`,
        tree nodes that are missing here are downloaded to find out; without, blocks in doubt are kept.
        """
        return await clear_unlinked(self, gte, self.version - 1 if lt is None else lt, wait)

    def _require_writer(self) -> Writer:
        if self._writer is None:
            raise LocalProtocolError("this view of the bee is read-only")
        return self._writer

    # --- views --------------------------------------------------------------------------------

    def sub(
        self,
        name: bytes | str,
        *,
        sep: bytes | str | None = None,
        key_encoding: Encoding = None,
        value_encoding: Encoding = None,
    ) -> Hyperbee:
        """The keys that start with `name` and the separator, as a bee of their own."""
        name = encode_utf8(name) if isinstance(name, str) else name
        prefix = self.prefix + name + (self._sep if sep is None else _separator(sep))
        if not prefix:
            raise BadArgument("a sub needs a name or a separator")
        key_codec = self._plain_key_codec if key_encoding is None else resolve(key_encoding)
        return self._derive(self.core, self._version, prefix, key_codec, self._value_codec_of(value_encoding))

    def checkout(
        self, version: int, *, key_encoding: Encoding = None, value_encoding: Encoding = None
    ) -> Hyperbee:
        """This bee as it was when its log had `version` blocks, read-only; a later version is waited for.

        Close it when it is not needed any more (or use it with `async with`).
        """
        version = max(1, version)
        core = self.core.checkout(version) if version <= max(1, self.core.length) else self.core.session()
        key_codec = self._plain_key_codec if key_encoding is None else resolve(key_encoding)
        return self._derive(core, version, self.prefix, key_codec, self._value_codec_of(value_encoding))

    def snapshot(self, *, key_encoding: Encoding = None, value_encoding: Encoding = None) -> Hyperbee:
        """This bee as it is now, read-only."""
        return self.checkout(self.version, key_encoding=key_encoding, value_encoding=value_encoding)

    # --- watching -----------------------------------------------------------------------------

    def watch(
        self,
        *,
        gt: Any = None,
        gte: Any = None,
        lt: Any = None,
        lte: Any = None,
        eager: bool = False,
        differ: Differ | None = None,
        map: Mapper | None = None,
        key_encoding: Encoding = None,
        value_encoding: Encoding = None,
    ) -> Watcher:
        """Yields (current, previous) snapshots whenever something in the range has changed.

        Starts from the bee as it is now, or with `eager` from the empty one. `differ(current, previous)`: an async
        iterator that yields something when the two differ, in place of `diff`. `map(snapshot)`: what is yielded for
        each snapshot. A pair can be read until the next one is asked for.
        """
        self._require_main()
        bounds = {"gt": gt, "gte": gte, "lt": lt, "lte": lte}
        encodings = {"key_encoding": key_encoding, "value_encoding": value_encoding}
        return Watcher(self, bounds, encodings, eager=eager, differ=differ, mapper=map)

    async def get_and_watch(
        self, key: Any, *, key_encoding: Encoding = None, value_encoding: Encoding = None
    ) -> EntryWatcher:
        """The entry of one key, kept up to date: see `EntryWatcher`."""
        self._require_main()
        watcher = EntryWatcher(self, key, {"key_encoding": key_encoding, "value_encoding": value_encoding})
        try:
            await watcher.refresh()
        except BaseException:
            await watcher.close()
            raise
        return watcher

    def _require_main(self) -> None:
        if not self._is_main:
            raise LocalProtocolError("only the bee itself can be watched, not a sub or a checkout of it")

    # --- ending -------------------------------------------------------------------------------

    async def close(self) -> None:
        """End this view and what it opened. A sub shares its bee's session and leaves it open."""
        for watcher in tuple(self._watchers):
            await watcher.close()
        if self._is_main and self._extension is not None:
            self._extension.close()
        if self._is_main or self._version:
            await self.core.close()

    async def __aenter__(self) -> Hyperbee:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


def _separator(sep: bytes | str) -> bytes:
    return encode_utf8(sep) if isinstance(sep, str) else sep
