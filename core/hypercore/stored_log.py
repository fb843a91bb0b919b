"""A log as its records in the store say it is: reading, and the steps that every change is made of.

`log.py` builds the changes out of these steps; whoever wants to know what a log does to the store reads this
file, whoever wants to know when and why reads that one. The order of a change is always the same: everything
that can fail first (hashes, checks, the signature), then the storage, then the numbers here, then the news.

Nothing is kept in memory per block: ten thousand open logs are ten thousand small objects.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import repeat
from typing import Any

from ..crypto.hashing import Node, discovery_key, tree_hash
from ..crypto.keys import KeyPair
from ..errors import StorageCorrupt
from ..storage.base import Storage
from ..storage.commit import GroupCommit
from . import layout, merkle
from .announce import Announcements
from .bitfield import Bitfield
from .demand import LogObserver
from .flat_tree import full_roots
from .kept import KeptBlocks
from .layout import Head, Identity, pack_node, pack_numbered_key, pack_u64, unpack_node
from .manifest import Manifest, is_compat


class StoredLog:
    """The log number `number` of a store. Satisfies `merkle.TreeReader`.

    `identity` and `head` are what the store holds about it.
    """

    __slots__ = (
        "__weakref__",
        "_block_prefix",
        "_commit",
        "_head_changed",
        "_identity",
        "_just_signed",
        "_kept",
        "_news",
        "_node_prefix",
        "_prefix",
        "_roots",
        "_storage",
        "bitfield",
        "byte_length",
        "compat",
        "discovery_key",
        "fork",
        "frozen",
        "length",
        "number",
        "remote_contiguous_length",
        "signature",
    )

    def __init__(
        self, storage: Storage, commit: GroupCommit, number: int, identity: Identity, head: Head
    ) -> None:
        prefix = layout.log_prefix(number)
        self._storage = storage
        self._commit = commit
        self._prefix = prefix
        self._block_prefix = prefix + layout.BLOCK
        self._node_prefix = prefix + layout.NODE
        self._identity = identity
        self._kept: KeptBlocks | None = None
        self._news = Announcements(commit)
        self._roots: list[Node] | None = None
        self.number = number
        self.discovery_key = discovery_key(identity.key)
        self.compat = identity.manifest is not None and is_compat(identity.key, identity.manifest)
        self.bitfield = Bitfield(storage, prefix, 0)
        self.remote_contiguous_length = 0
        """The longest prefix that any peer ever claimed to hold."""
        self.frozen = False
        """True after a conflict: the key signed two trees, nothing here is believed or served any more."""
        self._take(head)

    # --- what it is ---------------------------------------------------------------------------

    @property
    def key(self) -> bytes:
        return self._identity.key

    @property
    def manifest(self) -> Manifest | None:
        return self._identity.manifest

    @property
    def key_pair(self) -> KeyPair | None:
        return self._identity.key_pair

    @property
    def contiguous_length(self) -> int:
        """How many blocks from the start are held without a gap."""
        return self.bitfield.contiguous

    @property
    def roots(self) -> list[Node]:
        roots = self._roots
        if roots is None:
            roots = []
            for index in full_roots(self.length):
                node = self.node(index)
                if node is None:
                    raise StorageCorrupt(f"root {index} of log {self.key.hex()} is missing from the store")
                roots.append(node)
            self._roots = roots
        return roots

    @property
    def observers(self) -> list[LogObserver]:
        """Objects told of changes after their commit; append and remove freely."""
        return self._news.observers

    @property
    def commit(self) -> GroupCommit:
        return self._commit

    # --- reading ------------------------------------------------------------------------------

    def block(self, index: int) -> bytes | None:
        """Block `index` as stored (encrypted if the log is), None when it is not held."""
        return self._storage.get(self._block_prefix + pack_u64(index))

    def node(self, index: int, /) -> Node | None:
        """Tree node `index`, None when it is not stored."""
        value = self._storage.get(self._node_prefix + pack_u64(index))
        if value is None:
            return None
        size, digest = unpack_node(value)
        return index, size, digest

    def has(self, start: int, end: int | None = None) -> bool:
        """Whether block `start`, or all of [start, end), is held."""
        return self.bitfield.get(start) if end is None else self.bitfield.has_range(start, end)

    def first_unset(self, start: int, end: int) -> int:
        """The first block of [start, end) that is not held, or -1."""
        index = self.bitfield.first_unset(start)
        return index if index < end else -1

    def first_set(self, start: int, end: int) -> int:
        """The first block of [start, end) that is held, or -1."""
        return self.bitfield.first_set(start, end)

    def tree_hash(self, length: int | None = None) -> bytes:
        """The hash of the tree when it had `length` blocks. Raises `InvalidOperation` if not known here."""
        return tree_hash(self.roots if length is None else merkle.roots_at(self, length))

    def get_user_data(self, name: str) -> bytes | None:
        return self._storage.get(layout.user_data_key(self._prefix, name))

    def emit(self, name: str, *facts: Any) -> None:
        """News of the network, for the sessions (see `LogObserver.event`)."""
        self._news.emit(name, *facts)

    # --- the steps of a change ----------------------------------------------------------------

    def flush(self) -> None:
        """Put what is not yet in the storage's overlay there (the turn's commit does it anyway)."""
        self._write_head()

    def reload(self) -> None:
        """A commit failed: go back to what the store holds."""
        identity = self._storage.get(self._prefix + layout.IDENTITY)
        head = self._storage.get(self._prefix + layout.HEAD)
        if identity is not None:
            self._identity = Identity.decode(identity, self._storage.vault)
            self.compat = self.manifest is not None and is_compat(self.key, self.manifest)
        if identity is None or head is None:
            # The log was created in the turn that failed; whoever uses it goes on, so it is created again.
            self._take(Head())
            self._storage.put(self._prefix + layout.IDENTITY, self._identity.encode(self._storage.vault))
            self._storage.put(self._prefix + layout.HEAD, Head().encode())
        else:
            self._take(Head.decode(head))
        if self._kept is not None:
            self._kept.rolled_back(self)

    def _take(self, head: Head) -> None:
        self.fork = head.fork
        self.length = head.length
        self.byte_length = head.byte_length
        self.remote_contiguous_length = head.remote_contiguous_length
        self.signature = head.signature
        self.bitfield.reload(head.contiguous_length)
        self._roots = None
        self._head_changed = False
        # True until the newest signature of ours is known to outlive a power cut, also one of an earlier
        # process.
        self._just_signed = self._identity.key_pair is not None

    def _set_head(self, fork: int, length: int, roots: list[Node], signature: bytes | None) -> None:
        self.fork = fork
        self.length = length
        self._roots = roots
        self.byte_length = sum([size for _, size, _ in roots])
        self.signature = signature
        if not self._head_changed:
            self._head_touched()

    def _head_touched(self) -> None:
        """Write the head and the bitfield's pages once, right before the commit of this turn."""
        if not self._head_changed:
            self._head_changed = True
            self._commit.before(self._write_head)

    def _write_head(self) -> None:
        if not self._head_changed:
            return
        self._head_changed = False
        self.bitfield.flush()
        head = Head(
            self.fork,
            self.length,
            self.byte_length,
            self.bitfield.contiguous,
            self.remote_contiguous_length,
            self.signature,
        )
        self._storage.put(self._prefix + layout.HEAD, head.encode())

    def _change_identity(self, identity: Identity) -> None:
        self._identity = identity
        self.compat = identity.manifest is not None and is_compat(identity.key, identity.manifest)
        self._storage.put(self._prefix + layout.IDENTITY, identity.encode(self._storage.vault))
        self._commit.touch()

    def _put_nodes(self, nodes: Sequence[Node]) -> None:
        if not nodes:
            return
        indices, sizes, digests = zip(*nodes, strict=True)
        keys = map(pack_numbered_key, repeat(self._node_prefix), indices)
        self._storage.put_many(zip(keys, map(pack_node, sizes, digests), strict=True))

    def _cut(self, length: int) -> None:
        """Remove blocks, bits and tree nodes that belong to a tree of more than `length` blocks."""
        if self._kept is not None and length < self.length:
            self._kept.save(self, length)
        storage = self._storage
        storage.delete_range(*layout.block_bounds(self._prefix, length))
        storage.delete_range(*layout.node_bounds(self._prefix, 2 * length))
        for index in merkle.spine(length):
            storage.delete(self._node_prefix + pack_u64(index))
        self.bitfield.truncate(length)
        self.remote_contiguous_length = min(self.remote_contiguous_length, length)
