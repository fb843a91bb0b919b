"""One log: what its owner does to it, what its peers prove to it, and who uses it.

A log does no waiting. Its writes can be read at once and are committed at the end of the turn
(`storage/commit.py`); observers hear of them after that. Every session and every peer shares one `Log`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import repeat
from typing import TYPE_CHECKING, Any

from ..crypto.hashing import Node, tree_hash
from ..crypto.keys import KeyPair
from ..errors import (
    BadArgument,
    InvalidChecksum,
    InvalidOperation,
    LogConflict,
    SessionNotWritable,
    StorageError,
)
from ..limits import MAX_BLOCK_BYTES
from ..storage.base import Storage
from ..storage.commit import GroupCommit
from . import layout, merkle
from .demand import Replicator, ReplicatorFactory
from .kept import KeptBlocks, Snapshotted
from .layout import Head, Identity, pack_numbered_key, pack_u64
from .manifest import Manifest, default_manifest, is_manifest_of
from .offline import Offline
from .proof import create_proof, verify_proof
from .proof_types import Proof, ProofRequest, Verified
from .signatures import sign_tree
from .stored_log import StoredLog

if TYPE_CHECKING:
    from .reorg import Reorg


class Log(StoredLog):
    """Made by the store's registry, which sets `on_wanted` (somebody begins to read it) and `on_unused`."""

    __slots__ = (
        "_active_sessions",
        "_sessions",
        "on_unused",
        "on_wanted",
        "replicator",
        "replicator_factory",
    )

    def __init__(
        self,
        storage: Storage,
        commit: GroupCommit,
        number: int,
        identity: Identity,
        head: Head,
        *,
        replicator_factory: ReplicatorFactory = Offline,
    ) -> None:
        super().__init__(storage, commit, number, identity, head)
        self._sessions = 0
        self._active_sessions = 0
        self.replicator: Replicator | None = None
        self.replicator_factory = replicator_factory
        self.on_unused: Callable[[Log], None] | None = None
        self.on_wanted: Callable[[Log], None] | None = None

    # --- writing by the owner ------------------------------------------------------------------

    def append(
        self, blocks: Sequence[bytes], key_pair: KeyPair | None = None, *, signature: bytes | None = None
    ) -> int:
        """Add blocks (as they are to be stored) under one signature; returns the new length.

        `signature`: a finished signature over the resulting tree, for logs that several keys sign.
        Raises `SessionNotWritable`, `LogConflict`, `BadArgument` (a block too large).
        """
        if not blocks:
            return self.length
        if max(map(len, blocks)) > MAX_BLOCK_BYTES:
            raise BadArgument(f"a block has at most {MAX_BLOCK_BYTES} bytes")
        start = self.length
        end = start + len(blocks)
        roots, nodes = merkle.append(self.roots, start, blocks)
        if signature is None:
            signature = self._sign(roots, end, self.fork, key_pair)
        self._put_nodes(nodes)
        keys = map(pack_numbered_key, repeat(self._block_prefix), range(start, end))
        self._storage.put_many(zip(keys, blocks, strict=True))
        self.bitfield.set_range(start, end)
        self._set_head(self.fork, end, roots, signature)
        self._news.stored(start, end - start)
        self._news.changed("appended", start, end)
        return end

    def truncate(
        self,
        length: int,
        fork: int | None = None,
        key_pair: KeyPair | None = None,
        *,
        signature: bytes | None = None,
    ) -> None:
        """Drop the blocks from `length` on, under a new fork number (default: the next one).

        Raises `BadArgument`, `SessionNotWritable`, `LogConflict`.
        """
        fork = self.fork + 1 if fork is None else fork
        if not 0 <= length <= self.length:
            raise BadArgument(f"a log of {self.length} blocks cannot be truncated to {length}")
        if fork <= self.fork:
            raise BadArgument(f"the fork after {self.fork} has a larger number than {fork}")
        manifest = self.manifest
        if manifest is not None and manifest.prologue is not None and length < manifest.prologue.length:
            raise BadArgument(f"the first {manifest.prologue.length} blocks are fixed by the log's manifest")
        roots = merkle.roots_at(self, length)
        if signature is None:
            signature = self._sign(roots, length, fork, key_pair)
        self._cut(length)
        self._set_head(fork, length, roots, signature)
        self._news.changed("truncated", length, fork)

    def clear(self, start: int, end: int) -> None:
        """Forget the values of blocks [start, end) here; length and tree stay, so they can be had again."""
        end = min(end, self.length)
        if start < 0 or start >= end:
            return
        self.bitfield.clear_range(start, end)
        if end - start == 1:
            self._storage.delete(self._block_prefix + pack_u64(start))
        else:
            self._storage.delete_range(*layout.block_bounds(self._prefix, start, end))
        self._head_touched()
        self._news.changed("cleared", start, end)

    def set_user_data(self, name: str, value: bytes | None) -> None:
        """A small value that belongs to the log here and is never replicated; None deletes it."""
        key = layout.user_data_key(self._prefix, name)
        if value is None:
            self._storage.delete(key)
        else:
            self._storage.put(key, value)
        self._commit.touch()

    # --- writing what peers proved -------------------------------------------------------------

    def create_proof(self, request: ProofRequest) -> Proof:
        """The answer to a peer. Raises `InvalidOperation` when it cannot be given."""
        if self._just_signed and request.upgrade is not None:
            self._secure_signature()
        return create_proof(
            self,
            request,
            signature=self.signature,
            block_value=self.block,
            manifest=None if self.compat else self.manifest,
        )

    def verify(self, proof: Proof) -> Verified:
        """Check an answer of the same fork against this log. Raises an `IntegrityError`; changes nothing."""
        return verify_proof(self, proof, key=self.key, manifest=self.manifest)

    def apply(self, verified: Verified, proof: Proof) -> bool:
        """Store what `verify` established. False when the log changed meanwhile and it must be asked
        again.
        """
        if verified.fork != self.fork or (verified.upgraded and verified.length <= self.length):
            return False
        if verified.manifest is not None:
            self.set_manifest(verified.manifest)
        if verified.nodes:
            self._put_nodes(verified.nodes)
        if verified.upgraded:
            start = self.length
            self._set_head(verified.fork, verified.length, verified.roots, verified.signature)
            self._news.changed("appended", start, verified.length)
        block = proof.block
        if block is not None:
            index = block.index
            self._storage.put_many(((self._block_prefix + pack_u64(index), block.value),))
            if self.bitfield.set(index):
                if not self._head_changed:
                    self._head_touched()
                self._news.stored(index, 1)
        elif verified.nodes:
            self._commit.touch()
        return True

    def apply_reorg(self, reorg: Reorg) -> bool:
        """Install a finished reorg: everything from its common ancestors on is replaced by the other fork.

        False when the log changed since the comparison began and it must be begun anew.
        """
        if not reorg.finished or not reorg.applies_to(self):
            return False
        ancestors, verified = reorg.ancestors, reorg.verified
        if verified.manifest is not None:
            self.set_manifest(verified.manifest)
        self._cut(ancestors)
        self._put_nodes(reorg.nodes)
        self._set_head(verified.fork, verified.length, verified.roots, verified.signature)
        self._news.changed("truncated", ancestors, reorg.fork)
        if reorg.length > ancestors:
            self._news.changed("appended", ancestors, reorg.length)
        return True

    def set_manifest(self, manifest: Manifest) -> None:
        """Remember what the key stands for. Raises `InvalidChecksum` when it does not stand for this."""
        if self._identity.manifest is not None:
            return
        if not is_manifest_of(self.key, manifest):
            raise InvalidChecksum("the manifest does not hash to the log's key")
        self._change_identity(Identity(self.key, manifest, self.key_pair))
        self._news.changed("manifest_learned")

    def adopt_manifest(self, key_pair: KeyPair | None) -> Manifest:
        """The manifest; while none is known, the default one of `key_pair` if the log's key stands for that.

        Raises `SessionNotWritable` when `key_pair` is missing or not the one.
        """
        if key_pair is None:
            raise SessionNotWritable("this store does not hold the key pair that signs this log")
        manifest = self.manifest
        if manifest is None:
            manifest = default_manifest(key_pair.public_key)
            if not is_manifest_of(self.key, manifest):
                raise SessionNotWritable("the key pair is not the one this log's key stands for")
            self.set_manifest(manifest)
        return manifest

    def set_key_pair(self, key_pair: KeyPair) -> None:
        """Remember the pair that signs this log; whether it does is found out when something is signed."""
        if self.key_pair != key_pair:
            self._change_identity(Identity(self.key, self.manifest, key_pair))

    def note_remote_contiguous(self, length: int) -> bool:
        """Some peer holds the first `length` blocks. True when that is more than anybody had before."""
        if length <= self.remote_contiguous_length:
            return False
        self.remote_contiguous_length = length
        self._head_touched()
        return True

    def freeze(self, proof: Any) -> None:
        """The log's key signed two trees of one length and fork; `proof` is the one that is not ours."""
        if not self.frozen:
            self.frozen = True
            self._news.changed("conflicted", proof.upgrade.length, self.fork, proof)

    # --- sessions, peers, snapshots ------------------------------------------------------------

    @property
    def demand(self) -> Replicator:
        """The replicator, made now if there is none."""
        replicator = self.replicator
        if replicator is None:
            replicator = self.replicator = self.replicator_factory(self)
            if self._active_sessions:
                replicator.set_downloading(True)
        return replicator

    @property
    def session_count(self) -> int:
        return self._sessions

    @property
    def is_wanted(self) -> bool:
        """Whether some session that is open wants to read from peers."""
        return self._active_sessions > 0

    def open_session(self, active: bool) -> None:
        self._sessions += 1
        self._active_sessions += active
        if active and self._active_sessions == 1:
            if self.replicator is not None:
                self.replicator.set_downloading(True)
            if self.on_wanted is not None:
                self.on_wanted(self)

    def close_session(self, active: bool) -> None:
        self._sessions -= 1
        self._active_sessions -= active
        if active and self._active_sessions == 0 and self.replicator is not None:
            self.replicator.set_downloading(False)
        self.release_if_unused()

    def release_if_unused(self) -> None:
        """Leave memory when no session is open and no peer uses the log. Replicators call this on turning
        idle.
        """
        unused = self._sessions == 0 and (self.replicator is None or self.replicator.idle)
        if unused and self.on_unused is not None:
            self.on_unused(self)

    def keep_for(self, snapshot: Snapshotted) -> None:
        """From now on truncations spare the blocks that `snapshot` shows."""
        if self._kept is None:
            self._kept = KeptBlocks(self._commit, self.number)
        self._kept.add(snapshot)

    def stop_keeping_for(self, snapshot: Snapshotted) -> None:
        if self._kept is not None and self._kept.remove(snapshot):
            self._kept = None
            self._commit.touch()

    def kept_block(self, snapshot: Snapshotted, index: int) -> bytes | None:
        """Block `index` as `snapshot` shows it after it was truncated away; None when it was not held
        then.
        """
        return None if self._kept is None else self._kept.block(snapshot, index)

    def _secure_signature(self) -> None:
        """Nobody may see a signature of ours that a full disk or a power cut could still take back.

        We would go on from the shorter log and sign another tree of the same length: two signed trees of one
        length are a conflict, and every reader would freeze the log for good.
        """
        try:
            self._commit.now()
        except StorageError as error:
            raise InvalidOperation(f"the log could not be stored: {error}") from error
        self._commit.promise()
        self._just_signed = False

    def _sign(self, roots: list[Node], length: int, fork: int, key_pair: KeyPair | None) -> bytes:
        if self.frozen:
            raise LogConflict("the log's key signed two different trees; it is frozen and cannot grow here")
        key_pair = key_pair or self.key_pair
        manifest = self.adopt_manifest(key_pair)
        assert key_pair is not None
        self._just_signed = True
        try:
            return sign_tree(manifest, self.key, key_pair, tree_hash(roots), length, fork)
        except BadArgument as error:
            raise SessionNotWritable(str(error)) from error
