"""`Hypercore`: what an application holds of a log. Waiting lives here, and nowhere below.

Any number of sessions share one log. What is stored here answers at once, without the event loop; what is not
is wished for (`demand.py`) and waited for. Writes return after the commit that made them durable.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from ..crypto.keys import KeyPair
from ..errors import BadArgument
from . import byte_seek, streams
from .demand import Extension, PeerView
from .download import Download
from .view import Encryption, LogView

if TYPE_CHECKING:
    from .snapshot import Snapshot


class AppendResult(NamedTuple):
    """The log after an append: blocks, and bytes of content."""

    length: int
    byte_length: int


class Hypercore(LogView):
    """A session on `log`. Made by `Corestore.get` and by `session()`; close each one that was made.

    `writable`: False makes it read-only whatever keys the store holds. `active`: whether the log downloads
    for this session. `wait`, `timeout` (seconds): defaults of `get` and `seek`.
    """

    __slots__ = ()

    # --- reading ------------------------------------------------------------------------------

    async def get(
        self,
        index: int,
        *,
        wait: bool | None = None,
        timeout: float | None = None,
        decrypt: bool = True,
    ) -> bytes | None:
        """The content of block `index`, from a peer if need be; blocks beyond the length are waited for.

        None only when it is not held and `wait` is False. `decrypt=False` gives the block as stored.
        Raises `RequestTimeout`, `RequestCancelled` (the session was closed), `SessionClosed`, `LogConflict`.
        """
        self._refuse_if_closed()
        block = self._stored_block(index)
        while block is None:
            if not (self._wait if wait is None else wait):
                return None
            self._refuse_if_frozen()
            await self._wish(self.log.demand.want_block(index), self._timeout if timeout is None else timeout)
            block = self._stored_block(index)
        return self._decrypt(index, block) if decrypt else block

    async def seek(
        self, byte_offset: int, *, wait: bool | None = None, timeout: float | None = None
    ) -> tuple[int, int] | None:
        """(block, offset in it) of a byte of content; None when it is past the end or, without `wait`,
        unknown.
        """
        self._refuse_if_closed()
        if byte_offset < 0:
            raise BadArgument(f"a byte offset is not negative: {byte_offset}")
        found = byte_seek.seek(self.log, byte_offset, self.padding)
        if isinstance(found, byte_seek.SeekFound):
            return found.block, found.offset
        if not (self._wait if wait is None else wait) or (found is None and self.writable):
            return None
        self._refuse_if_frozen()
        wish = self.log.demand.want_seek(byte_offset, self.padding)
        return await self._wish(wish, self._timeout if timeout is None else timeout)

    async def update(self, *, wait: bool = False, timeout: float | None = None, force: bool = False) -> bool:
        """Look for a newer version; True when length or fork changed.

        Asks peers only with `wait`, or while somebody holds `finding_peers()`; a writer is always up to date
        (`force` asks all the same).
        """
        self._refuse_if_closed()
        if self.writable and not force:
            return False
        replicator = self.log.replicator
        if replicator is not None and replicator.apply_pending_reorg():
            return True
        if not wait and (replicator is None or not replicator.is_finding_peers):
            return False
        return await self._wish(self.log.demand.want_upgrade(), timeout)

    def finding_peers(self) -> Callable[[], None]:
        """Tell `update` that peers are being looked for; call what is returned when that is over."""
        return self.log.demand.finding_peers()

    def download(
        self, *, start: int = 0, end: int = -1, blocks: Iterable[int] | None = None, linear: bool = False
    ) -> Download:
        """Fetch [start, end), or the listed blocks; end -1: everything there is and will be."""
        self._refuse_if_closed()
        listed = None if blocks is None else list(blocks)
        wish = self.log.demand.want_range(start, end, blocks=listed, linear=linear)
        self._remember(wish)
        return Download(wish, self._wait_on)

    def read_stream(
        self, start: int = 0, end: int = -1, *, live: bool = False, snapshot: bool = True
    ) -> AsyncIterator[bytes]:
        """Blocks [start, end) in order; see `streams.read_stream`."""
        return streams.read_stream(self, start, end, live=live, snapshot=snapshot)

    def byte_stream(
        self, byte_offset: int = 0, byte_length: int = -1, *, prefetch: int = 32
    ) -> AsyncIterator[bytes]:
        """Content from a byte offset on; see `streams.byte_stream`."""
        return streams.byte_stream(self, byte_offset, byte_length, prefetch=prefetch)

    # --- writing ------------------------------------------------------------------------------

    async def append(
        self, blocks: bytes | str | Sequence[bytes | str], *, signature: bytes | None = None
    ) -> AppendResult:
        """Add one block or several, under one signature; returns once they are durable.

        Text becomes UTF-8. `signature`: a finished one over the resulting tree, for logs that several keys
        sign. Raises `SessionNotWritable`, `BadArgument` (a block of more than 15 MiB), `StorageFull`,
        `LogConflict`.
        """
        self._refuse_if_read_only()
        values = [blocks] if isinstance(blocks, (bytes, bytearray, memoryview, str)) else blocks
        contents = [
            value if type(value) is bytes else value.encode() if isinstance(value, str) else bytes(value)
            for value in values
        ]
        if contents:
            log = self.log
            log.adopt_manifest(self.key_pair)
            cipher = self._block_cipher()
            if cipher is not None:
                fork, start = log.fork, log.length
                contents = [
                    cipher.encrypt(index, fork, content) for index, content in enumerate(contents, start)
                ]
            log.append(contents, self._key_pair, signature=signature)
            result = AppendResult(self.length, self.byte_length)
            await self._durable()
            return result
        return AppendResult(self.length, self.byte_length)

    async def truncate(
        self, new_length: int = 0, *, fork: int | None = None, signature: bytes | None = None
    ) -> None:
        """Drop the blocks from `new_length` on, for everybody, under a new fork number."""
        self._refuse_if_read_only()
        self.log.truncate(new_length, fork, self._key_pair, signature=signature)
        await self._durable()

    async def clear(self, start: int, end: int | None = None) -> None:
        """Forget blocks [start, end) (default: one block) here; peers may still have them."""
        self._refuse_if_closed()
        self.log.clear(start, start + 1 if end is None else end)
        await self._durable()

    async def set_user_data(self, name: str, value: bytes | None) -> None:
        """Keep a small value beside the log in this store; None deletes it."""
        self.log.set_user_data(name, value)
        await self._durable()

    # --- sessions -----------------------------------------------------------------------------

    def session(
        self,
        *,
        encryption: Encryption | None = None,
        key_pair: KeyPair | None = None,
        writable: bool | None = None,
        active: bool = True,
        wait: bool | None = None,
        timeout: float | None = None,
    ) -> Hypercore:
        """Another session on the same log; what is not given is as in this one."""
        self._refuse_if_closed()
        return Hypercore(
            self.log,
            encryption=encryption or self._encryption,
            key_pair=key_pair or self._key_pair,
            writable=self._may_write if writable is None else writable,
            active=active,
            wait=self._wait if wait is None else wait,
            timeout=self._timeout if timeout is None else timeout,
        )

    def snapshot(self) -> Snapshot:
        """A read-only session that goes on showing the log as it is now."""
        return self.checkout(self.length)

    def checkout(self, length: int) -> Snapshot:
        """A read-only session that shows the first `length` blocks (at most the present ones) and stays
        so.
        """
        from .snapshot import Snapshot

        self._refuse_if_closed()
        return Snapshot(
            self.log,
            min(length, self.length),
            encryption=self._encryption,
            active=self._active,
            wait=self._wait,
            timeout=self._timeout,
        )

    def register_extension(self, name: str, on_message: Callable[[bytes, PeerView], None]) -> Extension:
        """A message kind of the application's own, beside the log's, with every peer of this log."""
        return self.log.demand.register_extension(name, on_message)

    async def __aenter__(self) -> Hypercore:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.close()
