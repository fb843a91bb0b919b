"""What the sessions of a log want from the network, each kind with the requests that work on it.

A wish is pure bookkeeping: futures of those who wait, requests in flight, and where the search goes on. Who is
asked is decided in `scheduler.py`; when a wish comes true, in `demands.py` and `upgrades.py`, after the commit.
"""

from __future__ import annotations

from asyncio import Future
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..hypercore.reorg import Reorg
    from .peer import Peer
    from .requests import PendingRequest

# `lib/replicator.js`, PRIORITY.
NORMAL = 0
HIGH = 1


class BlockWish:
    """Somebody waits for block `index`."""

    __slots__ = ("futures", "index")

    def __init__(self, index: int) -> None:
        self.index = index
        self.futures: list[Future[None]] = []


class RangeWish:
    """Everything in [start, end) (end -1: whatever comes), or the blocks of a list.

    For a list, `start` and `end` count places in it. `start` moves up as the front comes in. `cursors` keeps for each
    peer where the search for the next block to ask it for goes on: everything before is held, in flight, or was not
    with that peer when it was looked at.
    """

    __slots__ = ("blocks", "cursors", "end", "first", "future", "linear", "members", "start")

    def __init__(
        self, start: int, end: int, blocks: Sequence[int] | None, linear: bool, future: Future[None]
    ) -> None:
        self.start = self.first = start
        self.end = end
        self.blocks = blocks
        self.members = None if blocks is None else frozenset(blocks)
        self.linear = linear
        self.future = future
        self.cursors: dict[Peer, int] = {}

    @property
    def live(self) -> bool:
        return self.end == -1

    def covers(self, index: int) -> bool:
        """Whether block `index` is part of the wish."""
        if self.members is not None:
            return index in self.members
        return self.start <= index and (self.end == -1 or index < self.end)

    def look_again(self, index: int) -> None:
        """Block `index` may be asked for again; every search goes back to it."""
        if self.blocks is not None:
            self.cursors.clear()
            return
        for peer, cursor in self.cursors.items():
            if index < cursor:
                self.cursors[peer] = max(index, self.start)

    def look_again_at(self, peer: Peer, index: int) -> None:
        """`peer` may hold blocks from `index` on that it did not hold when it was looked at."""
        if self.blocks is not None:
            self.cursors.pop(peer, None)
        elif index < self.cursors.get(peer, 0):
            self.cursors[peer] = max(index, self.start)


class SeekWish:
    """Which block holds byte `bytes`? [start, end) are the blocks among which the answer still may be.

    `found`: the answer, once the nodes that give it are there; `future` gets it after their commit.
    """

    __slots__ = ("bytes", "end", "found", "future", "padding", "requests", "start", "tried")

    def __init__(self, byte_offset: int, padding: int, future: Future[tuple[int, int] | None]) -> None:
        self.bytes = byte_offset
        self.padding = padding
        self.future = future
        self.found: tuple[int, int] | None = None
        self.start = 0
        self.end = 0
        self.requests: list[PendingRequest] = []
        self.tried: set[tuple[Peer, int, int]] = set()


class UpgradeWish:
    """Something newer than (fork, length). `overdue`: requests whose answers we do not wait for any more."""

    __slots__ = ("fork", "futures", "length", "overdue", "requests")

    def __init__(self, fork: int, length: int) -> None:
        self.fork = fork
        self.length = length
        self.futures: list[Future[bool]] = []
        self.requests: list[PendingRequest] = []
        self.overdue: list[PendingRequest] = []

    def still_owes(self, peer: Peer) -> bool:
        """Whether `peer` was asked long ago and may yet answer."""
        return any(request.peer is peer and not request.settled for request in self.overdue)


class ForkWish:
    """A peer announced the higher fork number `fork`; `reorg` is None until its signed roots arrived."""

    __slots__ = ("fork", "reorg", "requests", "tried")

    def __init__(self, fork: int) -> None:
        self.fork = fork
        self.reorg: Reorg | None = None
        self.requests: list[PendingRequest] = []
        self.tried: set[tuple[Peer, int, int]] = set()


Wish = Any


def resolve(future: Future[Any], result: Any) -> None:
    """Unless whoever waited is gone."""
    if not future.done():
        future.set_result(result)


def fail(future: Future[Any], error: Exception) -> None:
    """Unless whoever waited is gone; a failure that nobody asks about is no news."""
    if not future.done():
        future.set_exception(error)
        future.exception()
