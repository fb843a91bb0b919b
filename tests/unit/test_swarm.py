"""The swarm's rules one by one; those for connections are in `test_swarm_links.py`."""

from __future__ import annotations

from random import Random

import pytest

from core.errors import BadArgument
from core.swarm import (
    Destroy,
    Dial,
    Flushed,
    Idle,
    Link,
    Listen,
    QueryKind,
    StartQuery,
    StopListening,
    StopQuery,
)
from core.swarm.peers import KnownPeer, Priority
from core.swarm.queue import DialQueue
from core.swarm.retry import Backoff, RetryTimer, backoff_of
from tests.support.swarm_steps import CLOSEST, NODES, TOPIC, dial_one, key, lookup, only, swarm_of

# --- topics -----------------------------------------------------------------------------------------


def test_an_announce_waits_for_the_server_and_its_refresh_begins_where_it_ended() -> None:
    swarm = swarm_of()
    swarm.join(TOPIC)
    assert swarm.actions() == [Listen()]
    swarm.listening()
    (start,) = only(swarm, StartQuery)
    assert (start.query.kind, start.query.clear) == (QueryKind.ANNOUNCE, True)
    swarm.query_done(start.query, 10.0, closest=CLOSEST)
    due = swarm.deadline()
    assert due is not None
    assert 10 + 150 <= due <= 10 + 180
    swarm.on_timer(due)
    (again,) = only(swarm, StartQuery)
    assert (again.query.clear, again.query.closest) == (False, CLOSEST)
    swarm.query_done(again.query, 200.0, closest=CLOSEST)
    due = swarm.deadline()
    assert due is not None
    assert 200 + 600 <= due <= 200 + 720


def test_where_nodes_do_not_stay_records_are_renewed_more_often() -> None:
    swarm = swarm_of()
    swarm.join(TOPIC)
    swarm.listening()
    (start,) = only(swarm, StartQuery)
    now, waits = 0.0, []
    nearest = [[bytes((10, 0, turn, n, 1, 0)) for n in range(20)] for turn in range(4)]
    for nodes in [*nearest, nearest[3], nearest[3], nearest[3]]:
        swarm.query_done(start.query, now, closest=b"".join(nodes))
        due = swarm.deadline()
        assert due is not None
        waits.append(round((due - now) / 600, 1))
        now = due
        swarm.on_timer(now)
        (start,) = only(swarm, StartQuery)
    first, once, twice, more, quiet, quieter, still = waits
    assert all(0.2 <= wait <= 0.3 for wait in (first, once, twice, more))
    assert 0.5 <= quiet <= 0.6
    assert all(1.0 <= wait <= 1.2 for wait in (quieter, still))


def test_the_time_that_passed_counts_not_only_how_many_went() -> None:
    """Half of the nearest went: in three minutes, that is a restless network; in twelve, it is not."""
    stayed, went, came = ([bytes((10, 0, kind, n, 1, 0)) for n in range(10)] for kind in range(3))
    waits = []
    for seconds in (180.0, 720.0):
        swarm = swarm_of()
        swarm.query_done(lookup(swarm), 0.0, closest=b"".join(stayed + went))
        swarm.network_changed(seconds)  # looks again at once
        (start,) = only(swarm, StartQuery)
        swarm.query_done(start.query, seconds, closest=b"".join(stayed + came))
        due = swarm.deadline()
        assert due is not None
        waits.append((due - seconds) / 600)
    assert 0.4 <= waits[0] <= 0.6
    assert 1.0 <= waits[1] <= 1.2


def test_the_last_session_to_go_leaves_and_unannounces_at_the_known_nodes() -> None:
    swarm = swarm_of()
    one, two = swarm.join(TOPIC), swarm.join(TOPIC, client=False)
    swarm.listening()
    (start,) = only(swarm, StartQuery)
    swarm.query_done(start.query, 0.0, closest=CLOSEST)
    one.destroy()
    assert only(swarm, StartQuery) == []
    two.destroy()
    (start,) = only(swarm, StartQuery)
    assert (start.query.kind, start.query.closest) == (QueryKind.UNANNOUNCE, CLOSEST)
    assert not swarm.topics
    swarm.join(TOPIC)
    assert swarm.actions() == [], "the new announce must come after the unannounce, or it would be taken back"
    swarm.query_done(start.query, 1.0)
    (start,) = only(swarm, StartQuery)
    assert start.query.kind is QueryKind.ANNOUNCE


