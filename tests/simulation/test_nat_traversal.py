"""Peers behind every pair of NATs meet, or learn why not, in a simulated Internet that drops what NATs drop."""

from __future__ import annotations

from typing import Any

import pytest

from core.crypto.keys import KeyPair, key_pair
from core.dht.announcer import Announcer
from core.dht.connect import Connecting, ConnectOptions
from core.dht.hyper_commands import CONSISTENT, FIND_PEER, OPEN, RANDOM
from core.dht.nat import Nat
from core.dht.query import Query
from core.dht.server import Server
from core.dht.world import Meeting
from core.errors import MeadowError
from tests.support.nat_internet import Household, Internet, Kind

SERVER = key_pair(bytes(range(32)))
HELLO = b"hello "
WORDS = b"through the wall"


class Talk:
    """A server, a client that looks for it, and what each saw."""

    def __init__(self, internet: Internet, server: Household, client: Household) -> None:
        self.internet = internet
        self.served: list[Meeting] = []
        self.met: Meeting | None = None
        self.failure: MeadowError | None = None
        self.at_client = b""
        self.server = Server(server.world, SERVER, on_meeting=self._serve)
        self.server.listen()
        internet.run(10, lambda: self.server.announced.done)
        assert len(self.server.announcer.relays) == 3
        self.connecting = self.connect(client)

    def connect(self, client: Household, keys: KeyPair | None = None) -> Connecting:
        connecting = Connecting(
            client.world,
            keys or key_pair(),
            SERVER.public_key,
            ConnectOptions(),
            on_meeting=self._meet,
            on_failure=self._fail,
        )
        connecting.start()
        return connecting

    def _serve(self, meeting: Meeting) -> None:
        self.served.append(meeting)
        meeting.stream.on_data = lambda data: meeting.stream.write(data) and None
        meeting.stream.on_close = lambda _: meeting.ended()
        meeting.stream.resume()
        meeting.stream.write(HELLO)  # as the header of a secret stream, which each side sends at once

    def _meet(self, meeting: Meeting) -> None:
        self.met = meeting

        def received(data: bytes) -> None:
            self.at_client += data

        meeting.stream.on_data = received
        meeting.stream.on_close = lambda _: meeting.ended()
        meeting.stream.resume()
        meeting.stream.write(WORDS)

    def _fail(self, error: MeadowError) -> None:
        self.failure = error

    @property
    def over(self) -> bool:
        return self.failure is not None or self.at_client == HELLO + WORDS


def internet_of(seed: int, nodes: int = 12) -> Internet:
    internet = Internet(seed)
    for _ in range(nodes):
        internet.add("none")
        internet.run(3)
    assert all(one.node.id is not None for one in internet.households)
    return internet


def talk(seed: int, server: Kind, client: Kind) -> Talk:
    internet = internet_of(seed)
    households = internet.add(server), internet.add(client)
    internet.run(10)
    conversation = Talk(internet, *households)
    internet.run(90, lambda: conversation.over)
    return conversation


@pytest.mark.parametrize(
    ("server", "client", "how"),
    [
        ("none", "none", "direct"),
        ("none", "consistent", "direct"),
        ("none", "random", "direct"),
        ("consistent", "none", "direct"),
        ("random", "none", "direct"),
        ("consistent", "consistent", "punched"),
        ("consistent", "random", "punched"),
        ("random", "consistent", "punched"),
    ],
)
def test_they_meet(server: Kind, client: Kind, how: str) -> None:
    conversation = talk(7, server, client)
    assert conversation.failure is None
    assert conversation.met is not None
    assert conversation.at_client == HELLO + WORDS
    assert conversation.met.how == how
    assert len(conversation.served) == 1


def test_two_random_nats_are_told_so_at_once() -> None:
    conversation = talk(3, "random", "random")
    assert conversation.met is None
    assert "only a relay can connect them" in str(conversation.failure)
    assert conversation.internet.now < 80


def test_nothing_is_kept_afterwards() -> None:
    conversation = talk(5, "consistent", "consistent")
    assert conversation.met is not None
    conversation.met.stream.destroy()
    internet = conversation.internet
    internet.run(40)
    for household in internet.households:
        assert household.probes == {}, "no punch socket waits for a probe any more"
        assert household.world.server_punches == 0
    assert conversation.server._handshakes == {}
    assert conversation.server._by_id == {}


