"""What a session can say about its log at once, and how it waits for what it cannot.

The base of `Hypercore` (`session.py`), which adds what an application does with a log.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple, TypeVar

from ..crypto.keys import KeyPair
from ..encoding.z32 import key_to_id
from ..errors import (
    BadArgument,
    LogConflict,
    RequestCancelled,
    RequestTimeout,
    SessionClosed,
    SessionNotWritable,
    StorageError,
)
from .audit import Audit
from .demand import PeerView
from .encryption import BlockEncryption, derive_block_key
from .events import Listener, SessionEvents
from .log import Log
from .manifest import Manifest
from .signatures import tree_signable

T = TypeVar("T")


class Encryption(NamedTuple):
    """How blocks are encrypted: a 32-byte key, and whether it is the block key itself or one to derive it
    from.
    """

    key: bytes
    is_block_key: bool = False


class LogView:
    """A handle on `log` that counts as one of its sessions until it is closed."""

    __slots__ = (
        "__weakref__",
        "_active",
        "_cipher",
        "_closed",
        "_encryption",
        "_events",
        "_key_pair",
        "_may_write",
        "_timeout",
        "_wait",
        "_wishes",
        "log",
    )

    def __init__(
        self,
        log: Log,
        *,
        encryption: Encryption | None = None,
        key_pair: KeyPair | None = None,
        writable: bool = True,
        active: bool = True,
        wait: bool = True,
        timeout: float | None = None,
    ) -> None:
        self.log = log
        self._encryption = encryption
        self._cipher: BlockEncryption | None = None
        self._key_pair = key_pair
        self._may_write = writable
        self._active = active
        self._wait = wait
        self._timeout = timeout
        self._closed = False
        self._events: SessionEvents | None = None
        self._wishes: set[asyncio.Future[Any]] | None = None
        log.open_session(active)

    # --- what it is ----------------------------------------------------------------------------

    @property
    def key(self) -> bytes:
        """32 bytes: what the log is read and verified by."""
        return self.log.key

    @property
    def discovery_key(self) -> bytes:
        """32 bytes: what the log is asked for by; it does not tell the key."""
        return self.log.discovery_key

    @property
    def id(self) -> str:
        """The key in z-base-32, 52 letters."""
        return key_to_id(self.log.key)

    @property
    def length(self) -> int:
        return self.log.length

    @property
    def byte_length(self) -> int:
        """Bytes of content (padding of encrypted blocks does not count)."""
        return self.log.byte_length - self.padding * self.log.length

    @property
    def fork(self) -> int:
        """How often the log was truncated (or the number its writer gave)."""
        return self.log.fork

    @property
    def contiguous_length(self) -> int:
        """How many blocks from the start are held here without a gap."""
        return min(self.log.contiguous_length, self.length)

    @property
    def blocks_held(self) -> int:
        """How many blocks are held here, wherever they lie."""
        return self.log.bitfield.count(0, self.length)

    @property
    def remote_contiguous_length(self) -> int:
        """The longest prefix that any peer ever said it holds."""
        return min(self.log.remote_contiguous_length, self.length)

    @property
    def signed_length(self) -> int:
        """How many blocks the stored signature covers: all of them."""
        return self.length

    @property
    def manifest(self) -> Manifest | None:
        """None until a peer told it."""
        return self.log.manifest

    @property
    def key_pair(self) -> KeyPair | None:
        return self._key_pair or self.log.key_pair

    @property
    def writable(self) -> bool:
        return self._may_write and not self._closed and not self.log.frozen and self.key_pair is not None

    @property
    def padding(self) -> int:
        """Bytes by which each stored block is longer than its content: 8 when encrypted, else 0."""
        cipher = self._block_cipher()
        return 0 if cipher is None else cipher.padding

    @property
    def encryption(self) -> Encryption | None:
        return self._encryption

    @property
    def peers(self) -> Sequence[PeerView]:
        """The peers that share this log with us right now."""
        replicator = self.log.replicator
        return () if replicator is None else replicator.peers

    @property
    def closed(self) -> bool:
        return self._closed

    def __repr__(self) -> str:
        state = "closed" if self._closed else f"length={self.length} fork={self.fork}"
        return f"<{type(self).__name__} {self.id} {state}>"

    # --- what is here --------------------------------------------------------------------------

    def block_if_local(self, index: int) -> bytes | None:
        """The content of block `index`, None when it is not held here. Never waits: the fast way to read."""
        block = self._stored_block(index)
        if block is None or self._encryption is None:
            return block
        return self._decrypt(index, block)

    def has(self, start: int, end: int | None = None) -> bool:
        """Whether block `start`, or all of [start, end), is held here."""
        return self.log.has(start, end)

    def audit(self) -> Audit:
        """Every stored block against the author's signature, from the store alone: walk it for what is wrong."""
        return Audit(self.log)

    def tree_hash(self, length: int | None = None) -> bytes:
        """The 32-byte hash over the roots of the first `length` blocks (all of them by default)."""
        return self.log.tree_hash(length)

    def signable(self, length: int | None = None, fork: int | None = None) -> bytes:
        """What the (first) signer signs for the first `length` blocks. Raises `BadArgument` without a
        manifest.
        """
        if self.manifest is None:
            raise BadArgument("what is signed depends on the manifest, which is not known yet")
        length = self.length if length is None else length
        fork = self.fork if fork is None else fork
        return tree_signable(self.manifest, self.key, self.tree_hash(length), length, fork)

    def get_user_data(self, name: str) -> bytes | None:
        """A value kept beside the log in this store, never replicated."""
        return self.log.get_user_data(name)

    # --- events, and the end -------------------------------------------------------------------

    def on(self, event: str, listener: Listener) -> None:
        """Call `listener` at each `event` (`events.EVENTS` lists them with their arguments)."""
        if self._events is None:
            self._events = SessionEvents(self.log)
        self._events.on(event, listener)

    def off(self, event: str, listener: Listener) -> None:
        if self._events is not None:
            self._events.off(event, listener)

    async def close(self) -> None:
        """End this session; what waits in it fails with `RequestCancelled`. The last one closes the log."""
        if self._closed:
            return
        self._closed = True
        for wish in tuple(self._wishes or ()):
            wish.cancel()
        if self._events is not None:
            self._events.close()
            self._events = None
        self.log.close_session(self._active)

    # --- inside --------------------------------------------------------------------------------

    def _stored_block(self, index: int) -> bytes | None:
        if index < 0:
            raise BadArgument(f"a block index is not negative: {index}")
        return self.log.block(index)

    def _decrypt(self, index: int, block: bytes) -> bytes:
        cipher = self._block_cipher()
        return block if cipher is None else cipher.decrypt(index, block)

    def _block_cipher(self) -> BlockEncryption | None:
        if self._cipher is not None or self._encryption is None:
            return self._cipher
        key, is_block_key = self._encryption
        if not is_block_key:
            # Only the manifest tells whether the log is a compat one, which derives differently. Until it is
            # known there are no blocks to decrypt.
            if self.log.manifest is None:
                return None
            key = derive_block_key(key, self.log.key, compat=self.log.compat)
        self._cipher = BlockEncryption(key)
        return self._cipher

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise SessionClosed("the session is closed")

    def _refuse_if_read_only(self) -> None:
        self._refuse_if_closed()
        self._refuse_if_frozen()
        if not self.writable:
            raise SessionNotWritable(
                "this session is read-only, or the store does not hold the log's key pair"
            )

    def _refuse_if_frozen(self) -> None:
        if self.log.frozen:
            raise LogConflict("the log's key signed two different trees; it is frozen here")

    def _durable(self) -> asyncio.Future[None]:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.log.commit.after(partial(_settle, future))
        return future

    def _remember(self, wish: asyncio.Future[Any]) -> None:
        if self._wishes is None:
            self._wishes = set()
        self._wishes.add(wish)
        wish.add_done_callback(self._wishes.discard)

    async def _wish(self, wish: asyncio.Future[T], timeout: float | None) -> T:
        """Wait for the network; a wish nobody waits for any more is withdrawn."""
        self._remember(wish)
        try:
            return await self._wait_on(wish, timeout)
        finally:
            wish.cancel()

    async def _wait_on(self, wish: asyncio.Future[T], timeout: float | None) -> T:
        if not wish.done():
            done, _ = await asyncio.wait((wish,), timeout=timeout)
            if not done:
                raise RequestTimeout(f"nobody answered within {timeout} seconds")
        if wish.cancelled():
            raise RequestCancelled("the session was closed before the answer came")
        return wish.result()


def _settle(future: asyncio.Future[None], error: StorageError | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(None)
    else:
        future.set_exception(error)
