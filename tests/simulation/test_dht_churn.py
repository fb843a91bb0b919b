"""A network where a third of the nodes leaves every minute, without a word, and as many are born.

Some of its members are servers, kept findable by their key, and some have joined a topic that nobody else is in: the
real announcer, swarm discovery and storing nodes. Others, just born or long there, look for them. All of it is one
seed: a failure repeats.
"""

from __future__ import annotations

import gc
import weakref
from dataclasses import dataclass
from random import Random

import pytest

from core.crypto.hashing import hash32
from core.crypto.keys import KeyPair, key_pair
from core.dht.announcer import Announcer
from core.dht.commands import CLIENT, SERVER
from core.dht.hyper_commands import FIND_PEER, LOOKUP
from core.dht.outgoing import Reply
from core.dht.peer_id import distance, peer_id
from core.dht.query import Query
from core.dht.records import decode_lookup_reply
from core.errors import MeadowError, RequestCancelled, TooFewNodes
from core.swarm.actions import Action, StartQuery
from core.swarm.discovery import Discovery
from core.swarm.queries import Queries
from core.swarm.topics import Query as TopicQuery
from core.swarm.topics import TopicSession
from tests.support.dht_network import Host, SimulatedNetwork

KEEP = 9  # a user command: keeps who announced a target, and says so

NODES = 200
QUIET_MINUTES = 4  # nobody counts yet: the records are young
MINUTES = 8
SERVERS = 12
TOPICS = 12
LOOKUPS_A_DEATH = 2


@dataclass
class Counts:
    lookups: int = 0
    found: int = 0
    complete: int = 0  # closest replies, of the 20 that a node knowing everybody would name


class Member:
    """A host that joined `topic`, with what renews its record."""

    def __init__(self, net: SimulatedNetwork, host: Host) -> None:
        self.net = net
        self.host = host
        self.keys = key_pair(net.random.randbytes(32))
        self.topic = net.random.randbytes(32)
        self.announced = False
        self._out: list[Action] = []
        self._queries = Queries(
            host.node, self.keys, relay_addresses=lambda: (), on_peer=lambda *_: None, on_done=self._done
        )
        self._discovery = Discovery(
            self._out,
            Random(net.random.getrandbits(32)),
            is_linked=lambda key: False,
            refreshes_done=lambda flush: None,
        )
        self._discovery.listening()
        topic = self._discovery.topic(self.topic)
        TopicSession(topic, self._discovery.refresh, self._discovery.leave).refresh(server=True, client=False)
        self._act()

    def _act(self) -> None:
        while self._out:
            action = self._out.pop(0)
            assert isinstance(action, StartQuery)
            self._queries.start(action.query)
        due = self._discovery.deadline()
        if due is not None:
            self.net.at(due, self._on_timer)

    def _done(self, query: TopicQuery, closest: bytes, error: str | None) -> None:
        if self.host.alive:
            self.announced = self.announced or error is None
            self._discovery.done(query, closest, error, self.net.now)
            self._act()

    def _on_timer(self) -> None:
        if self.host.alive:
            self._discovery.on_timer(self.net.now)
            self._act()


