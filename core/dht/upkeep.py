"""Keeping the routing table true: who is heard from, who is asked whether they live, who is replaced.

Source: dht-rpc 6.27.0 `_addNodeFromNetwork`, `_onfullrow`, `_repingAndSwap`, `_check`, `_pingSome`, `_ontick`. Time
is counted in ticks of five seconds; a tick that comes much too late means that the machine slept.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from itertools import islice
from typing import TYPE_CHECKING

from ..errors import MeadowError, RequestTimeout
from .address import Address
from .commands import (
    MAX_CHECKS,
    MAX_SWAPS,
    OLD_NODE_TICKS,
    RECENT_NODE_TICKS,
    REFRESH_TICKS,
    SLEEPING_SECONDS,
    TICK_SECONDS,
)
from .events import Event
from .health import Health
from .outgoing import Reply
from .peer_id import peer_id
from .table import K, RoutingTable, TableNode

if TYPE_CHECKING:
    from .node import DhtNode


class Upkeep:
    """Belongs to one node and changes its `table`."""

    def __init__(self, node: DhtNode) -> None:
        self.next_tick: float | None = None
        self._node = node
        # Random, so that nodes started together do not tick together.
        self._tick = 50 + node.random(1)[0] % 50
        self._refresh_in = 30 + node.random(1)[0] % 30
        self._last_tick = node.now
        self._by_age: OrderedDict[bytes, TableNode] = OrderedDict()  # least recently heard from first
        self._checks = 0
        self._swaps = 0

    def start(self, now: float) -> None:
        self._last_tick = now
        self.next_tick = now + TICK_SECONDS

    # --- nodes in and out ---------------------------------------------------------------------

    def add_known(self, address: Address) -> None:
        """A node from an earlier run; nobody has vouched for it yet."""
        self._add(TableNode.at(address))

    def known(self, limit: int | None = None) -> list[Address]:
        return [node.address for node in islice(reversed(self._by_age.values()), limit)]

    def heard(self, id: bytes, address: Address, to: Address | None = None) -> None:
        """A datagram with a valid id. `to` is how they see us, if that may be believed (see `Reachability`)."""
        node = self._node.table.get(id)
        if node is None:
            if not self._node.may_visit(address, address):
                return
            node = TableNode.at(address)
            self._add(node)
            if id not in self._by_age:
                return
        elif to is not None and node.sampled and self._tick - node.sampled < OLD_NODE_TICKS:
            to = None  # its opinion has been counted
        node.pinged = node.seen = self._tick
        self._by_age.move_to_end(id)
        if to is not None:
            node.sampled = self._tick
            self._node.reachability.sample(to)

    def _add(self, node: TableNode) -> None:
        if node.id == self._node.table.id or node.id in self._by_age:
            return
        node.added = node.pinged = node.seen = self._tick
        if not self._node.table.add(node):
            self._row_is_full(node)
            return
        self._by_age[node.id] = node

    def forget(self, id: bytes) -> None:
        self._node.table.remove(id)
        self._by_age.pop(id, None)

    def move_to(self, id: bytes) -> None:
        """Rebuild the table around a new id of ours."""
        node = self._node
        if node.table.id == id:
            return
        old = list(node.table.nodes())
        node.table = RoutingTable(id)
        for known in old:
            if known.id == id or not node.table.add(known):
                self._by_age.pop(known.id, None)
        if node.bootstrapped:
            node.refresh()

    def random_id(self) -> bytes:
        """Of somebody we know; our own when we know nobody."""
        ids = list(self._by_age)
        if not ids:
            return self._node.table.id
        return ids[int.from_bytes(self._node.random(4), "little") % len(ids)]

    # --- asking whether they live -------------------------------------------------------------

    def _row_is_full(self, newcomer: TableNode) -> None:
        """Old nodes that live are worth more than new ones: ask the least recently asked, replace it if it is gone."""
        node = self._node
        if not node.bootstrapped or node.closed or node.suspended or self._swaps >= MAX_SWAPS:
            return
        candidates = [known for known in node.table.row_of(newcomer) if known.pinged != self._tick]
        if not candidates:
            return
        oldest = min(candidates, key=lambda known: (known.pinged, known.added))
        recently_asked = self._tick - oldest.pinged < RECENT_NODE_TICKS
        if recently_asked and self._tick - oldest.added > OLD_NODE_TICKS:
            return
        self._swaps += 1

        def settled(alive: bool) -> None:
            self._swaps -= 1
            if not alive:
                self.forget(oldest.id)
                self._add(newcomer)

        self._ask(oldest, settled)

    def hinted(self, address: Address) -> None:
        """Somebody says this node is down. Not believed, but checked."""
        node = self._node.table.get(peer_id(address))
        if node is None or self._checks >= MAX_CHECKS:
            return
        if node.pinged < self._tick or node.down_hints == 0:
            node.down_hints += 1
            self._check(node)

    def _check(self, node: TableNode) -> None:
        self._checks += 1

        def settled(alive: bool) -> None:
            self._checks -= 1
            if not alive:
                self.forget(node.id)

        self._ask(node, settled)

    def _ask(self, node: TableNode, settled: Callable[[bool], None]) -> None:
        """Ping; alive is who answered with its own id (an answer without it comes from somebody else by now)."""
        node.pinged = self._tick
        answered = node.seen

        def replied(reply: Reply) -> None:
            settled(reply.id == node.id or node.seen > answered)

        def failed(error: MeadowError) -> None:
            settled(not isinstance(error, RequestTimeout))

        self._node.ping(node.address, on_reply=replied, on_error=failed)

    # --- the clock ----------------------------------------------------------------------------

    def postpone_refresh(self) -> None:
        self._refresh_in = REFRESH_TICKS

    def tick(self, now: float) -> None:
        node = self._node
        if now - self._last_tick > SLEEPING_SECONDS:
            self.woke_up(now)
        else:
            self._tick += 1
        self._last_tick = now
        self.next_tick = now + TICK_SECONDS
        if not node.bootstrapped:
            return
        node.reachability.tick()
        if self._tick % 8 == 0:
            self._ping_some()
        self._refresh_in -= 1
        if self._refresh_in <= 0 or (self._tick % 64 == 0 and len(node.table) < K):
            node.refresh()
        before = node.health.state
        if node.health.update(node.requests.responses, node.requests.timeouts) is not before:
            node.tell(Event.HEALTH_CHANGED)

    def woke_up(self, now: float) -> None:
        """Everything looks old, a series of pings follows in two ticks and a refresh with the next."""
        node = self._node
        self._tick += 2 * OLD_NODE_TICKS
        self._tick += 8 - self._tick % 8 - 2
        self._refresh_in = 1
        self._last_tick = now
        self.next_tick = now + TICK_SECONDS
        was_online = node.health.state is Health.ONLINE
        node.health.reset()
        if not was_online:
            node.tell(Event.HEALTH_CHANGED)
        node.reachability.woke_up()
        node.tell(Event.WOKE_UP)

    def _ping_some(self) -> None:
        if not self._by_age:
            self._node.refresh()  # a tiny network: ask the bootstrap nodes again
            return
        count = 3 if len(self._node.requests) > 2 else 5
        oldest = next(iter(self._by_age.values()))
        if self._tick - oldest.pinged < RECENT_NODE_TICKS:
            count = 2
        for node in list(islice(self._by_age.values(), count)):
            if node.pinged != self._tick:
                self._check(node)
