"""What becomes of an answer: matched with its request, verified, stored; or the request goes back to the search.

Source: hypercore 11.37.1 `lib/replicator.js` (`Peer.ondata`, `_handleData`, `onnodata`, `_matchingRequest`).

Nobody who waits is woken here. What is stored becomes known through the log's observers after the commit of the turn
(`replicator.py`); in here only the next requests are planned, which promise nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ..errors import IntegrityError, InvalidOperation, RemoteProtocolError
from ..hypercore.proof_types import Proof
from ..limits import MAX_PARKED_BYTES
from .messages import INVALID_REQUEST, NOT_AVAILABLE, decode_data, decode_no_data
from .requests import PendingRequest

if TYPE_CHECKING:
    from .peer import Peer
    from .replicator import Replicator

# `lib/replicator.js`, MAX_BACKOFFS: refusals of one kind after which a peer is left alone.
MAX_REFUSALS: Final = 32

# Proofs of one peer that may fail before its connection ends. (The reference counts them and does nothing.)
MAX_FAILED_PROOFS: Final = 32


class Receiver:
    """The half of a `Replicator` that takes answers."""

    def __init__(self, replicator: Replicator) -> None:
        self._replicator = replicator
        self._log = replicator.log

    def data(self, peer: Peer, frame: bytes, position: int) -> None:
        """A `data` message arrived."""
        request_id, proof = decode_data(frame, position)
        replicator = self._replicator
        request = replicator.table.get(request_id)
        if request is None:
            self._unasked(peer, request_id, proof)
            return
        if request.peer is not peer:
            return
        self._answered(request)
        useful = True
        if proof.fork > self._log.fork:
            self.settle(request, failed=True)
            replicator.forks.receive(peer, proof)
        else:
            bringer = request.depends_on
            if bringer is not None and not bringer.settled:
                self._park(bringer, request, proof, len(frame) - position)
                return
            useful = self._accept(request, proof)
            self.settle(request, failed=not useful)
        if useful:
            replicator.scheduler.refill(peer)
            replicator.upgrades.check()
        else:
            replicator.scheduler.update_all()
        _check_patience(peer)

    def no_data(self, peer: Peer, frame: bytes, position: int) -> None:
        """A `noData` message arrived: the peer will not answer that request."""
        request_id, reason = decode_no_data(frame, position)
        request = self._replicator.table.get(request_id)
        if request is not None and request.peer is peer:
            self._answered(request)
            self.settle(request, failed=True)
            peer.refuse(reason, request)
        self._replicator.scheduler.update_all()

    def settle(self, request: PendingRequest, *, failed: bool) -> None:
        """The request is over. Whatever was parked behind it is used or goes back to the search."""
        work = [(request, failed)]
        while work:
            request, failed = work.pop()
            self._replicator.outbox.forget(request)
            parked = self._release(request, failed)
            if failed:
                self._replicator.demands.look_again(request)
            work += [(waiting, not self._accept(waiting, proof)) for waiting, proof in parked]

    # --- steps --------------------------------------------------------------------------------

    def _unasked(self, peer: Peer, request_id: int, proof: Proof) -> None:
        """A probe for a conflict, a newer fork, a pushed block, or the answer to something withdrawn."""
        replicator = self._replicator
        upgrade = proof.upgrade
        if request_id == 0 and upgrade is not None and upgrade.start == 0:
            if replicator.conflicts.examine(peer, proof):
                return
            peer.paused = False
        if proof.fork > self._log.fork:
            replicator.forks.receive(peer, proof)
        elif replicator.options.allow_push and peer.usable:
            self._store(peer, proof, blameless=True)
        replicator.scheduler.update_all()
        _check_patience(peer)

    def _park(self, bringer: PendingRequest, request: PendingRequest, proof: Proof, size: int) -> None:
        """Keep an answer until `bringer` is settled. A peer that lets too many of them wait is not waited for."""
        if bringer.parked is None:
            bringer.parked = []
        bringer.parked.append((request, proof))
        peer = request.peer
        request.answer_bytes = size
        peer.parked_bytes += size
        if peer.parked_bytes > MAX_PARKED_BYTES:
            held_back = bringer.waits_for
            self._replicator.outbox.withdraw(held_back)
            peer.refuse(NOT_AVAILABLE, held_back)
            self._replicator.scheduler.update_all()

    def _answered(self, request: PendingRequest) -> None:
        """The number may be used again."""
        request.answered = True
        self._replicator.request_done(request, answered=True)

    def _accept(self, request: PendingRequest, proof: Proof) -> bool:
        """Whether the answer did what its request was for."""
        peer, log = request.peer, self._log
        if not self._replicator.options.allow_push and not _matches(request, proof):
            peer.refuse(INVALID_REQUEST, request)
            return False
        if proof.fork != log.fork:
            return False
        bringer = request.depends_on
        request.depends_on = None
        # The tree that an upgrade was asked for, or the nodes that a path was to lead to, may be gone.
        overtaken = request.upgrade is not None and request.upgrade.start != log.length
        lost = bringer is not None and bringer.failed
        if not self._store(peer, proof, blameless=overtaken or lost):
            return False
        peer.refusals[0] = 0
        if request.index < 0:
            return True
        if proof.block is None:
            # The manifest in place of a block that the peer does not have.
            peer.refuse(NOT_AVAILABLE, request)
            return False
        copies = self._replicator.outbox.asked.get(request.index)
        if copies is not None and len(copies) > 1:
            self._replicator.outbox.cancel(copy for copy in copies if copy is not request)
        return True

    def _store(self, peer: Peer, proof: Proof, *, blameless: bool) -> bool:
        """Verify and store. `blameless`: a misfit may be our own doing (a lost dependency, a push)."""
        replicator, log = self._replicator, self._log
        try:
            if not log.apply(log.verify(proof), proof):
                return False
        except InvalidOperation as error:
            if not blameless:
                if not replicator.options.allow_push:
                    peer.paused = True
                replicator.verification_failed(error, peer)
            return False
        except IntegrityError as error:
            replicator.conflicts.probe(peer)
            replicator.verification_failed(error, peer)
            return False
        replicator.stored_something()
        block = proof.block
        if block is not None:
            replicator.downloaded(peer, block.index, len(block.value))
        if replicator.manifest_peer is peer and log.manifest is not None:
            replicator.manifest_peer = None
        return True

    @staticmethod
    def _release(request: PendingRequest, failed: bool) -> list[tuple[PendingRequest, Proof]]:
        """Free its place in the window and its promises; returns what was parked behind it."""
        request.settled = True
        request.failed = failed
        peer = request.peer
        peer.in_flight -= 1
        promises = request.promises
        if promises is not None:
            request.promises = None
            promised = peer.promised
            for index in promises:
                if promised.get(index) is request:
                    del promised[index]
        parked = request.parked
        if parked is None:
            return []
        request.parked = None
        for waiting, _ in parked:
            peer.parked_bytes -= waiting.answer_bytes
        return parked


def _check_patience(peer: Peer) -> None:
    """Called when everything is in order again after an answer, because it may end the connection."""
    if peer.failed_proofs >= MAX_FAILED_PROOFS:
        raise RemoteProtocolError(f"the remote sent {MAX_FAILED_PROOFS} proofs that do not hold")


def _matches(request: PendingRequest, proof: Proof) -> bool:
    """Whether every part of the answer was asked for."""
    if proof.block is not None and proof.block.index != request.index:
        return False
    parts = request.parts
    if parts is None:
        return (
            proof.hash is None and proof.seek is None and proof.upgrade is None and proof.fork == request.fork
        )
    if proof.hash is not None and (parts.hash is None or parts.hash.index != proof.hash.index):
        return False
    if proof.seek is not None and (parts.seek is None or parts.seek.bytes != proof.seek.bytes):
        return False
    return (proof.upgrade is None or parts.upgrade is not None) and proof.fork == request.fork
