"""Topics in, queries out: who is looked up or announced when, for 10,000 topics as for one.

Source: hyperswarm 4.17.2 `lib/peer-discovery.js`. There, every topic has its own timer and every join starts its
query at once. Here the same decisions are made for all topics together:

* one heap of due times; the driver needs one timer;
* at most `max_queries` queries run, the others wait: what a caller has just asked for before what is only renewed;
* when there are many topics, the first renewal of each comes at a random point of the cycle, so that what was
  joined in one moment is not renewed in one moment for ever;
* a refresh that failed is tried again within two minutes, not after ten;
* where nodes come and go quickly, renewals come sooner, up to four times as often: a record is only as good as the
  nodes that keep it. The first renewal of a topic comes early to find that out, unless there are many topics.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections import deque
from collections.abc import Callable, Sequence
from random import Random
from typing import Final

from ..limits import MAX_PEERS_PER_LOOKUP
from .actions import Action, Flushed, Listen, StartQuery, StopQuery
from .flush import Flush
from .topics import Query, QueryKind, Topic

REFRESH_SECONDS: Final = 600.0
JITTER_SECONDS: Final = 120.0
ASLEEP_SECONDS: Final = 30.0
"""A refresh overdue by this much means that the machine slept."""

MAX_QUERIES: Final = 64
"""Walks at a time. One takes a second or two on the public network: 10,000 topics need about 30 at every moment."""

MANY_TOPICS: Final = 128
"""Above this the first renewals are spread over the whole cycle."""

SHORTEST_PACE: Final = 0.25
"""Renewals are never more than four times as often."""

QUIET: Final = 0.8
"""Two walks of a network that nobody left agree on this part of the nearest nodes or more."""

_HIGHEST_RATE: Final = math.log(2) / (SHORTEST_PACE * REFRESH_SECONDS)
_NODE_BYTES: Final = 6


class Discovery:
    """The topics of one swarm. Every method may put actions into `out`."""

    def __init__(
        self,
        out: list[Action],
        random: Random,
        *,
        max_queries: int = MAX_QUERIES,
        is_linked: Callable[[bytes], bool],
        refreshes_done: Callable[[Flush], None],
    ) -> None:
        self.topics: dict[bytes, Topic] = {}
        self.suspended = False
        self.is_listening = False
        self.max_queries = max_queries
        self.asked_to_listen = False
        self._out = out
        self._random = random
        self._is_linked = is_linked
        self._refreshes_done = refreshes_done
        self._heap: list[tuple[float, int, Topic]] = []
        self._order = itertools.count()
        self._running: set[Query] = set()
        self._asked: deque[Query] = deque()
        self._renewals: deque[Query] = deque()
        self._until_listening: list[Query] = []
        self._leaving: dict[bytes, Query] = {}
        self._loss_rate = 0.0
        """How fast the nodes nearest to a topic go, a second; the network is the same for all topics."""

    # --- joining and leaving ------------------------------------------------------------------------

    def topic(self, key: bytes) -> Topic:
        """The joined topic of that key, made when missing."""
        topic = self.topics.get(key)
        if topic is None:
            topic = self.topics[key] = Topic(key)
        return topic

    def leave(self, topic: Topic) -> None:
        """Forget `topic`, and take our record back where it was stored."""
        if self.topics.get(topic.key) is topic:
            del self.topics[topic.key]
        topic.left = True
        self._abort(topic)

    def refresh(self, topic: Topic, *, asked: bool = True) -> None:
        """Run the query of the topic's roles now, unless it runs already."""
        if self.suspended or topic.left:
            return
        server, client = topic.server_sessions > 0, topic.client_sessions > 0
        if not server and not client:
            return
        if topic.query is not None:
            if (server, client) == (topic.is_server, topic.is_client):
                return
            self._drop(topic.query)
        topic.is_server, topic.is_client = server, client
        query = topic.query = Query(topic)
        leaving = self._leaving.get(topic.key)
        if leaving is not None:
            # The record that is being taken back and the new one are the same record.
            leaving.successor = query
        else:
            (self._asked if asked else self._renewals).append(query)
        self._pump()

    def refresh_all(self) -> None:
        """The network changed: everything found so far may be wrong."""
        for topic in self.topics.values():
            self.refresh(topic, asked=False)

    def suspend(self) -> None:
        """Stop looking, and take our records back."""
        self.suspended = True
        for topic in self.topics.values():
            self._abort(topic)
        self._until_listening.clear()
        self.is_listening = self.asked_to_listen = False

    def resume(self) -> None:
        self.suspended = False
        self.refresh_all()

    @property
    def running(self) -> int:
        """Queries under way."""
        return len(self._running)

    @property
    def waiting(self) -> int:
        """Queries that wait for their turn."""
        return len(self._asked) + len(self._renewals) + len(self._until_listening)

    @property
    def is_quiet(self) -> bool:
        """No query runs or waits."""
        return not (self._running or self._leaving)

    # --- what the driver reports --------------------------------------------------------------------

    def listening(self) -> None:
        """The server is up: announces may start."""
        if self.suspended:
            return
        self.is_listening = True
        self._asked.extendleft(reversed(self._until_listening))
        self._until_listening.clear()
        self._pump()

    def may_take(self, query: Query) -> bool:
        """Whether one more peer that `query` found is of use."""
        if query.dropped or self.suspended or not query.topic.is_client:
            return False
        if query.found >= MAX_PEERS_PER_LOOKUP or query.limit == 0:
            return False
        query.found += 1
        return True

    def done(self, query: Query, closest: bytes, error: str | None, now: float) -> None:
        """`query` ended; `closest` says which nodes are nearest to its topic."""
        if query not in self._running:
            return
        self._running.discard(query)
        topic = query.topic
        if query.kind is QueryKind.UNANNOUNCE:
            self._left(query)
        else:
            topic.query = None
            topic.last_error = error
            if error is None:
                if topic.refreshed_at is not None:
                    self._judge(topic.closest, closest, now - topic.refreshed_at)
                topic.closest = closest
                topic.refreshed_at = now
                if query.kind is not QueryKind.ANNOUNCE:
                    topic.needs_unannounce = False
            self._schedule(topic, self._delay(topic, failed=error is not None), now)
            topic.refreshes += 1
            self._settle(topic)
        self._pump()

    # --- time ---------------------------------------------------------------------------------------

    def deadline(self) -> float | None:
        heap = self._heap
        while heap and heap[0][2].due != heap[0][0]:
            heapq.heappop(heap)
        return heap[0][0] if heap else None

    def on_timer(self, now: float) -> None:
        while (due := self.deadline()) is not None and due <= now:
            _, _, topic = heapq.heappop(self._heap)
            topic.due = None
            if now - due > ASLEEP_SECONDS:
                self._schedule(topic, self._random.uniform(0, JITTER_SECONDS), now)
            else:
                self.refresh(topic, asked=False)

    def _delay(self, topic: Topic, *, failed: bool) -> float:
        jitter = self._random.uniform(0, JITTER_SECONDS)
        if failed:
            return jitter
        pace = 1.0
        if self._loss_rate > 0:
            pace = min(
                pace, math.log(2) / self._loss_rate / REFRESH_SECONDS
            )  # when half of them will be gone
        if topic.refreshes == 0:
            many = len(self.topics) > MANY_TOPICS
            pace *= self._random.uniform(SHORTEST_PACE, 1.0) if many else SHORTEST_PACE
        return max(pace, SHORTEST_PACE) * (REFRESH_SECONDS + jitter)

    def _judge(self, before: bytes, after: bytes, seconds: float) -> None:
        """How restless the network is, by who was nearest to a topic and who is, `seconds` later (packed addresses)."""
        old, new = (
            {nodes[at : at + _NODE_BYTES] for at in range(0, len(nodes), _NODE_BYTES)}
            for nodes in (before, after)
        )
        if not old or not new or seconds < 1:
            return
        kept = min(1.0, max(len(old & new), 1) / len(old) / QUIET)
        rate = min(-math.log(kept) / seconds, _HIGHEST_RATE)
        # Half of what was believed: one walk is a small sample. But what is believed at first is nothing.
        self._loss_rate = (self._loss_rate + rate) / 2 if self._loss_rate > 0 else rate

    def _schedule(self, topic: Topic, delay: float, now: float) -> None:
        if topic.left or self.suspended:
            return
        topic.due = now + delay
        heapq.heappush(self._heap, (topic.due, next(self._order), topic))

    # --- running ------------------------------------------------------------------------------------

    def _pump(self) -> None:
        while len(self._running) < self.max_queries and (self._asked or self._renewals):
            query = (self._asked or self._renewals).popleft()
            if not query.dropped:
                self._start(query)

    def _start(self, query: Query) -> None:
        topic = query.topic
        if query.kind is not QueryKind.UNANNOUNCE:
            if topic.is_server and not self.is_listening:
                self._until_listening.append(query)
                if not self.asked_to_listen:
                    self.asked_to_listen = True
                    self._out.append(Listen())
                return
            topic.due = None
            query.closest = topic.closest
            if topic.limit is not None:
                linked = sum(1 for peer in topic.peers if self._is_linked(peer.key))
                query.limit = max(0, topic.limit - linked)
            if topic.is_server:
                query.kind = QueryKind.ANNOUNCE
                query.clear, topic.first_announce = topic.first_announce, False
                topic.needs_unannounce = True
            elif topic.needs_unannounce:
                query.kind = QueryKind.LOOKUP_AND_UNANNOUNCE
        self._running.add(query)
        self._out.append(StartQuery(query))

    def _drop(self, query: Query) -> None:
        query.dropped = True
        if query in self._running:
            self._running.discard(query)
            self._out.append(StopQuery(query))

    def _abort(self, topic: Topic) -> None:
        """Stop what runs for `topic`; take back what it announced."""
        topic.due = None
        if topic.query is not None:
            self._drop(topic.query)
            topic.query = None
        self._settle(topic)
        if topic.needs_unannounce and topic.closest:
            query = Query(topic)
            query.kind = QueryKind.UNANNOUNCE
            query.closest = topic.closest
            self._leaving[topic.key] = query
            self._asked.append(query)
        topic.needs_unannounce = False
        self._pump()

    def _left(self, query: Query) -> None:
        if self._leaving.get(query.topic.key) is query:
            del self._leaving[query.topic.key]
        if query.successor is not None:
            self._asked.append(query.successor)

    # --- flushing -----------------------------------------------------------------------------------

    def flush(self, topics: Sequence[Topic], *, with_peers: bool) -> Flush:
        """Tells `refreshes_done` once what runs or waits for these topics now is over."""
        busy = [topic for topic in topics if topic.query is not None]
        flush = Flush(len(busy), with_peers=with_peers)
        for topic in busy:
            topic.flushes = [*(topic.flushes or ()), flush]
        if not busy:
            self._refreshes_done(flush)
        return flush

    def _settle(self, topic: Topic) -> None:
        flushes, topic.flushes = topic.flushes, None
        for flush in flushes or ():
            flush.refreshes -= 1
            if flush.refreshes == 0:
                self._refreshes_done(flush)

    def end_flush(self, flush: Flush, complete: bool) -> None:
        if not flush.done:
            flush.done = True
            self._out.append(Flushed(flush, complete))
