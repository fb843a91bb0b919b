"""The wishes of a log's sessions for blocks, ranges and bytes: taking them, and seeing them come true.

Source: hypercore 11.37.1 `lib/replicator.js` (`addBlock`, `addRange`, `addSeek`, `_updateNonPrimary`).

A wish ends in one of three ways: what it waited for is committed and its future resolves; nobody waits any
more (the future was cancelled) and what was asked for its sake is withdrawn; or the log is closed, in conflict
or cannot be written, and the future says so.
"""

from __future__ import annotations

from asyncio import Future
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..errors import MeadowError, StorageError
from ..hypercore.byte_seek import SeekFound, SeekUnresolved, seek
from .requests import PendingRequest
from .wishes import BlockWish, RangeWish, SeekWish, Wish, fail, resolve

if TYPE_CHECKING:
    from .peer import Peer
    from .replicator import Replicator


class Demands:
    """`blocks`: by index. `queued`: those of them that nobody was asked for, oldest first.

    `forced`: blocks to be asked for although the option `push_only` is on.
    """

    def __init__(self, replicator: Replicator) -> None:
        self._replicator = replicator
        self._log = replicator.log
        self.blocks: dict[int, BlockWish] = {}
        self.queued: dict[int, None] = {}
        self.forced: set[int] = set()
        self.ranges: list[RangeWish] = []
        self.seeks: list[SeekWish] = []

    @property
    def pending(self) -> bool:
        return bool(self.blocks or self.ranges or self.seeks)

    @property
    def follows_latest(self) -> bool:
        """Whether an upgrade should bring the newest block along."""
        return self._replicator.options.always_latest_block or any(wish.live for wish in self.ranges)

    # --- taking wishes ------------------------------------------------------------------------

    def add_block(self, index: int, future: Future[None], *, force: bool) -> None:
        if self._log.has(index):
            self._after_commit(lambda: resolve(future, None), future)
            return
        wish = self.blocks.get(index)
        if wish is None:
            wish = self.blocks[index] = BlockWish(index)
        wish.futures.append(future)
        if force:
            self.forced.add(index)
        future.add_done_callback(lambda done: self._block_abandoned(index) if done.cancelled() else None)
        if index not in self._replicator.outbox.asked:
            self.queued[index] = None
            self._replicator.scheduler.update_all()

    def add_range(self, wish: RangeWish) -> None:
        future = wish.future
        if self._advance(wish):
            self._after_commit(lambda: resolve(future, None), future)
            return
        self.ranges.append(wish)
        future.add_done_callback(lambda done: self._range_abandoned(wish) if done.cancelled() else None)
        self._replicator.scheduler.update_all()

    def add_seek(self, wish: SeekWish) -> None:
        self.seeks.append(wish)
        wish.future.add_done_callback(lambda done: self._seek_abandoned(wish) if done.cancelled() else None)
        self._search(wish)
        if wish.found is None:
            self._replicator.scheduler.update_all()
        else:
            self._after_commit(self.resolve_seeks, wish.future)

    # --- what happens to them -----------------------------------------------------------------

    def stored(self, start: int, count: int) -> None:
        """After the commit: blocks [start, start + count) are held."""
        blocks, end = self.blocks, start + count
        if blocks:
            few = count < len(blocks)
            for index in range(start, end) if few else [index for index in blocks if start <= index < end]:
                wish = blocks.pop(index, None)
                if wish is not None:
                    self._block_arrived(wish)
        if self.ranges:
            for complete in [wish for wish in self.ranges if self._advance(wish)]:
                self.ranges.remove(complete)
                self.release_wants(complete)
                resolve(complete.future, None)

    def tree_changed(self) -> None:
        """After the commit: length or fork is another."""
        for wish in self.seeks:
            wish.tried.clear()
        self.search_seeks()
        self.resolve_seeks()

    def truncated(self) -> None:
        """Ranges reach down to where they once began."""
        for wish in self.ranges:
            wish.start = wish.first
            wish.cursors.clear()

    def search_seeks(self) -> None:
        """Look in the tree as it is now for what is sought."""
        for wish in self.seeks:
            if wish.found is None:
                self._search(wish)

    def resolve_seeks(self) -> None:
        """After a commit: what was found rests on stored nodes."""
        for wish in [wish for wish in self.seeks if wish.found is not None]:
            self.seeks.remove(wish)
            self.release_wants(wish)
            resolve(wish.future, wish.found)

    def look_again(self, request: PendingRequest) -> None:
        """Nothing came of a request: what it was for must be asked for again."""
        index = request.index
        if index < 0 or index in self._replicator.outbox.asked:
            return
        if index in self.blocks and not self._log.has(index):
            self.queued[index] = None
        for wish in self.ranges:
            if wish.covers(index):
                wish.look_again(index)

    def look_again_at(self, peer: Peer, start: int) -> None:
        """`peer` may hold blocks from `start` on that it did not hold before."""
        for wish in self.ranges:
            wish.look_again_at(peer, start)

    def peer_lost(self, peer: Peer) -> None:
        for wish in self.ranges:
            wish.cursors.pop(peer, None)

    def fail_all(self, error: MeadowError) -> None:
        """Everybody who waits is told why it is over."""
        futures: list[Future[Any]] = [wish.future for wish in self.ranges]
        futures += [wish.future for wish in self.seeks]
        for block in self.blocks.values():
            futures += block.futures
        futures += self._replicator.upgrades.take_futures()
        for wish in (*self.ranges, *self.seeks, *self.blocks.values()):
            self.release_wants(wish)
        self.blocks.clear()
        self.queued.clear()
        self.forced.clear()
        self.ranges.clear()
        self.seeks.clear()
        for future in futures:
            fail(future, error)

    def release_wants(self, wish: Wish) -> None:
        """Peers need not tell about anything for the sake of `wish` any more."""
        for peer in self._replicator.open_peers:
            peer.holdings.local_wants.release(wish)

    # --- steps --------------------------------------------------------------------------------

    def _search(self, wish: SeekWish) -> None:
        found = seek(self._log, wish.bytes, wish.padding)
        if isinstance(found, SeekFound):
            wish.found = (found.block, found.offset)
            self._replicator.outbox.cancel(wish.requests)
        elif isinstance(found, SeekUnresolved):
            wish.start, wish.end = found.start, found.end
        else:
            wish.start = wish.end = self._log.length

    def _advance(self, wish: RangeWish) -> bool:
        """Move the front of a range over what is held. True when nothing is missing any more."""
        log = self._log
        if wish.blocks is not None:
            while wish.start < wish.end and log.has(wish.blocks[wish.start]):
                wish.start += 1
        elif wish.live:
            wish.start = log.bitfield.first_unset(wish.start)
            return False
        else:
            missing = log.first_unset(wish.start, wish.end)
            wish.start = wish.end if missing < 0 else missing
        return wish.start >= wish.end

    def _block_arrived(self, wish: BlockWish) -> None:
        self.queued.pop(wish.index, None)
        self.forced.discard(wish.index)
        self.release_wants(wish)
        for future in wish.futures:
            resolve(future, None)

    def _block_abandoned(self, index: int) -> None:
        wish = self.blocks.get(index)
        if wish is None:
            return
        wish.futures = [future for future in wish.futures if not future.done()]
        if wish.futures:
            return
        del self.blocks[index]
        self.queued.pop(index, None)
        self.forced.discard(index)
        self.release_wants(wish)
        if not any(other.covers(index) for other in self.ranges):
            self._replicator.outbox.cancel(self._replicator.outbox.asked.get(index, ()))
            self._replicator.scheduler.update_all()

    def _range_abandoned(self, wish: RangeWish) -> None:
        if wish not in self.ranges:
            return
        self.ranges.remove(wish)
        self.release_wants(wish)
        outbox = self._replicator.outbox
        for index, requests in list(outbox.asked.items()):
            wanted = index in self.blocks or any(other.covers(index) for other in self.ranges)
            if wish.covers(index) and not wanted:
                outbox.cancel(requests)

    def _seek_abandoned(self, wish: SeekWish) -> None:
        if wish in self.seeks:
            self.seeks.remove(wish)
            self._replicator.outbox.cancel(wish.requests)
            self.release_wants(wish)

    def _after_commit(self, function: Callable[[], None], future: Future[Any]) -> None:
        """Call it when what is held now is on the disk, which it usually is already."""
        commit = self._log.commit
        if not commit.pending:
            function()
            return

        def told(error: StorageError | None) -> None:
            if error is None:
                function()
            else:
                fail(future, error)

        commit.after(told)
