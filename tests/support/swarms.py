"""Hosts with a swarm each in a world of one seed: a directory of topics, dials that take time, machines that die."""

from __future__ import annotations

import heapq
import itertools
from collections import defaultdict
from collections.abc import Callable
from random import Random

from core.swarm import (
    Connect,
    Destroy,
    Dial,
    Flush,
    Flushed,
    Idle,
    KeepAlive,
    Link,
    Listen,
    Prove,
    Query,
    QueryKind,
    StartQuery,
    StopListening,
    StopQuery,
    Swarm,
)

RECORD_LIFETIME = 20 * 60.0
NODES = tuple((f"10.0.0.{number}", 49737) for number in range(1, 21))


class World:
    """Time, what the DHT stores, and the hosts."""

    def __init__(self, seed: int, *, query_failures: float = 0.0) -> None:
        self.random = Random(seed)
        self.now = 1000.0
        self.query_failures = query_failures
        self.hosts: dict[bytes, Host] = {}
        self.records: dict[bytes, dict[bytes, float]] = defaultdict(dict)
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()

    def host(self, **options: object) -> Host:
        return Host(self, self.random.randbytes(32), options)

    def after(self, delay: float, event: Callable[[], None]) -> None:
        heapq.heappush(self._events, (self.now + delay, next(self._order), event))

    def latency(self) -> float:
        return self.random.uniform(0.005, 0.2)

    def stored(self, topic: bytes) -> list[bytes]:
        return [key for key, until in self.records[topic].items() if until > self.now]

    def run(self, seconds: float) -> None:
        """Let that much time pass."""
        end = self.now + seconds
        while self._events and self._events[0][0] <= end:
            self.now, _, event = heapq.heappop(self._events)
            event()
        self.now = end


class Wire:
    """One connection between two hosts; `ends` are their links (a host that died has none)."""

    def __init__(self) -> None:
        self.ends: dict[Host, Link] = {}
        self.open_since: float | None = None


