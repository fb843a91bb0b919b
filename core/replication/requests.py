"""What we asked and have no answer to: numbers, records, and the proof nodes that answers on their way will bring.

Source: hypercore 11.37.1 `lib/replicator.js` (`InflightTracker`). The promises are ours.

**Promises.** A block's proof consists of the nodes from its leaf up to the first one we have. Asking for 512 blocks
before the first answer came, one by one, would ask for the same upper nodes 512 times (in a log of 100,000 blocks
that is 17 nodes a block instead of one, sent, hashed and stored). So the nodes that a request in flight will bring
count as ours when the next request to the same peer is planned, which then *depends* on the former. Answers may
overtake each other: one whose dependency is still out is parked, one whose dependency failed is asked for again,
in full. A parked answer keeps its place in the peer's window, and what one peer has parked is bounded by
`MAX_PARKED_BYTES`; above it we wait no longer for the answer that is held back.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ..hypercore.proof_types import Proof, ProofRequest, UpgradeRequest

if TYPE_CHECKING:
    from .peer import Peer


class PendingRequest:
    """One request in flight. `index` is its block, or -1; `parts` is None when the block is all it asks."""

    __slots__ = (
        "answer_bytes",
        "answered",
        "dependents",
        "depends_on",
        "failed",
        "fork",
        "id",
        "index",
        "nodes",
        "number",
        "parked",
        "parts",
        "peer",
        "priority",
        "promises",
        "round",
        "settled",
    )

    def __init__(self, peer: Peer, fork: int, index: int = -1, priority: int = 0) -> None:
        self.id = 0
        self.peer = peer
        self.fork = fork
        self.index = index
        self.nodes = 0
        self.priority = priority
        self.parts: ProofRequest | None = None
        self.number = 0
        self.round = 0
        # Answered: its number is free again. Settled: answered and used, refused, or withdrawn. Failed: settled
        # without bringing its nodes.
        self.answered = False
        self.settled = False
        self.failed = False
        self.depends_on: PendingRequest | None = None
        self.dependents = 0
        self.parked: list[tuple[PendingRequest, Proof]] | None = None
        self.answer_bytes = 0  # of its own answer, while that is parked
        self.promises: list[int] | None = None

    @property
    def waits_for(self) -> PendingRequest:
        """The request in flight, of the same peer, whose answer comes before all that is parked around this one."""
        first = self
        while first.depends_on is not None and not first.depends_on.settled:
            first = first.depends_on
        return first

    @property
    def upgrade(self) -> UpgradeRequest | None:
        return None if self.parts is None else self.parts.upgrade


class RequestTable:
    """The requests of one log in flight, by number. Numbers start at 1, and one that was answered is used again.

    The number of a withdrawn request is not: its answer may be on the way, and a number that names two questions
    names none. (The reference uses it again once something sent later was answered, but answers may overtake
    each other.)
    """

    __slots__ = ("_free", "_highest", "_requests")

    def __init__(self) -> None:
        self._requests: dict[int, PendingRequest] = {}
        self._free: list[int] = []
        self._highest = 0

    def __len__(self) -> int:
        return len(self._requests)

    def __iter__(self) -> Iterator[PendingRequest]:
        return iter(list(self._requests.values()))

    def add(self, request: PendingRequest) -> None:
        if self._free:
            request.id = self._free.pop()
        else:
            self._highest += 1
            request.id = self._highest
        self._requests[request.id] = request

    def get(self, request_id: int) -> PendingRequest | None:
        return self._requests.get(request_id)

    def remove(self, request: PendingRequest, *, answered: bool) -> None:
        if self._requests.get(request.id) is request:
            del self._requests[request.id]
            if answered:
                self._free.append(request.id)
