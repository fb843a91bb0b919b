"""Following a writer that truncated: the conversation around `hypercore.reorg`.

Source: hypercore 11.37.1 `lib/replicator.js` (`_updateFork`, `_addReorg`, `_onreorgdata`, `_applyReorg`).

A peer that announces a higher fork number is asked for its signed roots, and then for one path after the other until
it is clear where the histories part. Nothing is stored before that. Several forks may be followed at once; the
first that is finished is applied, and the others start again from the log as it is then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import IntegrityError
from ..hypercore.proof_types import Proof
from ..hypercore.reorg import Reorg
from .wishes import ForkWish

if TYPE_CHECKING:
    from .peer import Peer
    from .replicator import Replicator


class Forks:
    """`wishes`: the newer forks that peers announced, by fork number."""

    def __init__(self, replicator: Replicator) -> None:
        self._replicator = replicator
        self._log = replicator.log
        self.wishes: list[ForkWish] = []

    @property
    def in_flight(self) -> bool:
        return any(wish.requests for wish in self.wishes)

    def announced(self, peer: Peer) -> None:
        """The peer's `sync` arrived, or the log changed: ask for its roots when its fork is newer."""
        if peer.remote_fork <= self._log.fork or not self._replicator.options.allow_fork:
            return
        self._forget_older_claims(peer)
        wish = self._wish(peer.remote_fork)
        if wish is not None and wish.reorg is None and not wish.requests:
            self._replicator.tree_requests.fork_roots(peer, wish)

    def receive(self, peer: Peer, proof: Proof) -> None:
        """Data of a newer fork, asked for or not: it is not stored, so help is always welcome."""
        log, replicator = self._log, self._replicator
        if not replicator.options.allow_fork or not (
            proof.upgrade or proof.hash or proof.block or proof.seek
        ):
            return
        try:
            begun = None
            if proof.upgrade is not None:
                begun = Reorg.begin(log, proof, key=log.key, manifest=log.manifest)
                if begun.verified.manifest is not None:
                    log.set_manifest(begun.verified.manifest)
            wish = self._wish(proof.fork)
            if wish is None:
                return
            if wish.reorg is not None:
                if begun is None:
                    wish.reorg.advance(log, proof)
            elif begun is not None:
                wish.reorg = begun
                self.wishes = [other for other in self.wishes if other.fork >= wish.fork]
        except IntegrityError as error:
            peer.paused = True
            replicator.verification_failed(error, peer)
            return
        following = replicator.options.eager_upgrade or replicator.upgrades.wish is not None
        if following and wish.reorg is not None and wish.reorg.finished:
            self._apply(wish.reorg)
        replicator.scheduler.update_all()

    def apply_pending(self) -> bool:
        """Apply the newest fork that is fully known, if there is one."""
        for wish in reversed(self.wishes):
            if wish.reorg is not None and wish.reorg.finished:
                return self._apply(wish.reorg)
        return False

    def abandon(self) -> None:
        """The log is another one now; what was learned by comparing with it is void."""
        self._drop_all()
        for peer in list(self._replicator.open_peers):
            self.announced(peer)

    def _drop_all(self) -> None:
        dropped, self.wishes = self.wishes, []
        for wish in dropped:
            self._replicator.outbox.cancel(wish.requests)
            self._replicator.demands.release_wants(wish)

    def _apply(self, reorg: Reorg) -> bool:
        if not reorg.applies_to(self._log) or self._log.frozen:
            self.abandon()
            return False
        self._log.apply_reorg(reorg)
        self._drop_all()
        # The rest follows from `truncated`, after the commit.
        self._replicator.stored_something()
        return True

    def _forget_older_claims(self, peer: Peer) -> None:
        """A peer may make us follow one fork that is not proved: fork numbers are easily invented."""
        for wish in list(self.wishes):
            if wish.fork == peer.remote_fork or wish.reorg is not None:
                continue
            if all(request.peer is peer for request in wish.requests):
                self.wishes.remove(wish)
                self._replicator.outbox.cancel(wish.requests)

    def _wish(self, fork: int) -> ForkWish | None:
        """The wish for this fork number; None when a newer one is proved already."""
        for wish in self.wishes:
            if wish.fork == fork:
                return wish
            if wish.fork > fork and wish.reorg is not None:
                return None
        wish = ForkWish(fork)
        self.wishes.append(wish)
        self.wishes.sort(key=lambda wish: wish.fork)
        return wish