class Host:
    """A machine that runs a swarm under one key; `crash` and `start` keep the key."""

    def __init__(self, world: World, key: bytes, options: dict[str, object]) -> None:
        self.world = world
        self.key = key
        self.options = options
        self.flushed: dict[Flush, bool] = {}
        self.announces: list[tuple[float, bytes]] = []
        self.most_queries = self.most_dials = self.dials = self.idles = 0
        self.refuse_dials_of: set[bytes] = set()
        self.start()

    def start(self) -> None:
        self.swarm = Swarm(self.key, random=Random(self.world.random.random()), **self.options)  # type: ignore[arg-type]
        self.world.hosts[self.key] = self
        self.up = True
        self.is_listening = False
        self.connected: dict[bytes, Link] = {}
        self.queries: set[Query] = set()
        self._timer_at: float | None = None

    def crash(self) -> None:
        """Power off: nobody is told."""
        self.up = self.is_listening = False
        self.connected.clear()

    # --- turning actions into what happens ----------------------------------------------------------

    def act(self) -> None:
        """Do what the swarm wants, and see to its timer."""
        for action in self.swarm.actions():
            match action:
                case Listen():
                    self.later(0.1, self._listen)
                case StopListening():
                    self.is_listening = False
                case StartQuery(query):
                    self._start_query(query)
                case StopQuery(query):
                    self.queries.remove(query)
                case Dial(link, _, _):
                    self._dial(link)
                case Connect(link, peer):
                    assert peer.key == link.key
                    assert link.key not in self.connected, "two connections with one peer"
                    self.connected[link.key] = link
                case Prove(link):
                    self._prove(link)
                case Destroy(link, reason):
                    self.later(0.0, lambda link=link, reason=reason: self.close(link, reason))
                case KeepAlive(link):
                    self._probe(link)
                case Flushed(flush, complete):
                    assert flush not in self.flushed
                    self.flushed[flush] = complete
                case Idle():
                    self.idles += 1
        self.most_queries = max(self.most_queries, len(self.queries))
        self.most_dials = max(self.most_dials, self.swarm.links.dialing)
        self._set_timer()

    def later(self, delay: float, event: Callable[[], None]) -> None:
        """`event` after `delay`, unless this machine died meanwhile; then what the swarm makes of it."""
        swarm = self.swarm

        def run() -> None:
            if self.up and self.swarm is swarm:
                event()
                self.act()

        self.world.after(delay, run)

    def _set_timer(self) -> None:
        due = self.swarm.deadline()
        if due is not None and (self._timer_at is None or due < self._timer_at):
            self._timer_at = due
            self.later(max(0.0, due - self.world.now), lambda: self._on_timer(due))

    def _on_timer(self, due: float) -> None:
        if self._timer_at == due:
            self._timer_at = None
        self.swarm.on_timer(self.world.now)

    def _listen(self) -> None:
        self.is_listening = True
        self.swarm.listening()

    # --- queries ------------------------------------------------------------------------------------

    def _start_query(self, query: Query) -> None:
        self.queries.add(query)
        fails = self.world.random.random() < self.world.query_failures
        for _ in range(2):
            self.later(self.world.random.uniform(0.1, 1.0), lambda: self._replies(query))
        self.later(self.world.random.uniform(1.0, 2.0), lambda: self._query_done(query, fails))

    def _replies(self, query: Query) -> None:
        if query in self.queries and query.kind is not QueryKind.UNANNOUNCE:
            for key in self.world.stored(query.topic.key):
                self.swarm.found(query, key, NODES[:3], self.world.now)

    def _query_done(self, query: Query, fails: bool) -> None:
        if query not in self.queries:
            return
        self.queries.remove(query)
        records = self.world.records[query.topic.key]
        if fails:
            self.swarm.query_done(query, self.world.now, error="nobody answered")
            return
        if query.kind is QueryKind.ANNOUNCE:
            assert self.is_listening, "announced before anybody could be let in"
            records[self.key] = self.world.now + RECORD_LIFETIME
            self.announces.append((self.world.now, query.topic.key))
        elif query.kind is not QueryKind.LOOKUP:
            records.pop(self.key, None)
        self.swarm.query_done(query, self.world.now, closest=b"nodes")

    # --- connections --------------------------------------------------------------------------------

    def _dial(self, link: Link) -> None:
        self.dials += 1
        remote = self.world.hosts.get(link.key)
        delay = self.world.latency()
        if remote is None or not remote.up or not remote.is_listening or remote.swarm.refuses(self.key):
            self.later(self.world.random.uniform(1.0, 10.0), lambda: self.close(link, "no answer"))
            return
        if link.key in self.refuse_dials_of:
            self.later(delay, lambda: self.close(link, "no answer"))
            return
        wire = Wire()
        link.user = wire
        wire.ends[self] = link
        remote.later(delay, lambda: remote._incoming(self, wire))
        self.later(delay + self.world.latency(), lambda: self._opened(link, wire))

    def _incoming(self, dialer: Host, wire: Wire) -> None:
        link = Link(dialer.key, is_client=False)
        link.user = wire
        if dialer not in wire.ends:
            self.later(self.world.latency(), lambda: self.close(link, "remote closed"))
        wire.ends[self] = link
        self._watch(link, wire)
        self.swarm.incoming(link, self.world.now)

    def _opened(self, link: Link, wire: Wire) -> None:
        if link.is_closing or self not in wire.ends:
            return
        wire.open_since = self.world.now
        self._watch(link, wire)
        self.swarm.dial_opened(link, self.world.now)

    def _watch(self, link: Link, wire: Wire) -> None:
        def exchanged() -> bool:
            return wire.open_since is not None and self.world.now > wire.open_since + 0.5

        link.exchanged = exchanged
        self.world.after(15.0, lambda: self._check(link))

    def _check(self, link: Link) -> None:
        """Keep-alives of a dead remote stop coming."""
        wire = link.user
        if not self.up or wire.ends.get(self) is not link:
            return
        if any(not end.up or end.swarm.links.get(self.key) is None for end in wire.ends if end is not self):
            self.close(link, "timed out")
            self.act()
        else:
            self.world.after(15.0, lambda: self._check(link))

    def _prove(self, link: Link) -> None:
        """The dialer's first words arrive, if there is somebody who still wants this connection."""
        wire: Wire = link.user
        if any(end.up and not end_link.is_closing for end, end_link in wire.ends.items() if end is not self):
            self.later(self.world.latency(), lambda: self.swarm.proved(link, self.world.now))

    def _probe(self, link: Link) -> None:
        if link.user is not None:
            self.world.after(5.0, lambda: self._check(link))

    def close(self, link: Link, reason: str) -> None:
        """This end of `link` ends now, the other a moment later."""
        wire: Wire | None = link.user
        if wire is not None:
            if wire.ends.pop(self, None) is not link:
                return
            for remote, other in list(wire.ends.items()):
                remote.later(
                    self.world.latency(),
                    lambda remote=remote, other=other: remote.close(other, "remote closed"),
                )
        elif self.swarm.links.get(link.key) is not link:
            return
        if self.connected.get(link.key) is link:
            del self.connected[link.key]
        self.swarm.link_closed(link, self.world.now, error=reason)