def test_a_server_that_becomes_client_takes_its_record_back() -> None:
    swarm = swarm_of()
    session = swarm.join(TOPIC)
    swarm.listening()
    (announce,) = only(swarm, StartQuery)
    session.refresh(server=False)
    stop, start = swarm.actions()
    assert stop == StopQuery(announce.query)
    assert isinstance(start, StartQuery)
    assert start.query.kind is QueryKind.LOOKUP_AND_UNANNOUNCE
    swarm.found(announce.query, key(9), NODES, 0.0)
    assert swarm.actions() == [], "nothing is taken from a query that was stopped"


def test_after_sleep_refreshes_are_spread_over_two_minutes() -> None:
    swarm = swarm_of()
    swarm.query_done(lookup(swarm), 0.0)
    swarm.on_timer(5000.0)
    assert only(swarm, StartQuery) == []
    due = swarm.deadline()
    assert due is not None
    assert 5000.0 <= due <= 5120.0


def test_a_failed_refresh_is_repeated_within_two_minutes() -> None:
    swarm = swarm_of()
    swarm.query_done(lookup(swarm), 0.0, error="nobody answered")
    assert swarm.topics[TOPIC].last_error == "nobody answered"
    due = swarm.deadline()
    assert due is not None
    assert due <= 120.0


def test_queries_in_flight_are_bounded_and_what_is_asked_comes_before_renewals() -> None:
    swarm = swarm_of(max_queries=2)
    for number in range(4):
        swarm.join(key(number + 1), server=False)
    first, second = only(swarm, StartQuery)
    for start in (first, second):
        swarm.query_done(start.query, 0.0)
    third, fourth = only(swarm, StartQuery)
    swarm.network_changed(1.0)
    swarm.join(key(9), server=False)
    swarm.query_done(third.query, 2.0)
    swarm.query_done(fourth.query, 2.0)
    asked, renewal = only(swarm, StartQuery)
    assert asked.query.topic.key == key(9)
    assert renewal.query.topic.key in (key(1), key(2))


def test_a_limit_counts_those_who_are_connected_already() -> None:
    swarm = swarm_of(max_parallel=10)
    query = lookup(swarm, limit=2)
    for number in range(1, 5):
        swarm.found(query, key(number), NODES, 0.0)
    dials = only(swarm, Dial)
    assert len(dials) == 2
    swarm.dial_opened(dials[0].link, 1.0)
    swarm.link_closed(dials[1].link, 1.0)
    swarm.query_done(query, 2.0, closest=CLOSEST)
    swarm.actions()
    swarm.network_changed(3.0)
    (start,) = only(swarm, StartQuery)
    for number in range(5, 9):
        swarm.found(start.query, key(number), NODES, 3.0)
    assert len(only(swarm, Dial)) == 1


def test_what_is_not_a_topic_is_refused() -> None:
    swarm = swarm_of()
    with pytest.raises(BadArgument, match="32 bytes"):
        swarm.join(b"short")
    with pytest.raises(BadArgument, match="server, as a client"):
        swarm.join(TOPIC, server=False, client=False)
    assert not swarm.topics


# --- whom to dial ------------------------------------------------------------------------------------


def test_priorities_follow_the_attempts() -> None:
    peer = KnownPeer(key(1))
    peer.proven = True
    seen = []
    for _ in range(4):
        assert peer.update_priority()
        seen.append(peer.priority)
        peer.disconnected(0.0)
    assert seen == [Priority.NORMAL, Priority.VERY_HIGH, Priority.HIGH, Priority.LOW]
    assert not peer.update_priority()
    peer.explicit = True
    assert peer.update_priority()
    assert (peer.attempts, peer.priority) == (3, Priority.LOW)
    peer.proven = False
    peer.update_priority()
    assert peer.priority is Priority.VERY_LOW


