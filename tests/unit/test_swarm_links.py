"""Which connection is kept, and who is refused one."""

from __future__ import annotations

from random import Random

import pytest

from core.swarm import (
    Ban,
    Connect,
    Destroy,
    Dial,
    Idle,
    KeepAlive,
    Link,
    Prove,
)
from tests.support.swarm_steps import NODES, OWN, dial_one, key, lookup, only, swarm_of


@pytest.mark.parametrize(("remote", "keeps_new"), [(1, False), (200, True)])
def test_of_two_that_dial_each_other_the_larger_key_keeps_its_dial(remote: int, keeps_new: bool) -> None:
    swarm = swarm_of()
    existing = dial_one(swarm, lookup(swarm), remote)
    incoming = Link(key(remote), is_client=False)
    swarm.incoming(incoming, 1.0)
    if not keeps_new:
        keep_alive, destroy = swarm.actions()
        assert keep_alive == KeepAlive(existing)
        assert isinstance(destroy, Destroy)
        assert destroy.link is incoming
        return
    (destroy,) = swarm.actions()
    assert isinstance(destroy, Destroy)
    assert destroy.link is existing
    swarm.link_closed(existing, 1.1)
    (connect,) = only(swarm, Connect)
    assert connect.link is incoming


@pytest.mark.parametrize("remote", [1, 200])
@pytest.mark.parametrize("dialed_by_us", [True, False])
def test_a_connection_in_use_is_replaced_only_by_one_that_proves_alive(
    remote: int, dialed_by_us: bool
) -> None:
    """The remote lost it and is back; or an overtaken, given up or replayed handshake, that says nothing more."""
    swarm = swarm_of()
    if dialed_by_us:
        existing = dial_one(swarm, lookup(swarm), remote)
        swarm.dial_opened(existing, 0.5)
        existing.exchanged = lambda: True
    else:
        existing = Link(key(remote), is_client=False)
        swarm.incoming(existing, 0.5)
    swarm.actions()
    silent, speaking = Link(key(remote), is_client=False), Link(key(remote), is_client=False)
    swarm.incoming(silent, 1.0)
    swarm.incoming(speaking, 1.0)
    assert swarm.actions() == [KeepAlive(existing), Prove(silent), KeepAlive(existing), Prove(speaking)]
    swarm.link_closed(silent, 2.0)
    assert swarm.links.get(key(remote)) is existing
    assert only(swarm, Destroy) == []
    swarm.proved(speaking, 2.0)
    (destroy,) = only(swarm, Destroy)
    assert destroy.link is existing
    swarm.link_closed(existing, 2.1)
    (connect,) = only(swarm, Connect)
    assert connect.link is swarm.links.get(key(remote)) is speaking


def test_one_that_proves_alive_when_the_old_one_has_gone_is_the_connection() -> None:
    swarm = swarm_of()
    existing, new = (Link(key(1), is_client=False) for _ in range(2))
    for link in (existing, new):
        swarm.incoming(link, 0.0)
    swarm.link_closed(existing, 1.0)
    swarm.proved(new, 1.1)
    assert [connect.link for connect in only(swarm, Connect)] == [existing, new]
    swarm.proved(new, 1.2)
    assert only(swarm, Destroy) == []


def test_the_unproved_are_few_and_end_with_the_swarm() -> None:
    swarm = swarm_of()
    existing = Link(key(1), is_client=False)
    swarm.incoming(existing, 0.0)
    replays = [Link(key(1), is_client=False) for _ in range(10)]
    for link in replays:
        swarm.incoming(link, 1.0)
    destroyed = [destroy.link for destroy in only(swarm, Destroy)]
    assert destroyed == replays[:6]
    for link in destroyed:
        swarm.link_closed(link, 1.0)
    swarm.suspend()
    destroyed = [destroy.link for destroy in only(swarm, Destroy)]
    assert set(destroyed) == {existing, *replays[6:]}
    for link in destroyed:
        swarm.link_closed(link, 1.0)
    assert only(swarm, Idle) == [Idle()]