@pytest.mark.parametrize(
    ("kind", "verdict"), [("none", OPEN), ("consistent", CONSISTENT), ("random", RANDOM)]
)
def test_verdict_about_a_nat(kind: Kind, verdict: int) -> None:
    internet = internet_of(1)
    household = internet.add(kind)
    internet.run(10)
    nat = Nat(household.world, household.open_socket(lambda _: None))
    internet.run(5, lambda: nat.analyzed.done)
    assert nat.analyzed.done
    assert nat.firewall == verdict


def test_one_random_punch_at_a_time() -> None:
    """The second client is told to try later, and the first is not disturbed."""
    internet = internet_of(9)
    server, first, second = internet.add("consistent"), internet.add("random"), internet.add("random")
    internet.run(10)
    conversation = Talk(internet, server, first)
    internet.run(60, lambda: server.world.random_punches.allowed is False)
    met = conversation.met
    assert met is None
    late = Talk.__new__(Talk)
    late.internet, late.failure, late.met, late.at_client = internet, None, None, b""
    late.connect(second)
    internet.run(90, lambda: conversation.over and late.failure is not None)
    assert conversation.failure is None
    assert "error 3" in str(late.failure)


def test_the_announcer_finds_other_relays_when_they_die() -> None:
    internet = internet_of(11)
    household = internet.add("consistent")
    internet.run(10)
    announcer = Announcer(household.world, SERVER)
    announcer.start()
    internet.run(10, lambda: announcer.announced.done)
    before = {info.relay_address for info in announcer.relays}
    assert len(before) == 3
    for address in before:
        dead = internet._open.pop(address[0])
        internet.households.remove(dead)
    internet.run(60)
    after = {info.relay_address for info in announcer.relays}
    assert len(after) == 3
    assert not after & before


def test_the_way_back_stays_open_for_hours() -> None:
    """NATs forget here what was silent for 30 seconds; the announcer's pings prevent it."""
    internet = internet_of(13, nodes=6)
    household = internet.add("consistent")
    client = internet.add("consistent")
    internet.run(10)
    conversation = Talk(internet, household, client)
    internet.run(20, lambda: conversation.over)
    assert conversation.met is not None
    conversation.met.stream.destroy()
    internet.run(1800)
    conversation.at_client = b""
    conversation.met = None
    conversation.connect(client)
    internet.run(20, lambda: conversation.over)
    assert conversation.at_client == HELLO + WORDS


def test_who_was_met_before_is_met_again_without_a_walk() -> None:
    internet = internet_of(15)
    household, client = internet.add("consistent"), internet.add("consistent")
    internet.run(10)
    conversation = Talk(internet, household, client)
    internet.run(20, lambda: conversation.over)
    assert conversation.met is not None
    conversation.met.stream.destroy()
    walks = spy_on_walks(client)
    conversation.at_client, conversation.met = b"", None
    conversation.connect(client)
    internet.run(20, lambda: conversation.over)
    assert conversation.at_client == HELLO + WORDS
    assert walks == []


def test_remembered_nodes_that_are_gone_cost_a_moment() -> None:
    internet = internet_of(17)
    household, client = internet.add("consistent"), internet.add("consistent")
    internet.run(10)
    conversation = Talk(internet, household, client)
    internet.run(20, lambda: conversation.over)
    assert conversation.met is not None
    conversation.met.stream.destroy()
    for address in client.world.relay_addresses.get(SERVER.public_key):
        internet.households.remove(internet._open.pop(address[0]))
    internet.run(60)  # the server finds others
    walks = spy_on_walks(client)
    conversation.at_client, conversation.met = b"", None
    conversation.connect(client)
    internet.run(30, lambda: conversation.over)
    assert conversation.at_client == HELLO + WORDS
    assert walks


def spy_on_walks(household: Household) -> list[bytes]:
    """The targets of walks that begin from now on."""
    walks: list[bytes] = []
    query = household.node.query

    def watched(target: bytes, command: int, *arguments: Any, **options: Any) -> Query:
        if command == FIND_PEER:
            walks.append(target)
        return query(target, command, *arguments, **options)

    household.node.query = watched  # type: ignore[method-assign]
    return walks
