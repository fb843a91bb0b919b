"""One log over all its peers: the wishes of its sessions on one side, the peers on the other.

Source: hypercore 11.37.1 `lib/replicator.js` (`Replicator`). Implements `hypercore.demand.Replicator` and, to
learn what was stored, `LogObserver`.

The work is done elsewhere, and this is where the parts meet:

    sessions -> demands, upgrades -> scheduler -> outbox -> peer -> wire -> peer -> receiver -> log
                                                                                                 |
    sessions <- futures <----------------- observer methods below <-------------- commit <-------+

So a future resolves after the commit that stored what it waited for, and a block is announced to other peers after
the same commit; planning the next requests does not wait for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from ..errors import LogConflict, MeadowError, RequestCancelled, StorageError
from ..hypercore.demand import PeerView
from ..protomux import Mux
from .activity import Activity
from .conflicts import Conflicts
from .demands import Demands
from .extensions import Extension, OnMessage
from .forks import Forks
from .messages import PROTOCOL
from .options import Options
from .outbox import Outbox
from .patience import Patience
from .peer import Peer
from .receiver import Receiver
from .requests import PendingRequest, RequestTable
from .scheduler import Scheduler
from .tree_requests import TreeRequests
from .upgrades import Upgrades
from .wishes import RangeWish, SeekWish

if TYPE_CHECKING:
    from ..hypercore.log import Log

CallLater = Callable[[float, Callable[[], None]], Any]


def _call_later(seconds: float, function: Callable[[], None]) -> None:
    """The running event loop's clock. Without a loop (a store used by a script) nothing runs later."""
    try:
        asyncio.get_running_loop().call_later(seconds, function)
    except RuntimeError:
        return


