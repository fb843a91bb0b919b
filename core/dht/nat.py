"""What kind of NAT one socket is behind, judged by how several nodes see it.

A NAT that gives one socket the same outside port for everybody is *consistent*: the port that one node saw is good
for another peer. One that takes a new port for each destination is *random*: only the host is known. Three or four
samples decide. Source: hyperdht 6.34.0 `lib/nat.js`.
"""

from __future__ import annotations

from typing import Final

from .address import Address
from .asking import ping
from .commands import Socket
from .flow import Outcome
from .hyper_commands import CONSISTENT, OPEN, RANDOM, UNKNOWN
from .outgoing import Reply, RequestGroup
from .world import World

MIN_SAMPLES: Final = 4
ENOUGH_NODES: Final = 8
NEWEST_NODES: Final = 5
_HITS_OF_CONSISTENT: Final = 3


class NatSamples:
    """The judgement alone: `firewall` is one of UNKNOWN, OPEN, CONSISTENT, RANDOM."""

    __slots__ = ("_from", "_full", "_hosts", "addresses", "count", "firewall", "frozen", "is_open")

    def __init__(self, is_open: bool) -> None:
        self.is_open = is_open
        self.firewall = OPEN if is_open else UNKNOWN
        self.addresses: tuple[Address, ...] | None = None
        self.count = 0
        self.frozen = False
        self._hosts: dict[str, int] = {}
        self._full: dict[Address, int] = {}
        self._from: set[Address] = set()

    def add(self, to: Address, seen_by: Address) -> bool:
        """One node's view of us; False when that node was counted before."""
        if seen_by in self._from:
            return False
        self._from.add(seen_by)
        self.count += 1
        self._hosts[to[0]] = self._hosts.get(to[0], 0) + 1
        self._full[to] = self._full.get(to, 0) + 1
        if (self.count >= _HITS_OF_CONSISTENT or self.is_open) and not self.frozen:
            self._judge()
        return True

    def _judge(self) -> None:
        self.firewall = self._firewall()
        by_hits = sorted(self._full, key=lambda address: -self._full[address])
        if self.firewall == CONSISTENT:
            self.addresses = tuple(
                address for number, address in enumerate(by_hits) if number < 2 or self._full[address] >= 2
            )
        elif self.firewall == RANDOM:
            self.addresses = ((max(self._hosts, key=lambda host: self._hosts[host]), 0),)
        elif self.firewall == UNKNOWN:
            self.addresses = None

    def _firewall(self) -> int:
        if self.is_open:
            return OPEN
        hits = sorted(self._full.values(), reverse=True)
        if hits[0] >= _HITS_OF_CONSISTENT:
            return CONSISTENT
        if hits[0] == 1:
            return RANDOM
        # Two agree. One host and a fourth sample that does not fit: ports come and go.
        if len(self._hosts) == 1 and self.count > _HITS_OF_CONSISTENT:
            return RANDOM
        # Two hosts, each seen twice at one port: two ways out of one network.
        if len(self._hosts) > 1 and hits[1] > 1:
            return CONSISTENT
        return RANDOM if self.count > MIN_SAMPLES else self.firewall


class Nat:
    """Takes samples for one socket by pinging nodes from it. `analyzed` is set once they are enough, or none come."""

    def __init__(self, world: World, socket: Socket) -> None:
        self.samples = NatSamples(not world.node.firewalled)
        self.analyzed: Outcome[None] = Outcome()
        self._world = world
        self._socket = socket
        self._group = RequestGroup()
        self._asked: set[Address] = set()
        self._missing = 0
        self._second_time = False
        self._sample()

    @property
    def firewall(self) -> int:
        return self.samples.firewall

    @property
    def addresses(self) -> tuple[Address, ...] | None:
        return self.samples.addresses

    def freeze(self) -> None:
        """The verdict was told to the peer: it stays."""
        self.samples.frozen = True

    def add(self, to: Address, seen_by: Address) -> None:
        samples = self.samples
        if samples.add(to, seen_by) and (
            samples.count >= MIN_SAMPLES or samples.firewall in (CONSISTENT, OPEN)
        ):
            self.analyzed.set(None)

    def close(self) -> None:
        self.analyzed.set(None)
        self._group.cancel()

    def _sample(self) -> None:
        """Ping four nodes once each. Not the newest, when there are others: they may be here for our sake."""
        known = self._world.node.known_nodes(4 * ENOUGH_NODES)
        candidates = known[NEWEST_NODES:] if len(known) >= ENOUGH_NODES else known
        chosen = [address for address in candidates if address not in self._asked]
        chosen = chosen[: MIN_SAMPLES - self.samples.count]
        self._asked.update(chosen)
        self._missing = len(chosen)
        for address in chosen:
            outcome = ping(self._world.node, address, socket=self._socket, retries=0, group=self._group)
            outcome.when_done(self._answered)
        if not chosen:
            self._finish()

    def _answered(self, outcome: Outcome[Reply]) -> None:
        if outcome.error is None:
            reply = outcome.result()
            self.add(reply.to, reply.address)
        self._missing -= 1
        if self._missing == 0:
            self._finish()

    def _finish(self) -> None:
        if self.analyzed.done:
            return
        if self.samples.count < MIN_SAMPLES and not self._second_time:
            self._second_time = True
            self._sample()
        else:
            self.analyzed.set(None)
