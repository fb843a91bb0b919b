"""A network where a third of the nodes leaves every minute, without a word, and as many are born.

Ten topics are announced by nodes of it, and looked up by others that have just been born or long been there. All of
it is one seed: a failure repeats.
"""

from __future__ import annotations

import gc
import weakref
from dataclasses import dataclass

import pytest

from core.dht.commands import CLIENT, SERVER
from core.dht.incoming import IncomingRequest
from core.dht.peer_id import distance, peer_id
from core.errors import RequestCancelled, TooFewNodes
from tests.support.dht_network import Host, SimulatedNetwork

KEEP = 9  # a user command: keeps who announced a target, and says so

NODES = 200
MINUTES = 3
REANNOUNCE_SECONDS = 120.0


@dataclass
class Counts:
    lookups: int = 0
    found: int = 0
    complete: int = 0  # closest replies, of the 20 that a node knowing everybody would name


def keep_announcements(host: Host) -> None:
    kept: dict[bytes, bytes] = {}

    def handle(request: IncomingRequest) -> None:
        assert request.target is not None
        if request.value is not None and request.token is not None:
            kept[request.target] = request.value
        request.reply(kept.get(request.target))

    host.node.on_command(KEEP, handle)


class Churn:
    """Births and deaths at a steady rate, announcers that announce again, and lookups that are counted."""

    def __init__(self, seed: int, *, loss: float) -> None:
        self.net = SimulatedNetwork(seed, loss=loss)
        self.counts = Counts()
        self.topics: dict[bytes, Host] = {}

    def born(self, **options: object) -> Host:
        host = self.net.add(**options)
        keep_announcements(host)
        return host

    def settle(self) -> None:
        for _ in range(NODES):
            self.born()
            self.net.run(0.2)
        self.net.run(10)
        for _ in range(10):
            self.announce(self.net.random.randbytes(32), self.net.random.choice(self.net.living))
        self.net.run(5)

    def announce(self, topic: bytes, host: Host) -> None:
        def done(error: Exception | None) -> None:
            if error is None:
                self.topics[topic] = host

        host.node.query(topic, KEEP, host.name.encode(), commit=True, on_done=done)
        self.net.at(self.net.now + REANNOUNCE_SECONDS, lambda: self.announce_again(topic, host))

    def announce_again(self, topic: bytes, host: Host) -> None:
        if host.alive and self.topics.get(topic) is host:
            self.announce(topic, host)

    def one_dies_and_one_is_born(self) -> None:
        victim = self.net.random.choice(self.net.living)
        self.net.kill(victim)
        for topic, host in list(self.topics.items()):
            if host is victim:  # somebody else takes the topic over; the old records stay where they are
                del self.topics[topic]
                self.announce(topic, self.net.random.choice(self.net.living))
        self.born(
            behind_nat=self.net.random.random() < 0.2, ephemeral=self.net.random.choice([False, False, True])
        )

    def look_up(self) -> None:
        host = self.net.random.choice(self.net.living)
        topic, announcer = self.net.random.choice(list(self.topics.items()))
        if not host.node.bootstrapped:
            return
        seen: set[bytes | None] = set()
        expected = announcer.name.encode()

        def done(error: Exception | None) -> None:
            if isinstance(error, RequestCancelled) or not announcer.alive:
                return  # one of the two has died meanwhile
            self.counts.lookups += 1
            self.counts.found += expected in seen
            everybody = [other for other in self.net.living if not other.node.ephemeral]
            nearest = sorted(everybody, key=lambda other: distance(peer_id(other.address), topic))[:20]
            named = set(query.closest_nodes)
            self.counts.complete += sum(other.address in named for other in nearest)

        query = host.node.query(topic, KEEP, on_reply=lambda reply: seen.add(reply.value), on_done=done)


