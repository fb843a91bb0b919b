"""Telling a broken peer from a broken author, and what happens to a log whose author signed two trees.

Source: hypercore 11.37.1 `lib/replicator.js` (`_checkIfConflict`, `_onconflict`), `lib/core.js`
(`checkConflict`). The judgement itself is `hypercore.conflict`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import InvalidOperation
from ..hypercore.conflict import Comparison, compare_trees
from ..hypercore.proof_types import Proof, ProofRequest, UpgradeRequest
from .messages import DATA, REQUEST, Request, encode_data, encode_request

if TYPE_CHECKING:
    from .peer import Peer
    from .replicator import Replicator

_PROBE = 0
"""The number of a request that probes for a conflict, and of its answer."""


class Conflicts:
    """The conflict half of a `Replicator`."""

    def __init__(self, replicator: Replicator) -> None:
        self._replicator = replicator
        self._log = replicator.log

    def probe(self, peer: Peer) -> None:
        """Data of `peer` contradicts what we hold. Leave it alone, and ask it to prove its whole tree."""
        peer.paused = True
        length = min(self._log.length, peer.remote_length)
        if length:
            parts = ProofRequest(upgrade=UpgradeRequest(0, length))
            peer.channel.send(REQUEST, encode_request(Request(_PROBE, peer.remote_fork, parts)))

    def examine(self, peer: Peer, proof: Proof) -> bool:
        """The proof of a whole tree arrived. True: it is dealt with, and `peer` stays as it is."""
        log = self._log
        verdict = compare_trees(log, proof, key=log.key, manifest=log.manifest, signature=log.signature)
        if verdict is Comparison.CONFLICT:
            self._declare(proof)
        return verdict in (Comparison.UNPROVEN, Comparison.CONFLICT)

    def _declare(self, proof: Proof) -> None:
        """Freeze the log, hand our side of the evidence to everybody, and leave."""
        log = self._log
        log.freeze(proof)
        for peer in list(self._replicator.open_peers):
            peer.mux.cork()
            if peer.remote_length > 0 and peer.remote_fork == log.fork:
                length = min(log.length, peer.remote_length)
                try:
                    own = log.create_proof(ProofRequest(upgrade=UpgradeRequest(0, length)))
                    peer.channel.send(DATA, encode_data(_PROBE, own))
                except InvalidOperation:
                    pass  # nothing to show
            peer.close()
            peer.mux.uncork()
