"""Who is asked for what, and when.

Source: hypercore 11.37.1 `lib/replicator.js` (`_updatePeer`, `_updatePeerNonPrimary`, `updateAll`, and of
`Peer`: `_requestBlock`, `_requestRange`, `_canRequest`, `_getValidEnd`). The order of work for a peer is the
reference's: manifest, seeks, blocks that somebody waits for, ranges, forks, upgrade.

Two things are ours. Nothing is scanned twice: a range keeps a cursor for each peer, so planning a request costs the
same in a log of ten blocks and of ten million. And blocks of a range are asked for in order, because then each
proof consists of the one or two nodes the one before did not bring (see `requests.py`).
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Final

from ..limits import MAX_WANTS
from .wishes import HIGH, NORMAL, RangeWish

if TYPE_CHECKING:
    from .peer import Peer
    from .replicator import Replicator

# `lib/replicator.js`: MAX_RANGES, MIN_PEER_UPDATE_ALL, `getUpdateAllDelay`.
_MAX_RANGES_TRIED: Final = 64
_PEERS_ASKED_AT_ONCE: Final = 40
_DELAY_FOR_EACH_PEER: Final = 0.005
_DELAY_BOUNDS: Final = (0.1, 3.0)

# Bytes of answers that one peer may have on the way to us.
_WINDOW_BYTES: Final = 16 * 1024 * 1024


class Scheduler:
    """The asking half of a `Replicator`."""

    def __init__(self, replicator: Replicator) -> None:
        self._replicator = replicator
        self._log = replicator.log
        self._full_pass_scheduled = False

    # --- passes over the wishes ---------------------------------------------------------------

    def update_all(self) -> None:
        """Some wish or some peer changed: ask whoever can be asked."""
        peers = list(self._replicator.open_peers)
        random.shuffle(peers)
        for peer in peers[:_PEERS_ASKED_AT_ONCE]:
            self.update(peer)
        if len(peers) > _PEERS_ASKED_AT_ONCE and not self._full_pass_scheduled:
            self._full_pass_scheduled = True
            least, most = _DELAY_BOUNDS
            delay = (len(peers) - _PEERS_ASKED_AT_ONCE) * _DELAY_FOR_EACH_PEER
            self._replicator.call_later(min(most, max(least, delay)), self._full_pass)
        self._replicator.upgrades.check()

    def refill(self, peer: Peer) -> None:
        """An answer of `peer` arrived. Ask for more once a quarter of its window is free, in one batch."""
        if 4 * peer.in_flight <= 3 * self.window():
            self.update(peer)

    def update(self, peer: Peer) -> None:
        """Ask `peer` for as much as fits into its window."""
        room = self.window() - peer.in_flight
        replicator, demands = self._replicator, self._replicator.demands
        if room <= 0 or not peer.usable or not peer.remote_uploading or replicator.halted:
            return
        tree = replicator.tree_requests
        peer.mux.cork()
        try:
            tree.manifest(peer)
            for seek in list(demands.seeks):
                if room > 0 and seek.found is None and not seek.requests and tree.seek(peer, seek):
                    room -= 1
            if room > 0 and demands.queued:
                room -= self._queued(peer, room)
            if room > 0 and demands.ranges:
                room -= self._ranges(peer, room)
            if room > 0:
                tree.forks(peer)
                tree.upgrade(peer)
        finally:
            peer.mux.uncork()

    def window(self) -> int:
        """How many requests a peer may have in flight: as many as answers fit, between the option's bounds."""
        low, high = self._replicator.options.in_flight
        log = self._log
        if not log.length:
            return high
        return max(low, min(high, _WINDOW_BYTES * log.length // max(log.byte_length, 1)))

    def _full_pass(self) -> None:
        self._full_pass_scheduled = False
        for peer in list(self._replicator.open_peers):
            self.update(peer)
        self._replicator.upgrades.check()

    # --- blocks -------------------------------------------------------------------------------

    def _queued(self, peer: Peer, room: int) -> int:
        """Blocks that somebody waits for and that nobody was asked for."""
        sent = 0
        log, queued = self._log, self._replicator.demands.queued
        for index in list(queued):
            if sent >= room:
                break
            if log.has(index):
                del queued[index]
            elif self._block(peer, index, HIGH):
                queued.pop(index, None)
                sent += 1
        return sent

    def _block(self, peer: Peer, index: int, priority: int) -> bool:
        """Ask for one block, with an upgrade when it lies beyond the length. False: not of this peer, not now."""
        log, replicator = self._log, self._replicator
        if peer.remote_fork != log.fork or not peer.holdings.available.has(index):
            peer.holdings.want(index, replicator.demands.blocks.get(index))
            return False
        if not self.may_request(peer, index) or peer.remote_length <= index:
            return False
        beyond = index >= log.length
        if beyond and not replicator.upgrades.possible_from(peer):
            return False
        replicator.outbox.send_block(peer, index, priority, upgrade=beyond)
        return True

    def _ranges(self, peer: Peer, room: int) -> int:
        ranges = self._replicator.demands.ranges
        order = ranges if len(ranges) == 1 else random.sample(ranges, min(len(ranges), _MAX_RANGES_TRIED))
        sent = 0
        for wish in list(order):
            if sent >= room:
                break
            if wish.blocks is not None:
                sent += self._listed(peer, wish, room - sent)
            else:
                sent += self._range(peer, wish, room - sent)
        return sent

    def _range(self, peer: Peer, wish: RangeWish, room: int) -> int:
        outbox = self._replicator.outbox
        end = self._valid_end(peer, wish.end)
        cursor = max(wish.cursors.get(peer, 0), wish.start)
        if cursor >= end or peer.remote_fork != self._log.fork or self._replicator.options.push_only:
            return 0
        sent = 0
        while sent < room:
            index = self.next_for(peer, cursor, end)
            if index < 0:
                cursor = end
                break
            cursor = index + 1
            if index not in outbox.asked:
                outbox.send_block(peer, index, NORMAL)
                sent += 1
        wish.cursors[peer] = cursor
        if cursor == end:
            self._want_rest(peer, wish, end)
        return sent

    def _want_rest(self, peer: Peer, wish: RangeWish, end: int) -> None:
        """The peer has nothing more of the range that we know of; let it tell us what it has."""
        index = self._log.first_unset(max(wish.start, peer.holdings.available.contiguous_length), end)
        for _ in range(MAX_WANTS):
            if not 0 <= index < end:
                break
            # One want for each unit that has a gap.
            unit_end = peer.holdings.want(index, wish)
            index = self._log.first_unset(unit_end, end)

    def _listed(self, peer: Peer, wish: RangeWish, room: int) -> int:
        assert wish.blocks is not None
        log, asked, available = self._log, self._replicator.outbox.asked, peer.holdings.available
        sent = 0
        place = max(wish.cursors.get(peer, 0), wish.start)
        while place < wish.end and sent < room:
            index = wish.blocks[place]
            if not log.has(index) and index not in asked:
                if self._block(peer, index, NORMAL):
                    sent += 1
                elif available.has(index) and index >= log.length:
                    break  # it waits for an upgrade; come back
                else:
                    peer.holdings.want(index, wish)
            place += 1
        wish.cursors[peer] = place
        return sent

    # --- what may be asked --------------------------------------------------------------------

    def may_request(self, peer: Peer, index: int) -> bool:
        """Whether block `index` of the peer is a block of our tree too."""
        if self._replicator.options.push_only and index not in self._replicator.demands.forced:
            return False
        log = self._log
        return (
            peer.remote_length >= log.length
            or (index < peer.last_upgradable_length and peer.last_upgradable_fork == log.fork)
            or peer.can_upgrade
        )

    def next_for(self, peer: Peer, index: int, end: int) -> int:
        """The first block in [index, end) that `peer` has and we do not, or -1."""
        log, available = self._log, peer.holdings.available
        while index < end:
            index = log.first_unset(index, end)
            if not 0 <= index < end:
                return -1
            if index < available.contiguous:
                return index
            theirs = available.first_set(index, end)
            if theirs == index or theirs < 0:
                return theirs
            index = theirs
        return -1

    def _valid_end(self, peer: Peer, end: int) -> int:
        """The end of what a range may ask `peer` for: its blocks up to there are blocks of our tree."""
        log = self._log
        if peer.can_upgrade or peer.remote_length >= log.length:
            ours = log.length
        elif peer.last_upgradable_fork == log.fork:
            ours = min(peer.last_upgradable_length, log.length)
        else:
            ours = 0
        return min(ours, peer.remote_length) if end == -1 else min(ours, peer.remote_length, end)
