"""Swarms in a world of one seed: who shares a topic gets connected, once, whatever happens on the way."""

from __future__ import annotations

import tracemalloc
from collections import Counter
from random import Random

import pytest

from tests.support.swarms import Host, World

MINUTE = 60.0


def topic_of(number: int) -> bytes:
    return number.to_bytes(32, "big")


def assert_one_wire_each(world: World) -> None:
    """Both ends of every connection agree that it is the one."""
    for host in world.hosts.values():
        if not host.up:
            continue
        for key, link in host.connected.items():
            other = world.hosts[key]
            assert other.connected[host.key].user is link.user
            assert host.swarm.links.get(key) is link


@pytest.mark.parametrize("seed", range(12))
def test_everybody_who_shares_a_topic_is_connected_after_any_amount_of_trouble(seed: int) -> None:
    """Crashes, restarts, suspended and resumed machines, failing queries, leaving and joining; then half an hour
    of peace."""
    world = World(seed, query_failures=0.1)
    random = Random(seed)
    hosts = [world.host() for _ in range(8)]
    topics = [topic_of(number) for number in range(4)]
    roles: dict[Host, dict[bytes, tuple[bool, bool]]] = {host: {} for host in hosts}

    def join(host: Host, topic: bytes) -> None:
        server = random.random() < 0.7
        client = not server or random.random() < 0.8
        roles[host][topic] = (server, client)
        host.swarm.leave(topic)
        host.swarm.join(topic, server=server, client=client)
        host.act()

    def trouble(host: Host) -> None:
        if not host.up:
            host.start()
            for topic, (server, client) in roles[host].items():
                host.swarm.join(topic, server=server, client=client)
        elif host.swarm.suspended:
            host.swarm.resume(world.now)
        else:
            match random.randrange(6):
                case 0:
                    host.crash()
                case 1:
                    host.swarm.suspend()
                case 2:
                    for link in list(host.connected.values()):
                        host.close(link, "cable pulled")
                case 3:
                    topic = random.choice(topics)
                    host.swarm.leave(topic)
                    roles[host].pop(topic, None)
                case 4:
                    join(host, random.choice(topics))
                case 5:
                    host.swarm.network_changed(world.now)
        host.act()

    for host in hosts:
        for topic in random.sample(topics, 2):
            join(host, topic)
    for _ in range(40):
        world.run(random.uniform(0.0, MINUTE))
        trouble(random.choice(hosts))
    for host in hosts:
        if not host.up or host.swarm.suspended:
            trouble(host)
    world.query_failures = 0.0
    world.run(30 * MINUTE)

    assert_one_wire_each(world)
    for host in hosts:
        for topic, (_, client) in roles[host].items():
            for other in hosts:
                server, _ = roles[other].get(topic, (False, False))
                if other is not host and client and server:
                    assert other.key in host.connected
        assert host.most_dials <= 3
        for topic in topics:
            is_server = roles[host].get(topic, (False, False))[0]
            assert (host.key in world.stored(topic)) == is_server


@pytest.mark.parametrize("seed", range(40))
def test_two_that_dial_each_other_at_once_keep_the_same_connection(seed: int) -> None:
    world = World(seed)
    one, other = world.host(), world.host()
    for host in (one, other):
        host.swarm.join(topic_of(1), client=False)
        host.act()
    world.run(5.0)
    for host, peer in ((one, other), (other, one)):
        host.swarm.join_peer(peer.key, world.now)
        host.act()
    world.run(1.0)  # sooner than any retry
    assert one.dials == other.dials == 1
    assert one.connected[other.key].user is other.connected[one.key].user
    before = one.connected[other.key]
    world.run(MINUTE)
    assert one.connected[other.key] is before, "a connection that both kept must stay"


@pytest.mark.parametrize("seed", range(10))
def test_a_peer_that_lost_its_connection_gets_a_new_one_at_once(seed: int) -> None:
    """The survivor still believes in the old connection; the returning peer dials, and that shows it is dead."""
    world = World(seed)
    one, other = world.host(), world.host()
    one.swarm.join(topic_of(1), client=False)
    one.act()
    world.run(5.0)
    other.swarm.join(topic_of(1), server=False)
    other.act()
    world.run(5.0)
    assert other.key in one.connected
    old = one.connected[other.key]
    other.crash()
    other.start()
    other.swarm.join(topic_of(1), server=False)
    other.act()
    world.run(4.0)
    assert one.key in other.connected
    assert one.connected[other.key] is not old
    assert_one_wire_each(world)


def test_a_dead_peer_costs_a_bounded_number_of_dials() -> None:
    """It is in a thousand topics, and found again with every lookup of each of them."""
    world = World(7)
    seeker = world.host()
    dead = bytes(32)
    for number in range(1000):
        world.records[topic_of(number)][dead] = world.now + 3600.0
        seeker.swarm.join(topic_of(number), server=False)
    seeker.act()
    world.run(30 * MINUTE)
    assert seeker.dials <= 30 * MINUTE / 15.0


def test_ten_thousand_topics_in_one_process() -> None:
    """Few queries at a time, a bounded load at every moment, no record that expires, little memory."""
    count = 10_000
    tracemalloc.start()
    world = World(3)
    host = world.host()
    before, _ = tracemalloc.get_traced_memory()
    for number in range(count):
        host.swarm.join(topic_of(number))
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (after - before) / count < 2_000, "bytes for a joined topic"
    host.act()
    world.run(45 * MINUTE)
    assert host.most_queries <= 64

    times: dict[bytes, list[float]] = {}
    for at, key in host.announces:
        times.setdefault(key, []).append(at)
    assert len(times) == count
    longest = max(
        b - a for announced in times.values() for a, b in zip(announced, announced[1:], strict=False)
    )
    assert longest < 14 * MINUTE, "records are kept for 13 to 27 minutes"
    assert world.now - min(announced[-1] for announced in times.values()) < 14 * MINUTE
    per_minute = Counter(int((at - 1000.0) // MINUTE) for at, _ in host.announces)
    renewing = [per_minute[minute] for minute in range(15, 44)]
    assert max(renewing) < 2.5 * sum(renewing) / len(renewing), "renewals are spread over the cycle"