class Churn:
    """Births and deaths at a steady rate, and lookups that are counted."""

    def __init__(self, seed: int, *, loss: float) -> None:
        self.net = SimulatedNetwork(seed, loss=loss)
        self.by_key = Counts()
        self.by_topic = Counts()
        self.servers: dict[Host, tuple[KeyPair, Announcer]] = {}
        self.members: dict[Host, Member] = {}

    def settle(self) -> None:
        for _ in range(NODES):
            self.net.add_world()
            self.net.run(0.2)
        self.net.run(10)
        for _ in range(SERVERS):
            self.serve()
        for _ in range(TOPICS):
            self.join()
        self.net.run(10)

    def serve(self) -> None:
        host = self.net.random.choice([one for one in self.net.living if one not in self.servers])
        keys = key_pair(self.net.random.randbytes(32))
        assert host.world is not None
        announcer = Announcer(host.world, keys)
        self.servers[host] = keys, announcer
        announcer.start()

    def join(self) -> None:
        host = self.net.random.choice([one for one in self.net.living if one not in self.members])
        self.members[host] = Member(self.net, host)

    def one_dies_and_one_is_born(self) -> None:
        victim = self.net.random.choice(self.net.living)
        self.net.kill(victim)
        if self.servers.pop(victim, None) is not None:
            self.serve()
        if self.members.pop(victim, None) is not None:
            self.join()
        self.net.add_world(
            behind_nat=self.net.random.random() < 0.2, ephemeral=self.net.random.choice([False, False, True])
        )

    def look_up(self) -> None:
        """Somebody looks for a server, and for a topic's member: each has announced itself and is alive."""
        asking = self.net.random.choice(self.net.living)
        servers = [host for host, (_, announcer) in self.servers.items() if announcer.relays]
        members = [host for host, member in self.members.items() if member.announced]
        if asking.node.bootstrapped and servers and members:
            self._find_server(asking, self.net.random.choice(servers))
            self._find_member(asking, self.net.random.choice(members))

    def _find_server(self, asking: Host, host: Host) -> None:
        """Found: some node passes handshakes on to where the server really is."""
        keys, _ = self.servers[host]
        target = hash32(keys.public_key)
        found = False

        def replied(reply: Reply) -> None:
            nonlocal found
            keeper = self.net.hosts.get(reply.address[0])
            if reply.value is not None and keeper is not None and keeper.world is not None:
                way = keeper.world.router.relay_for(target)
                found = found or (way is not None and way[0] == host.name)

        def done(error: MeadowError | None) -> None:
            self._count(self.by_key, query, host, found, error)

        query = asking.node.query(target, FIND_PEER, on_reply=replied, on_done=done)

    def _find_member(self, asking: Host, host: Host) -> None:
        member = self.members[host]
        found = False

        def replied(reply: Reply) -> None:
            nonlocal found
            if reply.value is not None:
                peers, _ = decode_lookup_reply(reply.value)
                found = found or any(peer.public_key == member.keys.public_key for peer in peers)

        def done(error: MeadowError | None) -> None:
            self._count(self.by_topic, query, host, found, error)

        query = asking.node.query(member.topic, LOOKUP, on_reply=replied, on_done=done)

    def _count(
        self, counts: Counts, query: Query, host: Host, found: bool, error: MeadowError | None
    ) -> None:
        if error is not None or not host.alive:
            return  # one of the two has died meanwhile
        counts.lookups += 1
        counts.found += found
        everybody = [other for other in self.net.living if not other.node.ephemeral]
        nearest = sorted(everybody, key=lambda other: distance(peer_id(other.address), query.target))[:20]
        named = set(query.closest_nodes)
        counts.complete += sum(other.address in named for other in nearest)


@pytest.mark.slow
@pytest.mark.parametrize(("seed", "loss"), [(1, 0.02)])
def test_lookups_survive_churn(seed: int, loss: float) -> None:
    churn = Churn(seed, loss=loss)
    churn.settle()
    deaths_a_minute = NODES // 3
    for number in range((QUIET_MINUTES + MINUTES) * deaths_a_minute):
        churn.one_dies_and_one_is_born()
        for _ in range(LOOKUPS_A_DEATH if number >= QUIET_MINUTES * deaths_a_minute else 0):
            churn.look_up()
        churn.net.run(60 / deaths_a_minute)
    churn.net.run(15)
    for counts in (churn.by_key, churn.by_topic):
        assert counts.lookups > 900, "enough for one in a hundred to mean something"
        assert counts.found >= 0.99 * counts.lookups, counts
        assert counts.complete >= 0.9 * 20 * counts.lookups, counts
    no_table_is_a_graveyard(churn)
    nothing_is_left(churn)


def no_table_is_a_graveyard(churn: Churn) -> None:
    """What is known is mostly alive."""
    known = [address[0] for host in churn.net.living for address in host.node.known_nodes()]
    alive = sum(name in churn.net.hosts for name in known)
    assert len(known) - alive < alive / 2


def nothing_is_left(churn: Churn) -> None:
    """All of them close; the network's own list of events runs empty, and nobody is held by anything."""
    net = churn.net
    gone = [weakref.ref(host.node) for host in net.living]
    for host in net.living:
        net.kill(host)
    churn.servers.clear()
    churn.members.clear()
    net.run(30 * 60)
    del host
    gc.collect()
    assert net.events == 0
    assert [node for node in gone if node() is not None] == []


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


@pytest.mark.parametrize("answers", [True, False])
def test_a_short_first_walk_waits_a_moment_for_the_proof_that_we_are_reachable(answers: bool) -> None:
    """On loopback a walk of five nodes is over before the answer to the other socket is read."""
    net = SimulatedNetwork(11, delay=(0.001, 0.001))
    for _ in range(6):
        net.add()
        net.run(1)
    host = net.add(firewalled=True, ephemeral=True, behind_nat=not answers)
    start = net.now
    net.run(10, lambda: host.node.bootstrapped)
    assert host.node.firewalled is not answers
    assert net.now - start < 0.5


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