def test_a_connection_that_held_fifteen_seconds_makes_the_next_attempt_the_first() -> None:
    peer = KnownPeer(key(1))
    peer.attempts = 3
    peer.connected(0.0)
    peer.disconnected(14.9)
    assert peer.attempts == 4
    peer.connected(20.0)
    peer.disconnected(35.0)
    assert peer.attempts == 1


def test_the_queue_gives_the_highest_priority_first_and_any_of_equals() -> None:
    firsts = set()
    for seed in range(20):
        queue = DialQueue(Random(seed))
        for number in range(9):
            peer = KnownPeer(key(number))
            peer.priority = Priority(number % 3)
            queue.add(peer)
        taken = [queue.take() for _ in range(9)]
        assert [peer.priority for peer in taken] == [2] * 3 + [1] * 3 + [0] * 3
        assert len(set(taken)) == 9
        firsts.add(taken[0].key)
    assert len(firsts) == 3
    with pytest.raises(IndexError):
        queue.take()


@pytest.mark.parametrize(
    ("proven", "attempts", "explicit", "backoff"),
    [
        (True, 1, False, Backoff.SHORT),
        (True, 2, False, Backoff.MEDIUM),
        (True, 3, False, Backoff.LONG),
        (False, 1, False, Backoff.MEDIUM),
        (False, 2, False, Backoff.LONG),
        (False, 3, False, Backoff.LONG),
        (True, 4, False, None),
        (True, 4, True, Backoff.VERY_LONG),
    ],
)
def test_backoffs(proven: bool, attempts: int, explicit: bool, backoff: Backoff | None) -> None:
    peer = KnownPeer(key(1))
    peer.proven, peer.attempts, peer.explicit = proven, attempts, explicit
    assert backoff_of(peer) is backoff


@pytest.mark.parametrize("seed", range(5))
def test_who_waits_for_a_retry_waits_the_coarse_delay(seed: int) -> None:
    random = Random(seed)
    timer = RetryTimer(random)
    now, added = 0.0, {}
    for _ in range(50):
        now += random.uniform(0.0, 3.0)
        for peer in timer.due(now):
            waited = now - added.pop(peer)
            assert waited >= 0.66 * 1.0
        peer = KnownPeer(random.randbytes(32))
        peer.proven, peer.attempts = True, 1
        assert timer.add(peer, now)
        added[peer] = now
        due = timer.deadline()
        assert due is not None
        assert due > now
    while (due := timer.deadline()) is not None:
        for peer in timer.due(due):
            assert 0.66 <= due - added.pop(peer) <= 1.32 * 2.0
    assert not added


def test_three_dials_at_a_time_and_room_for_explicit_peers() -> None:
    swarm = swarm_of(max_peers=8)
    query = lookup(swarm)
    for number in range(1, 20):
        swarm.found(query, key(number), NODES, 0.0)
    opened = []
    while dials := only(swarm, Dial):
        assert len(dials) <= 3
        for dial in dials:
            assert dial.relay_addresses == NODES
            swarm.dial_opened(dial.link, 1.0)
            opened.append(dial.link)
    assert len(opened) == 8
    swarm.join_peer(key(100), 2.0)
    assert [dial.link.key for dial in only(swarm, Dial)] == [key(100)], "explicit peers are always dialed"
    swarm.link_closed(opened[0], 3.0)
    assert only(swarm, Dial) == [], "and others then count twice"


