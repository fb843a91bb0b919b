"""The rules of a dht-rpc node, one by one, with a script for a network."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from core.dht.address import Address, encode_address, may_be_visited, parse_address
from core.dht.bootstrap import Bootstrap
from core.dht.commands import CLIENT, DOWN_HINT, FIND_NODE, PING, SERVER
from core.dht.health import Health, HealthWindow
from core.dht.messages import REQUEST, RequestMessage, decode_request, encode_request, encode_response
from core.dht.node import DhtNode
from core.dht.outgoing import Reply, RequestGroup
from core.dht.peer_id import distance, peer_id
from core.dht.rate import RateWindow
from core.dht.sampler import NatSampler
from core.dht.table import K
from core.errors import BadArgument, LocalProtocolError, MeadowError, RequestCancelled, RequestTimeout
from core.limits import MAX_DHT_REQUESTS, MAX_QUERY_VISITS

US = ("10.0.0.1", 49737)
LOOKUP = 3


class Script:
    """One node against a scripted world: `world(address)` gives the closer nodes, or None for no answer."""

    def __init__(self, world: Callable[[Address], list[Address] | None], **options: object) -> None:
        self.world = world
        self.now = 0.0
        self.sent: list[tuple[Address, RequestMessage]] = []
        self.node = DhtNode(random=random.Random(1).randbytes, **options)  # type: ignore[arg-type]

    def turn(self) -> list[tuple[Address, RequestMessage]]:
        """Send what is to be sent; returns it."""
        out = [
            (address, decode_request(data))
            for data, address, *_ in self.node.datagrams_to_send(self.now)
            if data[0] == REQUEST
        ]
        self.sent += out
        return out

    def answer(self, asked: list[tuple[Address, RequestMessage]]) -> None:
        for address, request in asked:
            closer = self.world(address)
            if closer is not None:
                data = encode_response(
                    request.tid,
                    US,
                    id=peer_id(address),
                    token=bytes(32),
                    closer_nodes=[encode_address(node) for node in closer],
                )
                self.node.receive(data, address, CLIENT, self.now)

    def step(self, seconds: float) -> None:
        self.now += seconds
        self.node.on_timer(self.now)

    def run(self, seconds: float = 30.0) -> None:
        """Answer everything at once, and let time pass when nobody speaks."""
        end = self.now + seconds
        while self.now < end:
            if asked := self.turn():
                self.answer(asked)
                continue
            due = self.node.deadline()
            if due is None or due > end:
                self.now = end
                return
            self.now = max(self.now, due)
            self.node.on_timer(self.now)


def places(count: int, start: int = 1) -> list[Address]:
    return [(f"10.1.{number // 250}.{number % 250}", 1000) for number in range(start, start + count)]


def nobody(_: Address) -> None:
    return None


def silent(_: Address) -> list[Address]:
    return []


# --- requests ---------------------------------------------------------------------------------


def test_a_request_is_sent_four_times_and_then_given_up() -> None:
    script = Script(nobody)
    failed: list[MeadowError] = []
    slow: list[float] = []
    script.node.request(places(1)[0], LOOKUP, on_error=failed.append, on_slow=lambda: slow.append(script.now))
    times = []
    for _ in range(60):
        if script.turn():
            times.append(round(script.now, 1))
        script.step(0.1)
    assert times == pytest.approx([0.0, 1.0, 2.0, 3.0], abs=0.11)
    assert [type(error) for error in failed] == [RequestTimeout]
    assert slow == pytest.approx([1.0], abs=0.11)
    assert script.node.requests.timeouts == 1
    assert script.node.requests.retried == 3
    assert len({request.tid for _, request in script.sent}) == 1


def test_the_first_of_two_answers_counts_and_a_stranger_may_give_it() -> None:
    """A relayed request is answered by somebody else; the round trip is measured from the first attempt."""
    script = Script(nobody)
    replies: list[Reply] = []
    script.node.request(places(1)[0], LOOKUP, on_reply=replies.append)
    ((_, request),) = script.turn()
    script.step(0.25)
    other = ("10.7.7.7", 7)
    for _ in range(2):
        script.node.receive(encode_response(request.tid, US, id=peer_id(other)), other, CLIENT, script.now)
    assert [(reply.address, reply.id, reply.rtt) for reply in replies] == [(other, peer_id(other), 0.25)]


def test_an_id_that_does_not_fit_its_address_is_no_id() -> None:
    script = Script(nobody)
    replies: list[Reply] = []
    script.node.request(places(1)[0], LOOKUP, on_reply=replies.append)
    ((address, request),) = script.turn()
    script.node.receive(encode_response(request.tid, US, id=bytes(32)), address, CLIENT, 0.1)
    assert replies[0].id is None
    assert len(script.node.table) == 0


def test_the_rate_window_holds_back_and_lets_go() -> None:
    script = Script(nobody)
    for address in places(300):
        script.node.request(address, LOOKUP, retries=0)
    sent = [len(script.turn())]
    for _ in range(8):
        script.step(0.75)
        sent.append(len(script.turn()))
    assert sent[:2] == [80, 80]
    assert sum(sent) == 300
    # Failed requests give their place back as answers do, so the rest follows within the timeouts.
    window = RateWindow()
    window.advance(0.0)
    for _ in range(80):
        window.sent()
    assert window.full
    window.answered()
    assert not window.full
    window.advance(10.0)
    assert not window.full


def test_a_group_ends_together_and_nothing_is_asked_after_the_end() -> None:
    script = Script(nobody)
    group = RequestGroup()
    ended: list[MeadowError] = []
    for address in places(3):
        script.node.request(address, LOOKUP, on_error=ended.append, group=group)
    assert len(group) == 3
    group.cancel()
    assert [type(error) for error in ended] == [RequestCancelled] * 3
    assert script.turn() == []
    script.node.suspend()
    with pytest.raises(LocalProtocolError, match="suspended"):
        script.node.ping(US)
    script.node.resume(1.0)
    script.node.close()
    with pytest.raises(LocalProtocolError, match="closed"):
        script.node.find_node(bytes(32))


def test_requests_beyond_the_limit_fail_and_do_not_pile_up() -> None:
    script = Script(nobody)
    errors: list[MeadowError] = []
    for _ in range(MAX_DHT_REQUESTS + 5):
        script.node.request(US, LOOKUP, on_error=errors.append)
    assert errors == []
    assert len(script.node.requests) == MAX_DHT_REQUESTS
    script.node.on_timer(0.1)
    assert [type(error) for error in errors] == [RequestCancelled] * 5


# --- queries ----------------------------------------------------------------------------------


def test_ten_are_asked_at_a_time_and_the_nearest_first() -> None:
    script = Script(silent, bootstrap=places(15))
    target = bytes(32)
    query = script.node.find_node(target)
    first = script.turn()
    nearest = sorted(places(15), key=lambda address: distance(peer_id(address), target))
    assert [address for address, _ in first] == nearest[:10]
    script.answer(first[:4])
    assert len(script.turn()) == 4
    script.run()
    assert query.done
    assert query.closest_nodes == nearest


def test_slow_nodes_make_room_for_others_and_are_reported_to_who_named_them() -> None:
    """Ten dead nodes cost one timeout, not one after another; those who named them are told."""
    guide, dead, alive = ("10.2.0.1", 1), places(10), places(5, 100)
    script = Script(
        lambda address: [*dead, *alive] if address == guide else ([] if address in alive else None)
    )
    script.node.upkeep.add_known(guide)
    outcome: list[MeadowError | None] = []
    query = script.node.find_node(peer_id(dead[0]), on_done=outcome.append)
    while not all(address in {visited for visited, _ in script.sent} for address in alive):
        script.answer(script.turn())
        script.step(0.05)
    assert script.now < 1.5
    script.run(20)
    assert outcome == [None]
    assert sorted(query.closest_nodes) == sorted([guide, *alive])
    hints = [(address, request.value) for address, request in script.sent if request.command == DOWN_HINT]
    assert sorted(hints) == sorted((guide, encode_address(address)) for address in dead)
    # Six attempts each, because a query is more patient than a plain request.
    assert sum(address == dead[0] for address, _ in script.sent) == 6


def test_a_walk_from_twenty_given_nodes_begins_modestly() -> None:
    script = Script(silent)
    query = script.node.query(bytes(32), LOOKUP, nodes=places(20))
    first = script.turn()
    assert len(first) == 10  # the first round is full; then three at a time until ten have answered
    script.answer(first[:1])
    assert script.turn() == []
    script.answer(first[1:7])
    assert script.turn() == []
    script.answer(first[7:8])
    assert len(script.turn()) == 1
    script.run()
    assert query.done
    assert query.successes == 20


def test_given_nodes_that_are_gone_lead_back_to_the_table() -> None:
    table = places(3, 200)
    script = Script(lambda address: [] if address in table else None, nodes=table)
    query = script.node.query(bytes(32), LOOKUP, nodes=places(20))
    script.run(60)
    assert query.done
    assert sorted(query.closest_nodes) == sorted(table)


def test_only_the_closest_given_nodes_are_asked_when_that_is_wanted() -> None:
    script = Script(lambda address: places(5, 300), nodes=places(4, 200), bootstrap=places(1, 400))
    given = places(3)
    query = script.node.query(bytes(32), LOOKUP, nodes=given, only_closest=True)
    script.run()
    assert query.done
    assert sorted(address for address, _ in script.sent) == sorted(given)


def test_a_liar_who_invents_nodes_without_end_is_followed_for_a_while_only() -> None:
    counter = iter(range(1_000_000))

    def liar(_: Address) -> list[Address]:
        return [
            (f"11.{n >> 16 & 255}.{n >> 8 & 255}.{n & 255}", 1) for n in (next(counter) for _ in range(K))
        ]

    script = Script(liar, bootstrap=places(1))
    outcome: list[MeadowError | None] = []
    query = script.node.find_node(bytes(32), on_done=outcome.append)
    # Every invention lies nearer than the last: the worst a stranger can do, made cheap to write.
    query._is_closer = lambda away: True  # type: ignore[method-assign]
    script.run(120)
    assert outcome == [None]
    assert len(script.sent) <= MAX_QUERY_VISITS + 1


def test_a_commit_writes_with_each_token_and_one_success_is_enough() -> None:
    refusing = places(4)[0]
    script = Script(silent, bootstrap=places(4))
    outcome: list[MeadowError | None] = []
    script.node.query(bytes(32), LOOKUP, b"value", commit=True, on_done=outcome.append)
    script.answer(script.turn())
    writes = script.turn()
    assert {address for address, request in writes if request.token == bytes(32)} == set(places(4))
    assert {request.value for _, request in writes} == {b"value"}
    script.world = lambda address: None if address == refusing else []
    script.answer(writes)
    assert outcome == []
    script.run(10)
    assert outcome == [None]


def test_cancelling_a_query_calls_nobody() -> None:
    script = Script(silent, bootstrap=places(4))
    heard: list[object] = []
    query = script.node.find_node(bytes(32), on_reply=heard.append, on_done=heard.append)
    asked = script.turn()
    query.cancel()
    script.answer(asked)
    script.run()
    assert heard == []
    assert query.done
    assert not script.node.active_queries


# --- the table --------------------------------------------------------------------------------


def hear(script: Script, address: Address) -> None:
    """A ping of theirs arrives; what is asked because of it stays to be sent."""
    ping = encode_request(1, US, PING, internal=True, id=peer_id(address))
    script.node.receive(ping, address, SERVER, script.now)


def test_a_full_row_keeps_who_lives_and_replaces_who_is_gone() -> None:
    dead: set[Address] = set()
    script = Script(lambda address: None if address in dead else [])
    node = script.node
    node.start(0.0)
    assert script.turn() == []
    assert node.bootstrapped  # there is nobody to ask
    # Half of all ids differ from ours in the first bit: these share one row.
    row = [address for address in places(200) if (peer_id(address)[0] ^ node.table.id[0]) & 0x80][: K + 1]
    newcomer = row.pop()
    for address in row:
        hear(script, address)
    hear(script, newcomer)
    assert script.turn() == []  # everybody was heard from in this very tick: nobody is worth a question

    script.run(5.1)
    hear(script, newcomer)
    asked = script.turn()
    ((kept, request),) = asked
    assert (kept in row, request.command) == (True, PING)
    script.answer(asked)
    assert sorted(node.known_nodes()) == sorted(row)

    hear(script, newcomer)
    ((gone, _),) = script.turn()
    assert gone in row
    assert gone != kept  # it was asked a moment ago
    dead.add(gone)
    script.run(4.5)
    assert sorted(node.known_nodes()) == sorted([*(address for address in row if address != gone), newcomer])


def test_a_down_hint_is_checked_and_not_believed() -> None:
    script = Script(nobody)
    node = script.node
    node.start(0.0)
    one, other = places(2)
    for address in (one, other):
        hear(script, address)
    for address in (one, other):
        hint = encode_request(2, US, DOWN_HINT, internal=True, value=encode_address(address))
        node.receive(hint, ("10.5.5.5", 5), SERVER, 1.0)
        node.receive(hint, ("10.5.5.5", 5), SERVER, 1.0)
    asked = [(address, request) for address, request in script.turn() if request.command == PING]
    assert sorted(address for address, _ in asked) == [one, other]  # once each
    script.world = lambda address: [] if address == one else None
    script.answer(asked)
    for _ in range(50):
        script.step(0.1)
        script.turn()
    assert node.known_nodes() == [one]


def test_tables_are_kept_true_by_pings_of_the_oldest_and_by_walks() -> None:
    living = set(places(10))
    script = Script(lambda address: [] if address in living else None, nodes=places(20))
    script.node.start(0.0)
    script.run(900)
    assert set(script.node.known_nodes()) == living
    assert any(request.command == FIND_NODE for _, request in script.sent)


# --- smaller things ---------------------------------------------------------------------------


def test_what_may_be_visited() -> None:
    assert may_be_visited(("1.2.3.4", 5))
    assert may_be_visited(("127.0.0.1", 5), ("127.0.0.1", 9))
    assert may_be_visited(("127.0.0.1", 5))
    assert not may_be_visited(("127.0.0.1", 5), ("8.8.8.8", 9))
    for address in (("1.2.3.4", 0), ("0.0.0.0", 5), ("224.0.0.1", 5), ("255.255.255.255", 5)):
        assert not may_be_visited(address)


@pytest.mark.parametrize(
    "text", ["1.2.3.4", "1.2.3:4", "1.2.3.4:0", "1.2.3.4:65536", "1.2.3.04:5", "a.b.c.d:1", ":1"]
)
def test_no_address(text: str) -> None:
    with pytest.raises(BadArgument):
        parse_address(text)


def test_bootstrap_entries() -> None:
    looked_up: list[str] = []

    def resolve(name: str, done: Callable[[str | None], None]) -> None:
        looked_up.append(name)
        done({"one.example": "9.9.9.9", "two.example": "8.8.8.8"}.get(name))

    entries = ["1.1.1.1:1", ("2.2.2.2", 2), "3.3.3.3@one.example:3", "two.example:4", "gone.example:5"]
    nodes = Bootstrap(entries, resolve)
    assert len(nodes) == 5
    ready: list[bool] = []
    nodes.prepare(lambda: ready.append(True))
    assert ready == [True]
    assert looked_up == ["two.example", "gone.example"]
    assert nodes.addresses() == [("1.1.1.1", 1), ("2.2.2.2", 2), ("3.3.3.3", 3), ("8.8.8.8", 4)]
    nodes.failed(("1.1.1.1", 1))
    nodes.failed(("3.3.3.3", 3))
    assert looked_up[2:] == ["one.example"]
    assert ("9.9.9.9", 3) in nodes.addresses()
    nodes.retry()
    assert looked_up[3:] == ["gone.example"]
    for wrong in (
        "example",
        "example:0",
        "1.2.3@name:5",
        "1.2.3.4@:5",
        ":5",
        "a..b:5",
        "1.2.3.4@a..b:5",
        "a" * 64 + ":5",
    ):
        with pytest.raises(BadArgument):
            Bootstrap([wrong])


def test_a_walk_waits_for_names_only_when_there_is_nothing_else() -> None:
    asked: dict[str, Callable[[str | None], None]] = {}
    begun: list[str] = []
    Bootstrap(["1.1.1.1:1", "slow.example:2"], asked.__setitem__).prepare(lambda: begun.append("known"))
    assert begun == ["known"]
    names = Bootstrap(["one.example:1", "two.example:2", "three.example:3"], asked.__setitem__)
    names.prepare(lambda: begun.append("named"))
    asked["one.example"](None)
    assert begun == ["known"]
    asked["two.example"]("2.2.2.2")
    asked["three.example"](None)
    assert begun == ["known", "named"]
    Bootstrap([], asked.__setitem__).prepare(lambda: begun.append("none"))
    Bootstrap(["name.example:1"], None).prepare(lambda: begun.append("no resolver"))
    assert begun[2:] == ["none", "no resolver"]


def test_a_node_suspended_before_its_first_walk_bootstraps_when_it_resumes() -> None:
    answers: list[Callable[[str | None], None]] = []
    script = Script(silent, bootstrap=["slow.example:1000"], resolve=lambda name, done: answers.append(done))
    script.node.start(0.0)
    script.node.suspend()
    answers.pop()("10.1.0.1")
    assert not script.node.bootstrapped
    script.node.resume(1.0)
    script.run(5)
    assert script.node.bootstrapped
    assert script.node.known_nodes() == [("10.1.0.1", 1000)]


def test_health_needs_more_than_one_bad_tick() -> None:
    health = HealthWindow()
    responses = timeouts = 0

    def tick(good: int, bad: int) -> Health:
        nonlocal responses, timeouts
        responses += good
        timeouts += bad
        return health.update(responses, timeouts)

    for _ in range(5):
        assert tick(10, 0) is Health.ONLINE
    assert tick(0, 10) is Health.ONLINE
    assert tick(0, 10) is Health.OFFLINE
    assert tick(0, 1) is Health.OFFLINE  # idle: nothing is learned
    assert tick(10, 0) is Health.ONLINE
    for _ in range(3):
        assert tick(2, 8) is Health.ONLINE
    assert tick(2, 8) is Health.DEGRADED
    for _ in range(3):
        assert tick(10, 0) is Health.DEGRADED
    assert tick(10, 0) is Health.ONLINE


def test_the_sampler_tells_consistent_from_random_nats() -> None:
    consistent, scattered, torn = NatSampler(), NatSampler(), NatSampler()
    for number in range(12):
        consistent.add("1.1.1.1", 5)
        scattered.add("1.1.1.1", 1000 + number)
        torn.add(f"1.1.1.{number}", 5)
    assert (consistent.host, consistent.port) == ("1.1.1.1", 5)
    assert (scattered.host, scattered.port) == ("1.1.1.1", 0)
    assert (torn.host, torn.port) == (None, 0)
    for _ in range(3):
        consistent.add("6.6.6.6", 6)
    assert (consistent.host, consistent.port) == ("1.1.1.1", 5)
