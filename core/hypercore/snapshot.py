"""A session that does not change: the log as it was, or a part of its beginning."""

from __future__ import annotations

from typing import Any

from ..crypto.hashing import Node, tree_hash
from ..errors import BadArgument, SnapshotNotAvailable
from . import byte_seek, merkle
from .flat_tree import right_span
from .log import Log
from .session import Hypercore


class Snapshot(Hypercore):
    """The first `length` blocks of `log`, read-only, whatever is appended or truncated later.

    Blocks that were held when the log was truncated below this snapshot stay readable; others are
    `SnapshotNotAvailable` then, because what a peer would send for that index is something else.
    """

    __slots__ = ("_fork", "_length", "_roots", "cuts")

    def __init__(self, log: Log, length: int, **options: Any) -> None:
        # A sparse copy may not know the roots of an earlier length: then only what needs them fails.
        known = merkle.can_upgrade_from(log, length)
        self._roots: list[Node] | None = merkle.roots_at(log, length) if known else None
        self._length = length
        self._fork = log.fork
        self.cuts: list[tuple[int, int]] = []
        super().__init__(log, writable=False, **options)
        log.keep_for(self)

    @property
    def length(self) -> int:
        return self._length

    @property
    def fork(self) -> int:
        return self._fork

    @property
    def byte_length(self) -> int:
        return sum(size for _, size, _ in self.roots) - self.padding * self._length

    @property
    def roots(self) -> list[Node]:
        """The roots of the tree. Raises `SnapshotNotAvailable` when this sparse copy does not know them."""
        if self._roots is None:
            raise SnapshotNotAvailable(f"the tree of the first {self._length} blocks is not known here")
        return self._roots

    @property
    def floor(self) -> int:
        """How much of this snapshot the log still shares."""
        return min([self._length, *(length for length, _ in self.cuts)])

    def has(self, start: int, end: int | None = None) -> bool:
        end = start + 1 if end is None else end
        if end > self._length:
            return False
        shared = min(end, self.floor)
        return (start >= shared or self.log.has(start, shared)) and all(
            self.log.kept_block(self, index) is not None for index in range(max(start, shared), end)
        )

    def tree_hash(self, length: int | None = None) -> bytes:
        length = self._length if length is None else length
        if length == self._length and self._roots is not None:
            return tree_hash(self._roots)
        if length > self.floor:
            raise SnapshotNotAvailable(f"the tree of {length} blocks was truncated away")
        return self.log.tree_hash(length)

    async def seek(
        self, byte_offset: int, *, wait: bool | None = None, timeout: float | None = None
    ) -> tuple[int, int] | None:
        self._refuse_if_closed()
        if byte_offset < 0:
            raise BadArgument(f"a byte offset is not negative: {byte_offset}")
        found = byte_seek.seek(_SnapshotTree(self), byte_offset, self.padding)
        if isinstance(found, byte_seek.SeekFound):
            return found.block, found.offset
        if found is None:
            return None
        if self.floor < self._length:
            raise SnapshotNotAvailable("the tree that leads to the byte was truncated away")
        if not (self._wait if wait is None else wait):
            return None
        self._refuse_if_frozen()
        wish = self.log.demand.want_seek(byte_offset, self.padding)
        return await self._wish(wish, self._timeout if timeout is None else timeout)

    async def update(self, *, wait: bool = False, timeout: float | None = None, force: bool = False) -> bool:
        return False

    async def close(self) -> None:
        if not self._closed:
            self.log.stop_keeping_for(self)
        await super().close()

    def _stored_block(self, index: int) -> bytes | None:
        if index >= self._length:
            raise SnapshotNotAvailable(f"the snapshot has {self._length} blocks, there is no block {index}")
        if not self.cuts or index < self.floor:
            return super()._stored_block(index)
        block = self.log.kept_block(self, index)
        if block is None:
            raise SnapshotNotAvailable(f"block {index} was not held here when the log was truncated")
        return block


class _SnapshotTree:
    """The tree of a snapshot: its own roots, and of the nodes below them those that no truncation took."""

    __slots__ = ("_end", "_log", "byte_length", "fork", "length", "roots")

    def __init__(self, snapshot: Snapshot) -> None:
        self.roots = snapshot.roots
        self.length = snapshot.length
        self.fork = snapshot.fork
        self.byte_length = sum(size for _, size, _ in self.roots)
        self._log = snapshot.log
        self._end = 2 * snapshot.floor

    def node(self, index: int, /) -> Node | None:
        return self._log.node(index) if right_span(index) < self._end else None
