"""One walk through the DHT towards a target, and the writes at its end.

Source: dht-rpc 6.27.0 `lib/query.js`; the rules are these.

* Seeds are the nodes the caller gives, then the routing table up to 20, then (if still fewer) the bootstrap nodes.
* Ten requests are in flight. One that has gone through its first timeout is *slow* and no longer counts, so a dead
  node costs a second once and not for each of its neighbours.
* A walk that was seeded with 20 given nodes asks three at a time until ten have answered: they are probably right.
* An answer without error and with a valid id, closer than the twentieth, is one of the *closest replies*. An
  answer's closer nodes are visited while they are closer than the twentieth.
* A node that does not answer is reported to those who named it (DOWN_HINT).
* The walk ends when nobody is left to ask, or when 20 closest replies are there and only slow ones are missing.
* Commit: then the write goes to every closest reply with the token it gave. One success is success.

Different from the reference, and not visible to those we ask: the nearest known node is visited first (it visits
the one it heard of last), and a node which was named but is not close enough ends nothing, it is only skipped.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable, Sequence
from heapq import heappop, heappush
from typing import TYPE_CHECKING

from ..errors import MeadowError, PeerUnreachable, RequestTimeout, TooFewNodes
from ..limits import MAX_QUERY_VISITS
from .address import ADDRESS_BYTES, Address, decode_address, encode_address
from .commands import DOWN_HINT
from .outgoing import Reply, RequestGroup
from .peer_id import id_of_compact
from .table import K

if TYPE_CHECKING:
    from .node import DhtNode

SLOW_START_CONCURRENCY = 3

Settle = Callable[[MeadowError | None], None]
Commit = Callable[[Reply, Settle], None]
"""Writes to one closest reply; calls `settle` once, with None or what went wrong."""


class Query:
    """Runs by itself once `DhtNode.query` or `find_node` made it; `cancel` stops it without calling anybody.

    `on_reply` gets every reply without error, as it comes; `on_done` runs once, with None or the reason of failure
    (only a walk with a commit can fail). `closest_replies` are sorted, nearest first, at most 20.
    """

    def __init__(
        self,
        node: DhtNode,
        target: bytes,
        command: int,
        value: bytes | None,
        *,
        internal: bool,
        nodes: Sequence[Address],
        only_given: bool,
        concurrency: int,
        retries: int,
        commit: Commit | bool | None,
        on_reply: Callable[[Reply], None],
        on_done: Callable[[MeadowError | None], None],
    ) -> None:
        self.node = node
        self.target = target
        self.command = command
        self.value = value
        self.concurrency = concurrency
        self.successes = 0
        self.errors = 0
        self.done = False
        self._internal = internal
        self._retries = retries
        self._commit = self.write if commit is True else commit or None
        self._on_reply = on_reply
        self._on_done = on_done
        self._number = int.from_bytes(target, "big")
        self._only_given = only_given
        self._from_table = False
        self._slow_start = False
        self._committing = False
        self._in_flight = 0
        self._slow = 0
        self._group = RequestGroup()
        self._closest: list[tuple[int, Reply]] = []
        # Nodes are kept by their six bytes: of twenty that an answer names most were named before, and a look into
        # `_seen` is all they cost. A heap of (distance, node); the value of `_seen` is who named them.
        self._waiting: list[tuple[int, bytes]] = []
        self._seen: dict[bytes, list[Address]] = {}
        self._down: set[bytes] = set()
        self._visits = 0
        for address in nodes:
            self._consider(encode_address(address))

    @property
    def closest_replies(self) -> list[Reply]:
        return [reply for _, reply in self._closest]

    @property
    def closest_nodes(self) -> list[Address]:
        return [reply.address for _, reply in self._closest]

    def start(self) -> None:
        """Called by the node, once."""
        if self.done:
            return
        self._add_seeds()
        self._continue()

    def cancel(self) -> None:
        """Stop at once: no callback runs any more."""
        self._on_done = self._on_reply = _nothing
        self._finish(None)

    def stop(self, error: MeadowError) -> None:
        """End with `error`: the node is closing."""
        self._finish(error)

    def _add_seeds(self) -> None:
        if len(self._waiting) >= K:
            return
        self._from_table = True
        if self._only_given:
            return
        for known in self.node.table.closest(self.target, K - len(self._waiting)):
            self._consider(known.compact)
        if len(self._waiting) < K:
            for address in self.node.bootstrap.addresses():
                self._consider(encode_address(address))

    def _consider(self, node: bytes, named_by: Address | None = None) -> None:
        """Put a node that was not seen before on the list of those to visit, if it is close enough."""
        away = int.from_bytes(id_of_compact(node), "big") ^ self._number
        if node not in self._seen and self._is_closer(away):
            self._seen[node] = [] if named_by is None else [named_by]
            heappush(self._waiting, (away, node))

    def _take_names(self, named: bytes, by: Address) -> None:
        """An answer names up to twenty nodes, most of which were named before."""
        seen, down = self._seen, self._down
        for at in range(0, min(len(named), K * ADDRESS_BYTES), ADDRESS_BYTES):
            node = named[at : at + ADDRESS_BYTES]
            others = seen.get(node)
            if others is None:
                if self.node.may_visit(decode_address(node, 0)[0], by):
                    self._consider(node, by)
            elif node in down:
                self._hint(by, node)
            else:
                others.append(by)

    def _is_closer(self, away: int) -> bool:
        return len(self._closest) < K or away < self._closest[-1][0]

    def _continue(self) -> None:
        if self.done or self._committing:
            return
        limit = (SLOW_START_CONCURRENCY if self._slow_start else self.concurrency) + self._slow
        while self._in_flight < limit and self._waiting and self._visits < MAX_QUERY_VISITS:
            away, node = heappop(self._waiting)
            if self._is_closer(away):
                self._visit(away, node)
        if not self._from_table and self.successes == 0 and self.errors == 0:
            self._slow_start = True
        if self._waiting and self._visits < MAX_QUERY_VISITS:
            return
        if self._in_flight == 0 or (self._slow == self._in_flight and len(self._closest) >= K):
            if not self._from_table and self.successes < K // 4:
                self._add_seeds()
                self._continue()
                return
            self._end_walk()

    def _visit(self, away: int, node: bytes) -> None:
        self._in_flight += 1
        self._visits += 1
        visit = _Visit(self, node)
        self.node.request(
            decode_address(node, 0)[0],
            self.command,
            internal=self._internal,
            target=self.target,
            value=self.value,
            node_id=(away ^ self._number).to_bytes(32, "big"),
            retries=self._retries,
            on_reply=visit.replied,
            on_error=visit.failed,
            on_slow=visit.is_slow,
            group=self._group,
        )

    def replied(self, reply: Reply) -> None:
        """A visited node answered (called by its visit, which has counted itself out)."""
        if self.done or self._committing:
            return
        if reply.error == 0:
            self.successes += 1
            if reply.id is not None:
                self._add_closest(reply)
        else:
            self.errors += 1
        if not self._only_given:
            self._take_names(reply.compact_closer_nodes, reply.address)
        if not self._from_table and self.successes + self.errors >= self.concurrency:
            self._slow_start = False
        if reply.error == 0:
            self._on_reply(reply)
        self._continue()

    def failed(self, error: MeadowError, node: bytes) -> None:
        if self.done:
            return
        if isinstance(error, RequestTimeout):
            self._down.add(node)
            for named_by in self._seen[node]:
                self._hint(named_by, node)
            self.node.bootstrap.failed(decode_address(node, 0)[0])
        self.errors += 1
        self._continue()

    def slow(self, by: int) -> None:
        self._slow += by
        if by > 0:
            self._continue()

    def left_flight(self) -> None:
        self._in_flight -= 1

    def _add_closest(self, reply: Reply) -> None:
        assert reply.id is not None
        away = int.from_bytes(reply.id, "big") ^ self._number
        if not self._is_closer(away) or any(known == away for known, _ in self._closest):
            return
        insort(self._closest, (away, reply), key=lambda entry: entry[0])
        del self._closest[K:]

    def _hint(self, named_by: Address, down: bytes) -> None:
        if self.node.may_hint():
            self.node.request(named_by, DOWN_HINT, internal=True, value=down, retries=0)

    def _end_walk(self) -> None:
        self._committing = True
        if self._commit is None:
            self._finish(None)
            return
        if not self._closest:
            self._finish(TooFewNodes("no node of the DHT answered, so nothing could be written"))
            return
        missing = len(self._closest)
        successes = 0

        def settle(error: MeadowError | None) -> None:
            nonlocal missing, successes
            missing -= 1
            successes += error is None
            if missing == 0:
                self._finish(None if successes else error)

        for reply in self.closest_replies:
            self._commit(reply, settle)

    def write(self, reply: Reply, settle: Settle) -> None:
        """The plain commit: the query's own command and value, with the token this node gave."""
        if reply.token is None:
            settle(PeerUnreachable("the node gave no token, so it takes no writes"))
            return
        self.node.request(
            reply.address,
            self.command,
            internal=self._internal,
            target=self.target,
            value=self.value,
            token=reply.token,
            on_reply=lambda _: settle(None),
            on_error=settle,
            group=self._group,
        )

    def _finish(self, error: MeadowError | None) -> None:
        if self.done:
            return
        self.done = True
        self._waiting.clear()
        self._group.cancel()
        self.node.query_ended(self)
        self._on_done(error)


class _Visit:
    """One node being asked; remembers whether it already counted as slow."""

    __slots__ = ("_node", "_query", "_slow")

    def __init__(self, query: Query, node: bytes) -> None:
        self._query = query
        self._node = node
        self._slow = False

    def is_slow(self) -> None:
        self._slow = True
        self._query.slow(1)

    def replied(self, reply: Reply) -> None:
        self._leave()
        self._query.replied(reply)

    def failed(self, error: MeadowError) -> None:
        self._leave()
        self._query.failed(error, self._node)

    def _leave(self) -> None:
        self._query.left_flight()
        if self._slow:
            self._query.slow(-1)


def _nothing(_: object) -> None:
    pass
