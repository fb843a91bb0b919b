"""Many operations, one append: they become durable together or not at all."""

from __future__ import annotations

from collections.abc import AsyncIterator
from types import TracebackType
from typing import TYPE_CHECKING, Any

from ..errors import LocalProtocolError
from .blocks import BlockReader, Missing, TreeNode
from .encodings import Codec
from .node import encode_block
from .ranges import Entry, RangeCursor, encode_bounds, entry_maker, read_entry
from .tree import Transaction
from .turn import Turn
from .writer import Judge, Writer

if TYPE_CHECKING:
    from .bee import Hyperbee


class Batch:
    """Made by `Hyperbee.batch()`; use it with `async with`: leaving flushes, an exception discards.

    The first write takes the bee's turn, and other writers wait until the batch ends. Reads see what the batch has
    written so far.
    """

    def __init__(self, bee: Hyperbee, writer: Writer, key_codec: Codec, value_codec: Codec) -> None:
        self._bee = bee
        self._writer = writer
        self._reader = writer.reader
        self._key_codec = key_codec
        self._value_codec = value_codec
        self._make_entry = entry_maker(key_codec, value_codec)
        self._own_turn = Turn()  # tasks that share this batch write one after the other
        self._transaction: Transaction | None = None
        self._ended = False

    @property
    def length(self) -> int:
        """Operations not yet flushed."""
        return 0 if self._transaction is None else len(self._transaction.operations)

    async def put(self, key: Any, value: Any, *, cas: Judge | None = None) -> bool:
        """As `Hyperbee.put`, kept in memory until `flush`."""
        encoded_key = self._key_codec.encode(key)
        encoded_value = None if value is None else self._value_codec.encode(value)
        begun = self._transaction if cas is None and not self._own_turn.taken else None
        if begun is not None and self._writer.put_at_once(begun, encoded_key, encoded_value):
            return True
        following = None if cas is None else Entry(0, key, value)
        if not self._own_turn.take():
            await self._own_turn.wait()
        try:
            transaction = self._transaction or await self._begin()
            return await self._writer.put(
                transaction, encoded_key, encoded_value, cas, following, self._make_entry
            )
        finally:
            self._own_turn.release()

    async def delete(self, key: Any, *, cas: Judge | None = None) -> bool:
        """As `Hyperbee.delete`, kept in memory until `flush`."""
        encoded_key = self._key_codec.encode(key)
        following = None if cas is None else Entry(0, key, None)
        if not self._own_turn.take():
            await self._own_turn.wait()
        try:
            transaction = self._transaction or await self._begin()
            return await self._writer.delete(transaction, encoded_key, cas, following, self._make_entry)
        finally:
            self._own_turn.release()

    async def get(self, key: Any) -> Entry | None:
        """As `Hyperbee.get`, in the state of this batch."""
        transaction = self._transaction
        if transaction is None:
            return await self._bee.get_encoded(self._key_codec.encode(key), self._make_entry)
        encoded = self._key_codec.encode(key)
        while True:
            try:
                place = transaction.find(encoded)
                if place is None or not place[3]:
                    return None
                _, node, slot, _ = place
                source = _BatchSource(transaction, self._reader)
                return read_entry(source, node.seqs[slot], self._make_entry)
            except Missing as missing:
                await self._reader.fetch(missing.seq)

    async def range(
        self,
        *,
        gt: Any = None,
        gte: Any = None,
        lt: Any = None,
        lte: Any = None,
        reverse: bool = False,
        limit: int = -1,
    ) -> AsyncIterator[Entry]:
        """As `Hyperbee.range`, in the state of this batch. Writing to the batch ends a walk that is under way."""
        transaction = self._transaction
        if transaction is None:
            async for entry in self._bee.range(gt=gt, gte=gte, lt=lt, lte=lte, reverse=reverse, limit=limit):
                yield entry
            return
        cursor = RangeCursor(
            _BatchSource(transaction, self._reader),
            transaction.next_seq,
            encode_bounds(self._key_codec, gt=gt, gte=gte, lt=lt, lte=lte),
            self._make_entry,
            reverse=reverse,
            limit=limit,
        )
        written = self.length
        while True:
            if transaction is not self._transaction or self.length != written:
                raise LocalProtocolError("the batch was written to while it was walked through")
            try:
                entries = cursor.fill(64)
            except Missing as missing:
                await self._reader.fetch(missing.seq)
                continue
            if not entries:
                return
            for entry in entries:
                yield entry

    async def peek(self, **bounds: Any) -> Entry | None:
        """The first entry of a range, or None."""
        async for entry in self.range(**{**bounds, "limit": 1}):
            return entry
        return None

    async def flush(self) -> None:
        """Append everything at once; returns when it is durable. The batch can be used again afterwards."""
        transaction, self._transaction = self._transaction, None
        if transaction is not None:
            await self._writer.append(transaction)

    async def close(self) -> None:
        """Discard what was not flushed."""
        self._ended = True
        transaction, self._transaction = self._transaction, None
        if transaction is not None:
            self._writer.abandon(transaction)

    async def __aenter__(self) -> Batch:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            await self.flush()
        await self.close()

    async def _begin(self) -> Transaction:
        if self._ended:
            raise LocalProtocolError("the batch was closed")
        self._transaction = await self._writer.begin()
        return self._transaction


class _BatchSource:
    """The pending tree of a batch, for a cursor to walk."""

    def __init__(self, transaction: Transaction, reader: BlockReader) -> None:
        self._transaction = transaction
        self._reader = reader

    def root(self, version: int) -> TreeNode | None:
        return self._transaction.load_root()

    def block(self, seq: int, /) -> bytes:
        base = self._transaction.base
        if seq < base:
            return self._reader.block(seq)
        key, value, _ = self._transaction.operations[seq - base]
        return encode_block(b"", key, value)

    def child(self, node: TreeNode, slot: int, /) -> TreeNode:
        return self._transaction.child(node, slot)

    def position(self, node: TreeNode, key: bytes, /) -> tuple[int, bool]:
        return self._reader.position(node, key)