def test_a_successor_that_died_meanwhile_does_not_surface() -> None:
    swarm = swarm_of()
    existing = dial_one(swarm, lookup(swarm), 200)
    incoming = Link(key(200), is_client=False)
    swarm.incoming(incoming, 1.0)
    swarm.link_closed(incoming, 1.0)
    swarm.actions()
    swarm.link_closed(existing, 1.1)
    assert only(swarm, Connect) == []
    assert key(200) not in swarm.links


def test_an_adopted_connection_ends_the_dial_under_way_and_is_the_one_from_then_on() -> None:
    swarm = swarm_of()
    query = lookup(swarm)
    dial = dial_one(swarm, query, 1)
    link = Link(key(1), is_client=False)
    assert swarm.adopt(link)
    assert [action.link for action in only(swarm, Destroy)] == [dial]
    swarm.link_closed(dial, 1.0)
    swarm.actions()
    assert swarm.links.get(key(1)) is link
    swarm.on_timer(60.0)
    swarm.found(query, key(1), NODES, 60.0)
    assert only(swarm, Dial) == []
    other = Link(key(1), is_client=False)
    assert not swarm.adopt(other), "an open connection stays the one"
    swarm.link_closed(link, 61.0)
    assert key(1) not in swarm.links


@pytest.mark.parametrize("seed", range(100))
def test_a_connection_that_came_by_an_address_never_has_to_prove_itself(seed: int) -> None:
    """Whatever happens around it. Each side answered the other's part of its handshake before it was adopted."""
    random = Random(seed)
    swarm = swarm_of()
    query = lookup(swarm)
    alive: list[Link] = []
    adopted: set[Link] = set()
    asked: set[Link] = set()

    def act() -> None:
        for action in swarm.actions():
            match action:
                case Dial(link):
                    alive.append(link)
                case Prove(link):
                    asked.add(link)

    for _ in range(400):
        now = random.random()  # the order of times does not matter to these rules
        remote = key(random.choice((1, 200)))
        link = random.choice(alive) if alive else None
        match random.randrange(8):
            case 0:
                swarm.found(query, remote, NODES, now)
            case 1:
                swarm.join_peer(remote, now)
            case 2:
                alive.append(Link(remote, is_client=False))
                swarm.incoming(alive[-1], now)
            case 3:
                new = Link(remote, is_client=False)
                if swarm.adopt(new):
                    alive.append(new)
                    adopted.add(new)
                    new.exchanged = lambda: True
            case 4 if link is not None and link.is_client:
                swarm.dial_opened(link, now)
                link.exchanged = lambda: True
            case 5 if link is not None and link not in adopted:
                swarm.proved(link, now)
            case 6 if link is not None:
                alive.remove(link)
                swarm.link_closed(link, now)
            case 7:
                swarm.on_timer(now + 1000.0)
        if random.random() < 0.7:  # else what was decided is done only after more has happened
            act()
    assert adopted
    assert asked
    assert not asked & adopted


def test_who_is_refused() -> None:
    refused = {key(7), key(8)}
    swarm = swarm_of(firewall=refused.__contains__)
    swarm.ban(key(5))
    assert swarm.refuses(OWN)
    assert swarm.refuses(key(5))
    assert swarm.refuses(key(7))
    assert not swarm.refuses(key(6))
    assert [action.key for action in only(swarm, Ban)] == [key(5), key(7)]
    assert key(7) not in swarm.peers, "strangers could fill the memory with refused keys"
    query = lookup(swarm)
    for number in (5, 7, 128):
        swarm.found(query, key(number), NODES, 0.0)
    assert only(swarm, Dial) == []


def test_servers_are_bounded() -> None:
    swarm = swarm_of(max_servers=2)
    for number in (1, 2, 3):
        swarm.incoming(Link(key(number), is_client=False), 0.0)
    connect, connect_too, destroy = swarm.actions()
    assert isinstance(connect, Connect)
    assert isinstance(connect_too, Connect)
    assert isinstance(destroy, Destroy)
