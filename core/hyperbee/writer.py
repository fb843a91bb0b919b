"""The one writer of a bee: whose turn it is, the tree kept between writes, and the append at the end.

An operation is found (which may wait for blocks), judged (`cas` may wait for anything) and then applied without any
waiting. The turn ends when the blocks are in the log but *before* they are durable: puts that run side by side
share one commit of the store.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from inspect import isawaitable

from ..errors import BadArgument, LocalProtocolError, SessionNotWritable
from ..hypercore import Hypercore
from .blocks import BlockReader, Missing, NodeCache
from .node import Metadata, encode_header, parse_block
from .ranges import Entry, EntryMaker
from .tree import Place, Transaction
from .turn import Turn

Judge = Callable[[Entry, Entry], "bool | Awaitable[bool]"]
"""`cas(previous, next)`: whether to write. Asked only when the key exists; `next.value` is None for a deletion."""


class Writer:
    """Shared by a bee and its subs."""

    def __init__(
        self, core: Hypercore, cache: NodeCache, *, always_duplicate: bool, metadata: Metadata | None
    ) -> None:
        self.core = core
        self.turn = Turn()
        self._cache = cache
        self.reader = BlockReader(core, cache)
        self._always_duplicate = always_duplicate
        self._metadata = metadata
        self._kept: Transaction | None = None

    async def begin(self) -> Transaction:
        """Take the turn: a transaction on the log's head, to be given back by `append` or `abandon`."""
        if not self.turn.take():
            await self.turn.wait()
        if not self.core.writable:
            self.turn.release()
            raise SessionNotWritable("this store does not hold the key pair that writes this bee")
        self.reader.refresh()
        kept, self._kept = self._kept, None
        if kept is not None and kept.fits():
            return kept
        return Transaction(self.reader)

    async def append(self, transaction: Transaction) -> None:
        """Append what the transaction holds and keep its tree. Ends the turn; returns when all is durable."""
        core = self.core
        try:
            if not transaction.fits():
                raise LocalProtocolError(
                    "the log was changed by somebody else while this bee was being written"
                )
            blocks = transaction.encode()
            if not core.length:
                blocks.insert(0, encode_header(self._metadata))
            transaction.appended()
            self._kept = transaction
        finally:
            self.turn.release()
        if not blocks:
            return
        try:
            await core.append(blocks)
        except Exception:
            # Nothing was written, or it was rolled back: what was read of it is not true any more.
            self._kept = None
            self._cache.reset(core.fork)
            raise

    def abandon(self, transaction: Transaction) -> None:
        """End the turn without writing."""
        if not transaction.operations:
            transaction.settle()
            self._kept = transaction
        self.turn.release()

    # --- one operation ------------------------------------------------------------------------

    def put_at_once(self, transaction: Transaction, key: bytes, value: bytes | None) -> bool:
        """`put` without `cas` where nothing has to be judged or fetched; False when it has to be done by `put`."""
        if not self._always_duplicate:
            return False
        try:
            if not transaction.put_near(key, value):
                transaction.put(transaction.find(key), key, value)
        except Missing:
            return False
        return True

    async def put(
        self,
        transaction: Transaction,
        key: bytes,
        value: bytes | None,
        cas: Judge | None = None,
        following: Entry | None = None,
        make_entry: EntryMaker | None = None,
    ) -> bool:
        """Put into a transaction; False when `cas` refused or the value is the one already there."""
        judging = cas is not None or not self._always_duplicate
        while True:
            try:
                place = transaction.find(key)
                if not judging or place is None or not place[3]:
                    transaction.put(place, key, value)
                    return True
                previous = self._operation(transaction, place)
                break
            except Missing as missing:
                await self.reader.fetch(missing.seq)
        if not await _judge(cas, previous, following, make_entry, transaction.next_seq) or (
            not self._always_duplicate and previous[2] == value
        ):
            transaction.refused(place)
            return False
        transaction.put(place, key, value)
        return True

    async def delete(
        self,
        transaction: Transaction,
        key: bytes,
        cas: Judge | None = None,
        following: Entry | None = None,
        make_entry: EntryMaker | None = None,
    ) -> bool:
        """Delete in a transaction; False when the key is not there or `cas` refused."""
        previous: tuple[int, bytes, bytes | None] = (0, key, None)
        while True:
            try:
                place = transaction.find(key)
                if place is None or not place[3]:
                    return False
                removal = transaction.plan_delete(place)
                if cas is not None:
                    previous = self._operation(transaction, place)
                break
            except Missing as missing:
                await self.reader.fetch(missing.seq)
        if not await _judge(cas, previous, following, make_entry, transaction.next_seq):
            return False
        transaction.delete(removal, key)
        return True

    def _operation(self, transaction: Transaction, place: Place) -> tuple[int, bytes, bytes | None]:
        """The operation that stands at a place, its key and value as bytes; raises `Missing`."""
        _, node, slot, _ = place
        seq = node.seqs[slot]
        if seq >= transaction.base:
            key, value, _ = transaction.operations[seq - transaction.base]
        else:
            _, _, key, value = parse_block(self.reader.block(seq))
        return seq, key, value


async def _judge(
    cas: Judge | None,
    previous: tuple[int, bytes, bytes | None],
    following: Entry | None,
    make_entry: EntryMaker | None,
    seq: int,
) -> bool:
    if cas is None:
        return True
    if following is None or make_entry is None:
        raise BadArgument("cas needs the decoded entries")
    verdict = cas(make_entry(*previous), following._replace(seq=seq))
    if isawaitable(verdict):
        verdict = await verdict
    return bool(verdict)