class Replicator:
    """Made by the corestore's factory, one for each log that somebody replicates or waits on.

    `open_peers`: those whose channel both sides have opened; `opening`: how many of ours the remote has not opened.
    `halted`: the store could not take what peers sent, so nothing is asked until somebody wants something again.
    """

    def __init__(
        self, log: Log, options: Options | None = None, *, call_later: CallLater = _call_later
    ) -> None:
        self.log = log
        self.options = options or Options()
        self.call_later = call_later
        self.closed = False
        self.halted = False
        self.open_peers: list[Peer] = []
        self.opening = 0
        self.had_peers = False
        self.manifest_peer: Peer | None = None
        self.extensions: dict[str, Extension] = {}
        self._by_mux: dict[Mux, Peer | None] = {}
        self._length_told = log.length
        self._unconfirmed = False
        self.table = RequestTable()
        self.activity = Activity(self)
        self.demands = Demands(self)
        self.upgrades = Upgrades(self)
        self.outbox = Outbox(self)
        self.tree_requests = TreeRequests(self)
        self.scheduler = Scheduler(self)
        self.patience = Patience(self)
        self.receiver = Receiver(self)
        self.forks = Forks(self)
        self.conflicts = Conflicts(self)
        log.observers.append(self)

    # --- for the sessions (`hypercore.demand.Replicator`) -------------------------------------

    @property
    def peers(self) -> Sequence[PeerView]:
        return tuple(self.open_peers)

    @property
    def idle(self) -> bool:
        return not (self.opening or self.open_peers or self.demands.pending)

    def want_block(self, index: int, *, force: bool = False) -> asyncio.Future[None]:
        future: asyncio.Future[None] = self._future()
        self.demands.add_block(index, future, force=force)
        return future

    def want_range(
        self, start: int, end: int, *, blocks: Sequence[int] | None = None, linear: bool = False
    ) -> asyncio.Future[None]:
        future: asyncio.Future[None] = self._future()
        if blocks is not None:
            start, end, blocks = 0, len(blocks), tuple(blocks)
        self.demands.add_range(
            RangeWish(start, end if end == -1 else max(start, end), blocks, linear, future)
        )
        return future

    def want_seek(self, byte_offset: int, padding: int) -> asyncio.Future[tuple[int, int] | None]:
        future: asyncio.Future[tuple[int, int] | None] = self._future()
        self.demands.add_seek(SeekWish(byte_offset, padding, future))
        return future

    def want_upgrade(self) -> asyncio.Future[bool]:
        future: asyncio.Future[bool] = self._future()
        self.upgrades.add(future)
        return future

    def apply_pending_reorg(self) -> bool:
        return self.forks.apply_pending()

    def finding_peers(self) -> Callable[[], None]:
        return self.upgrades.finding_peers()

    @property
    def is_finding_peers(self) -> bool:
        return self.upgrades.is_finding_peers

    def set_downloading(self, active: bool) -> None:
        self.activity.set(active)

    def set_allow_push(self, allow: bool) -> None:
        """Take blocks nobody asked for, from now on or no longer."""
        if allow != self.options.allow_push:
            self.options.allow_push = allow
            for peer in self.open_peers:
                peer.send_sync()

    def push(self, index: int) -> int:
        """Send block `index` to every peer that takes such and is not known to have it; returns how many did."""
        return sum([peer.uploader.push(index) for peer in self.open_peers])

    def register_extension(self, name: str, on_message: OnMessage) -> Extension:
        extension = self.extensions[name] = Extension(self, name, on_message)
        return extension

    def _future(self) -> asyncio.Future[Any]:
        # Somebody wants something again: perhaps there is room on the disk now.
        self.halted = False
        return asyncio.get_running_loop().create_future()

    # --- connections --------------------------------------------------------------------------

    def attach(self, mux: Mux) -> None:
        if self.closed or mux in self._by_mux:
            return
        self._by_mux[mux] = None
        mux.pair(PROTOCOL, lambda _: self._open(mux), self.log.discovery_key)
        self._open(mux)

    def detach(self, mux: Mux) -> None:
        if mux not in self._by_mux:
            return
        mux.unpair(PROTOCOL, self.log.discovery_key)
        peer = self._by_mux.pop(mux)
        if peer is not None:
            peer.close()

    def open_everywhere(self) -> None:
        """Channels may have been closed because nobody wanted anything; now somebody does."""
        for mux, peer in list(self._by_mux.items()):
            if peer is None:
                self._open(mux)

    def close(self) -> None:
        if self.closed:
            return
        self.closed = True
        for mux in list(self._by_mux):
            self.detach(mux)
        self.demands.fail_all(RequestCancelled("the log was closed before the answer came"))
        if self in self.log.observers:
            self.log.observers.remove(self)

    def _open(self, mux: Mux) -> None:
        if self.closed or mux.closed or self.log.frozen or self._by_mux.get(mux) is not None:
            return
        peer = Peer(self, mux)
        self._by_mux[mux] = peer
        self.opening += 1
        if not peer.open():
            self._by_mux[mux] = None
            self.opening -= 1

    def peer_opened(self, peer: Peer) -> None:
        self.opening -= 1
        self.had_peers = True
        self.open_peers.append(peer)
        self.log.emit("peer-add", peer)
        self.scheduler.update(peer)
        if len(self.table) and len(self.open_peers) > 1:
            self.patience.watch()

    def peer_closed(self, peer: Peer, *, reopen: bool) -> None:
        """The channel ended; whatever was asked of the peer goes back to the search."""
        if self._by_mux.get(peer.mux) is peer:
            if peer.mux.closed:
                del self._by_mux[peer.mux]
            else:
                self._by_mux[peer.mux] = None
        if not peer.opened:
            self.opening -= 1
        else:
            self._remove_peer(peer)
        if reopen:
            self._open(peer.mux)
        self.upgrades.check()
        if self.idle:
            self.log.release_if_unused()

    def _remove_peer(self, peer: Peer) -> None:
        self.open_peers.remove(peer)
        if self.manifest_peer is peer:
            self.manifest_peer = None
        self.demands.peer_lost(peer)
        lost = [request for request in self.table if request.peer is peer]
        for request in lost:
            self.request_done(request, answered=True)
        for request in lost:
            if not request.settled:
                self.receiver.settle(request, failed=True)
        self.log.emit("peer-remove", peer)
        if lost and not self.closed:
            self.scheduler.update_all()

    # --- told by the parts --------------------------------------------------------------------

    def request_done(self, request: PendingRequest, *, answered: bool) -> None:
        """The request is no longer in flight; see `RequestTable.remove`."""
        self.table.remove(request, answered=answered)
        if not len(self.table) and not self.activity.wanted:
            self.activity.answers_drained()

    def downloaded(self, peer: Peer, index: int, size: int) -> None:
        peer.blocks_received += 1
        peer.bytes_received += size
        self.log.emit("download", index, size, peer)

    def uploaded(self, peer: Peer, index: int, size: int) -> None:
        peer.blocks_sent += 1
        peer.bytes_sent += size
        self.log.emit("upload", index, size, peer)

    def verification_failed(self, error: MeadowError, peer: Peer) -> None:
        peer.failed_proofs += 1
        self.log.emit("verification-error", error, peer)

    def stored_something(self) -> None:
        """Something of a peer was applied: see what it means for seeks now, and after the commit for those who wait."""
        if self.demands.seeks:
            self.demands.search_seeks()
        if not self._unconfirmed:
            self._unconfirmed = True
            self.log.commit.after(self._confirmed)

    def _confirmed(self, error: StorageError | None) -> None:
        """The commit of what peers sent is done, or failed and everything since the last one is undone."""
        self._unconfirmed = False
        if error is None:
            self.demands.resolve_seeks()
        else:
            self.halted = True
            self.demands.fail_all(error)

    # --- told by the log, after the commit (`LogObserver`) ------------------------------------

    def stored(self, start: int, count: int) -> None:
        """Blocks [start, start + count) are held."""
        self.demands.stored(start, count)
        for peer in self.open_peers:
            peer.holdings.announce(start, count)

    def appended(self, start: int, end: int) -> None:
        """The length grew."""
        self._length_told = end
        for peer in self.open_peers:
            peer.signal_upgrade()
        self._tree_changed()

    def truncated(self, ancestors: int, fork: int) -> None:
        """Everything from `ancestors` on is gone here; requests and promises were about the tree before."""
        dropped, self._length_told = self._length_told - ancestors, ancestors
        for peer in list(self.open_peers):
            peer.mux.cork()
            if dropped > 0:
                peer.holdings.announce(ancestors, dropped, drop=True)
            peer.holdings.truncated(ancestors)
            peer.promised.clear()
            peer.signal_upgrade()
            peer.mux.uncork()
        for request in self.table:
            request.dependents = 0
        self.demands.truncated()
        self.forks.abandon()
        self._tree_changed()

    def cleared(self, start: int, end: int) -> None:
        """Values were dropped here. What ranges had behind them stays so; what they still wait for is asked again."""
        for peer in self.open_peers:
            peer.holdings.announce(start, end - start, drop=True)
            peer.holdings.ask_anew(start, end)
        for wish in self.demands.ranges:
            wish.cursors.clear()
        if self.demands.ranges:
            self.scheduler.update_all()

    def manifest_learned(self) -> None:
        for peer in self.open_peers:
            peer.signal_upgrade()

    def conflicted(self, length: int, fork: int, proof: Any) -> None:
        self.demands.fail_all(LogConflict(f"the log's key signed two trees of {length} blocks"))

    def event(self, name: str, *arguments: Any) -> None: ...

    def _tree_changed(self) -> None:
        self.upgrades.log_changed()
        self.demands.tree_changed()
        self.scheduler.update_all()
