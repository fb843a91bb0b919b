"""Reading a bee's blocks: the tree nodes and keys of a log, cached, and what to do about a block that is not here.

All tree code is synchronous. Where it meets a block that this store does not hold it raises `Missing`; the async
caller waits for that block and runs the synchronous code again, which is cheap because what was read stays cached
(and cheaper than awaiting at every step, where nearly nothing ever waits).

Nodes are addressed by (block, level) and never change, so one cache serves every version, until the log is
truncated: its fork number says so.
"""

from __future__ import annotations

import asyncio
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable
from typing import Final, Generic, TypeVar

from ..errors import DecodingError, RequestTimeout, SnapshotNotAvailable
from ..hypercore import Hypercore
from .node import decode_level, is_deletion, parse_block, parse_key

V = TypeVar("V")

MAX_TREE_DEPTH: Final = 64
"""Five children at least below every inner node: 2^53 keys fit into 23 levels. Deeper is an attack."""

CACHED_NODES: Final = 8_192
CACHED_KEYS: Final = 8_192
"""Per generation (at most twice as many are held). A node with its keys is about 1 KiB."""


class Missing(Exception):
    """Block `seq` is not stored here. Never leaves this package."""

    def __init__(self, seq: int) -> None:
        self.seq = seq


class Child:
    """Where a child node is written, and the node itself once it was loaded for writing.

    Records are shared and compared by identity: section 10.4 of the protocol text depends on it.
    """

    __slots__ = ("level", "node", "seq")

    def __init__(self, seq: int, level: int, node: TreeNode | None = None) -> None:
        self.seq = seq
        self.level = level
        self.node = node


class TreeNode:
    """One node of the B-tree. `keys[i]` is None until the block `seqs[i]`, which holds that key, was read.

    `seqs` is an array because a writer reads all of them each time it writes the node: as separate integers all over
    the memory they cost half a microsecond each.
    """

    __slots__ = ("block_key", "block_seq", "children", "dirty", "keys", "level", "seqs")

    def __init__(
        self,
        keys: list[bytes | None],
        seqs: array[int],
        children: list[Child],
        block_seq: int = 0,
        level: int = 0,
        block_key: bytes | None = None,
    ) -> None:
        self.keys = keys
        self.seqs = seqs
        self.children = children
        self.block_seq = block_seq
        self.level = level
        self.block_key = block_key
        self.dirty = False


NO_CHILDREN: Final[list[Child]] = []
"""What all leaves share. Nothing is ever put into it: a node has children from its beginning or never."""


class Recent(Generic[V]):
    """A bounded dictionary that forgets what was not asked for lately: two generations, the older one dropped."""

    __slots__ = ("_limit", "_old", "_young")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._young: dict[object, V] = {}
        self._old: dict[object, V] = {}

    def get(self, key: object) -> V | None:
        value = self._young.get(key)
        if value is None:
            value = self._old.get(key)
            if value is not None:
                self.set(key, value)
        return value

    def set(self, key: object, value: V) -> None:
        if len(self._young) >= self._limit:
            self._old = self._young
            self._young = {}
        self._young[key] = value

    def clear(self) -> None:
        self._young = {}
        self._old = {}

    def __len__(self) -> int:
        return len(self._young.keys() | self._old.keys())


class NodeCache:
    """What all views of one log share, for one fork of it."""

    def __init__(self, fork: int) -> None:
        self.fork = fork
        self.nodes: Recent[TreeNode] = Recent(CACHED_NODES)
        self.keys: Recent[bytes] = Recent(CACHED_KEYS)

    def reset(self, fork: int) -> None:
        """The log was truncated (or a write was rolled back): nothing read so far can be relied on."""
        self.fork = fork
        self.nodes.clear()
        self.keys.clear()