@pytest.mark.parametrize(("seed", "loss"), [(1, 0.02)])
def test_lookups_survive_churn(seed: int, loss: float) -> None:
    churn = Churn(seed, loss=loss)
    churn.settle()
    deaths_a_minute = NODES // 3
    for _ in range(MINUTES * deaths_a_minute):
        churn.one_dies_and_one_is_born()
        churn.look_up()
        churn.look_up()
        churn.net.run(60 / deaths_a_minute)
    churn.net.run(15)
    counts = churn.counts
    assert counts.lookups > MINUTES * deaths_a_minute
    assert counts.found >= 0.99 * counts.lookups, counts
    assert counts.complete >= 0.9 * 20 * counts.lookups, counts
    # Nobody's table has grown into a graveyard: what is known is mostly alive.
    alive = dead = 0
    for host in churn.net.living:
        for address in host.node.known_nodes():
            here = address[0] in churn.net.hosts
            alive += here
            dead += not here
    assert dead < alive / 2


def test_nothing_is_left_behind() -> None:
    """Whatever is under way when a node closes fails once, and neither a timer nor a reference holds the node."""
    net = SimulatedNetwork(3)
    for _ in range(30):
        net.add()
        net.run(0.5)
    host = net.add()
    net.run(5)
    errors: list[BaseException | None] = []
    node = host.node
    node.find_node(net.random.randbytes(32), on_done=errors.append)
    node.query(net.random.randbytes(32), KEEP, b"x", commit=True, on_done=errors.append)
    node.ping(("10.0.0.250", 1), on_reply=lambda reply: errors.append(None), on_error=errors.append)
    net.run(0.02)
    node.query(net.random.randbytes(32), KEEP, on_done=errors.append)  # this one has not even begun
    node.close()
    assert [type(error) for error in errors] == [RequestCancelled] * 4
    assert len(node.requests) == 0
    assert not node.active_queries
    assert node.deadline() is None
    for socket in (SERVER, CLIENT):
        node.receive(b"\x03\x04\x00\x00\x7f\x00\x00\x01\x00\x01\x00", ("10.0.0.1", 5), socket, net.now)
    assert node.datagrams_to_send(net.now) == []

    gone = weakref.ref(node)
    del net.hosts[host.name]
    host.alive = False
    net.run(120)  # every timer and every datagram that named it has passed
    del host, node
    gc.collect()
    assert gone() is None


def test_a_write_that_finds_nobody_fails() -> None:
    net = SimulatedNetwork(4)
    alone = net.add(bootstrap=[("10.9.9.9", 1)], ephemeral=True)
    net.run(30)
    outcome: list[BaseException | None] = []
    alone.node.query(bytes(32), KEEP, b"x", commit=True, on_done=outcome.append)
    net.run(30, lambda: bool(outcome))
    assert [type(error) for error in outcome] == [TooFewNodes]


def test_nodes_behind_a_nat_stay_firewalled_and_open_ones_become_persistent() -> None:
    net = SimulatedNetwork(5)
    for _ in range(12):
        net.add()
        net.run(1)
    hidden = net.add(behind_nat=True, ephemeral=None)
    adaptive = net.add(firewalled=True, ephemeral=None)
    net.run(60)
    assert (hidden.node.firewalled, hidden.node.ephemeral) == (True, True)
    assert (adaptive.node.firewalled, adaptive.node.ephemeral) == (False, True)
    assert adaptive.node.remote_address == adaptive.address
    net.run(21 * 60)  # 240 ticks without trouble
    assert adaptive.node.id == peer_id(adaptive.address)
    assert (hidden.node.firewalled, hidden.node.ephemeral) == (True, True)
    # The machine sleeps for an hour: nothing that it knew may be true any more.
    net.hosts.pop(adaptive.name)
    net.now += 3600
    net.hosts[adaptive.name] = adaptive
    adaptive.node.on_timer(net.now)
    assert adaptive.node.ephemeral


def test_the_whole_is_one_seed() -> None:
    """The same seed gives the same network, datagram by datagram."""

    def digest(seed: int) -> tuple[int, list[int]]:
        net = SimulatedNetwork(seed, loss=0.05)
        for _ in range(25):
            net.add()
            net.run(1)
        net.run(60)
        return net.delivered, [host.sent for host in net.living]

    assert digest(6) == digest(6)
    assert digest(6) != digest(7)
