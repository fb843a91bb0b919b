"""Requests that are about the tree and not about blocks: the manifest, seeks, forks, the upgrade alone.

Source: hypercore 11.37.1 `lib/replicator.js` (`_requestManifest`, `_requestSeek`, `_requestForkProof`,
`_requestForkRange`, `_requestUpgrade`).
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Final

from ..hypercore.flat_tree import depth
from ..hypercore.proof_types import HashRequest, SeekRequest, UpgradeRequest
from .outbox import parts_of
from .wishes import NORMAL, ForkWish, SeekWish

if TYPE_CHECKING:
    from .peer import Peer
    from .replicator import Replicator

# Blocks of an unresolved range that are looked at before a seek gives up for this time.
_MAX_CANDIDATES: Final = 48


class TreeRequests:
    """Each method asks `peer` for one thing if that is possible now."""

    def __init__(self, replicator: Replicator) -> None:
        self._replicator = replicator
        self._log = replicator.log

    def manifest(self, peer: Peer) -> None:
        """Only of an empty log: otherwise the manifest comes with the first upgrade."""
        replicator = self._replicator
        if (
            self._log.manifest is None
            and replicator.manifest_peer is None
            and peer.remote_length == 0
            and peer.remote_has_manifest
        ):
            replicator.manifest_peer = peer
            replicator.outbox.send(replicator.outbox.plan(peer))

    def seek(self, peer: Peer, wish: SeekWish) -> bool:
        """The path of one block in the range where the byte must be, and the nodes that lead to it."""
        outbox, upgrades = self._replicator.outbox, self._replicator.upgrades
        if self._replicator.options.push_only or peer.remote_fork != self._log.fork:
            return False
        seek = SeekRequest(wish.bytes, wish.padding) if peer.remote_seeks else None
        if wish.start == wish.end:
            # It lies in what we have not heard of yet.
            if not upgrades.possible_from(peer):
                return False
            request = outbox.plan(peer, upgrade=True)
            parts_of(request).seek = seek
        else:
            index = self._seek_candidate(peer, wish)
            if index is None:
                return False
            request = outbox.plan(peer)
            parts = parts_of(request)
            parts.hash = HashRequest(2 * index, depth(wish.start + wish.end - 1))
            parts.seek = seek
            outbox.asked_hashes[index] = request
        wish.requests.append(request)
        outbox.send(request)
        return True

    def fork_roots(self, peer: Peer, wish: ForkWish) -> None:
        """The signed roots of the peer's newer fork, from nothing."""
        if not peer.remote_length or self._replicator.options.push_only or not peer.usable:
            return
        request = self._replicator.outbox.plan(peer)
        parts = parts_of(request)
        parts.upgrade = UpgradeRequest(0, peer.remote_length)
        parts.manifest = self._log.manifest is None
        wish.requests.append(request)
        self._replicator.outbox.send(request)

    def forks(self, peer: Peer) -> None:
        """One more step towards a fork that is not clear yet, the newest first."""
        for wish in reversed(self._replicator.forks.wishes):
            if wish.requests or wish.fork != peer.remote_fork:
                continue
            if wish.reorg is None:
                # Whoever was asked for the roots is gone.
                self.fork_roots(peer, wish)
                return
            if self._fork_path(peer, wish):
                return

    def upgrade(self, peer: Peer) -> None:
        """The upgrade, if nothing else could take it along."""
        replicator, upgrades = self._replicator, self._replicator.upgrades
        if (
            upgrades.wish is None
            or upgrades.wish.requests
            or replicator.options.push_only
            or not upgrades.possible_from(peer)
        ):
            return
        last = peer.remote_length - 1
        if (
            replicator.demands.follows_latest
            and peer.holdings.available.has(last)
            and replicator.scheduler.may_request(peer, last)
        ):
            replicator.outbox.send_block(peer, last, NORMAL, upgrade=True)
        else:
            replicator.outbox.send(replicator.outbox.plan(peer, upgrade=True))

    def _fork_path(self, peer: Peer, wish: ForkWish) -> bool:
        """A path below the node in which the two histories differ."""
        assert wish.reorg is not None
        wanted = wish.reorg.want
        if wanted is None or self._replicator.options.push_only:
            return False
        start, end = wanted.start, min(wanted.end, peer.remote_length)
        if end <= start:
            return False
        middle = random.randrange(start, end)  # noqa: S311
        index = peer.holdings.available.first_set(middle, end)
        if index < 0:
            index = peer.holdings.available.first_set(start, middle)
        if index < 0:
            peer.holdings.want_all(start, end, wish)
            candidate = self._without_block(peer, wish, start, end)
            if candidate is None:
                return False
            index = candidate
        request = self._replicator.outbox.plan(peer)
        parts_of(request).hash = HashRequest(2 * index, wanted.nodes)
        wish.requests.append(request)
        self._replicator.outbox.send(request)
        return True

    def _seek_candidate(self, peer: Peer, wish: SeekWish) -> int | None:
        """A block in the unresolved range that the peer has and we know nothing of, from a random place on."""
        scheduler, asked = self._replicator.scheduler, self._replicator.outbox.asked_hashes
        middle = random.randrange(wish.start, wish.end)  # noqa: S311
        for low, high in ((middle, wish.end), (wish.start, middle)):
            index = low
            for _ in range(_MAX_CANDIDATES):
                index = scheduler.next_for(peer, index, high)
                if index < 0:
                    break
                if index not in asked and scheduler.may_request(peer, index):
                    return index
                index += 1
        peer.holdings.want_all(wish.start, wish.end, wish)
        fallback = self._without_block(peer, wish, wish.start, wish.end)
        return None if fallback in asked else fallback

    @staticmethod
    def _without_block(peer: Peer, wish: SeekWish | ForkWish, start: int, end: int) -> int | None:
        """A block to ask `peer` for the hash of although it is not known to hold it: it may well have the nodes.

        The reference only asks for hashes of blocks that are held; then nobody could follow a writer who cleared
        the blocks around a truncation. Tried once, because a peer that refuses often is left alone.
        """
        if (peer, start, end) in wish.tried:
            return None
        wish.tried.add((peer, start, end))
        return random.randrange(start, end)  # noqa: S311
