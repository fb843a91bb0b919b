"""Making, sending, forgetting and withdrawing requests: what is in flight, and what each request will bring.

Source: hypercore 11.37.1 `lib/replicator.js` (`_makeRequest`, `_send`, `_cancelRequest`, `_clearRequest`).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from ..hypercore.flat_tree import right_span, width
from ..hypercore.proof_types import BlockRequest, ProofRequest, UpgradeRequest
from .messages import CANCEL, REQUEST, Request, encode_block_request, encode_cancel, encode_request
from .requests import PendingRequest
from .wishes import NORMAL

if TYPE_CHECKING:
    from .peer import Peer
    from .replicator import Replicator


class Outbox:
    """`asked`: block -> the requests for it in flight, oldest first. `asked_hashes`: the same for hashes alone.

    `round`: a coarse clock (see `patience.py`), noted in each request.
    """

    def __init__(self, replicator: Replicator) -> None:
        self._replicator = replicator
        self._log = replicator.log
        self.asked: dict[int, list[PendingRequest]] = {}
        self.asked_hashes: dict[int, PendingRequest] = {}
        self.round = 0

    def plan(
        self, peer: Peer, *, index: int = -1, priority: int = NORMAL, upgrade: bool = False
    ) -> PendingRequest:
        """A request that carries along what may ride along: an upgrade that is wanted, an unknown manifest."""
        upgrades, log = self._replicator.upgrades, self._log
        request = PendingRequest(peer, peer.remote_fork, index, priority)
        if not upgrade:
            upgrade = upgrades.wish is not None and upgrades.possible_from(peer)
        manifest = log.manifest is None and peer.remote_has_manifest
        if upgrade or manifest:
            request.parts = ProofRequest(manifest=manifest)
            if upgrade:
                request.parts.upgrade = UpgradeRequest(log.length, peer.remote_length - log.length)
        return request

    def send_block(self, peer: Peer, index: int, priority: int, *, upgrade: bool = False) -> None:
        request = self.plan(peer, index=index, priority=priority, upgrade=upgrade)
        if index < self._log.length:
            self._plan_path(request)
        requests = self.asked.get(index)
        if requests is None:
            self.asked[index] = [request]
        else:
            requests.append(request)
        self.send(request)

    def send(self, request: PendingRequest) -> None:
        replicator, peer = self._replicator, request.peer
        parts = request.parts
        replicator.table.add(request)
        request.round = self.round
        peer.in_flight += 1
        peer.requests_sent += 1
        request.number = peer.requests_sent
        if parts is None and request.index >= 0:
            body = encode_block_request(
                request.id, request.fork, request.index, request.nodes, request.priority
            )
        else:
            body = encode_request(_message(request))
            if parts is not None and parts.upgrade is not None and request.fork == self._log.fork:
                replicator.upgrades.wanted().requests.append(request)
        peer.channel.send(REQUEST, body)
        if len(replicator.open_peers) > 1:
            replicator.patience.watch()

    def forget(self, request: PendingRequest) -> None:
        """The request is over, whatever came of it: nothing is in flight through it any more."""
        index = request.index
        if index >= 0:
            requests = self.asked.get(index)
            if requests is not None and request in requests:
                requests.remove(request)
                if not requests:
                    del self.asked[index]
        parts = request.parts
        if parts is None:
            return
        replicator = self._replicator
        if parts.hash is not None and self.asked_hashes.get(parts.hash.index >> 1) is request:
            del self.asked_hashes[parts.hash.index >> 1]
        if replicator.upgrades.wish is not None:
            _discard(replicator.upgrades.wish.requests, request)
        for seek in replicator.demands.seeks:
            _discard(seek.requests, request)
        for fork in replicator.forks.wishes:
            _discard(fork.requests, request)

    def cancel(self, requests: Iterable[PendingRequest]) -> None:
        """Withdraw requests whose answers are of no use any more.

        One whose nodes others count on stays: its answer is worth its nodes.
        """
        for request in list(requests):
            if request.settled or request.dependents or request.answered:
                continue
            self.withdraw(request)

    def withdraw(self, request: PendingRequest) -> None:
        """Withdraw a request that was not answered, whoever counts on it."""
        self._replicator.receiver.settle(request, failed=True)
        request.peer.channel.send(CANCEL, encode_cancel(request.id))
        self._replicator.request_done(request, answered=False)

    def _plan_path(self, request: PendingRequest) -> None:
        """How many levels of its path the block needs, counting as ours what is on its way from the same peer."""
        log, promised = self._log, request.peer.promised
        end = 2 * log.length
        node = 2 * request.index
        path: list[int] = []
        while right_span(node) < end:
            bringer = promised.get(node)
            if bringer is not None:
                request.depends_on = bringer
                bringer.dependents += 1
                break
            if log.node(node) is not None:
                break
            leaves = width(node)
            right = (node + 1) & (2 * leaves)
            path += (node, node - 2 * leaves if right else node + 2 * leaves)
            node += -leaves if right else leaves
        request.nodes = len(path) // 2
        if path:
            request.promises = path
            for index in path:
                promised.setdefault(index, request)


def parts_of(request: PendingRequest) -> ProofRequest:
    """What the request asks besides its block, to be added to."""
    if request.parts is None:
        request.parts = ProofRequest()
    return request.parts


def _message(request: PendingRequest) -> Request:
    parts = parts_of(request)
    if request.index >= 0:
        parts.block = BlockRequest(request.index, request.nodes)
    return Request(request.id, request.fork, parts, request.priority)


def _discard(requests: list[PendingRequest], request: PendingRequest) -> None:
    if request in requests:
        requests.remove(request)