class BlockReader:
    """The blocks of one session of a log, as tree nodes and keys."""

    def __init__(self, core: Hypercore, cache: NodeCache) -> None:
        self.core = core
        self._shared = cache
        self._choose_cache(core.fork)

    def refresh(self) -> int:
        """Call before every operation: the fork number it runs on. Drops what a truncation made untrue."""
        fork = self.core.fork
        if fork != self._cache.fork:
            self._choose_cache(fork)
        return fork

    def _choose_cache(self, fork: int) -> None:
        shared = self._shared
        if fork > shared.fork:
            shared.reset(fork)
        # A snapshot taken before the truncation keeps to itself.
        self._cache = cache = shared if fork == shared.fork else NodeCache(fork)
        self._nodes, self._keys = cache.nodes, cache.keys

    def block(self, seq: int) -> bytes:
        """The bytes of a block that is stored here; raises `Missing`."""
        block = self.core.block_if_local(seq)
        if block is None:
            raise Missing(seq)
        return block

    def key(self, seq: int) -> bytes:
        """The key that operation `seq` was about."""
        key = self._keys.get(seq)
        if key is None:
            key = parse_key(self.block(seq))
            self._keys.set(seq, key)
        return key

    def node(self, seq: int, level: int) -> TreeNode:
        """A tree node for reading: shared by all readers, never to be changed."""
        address = (seq, level)
        node = self._nodes.get(address)
        if node is None:
            node = self.load(seq, level)
            self._nodes.set(address, node)
        return node

    def load(self, seq: int, level: int) -> TreeNode:
        """A tree node of one's own, for writing."""
        block = self.block(seq)
        start, end, key, _ = parse_block(block)
        seqs, pairs = decode_level(block, start, end, level)
        keys: list[bytes | None] = [key if other == seq else None for other in seqs]
        children = [Child(pairs[i], pairs[i + 1]) for i in range(0, len(pairs), 2)] or NO_CHILDREN
        return TreeNode(keys, array("Q", seqs), children, seq, level, key)

    def root(self, version: int) -> TreeNode | None:
        """The root of a version, for reading; None when that version is empty."""
        if version < 2:
            return None
        try:
            return self.node(version - 1, 0)
        except DecodingError:
            raise DecodingError(
                f"version {version} has no tree: it lies in the middle of a batch, or the log is no bee"
            ) from None

    def child(self, node: TreeNode, slot: int) -> TreeNode:
        """The child number `slot` of a node, for reading."""
        record = node.children[slot]
        return self.node(record.seq, record.level)

    def position(self, node: TreeNode, key: bytes) -> tuple[int, bool]:
        """Where `key` stands among the node's keys, or would stand; and whether it is there."""
        keys = node.keys
        try:
            found = bisect_left(keys, key)  # type: ignore[type-var]
        except TypeError:  # some of the keys it compared were not read yet
            return self.search(node, key)
        return found, found < len(keys) and keys[found] == key

    def search(self, node: TreeNode, key: bytes) -> tuple[int, bool]:
        """`position`, reading just the keys that the search compares."""
        keys = node.keys
        low, high = 0, len(keys)
        while low < high:
            middle = (low + high) >> 1
            other = keys[middle]
            if other is None:
                other = keys[middle] = self.key(node.seqs[middle])
            if key == other:
                return middle, True
            if key < other:
                high = middle
            else:
                low = middle + 1
        return low, False

    def find(self, version: int, target: bytes) -> int | None:
        """The operation that gave `target` its value in a version; None when it has none. Raises `Missing`."""
        node = self.root(version)
        depth = 0
        while node is not None:
            if node.block_key == target:
                # the block at hand is the newest operation on this very key
                seq = node.block_seq
                return None if is_deletion(self.block(seq), seq) else seq
            slot, found = self.position(node, target)
            if found:
                return node.seqs[slot]
            if not node.children:
                return None
            node = self.child(node, slot)
            depth += 1
            if depth > MAX_TREE_DEPTH:
                raise DecodingError("the tree is deeper than any honest one")
        return None

    async def fetch(
        self, seq: int, *, version: int = 0, deadline: float | None = None, also: Iterable[int] = ()
    ) -> None:
        """Wait for block `seq`, and ask for the blocks `also` at the same time without waiting for them.

        `version`: what is being read; it may be one that the log has not reached yet. Raises `RequestTimeout` at the
        deadline (event loop time), `SnapshotNotAvailable` when the log was truncated meanwhile, `DecodingError` when
        the block cannot exist.
        """
        core, fork = self.core, self._cache.fork
        if core.fork == fork and not 0 < seq < max(core.length, version):
            raise DecodingError(f"the tree refers to block {seq}, which does not exist")
        timeout = None
        if deadline is not None:
            timeout = deadline - asyncio.get_running_loop().time()
            if timeout <= 0:
                raise RequestTimeout(f"REQUEST_TIMEOUT: block {seq} did not arrive in time")
        if core.fork == fork:
            self.request(also)
            await core.get(seq, wait=True, timeout=timeout)
        if core.fork != fork:
            raise SnapshotNotAvailable("SNAPSHOT_NOT_AVAILABLE: the log was truncated while it was read")

    def request(self, seqs: Iterable[int]) -> None:
        """Ask the network for those of `seqs` that are not here, without waiting."""
        core = self.core
        length = core.length
        wanted = [seq for seq in seqs if 0 < seq < length and not core.has(seq)]
        if wanted:
            core.download(blocks=wanted)


class TracingReader(BlockReader):
    """A reader without memory that reports every block it looks at, in the order of looking."""

    def __init__(self, core: Hypercore, report: Callable[[int], None]) -> None:
        super().__init__(core, NodeCache(core.fork))
        self._report = report

    def block(self, seq: int) -> bytes:
        self._report(seq)
        return super().block(seq)

    def node(self, seq: int, level: int) -> TreeNode:
        return self.load(seq, level)
