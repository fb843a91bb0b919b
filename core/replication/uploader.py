"""Answering one peer's requests, in order, as fast as its connection takes the answers.

Source: hypercore 11.37.1 `lib/replicator.js` (`onrequest`, `_handleRequest`, `_fulfillRequest`, `push`,
`backoff`), `lib/receiver-queue.js`.

A request is answered in the call that brings it, unless the connection is full: then it waits, and those with a
priority are served before the others, newest first (somebody is looking at a page). What waits is bounded in number
by `MAX_PENDING_REQUESTS` and each is a few integers; answers are made only when there is room for them.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from ..errors import InvalidOperation, RemoteProtocolError
from ..hypercore.merkle import max_missing_nodes
from ..hypercore.proof_types import BlockRequest, Proof, ProofRequest, UpgradeRequest
from ..limits import MAX_PENDING_REQUESTS, MAX_SEND_BUFFER, MAX_WANTS
from .messages import (
    DATA,
    INVALID_REQUEST,
    NO_DATA,
    NOT_AVAILABLE,
    Request,
    Want,
    decode_cancel,
    decode_request,
    encode_data,
    encode_no_data,
)

if TYPE_CHECKING:
    from .peer import Peer

# `lib/replicator.js`: MAX_INVALID_REQUESTS, `backoff`.
MAX_INVALID_REQUESTS: Final = 64
_DELAYS: Final = ((2, 0.2), (5, 0.5), (40, 1.0))
_LONGEST_DELAY: Final = 5.0


class Uploader:
    """The answering half of a `Peer`."""

    __slots__ = (
        "_bytes_this_turn",
        "_closed",
        "_log",
        "_peer",
        "_urgent",
        "_waiting",
        "_wants",
        "invalid_requests",
        "pending",
        "pushed_length",
    )

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self._log = peer.log
        # Unanswered requests by number; the queues may name some that were withdrawn or replaced since.
        self.pending: dict[int, Request] = {}
        self._waiting: deque[Request] = deque()
        self._urgent: list[Request] = []
        self._wants: deque[Want] = deque()
        self._closed = False
        self._bytes_this_turn = 0
        self.invalid_requests = 0
        self.pushed_length = 0

    # --- messages -----------------------------------------------------------------------------

    def request(self, frame: bytes, position: int) -> None:
        """A `request` arrived. Raises `RemoteProtocolError` when too many wait already."""
        request = decode_request(frame, position)
        pending = self.pending
        if pending:
            # A number used again replaces the question it stood for.
            pending.pop(request.id, None)
        elif self.has_room:
            self._answer(request)
            return
        if len(pending) >= MAX_PENDING_REQUESTS:
            raise RemoteProtocolError(f"the remote has more than {MAX_PENDING_REQUESTS} unanswered requests")
        pending[request.id] = request
        if request.priority > 0:
            self._urgent.append(request)
        else:
            self._waiting.append(request)
        self._compact()
        self.resume()

    def cancel(self, frame: bytes, position: int) -> None:
        """A `cancel` arrived: that request gets no answer."""
        self.pending.pop(decode_cancel(frame, position), None)

    def want(self, want: Want) -> None:
        """A `want` is to be answered. Raises `RemoteProtocolError` when too many wait already."""
        if not self._wants and self.has_room:
            self._peer.holdings.answer(want)
            return
        if len(self._wants) >= MAX_WANTS:
            raise RemoteProtocolError(f"the remote has more than {MAX_WANTS} unanswered wants")
        self._wants.append(want)

    def send(self, type: int, body: bytes) -> None:
        """Send a message that answers one; what is sent in a turn is bounded (see `has_room`)."""
        if not self._bytes_this_turn:
            self._peer.replicator.call_later(0, self._next_turn)
        self._bytes_this_turn += len(body)
        self._peer.channel.send(type, body)

    @property
    def has_room(self) -> bool:
        """Whether the connection takes more; a turn's answers are bounded even before it could tell."""
        return self._peer.mux.drained and self._bytes_this_turn < MAX_SEND_BUFFER

    def resume(self) -> None:
        """There may be room: answer what waits."""
        if self._closed:
            return
        self._peer.send_due_sync()
        while self._wants and self.has_room:
            self._peer.holdings.answer(self._wants.popleft())
        if not (self._urgent or self._waiting):
            return
        mux = self._peer.mux
        mux.cork()
        try:
            while self.has_room and (self._urgent or self._waiting):
                request = self._urgent.pop() if self._urgent else self._waiting.popleft()
                if self.pending.get(request.id) is request:
                    del self.pending[request.id]
                    self._answer(request)
        finally:
            mux.uncork()

    def close(self) -> None:
        self._closed = True
        self.pending.clear()
        self._waiting.clear()
        self._urgent.clear()
        self._wants.clear()

    # --- push ---------------------------------------------------------------------------------

    def push(self, index: int) -> bool:
        """Send block `index` unasked, if the peer takes such and is not known to have it."""
        peer, log = self._peer, self._log
        if (
            not peer.remote_allow_push
            or not peer.remote_downloading
            or not peer.usable
            or peer.remote_fork != log.fork
            or not 0 <= index < log.length
            or peer.holdings.available.has(index)
        ):
            return False
        known = max(peer.remote_length, self.pushed_length)
        parts = ProofRequest(BlockRequest(index, max_missing_nodes(2 * index, known)))
        if index >= known:
            parts.upgrade = UpgradeRequest(known, log.length - known)
        parts.manifest = peer.remote_length == 0
        try:
            proof = log.create_proof(parts)
        except InvalidOperation:
            return False
        self._send(0, proof)
        return True

    # --- steps --------------------------------------------------------------------------------

    def _answer(self, request: Request) -> None:
        peer, log = self._peer, self._log
        parts = request.parts
        block = parts.block
        if request.fork != log.fork:
            # Its asker will see why. Official readers leave an uploader alone that says "not available" 32 times,
            # so the many requests that a truncation overtakes are refused without a reason.
            self._answer_without_proof(request, 0)
            return
        if block is not None and not log.has(block.index):
            self._answer_without_proof(request, NOT_AVAILABLE)
            return
        if block is not None and not peer.usable:
            return
        if parts.upgrade is not None and peer.remote_allow_push:
            self._skip_pushed(request.id, parts.upgrade)
        try:
            proof = log.create_proof(parts)
        except InvalidOperation:
            self._refuse_later(request)
            return
        self._send(request.id, proof)

    def _answer_without_proof(self, request: Request, reason: int) -> None:
        """Another fork, or a block that is not held: the manifest if that helps, or nothing."""
        log = self._log
        if request.parts.manifest and log.manifest is not None:
            self.send(DATA, encode_data(request.id, Proof(log.fork, manifest=log.manifest)))
        else:
            self.send(NO_DATA, encode_no_data(request.id, reason))

    def _skip_pushed(self, request_id: int, upgrade: UpgradeRequest) -> None:
        """What was pushed since the peer asked would not fit any more if it came again.

        The reference also lowers the start of the first upgrade to 0, which readers refuse once; we do not.
        """
        if request_id == 0 or self._peer.remote_fork != self._log.fork:
            return  # a probe for a conflict, or for a fork: about the whole tree
        end = upgrade.start + upgrade.length
        if upgrade.start < self.pushed_length < end:
            upgrade.start, upgrade.length = self.pushed_length, end - self.pushed_length

    def _refuse_later(self, request: Request) -> None:
        """The request does not fit our tree. Honest peers ask so in a race; whoever does it often waits longer."""
        self.invalid_requests += 1
        if self.invalid_requests >= MAX_INVALID_REQUESTS:
            raise RemoteProtocolError(
                f"the remote sent {MAX_INVALID_REQUESTS} requests that cannot be answered"
            )
        delay = next((delay for below, delay in _DELAYS if self.invalid_requests < below), _LONGEST_DELAY)
        self.pending[request.id] = request

        def refuse() -> None:
            if self.pending.get(request.id) is request:
                del self.pending[request.id]
                self._peer.channel.send(NO_DATA, encode_no_data(request.id, INVALID_REQUEST))

        self._peer.replicator.call_later(delay, refuse)

    def _send(self, request_id: int, proof: Proof) -> None:
        peer = self._peer
        body = encode_data(request_id, proof)
        upgrade = proof.upgrade
        if upgrade is not None:
            # Additional nodes take the peer to our full length.
            reached = self._log.length if upgrade.additional_nodes else upgrade.start + upgrade.length
            self.pushed_length = max(self.pushed_length, reached)
        if proof.block is not None:
            peer.replicator.uploaded(peer, proof.block.index, len(proof.block.value))
        self.send(DATA, body)

    def _next_turn(self) -> None:
        self._bytes_this_turn = 0
        self.resume()

    def _compact(self) -> None:
        """Withdrawn requests stay in the queues; drop them before they outnumber the others."""
        if len(self._waiting) + len(self._urgent) > 2 * MAX_PENDING_REQUESTS:
            live = self.pending
            self._waiting = deque(request for request in self._waiting if live.get(request.id) is request)
            self._urgent = [request for request in self._urgent if live.get(request.id) is request]
