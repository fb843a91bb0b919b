"""The swarm of one key pair: topics and keys in, connections out. Decides, and does no I/O.

The driver reports what happened, with the time, and then does what `actions()` returns, in order:

    session = swarm.join(topic, server=True, client=True)
    for action in swarm.actions(): ...          # Listen, StartQuery(query), ...
    swarm.found(query, key, relay_addresses, now)
    for action in swarm.actions(): ...          # Dial(link, ...)
    swarm.dial_opened(link, now)
    for action in swarm.actions(): ...          # Connect(link, peer)

`now` is a monotonic time in seconds; `deadline()` says when `on_timer(now)` is due. A driver needs one timer.

Source: hyperswarm 4.17.2 `index.js`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Final

from ..errors import BadArgument
from ..limits import MAX_CONNECTIONS, MAX_KNOWN_PEERS
from .actions import Action, Ban, Connect, Destroy, Dial, Idle, KeepAlive, Prove, StopListening
from .discovery import MAX_QUERIES, Discovery
from .flush import Flush, Flushes
from .links import Link, Links, Verdict, verdict
from .peers import FORCES_RELAY, Address, KnownPeer
from .queue import DialQueue
from .retry import RetryTimer
from .topics import Query, Topic, TopicSession

MAX_PEERS: Final = 64
MAX_PARALLEL_DIALS: Final = 3
MAX_UNPROVED_LINKS: Final = 4
TOPIC_BYTES: Final = 32


class Swarm:
    """`firewall(key)` is True for whoever is not wanted. `relay_through`: the key of a blind relay, used when the
    own NAT is random (`nat_is_random`, kept by the driver) or a direct path failed for good.
    """

    def __init__(
        self,
        public_key: bytes,
        *,
        random: Random | None = None,
        max_peers: int = MAX_PEERS,
        max_parallel: int = MAX_PARALLEL_DIALS,
        max_clients: int | None = None,
        max_servers: int = MAX_CONNECTIONS,
        max_queries: int = MAX_QUERIES,
        firewall: Callable[[bytes], bool] | None = None,
        relay_through: bytes | None = None,
    ) -> None:
        random = random or Random()  # noqa: S311 - spreads load; nothing secret depends on it
        self.public_key = public_key
        self.max_peers = max_peers
        self.max_parallel = max_parallel
        self.max_clients = max_clients
        self.max_servers = max_servers
        self.relay_through = relay_through
        self.nat_is_random = False
        self.suspended = False
        self.stopped = False
        self.peers: dict[bytes, KnownPeer] = {}
        self.links = Links()
        self._firewall = firewall
        self._random = random
        self._explicit: dict[bytes, KnownPeer] = {}
        self._queue = DialQueue(random)
        self._retries = RetryTimer(random)
        self._draining = False
        self._awaiting_idle = False
        self._out: list[Action] = []
        self._discovery = Discovery(
            self._out,
            random,
            max_queries=max_queries,
            is_linked=self.links.__contains__,
            refreshes_done=self._refreshes_done,
        )
        self._flushes = Flushes(self._discovery.end_flush)

    def actions(self) -> list[Action]:
        """What is to be done now. Take them after every call of anything else here."""
        if self._awaiting_idle and self._discovery.is_quiet and self.links.all_closed:
            self._awaiting_idle = False
            self._out.append(Idle())
        actions = self._out.copy()
        self._out.clear()
        return actions

    # --- topics -------------------------------------------------------------------------------------

    @property
    def topics(self) -> dict[bytes, Topic]:
        """The joined topics by key."""
        return self._discovery.topics

    @property
    def announced(self) -> int:
        """Topics under which others find us."""
        return sum(1 for topic in self.topics.values() if topic.is_server and topic.refreshed_at is not None)

    @property
    def queries_running(self) -> int:
        return self._discovery.running

    @property
    def queries_waiting(self) -> int:
        return self._discovery.waiting

    def join(
        self, topic: bytes, *, server: bool = True, client: bool = True, limit: int | None = None
    ) -> TopicSession:
        """Be found under `topic` (server), find others under it (client, at most `limit` of them), or both."""
        if self.stopped:
            raise BadArgument("the swarm was closed")
        if len(topic) != TOPIC_BYTES:
            raise BadArgument(f"a topic has {TOPIC_BYTES} bytes, not {len(topic)}")
        if not server and not client:
            raise BadArgument("a topic is joined as a server, as a client, or as both")
        session = TopicSession(self._discovery.topic(topic), self._discovery.refresh, self._leave)
        session.refresh(server=server, client=client, limit=limit)
        return session

    def leave(self, topic: bytes) -> None:
        """Leave `topic`, whoever joined it. Connections stay."""
        joined = self.topics.get(topic)
        if joined is not None:
            self._leave(joined)

    def _leave(self, topic: Topic) -> None:
        self._discovery.leave(topic)
        for peer in topic.peers:
            peer.topics.discard(topic)
        topic.peers.clear()

    def flush(self) -> Flush:
        """`Flushed` comes when what is being looked up now is looked up and everybody found was tried once."""
        return self._discovery.flush(list(self.topics.values()), with_peers=True)

    def flush_topic(self, topic: Topic) -> Flush:
        """`Flushed` comes when the refresh of `topic` that runs now is over."""
        return self._discovery.flush([topic], with_peers=False)

    # --- keys ---------------------------------------------------------------------------------------

    def join_peer(self, key: bytes, now: float) -> None:
        """Connect with `key`, and again whenever that connection ends."""
        peer = self._upsert(key, None, wanted=True)
        if peer is None:
            return
        peer.explicit = True
        self._explicit[key] = peer
        if key not in self.links and peer.update_priority():
            self._enqueue(peer)
            self._dial_next(now)

    def leave_peer(self, key: bytes) -> None:
        """Do not insist on `key` any more. A connection with it stays."""
        peer = self._explicit.pop(key, None)
        if peer is not None:
            peer.explicit = False
            self._forget_if_useless(peer)

    def ban(self, key: bytes, reason: str = "banned") -> None:
        """Never connect with `key` again; a connection with it stays until it is ended."""
        peer = self._upsert(key, None, wanted=True)
        if peer is not None:
            peer.banned = True
            self._out.append(Ban(key, reason))

    def refuses(self, key: bytes) -> bool:
        """Whether a handshake with `key` is to be ignored: ourselves, the banned, the firewalled."""
        if key == self.public_key:
            return True
        peer = self.peers.get(key)
        if peer is not None and peer.banned:
            return True
        if self._firewall is None or not self._firewall(key):
            return False
        if peer is not None:
            # Strangers are refused by the predicate each time; an entry for each would be theirs to multiply.
            peer.banned = True
        self._out.append(Ban(key, "the firewall refuses it"))
        return True

    def relay_for(self, peer: KnownPeer | None) -> bytes | None:
        """The blind relay to meet `peer` at (None: whoever dials us); None when a direct path may be hoped for."""
        return self.relay_through if self.nat_is_random or (peer and peer.force_relay) else None

    # --- what the driver reports --------------------------------------------------------------------

    def listening(self) -> None:
        """`Listen` was done."""
        self._discovery.listening()

    def found(self, query: Query, key: bytes, relay_addresses: Sequence[Address], now: float) -> None:
        """`query` came across the record of `key`."""
        if not self._discovery.may_take(query):
            return
        peer = self._upsert(key, tuple(relay_addresses))
        if peer is None:
            return
        peer.topics.add(query.topic)
        query.topic.peers.add(peer)
        if key in self.links:
            return
        if peer.rediscovered(now) and peer.update_priority():
            if query.limit is not None:
                query.limit -= 1
            self._enqueue(peer)
            self._dial_next(now)

    def query_done(self, query: Query, now: float, *, closest: bytes = b"", error: str | None = None) -> None:
        """`query` ended. `closest`: the nodes nearest to its topic, for the next one to begin with."""
        self._discovery.done(query, closest, error, now)

    def dial_opened(self, link: Link, now: float) -> None:
        """The dial of `link` succeeded."""
        if self.links.get(link.key) is not link or link.opened:
            return
        self.links.open(link)
        peer = link.peer
        assert peer is not None
        peer.connected(now)
        self._out.append(Connect(link, peer))
        self._dialed(link)
        self._dial_next(now)

    def incoming(self, link: Link, now: float) -> None:
        """Somebody dialed us and proved the key of `link`."""
        if self.suspended or self.stopped or self.links.servers >= self.max_servers:
            self._refuse(link, "no more connections are taken")
            return
        existing = self.links.get(link.key)
        if existing is None:
            peer = link.peer = self._upsert(link.key, None, wanted=True)
            if peer is None:
                self._refuse(link, "that is ourselves")
                return
            peer.client = False
            self.links.add(link)
            self._out.append(Connect(link, peer))
            return
        match verdict(self.public_key, existing, link):
            case Verdict.KEEP_NEW:
                self._replace(existing, link)
            case Verdict.PROVE_NEW:
                self._examine(existing, link)
            case Verdict.KEEP_OLD:
                self._out.append(KeepAlive(existing))
                self._refuse(link, "there is a connection with the same peer already")

    def proved(self, link: Link, now: float) -> None:
        """The remote of `link` (`Prove`) has shown in it that it holds its keys, so it is alive."""
        existing = self.links.get(link.key)
        if existing is None and not link.is_closing:
            self.incoming(link, now)
        elif existing is not None and existing is not link and not link.is_closing:
            self._replace(existing, link)

    def adopt(self, link: Link) -> bool:
        """`link` was made without the swarm. True: it is (or will be) the one with its peer; report its end. False:
        there is one already, and both stay."""
        existing = self.links.get(link.key)
        if self.suspended or (existing and (existing.opened or existing.is_closing)):
            return False
        if existing:
            self.links.note(link)
            existing.successors.append(link)
            self._destroy(existing, "a connection with this peer came about by an address")
            return True
        link.peer = self._upsert(link.key, None, wanted=True)
        if link.peer is None:
            return False
        if link.peer.queued:
            self._queue.remove(link.peer)
            self._flushes.tried(link.peer.flush_tick)
        self.links.add(link)
        return True

    def link_closed(
        self, link: Link, now: float, *, error: str | None = None, code: str | None = None
    ) -> None:
        """`link` ended, or its dial failed; `error` in words, `code` the reference's word for it."""
        was_current = self.links.remove(link)
        peer = link.peer
        if was_current and peer is not None:
            if link.is_client:
                self._client_closed(link, peer, now, error, code)
            self._forget_if_useless(peer)
        for successor in link.successors:
            if not successor.is_closing:
                self.incoming(successor, now)
        link.successors = []
        link.is_closing = True
        self._dial_next(now)

    def network_changed(self, now: float) -> None:
        """Another address, or online again: find out which connections are dead, and refresh everything."""
        if self.suspended:
            return
        self._out.extend(KeepAlive(link) for link in self.links)
        self._discovery.refresh_all()

    # --- time ---------------------------------------------------------------------------------------

    def deadline(self) -> float | None:
        """When `on_timer` is due; None: not before something happens."""
        if self.suspended:
            return None
        dues = (self._retries.deadline(), self._discovery.deadline())
        return min((due for due in dues if due is not None), default=None)

    def on_timer(self, now: float) -> None:
        if self.suspended:
            return
        for peer in self._retries.due(now):
            peer.waiting = False
            if peer.key not in self.links and peer.update_priority():
                self._enqueue(peer)
            else:
                self._forget_if_useless(peer)
        self._discovery.on_timer(now)
        self._dial_next(now)

    # --- stopping -----------------------------------------------------------------------------------

    def suspend(self) -> None:
        """End all connections, take everything back from the DHT, do nothing until `resume`. `Idle` follows."""
        if self.suspended:
            return
        self.suspended = True
        if self._discovery.asked_to_listen:
            self._out.append(StopListening())
        self._discovery.suspend()
        for link in self.links.everything:
            self._destroy(link, "the swarm is suspended")
        self._flushes.end(complete=False)
        self._forget_waiting()
        self._awaiting_idle = True

    def resume(self, now: float) -> None:
        """Go on where `suspend` stopped."""
        if not self.suspended or self.stopped:
            return
        self.suspended = self._awaiting_idle = False
        self._discovery.resume()
        for peer in self._explicit.values():
            if peer.key not in self.links and peer.update_priority():
                self._enqueue(peer)
        self._dial_next(now)

    def stop(self) -> None:
        """`suspend` for good: all topics are left. `Idle` follows."""
        self.suspend()
        self.stopped = True
        self._awaiting_idle = True
        for topic in list(self.topics.values()):
            self._leave(topic)

    # --- dialing ------------------------------------------------------------------------------------

    def _enqueue(self, peer: KnownPeer) -> None:
        peer.flush_tick = self._flushes.tick
        self._queue.add(peer)

    @property
    def has_room(self) -> bool:  # for one more dial
        explicit = len(self._explicit)
        # With explicit peers there must be room for them, so others count for more.
        weight = 1 if explicit == 0 else 2 if explicit < 2 else 3 if explicit < 4 else 4
        within = self.max_clients is None or self.links.clients < self.max_clients
        return within and weight * len(self.links) < self.max_peers

    def _dial_next(self, now: float) -> None:
        if self._draining or self.suspended:
            return
        self._draining = True
        for peer in self._explicit.values():
            if self.links.dialing >= self.max_parallel:
                break
            ended = peer.disconnected_at
            if peer.attempts >= 5 or (ended is not None and now - ended < peer.attempts):
                continue
            if peer.key not in self.links:
                if peer.queued:
                    self._queue.remove(peer)
                else:
                    peer.flush_tick = self._flushes.tick
                self._dial(peer)
        while len(self._queue) and self.links.dialing < self.max_parallel and self.has_room:
            self._dial(self._queue.take())
        self._draining = False
        if self.links.dialing == 0:
            self._flush_when_full()

    def _dial(self, peer: KnownPeer) -> None:
        if peer.banned or peer.key in self.links or self.refuses(peer.key):
            self._flushes.tried(peer.flush_tick)
            self._forget_if_useless(peer)
            return
        link = Link(peer.key, is_client=True, peer=peer)
        self.links.add(link)
        self._out.append(Dial(link, peer.relay_addresses, self.relay_for(peer)))

    def _dialed(self, link: Link) -> None:
        """The first outcome of a dial, good or bad."""
        if link.peer is not None:
            self._flushes.tried(link.peer.flush_tick)
        if self.links.dialing == 0:
            self._flush_when_full()

    def _client_closed(
        self, link: Link, peer: KnownPeer, now: float, error: str | None, code: str | None
    ) -> None:
        if not link.opened and code in FORCES_RELAY and self.relay_through is not None:
            peer.force_relay = True
            peer.attempts = 0
        peer.last_error = error
        peer.disconnected(now)
        wanted = peer.explicit or any(not topic.left for topic in peer.topics)
        peer.waiting = wanted and not self.suspended and self._retries.add(peer, now)
        if not link.opened:
            self._dialed(link)

    # --- links --------------------------------------------------------------------------------------

    def _replace(self, existing: Link, link: Link) -> None:
        self.links.note(link)
        existing.successors.append(link)
        self._destroy(existing, "another connection with the same peer replaces this one")

    def _examine(self, existing: Link, link: Link) -> None:
        """Let `link` prove itself. Of many that do not, the newest stay: a peer that is back needs one round trip."""
        self.links.note(link)
        self._out += [KeepAlive(existing), Prove(link)]
        existing.unproved = [one for one in existing.unproved if not one.is_closing]
        existing.unproved.append(link)
        if len(existing.unproved) > MAX_UNPROVED_LINKS:
            self._destroy(existing.unproved.pop(0), "too many connections of one peer prove nothing")

    def _refuse(self, link: Link, reason: str) -> None:
        self.links.note(link)
        self._destroy(link, reason)

    def _destroy(self, link: Link, reason: str) -> None:
        if not link.is_closing:
            link.is_closing = True
            self._out.append(Destroy(link, reason))

    # --- peers --------------------------------------------------------------------------------------

    def _upsert(
        self, key: bytes, relay_addresses: tuple[Address, ...] | None, *, wanted: bool = False
    ) -> KnownPeer | None:
        """The entry of `key` with the newest relay addresses. None for ourselves, and when there are too many."""
        if key == self.public_key:
            return None
        peer = self.peers.get(key)
        if peer is None:
            if not wanted and len(self.peers) >= MAX_KNOWN_PEERS:
                return None
            peer = self.peers[key] = KnownPeer(key)
        if relay_addresses is not None:
            peer.relay_addresses = relay_addresses
        return peer

    def _forget_if_useless(self, peer: KnownPeer) -> None:
        if peer.is_forgettable and peer.key not in self.links and self.peers.pop(peer.key, None) is not None:
            for topic in peer.topics:
                topic.peers.discard(peer)

    def _forget_waiting(self) -> None:
        self._retries = RetryTimer(self._random)
        self._queue.clear()
        for peer in list(self.peers.values()):
            peer.waiting = False
            self._forget_if_useless(peer)

    # --- flushing -----------------------------------------------------------------------------------

    def _refreshes_done(self, flush: Flush) -> None:
        if not flush.with_peers or self.suspended:
            self._discovery.end_flush(flush, not self.suspended)
            return
        self._flushes.wait(flush, len(self._queue) + self.links.unopened)
        if self.links.dialing == 0:
            self._flush_when_full()

    def _flush_when_full(self) -> None:
        """With no dial running and no room for more, whoever waits would wait for ever."""
        if not self.has_room:
            self._flushes.end(complete=True)