def test_a_peer_is_retried_while_its_topic_is_joined_and_forgotten_after() -> None:
    swarm = swarm_of()
    query = lookup(swarm)
    link = dial_one(swarm, query, 3)
    swarm.query_done(query, 0.0)
    swarm.link_closed(link, 1.0, error="the peer did not answer")
    assert swarm.peers[key(3)].last_error == "the peer did not answer"
    due = swarm.deadline()
    assert due is not None
    swarm.on_timer(due)
    swarm.on_timer(swarm.deadline() or 0.0)
    (dial,) = only(swarm, Dial)
    assert (swarm.deadline() or 0.0) >= 1 + 0.66 * 5
    swarm.leave(TOPIC)
    swarm.link_closed(dial.link, 30.0)
    assert not swarm.peers
    assert swarm.deadline() is None


def test_only_with_a_relay_do_failed_punches_lead_through_it() -> None:
    swarm = swarm_of(relay_through=key(200))
    query = lookup(swarm)
    swarm.found(query, key(3), NODES, 0.0)
    (dial,) = only(swarm, Dial)
    assert dial.relay_through is None
    swarm.link_closed(dial.link, 1.0, code="HOLEPUNCH_ABORTED")
    for _ in range(2):
        swarm.on_timer(swarm.deadline() or 0.0)
    (dial,) = only(swarm, Dial)
    assert dial.relay_through == key(200)


# --- flush, suspend, stop ------------------------------------------------------------------------------


def test_flush_waits_for_the_refresh_and_for_one_attempt_at_everybody_found() -> None:
    swarm = swarm_of(max_parallel=1)
    query = lookup(swarm)
    flush = swarm.flush()
    swarm.found(query, key(1), NODES, 0.0)
    swarm.found(query, key(2), NODES, 0.0)
    (dial,) = only(swarm, Dial)
    swarm.query_done(query, 1.0)
    assert only(swarm, Flushed) == []
    swarm.dial_opened(dial.link, 2.0)
    (second,) = swarm.actions()[1:]
    assert isinstance(second, Dial)
    swarm.link_closed(second.link, 3.0)
    assert only(swarm, Flushed) == [Flushed(flush, True)]


def test_flush_does_not_wait_for_those_for_whom_there_is_no_room() -> None:
    swarm = swarm_of(max_peers=1)
    query = lookup(swarm)
    swarm.found(query, key(1), NODES, 0.0)
    swarm.found(query, key(2), NODES, 0.0)
    (dial,) = only(swarm, Dial)
    flush = swarm.flush()
    swarm.query_done(query, 1.0)
    swarm.dial_opened(dial.link, 2.0)
    assert only(swarm, Flushed) == [Flushed(flush, True)]


def test_suspend_ends_everything_and_resume_brings_it_back() -> None:
    swarm = swarm_of()
    swarm.join(TOPIC)
    swarm.listening()
    (announce,) = only(swarm, StartQuery)
    link = dial_one(swarm, announce.query, 3)
    swarm.dial_opened(link, 1.0)
    swarm.query_done(announce.query, 2.0, closest=CLOSEST)
    swarm.actions()
    flush = swarm.flush()
    swarm.suspend()
    actions = swarm.actions()
    assert StopListening() in actions
    assert Flushed(flush, True) in actions
    (unannounce,) = [action for action in actions if isinstance(action, StartQuery)]
    assert unannounce.query.kind is QueryKind.UNANNOUNCE
    assert any(isinstance(action, Destroy) and action.link is link for action in actions)
    swarm.link_closed(link, 2.1)
    assert Idle() not in swarm.actions()
    swarm.query_done(unannounce.query, 2.2)
    assert swarm.actions() == [Idle()]
    assert swarm.deadline() is None
    swarm.incoming(late := Link(key(4), is_client=False), 3.0)
    assert [action.link for action in only(swarm, Destroy)] == [late]
    swarm.resume(4.0)
    assert swarm.actions() == [Listen()]
    swarm.listening()
    (start,) = only(swarm, StartQuery)
    assert start.query.kind is QueryKind.ANNOUNCE


def test_stop_leaves_all_topics_for_good() -> None:
    swarm = swarm_of()
    query = lookup(swarm)
    swarm.stop()
    assert swarm.actions() == [StopQuery(query), Idle()]
    assert not swarm.topics
    with pytest.raises(BadArgument, match="closed"):
        swarm.join(TOPIC)
