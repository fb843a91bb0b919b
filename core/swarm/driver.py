"""The swarm at work: `Swarm` decides; the DHT node searches, serves and dials; connections go to their owner.

One timer for everything, no task: what the swarm wants is done in callbacks of the node. The clock is one that goes
on while the machine sleeps, so that waking up is noticed.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from random import Random
from typing import Final

from ..crypto.keys import KeyPair
from ..dht.address import Address
from ..dht.connect import Connecting, ConnectOptions
from ..dht.events import Event
from ..dht.flow import Outcome
from ..dht.health import Health
from ..dht.records import PeerRecord
from ..dht.server import Server
from ..dht.world import Meeting
from ..errors import ConnectionDropped, MeadowError
from ..net.connection import Connection
from ..net.hyperdht import HyperDht
from .actions import (
    Action,
    Ban,
    Connect,
    Destroy,
    Dial,
    Flushed,
    Idle,
    KeepAlive,
    Listen,
    Prove,
    StartQuery,
    StopListening,
    StopQuery,
)
from .engine import Swarm
from .flush import Flush
from .links import Link
from .queries import Queries
from .status import PeerError
from .topics import Query, Topic, TopicSession

MakeConnection = Callable[[Meeting], Connection]
"""Makes the connection over a stream that two peers have between them; called once for each that is kept."""

# A timer does not run on while the machine sleeps; looking at the clock this often, waking up is noticed.
_LOOK_SECONDS: Final = 15.0
_ERRORS_KEPT: Final = 20
_CLOCK: Final[int] = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class Joined:
    """A topic that this caller joined; `leave` ends that."""

    __slots__ = ("_driver", "_session")

    def __init__(self, driver: SwarmDriver, session: TopicSession) -> None:
        self._driver = driver
        self._session = session

    @property
    def topic(self) -> Topic:
        return self._session.topic

    def refresh(self) -> None:
        """Look and announce now."""
        self._session.refresh()
        self._driver.act()

    async def flushed(self) -> bool:
        """Wait until the refresh that runs now is over; False when the swarm stopped before."""
        return await self._driver.flushed(self.topic)

    def leave(self) -> None:
        """The last one to leave takes the announcement back."""
        self._session.destroy()
        self._driver.act()


class _Wire:
    """What a link is made of: the dial, then the stream, then the connection over it."""

    __slots__ = ("connecting", "connection", "header_seq", "meeting")

    def __init__(self) -> None:
        self.header_seq = 0
        """The packet that carries our header: the first one after the connection was made."""
        self.connecting: Connecting | None = None
        self.meeting: Meeting | None = None
        self.connection: Connection | None = None


class SwarmDriver:
    """Runs a swarm over `dht` as `key_pair`. The other options are those of `Swarm`. Close it before the node."""

    def __init__(
        self,
        dht: HyperDht,
        key_pair: KeyPair,
        *,
        make_connection: MakeConnection,
        random: Random | None = None,
        max_peers: int = 64,
        firewall: Callable[[bytes], bool] | None = None,
        relay_through: bytes | None = None,
    ) -> None:
        self.dht = dht
        self.swarm = Swarm(
            key_pair.public_key,
            random=random,
            max_peers=max_peers,
            firewall=firewall,
            relay_through=relay_through,
        )
        self.server: Server | None = None
        self._key_pair = key_pair
        self._make_connection = make_connection
        self._loop = asyncio.get_running_loop()
        self._queries = Queries(
            dht.machine,
            key_pair,
            relay_addresses=self._relay_addresses,
            on_peer=self._found,
            on_done=self._query_done,
        )
        self._flushes: dict[Flush, asyncio.Future[bool]] = {}
        self._idle: asyncio.Future[None] | None = None
        self.errors: deque[PeerError] = deque(maxlen=_ERRORS_KEPT)
        """The last dials that failed, oldest first."""
        self.dialed = 0
        """Dials begun so far."""
        # Before the node knows where it stands, nobody could be told how to reach it.
        self._acting = not dht.machine.bootstrapped
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._host: str | None = None
        self._online = True
        self._taken_back: Outcome[None] | None = None
        dht.machine.observers.append(self._node_event)

    def now(self) -> float:
        """The swarm's clock, seconds."""
        return time.clock_gettime(_CLOCK)

    # --- what a caller asks for -----------------------------------------------------------------------

    def join(
        self, topic: bytes, *, server: bool = True, client: bool = True, limit: int | None = None
    ) -> Joined:
        """See `Swarm.join`."""
        session = self.swarm.join(topic, server=server, client=client, limit=limit)
        self.act()
        return Joined(self, session)

    def join_peer(self, key: bytes) -> None:
        self.swarm.join_peer(key, self.now())
        self.act()

    def leave_peer(self, key: bytes) -> None:
        self.swarm.leave_peer(key)
        self.act()

    def ban(self, key: bytes) -> None:
        """Never connect with `key` again, and end the connection with it."""
        self.swarm.ban(key)
        link = self.swarm.links.get(key)
        if link is not None:
            self._destroy(link, "this peer was banned here")
        self.act()

    def adopt(self, connection: Connection) -> None:
        """`connection` came about without the swarm (by an address): with that peer no second one is needed."""
        link = Link(connection.remote_public_key, is_client=False)
        wire = link.user = _Wire()
        wire.connection = connection
        if self.swarm.adopt(link):
            self._watch(link, connection)
        self.act()

    async def flushed(self, topic: Topic | None = None) -> bool:
        """Wait until `topic` (None: every one) was looked up, and for all topics also until everybody found was
        tried once. False when the swarm stopped before.
        """
        flush = self.swarm.flush() if topic is None else self.swarm.flush_topic(topic)
        future: asyncio.Future[bool] = self._loop.create_future()
        self._flushes[flush] = future
        self.act()
        return await future

    async def suspend(self) -> None:
        """End all connections, take everything back from the DHT, close its sockets."""
        if self.swarm.suspended:
            return
        self.swarm.suspend()
        await self._until_idle(None)
        await self.dht.suspend()

    async def resume(self) -> None:
        if not self.swarm.suspended or self.swarm.stopped:
            return
        await self.dht.resume()
        self.swarm.resume(self.now())
        self.act()

    async def close(self, grace: float = 2.0) -> None:
        """End it all. Announcements are taken back as far as that can be done in `grace` seconds; the rest expires."""
        if self.swarm.stopped:
            return
        self.swarm.stop()
        try:
            await self._until_idle(grace)
        finally:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            self.dht.machine.observers.remove(self._node_event)
            for link in self.swarm.links.everything:
                self._destroy(link, "this peer was closed")
            for query in list(self._queries.running):
                self._queries.stop(query)

    # --- doing what the swarm decided -----------------------------------------------------------------

    def act(self) -> None:
        """Do all that is to be done, and what follows from it."""
        if self._acting:
            return
        self._acting = True
        try:
            while actions := self.swarm.actions():
                for action in actions:
                    self._do(action)
        finally:
            self._acting = False
        self._set_timer()

    def _do(self, action: Action) -> None:
        match action:
            case StartQuery(query):
                self._queries.start(query)
            case StopQuery(query):
                self._queries.stop(query)
            case Dial(link, relay_addresses, relay_through):
                self._dial(link, relay_addresses, relay_through)
            case Connect(link):
                self._connect(link)
            case Prove(link):
                self._prove(link)
            case Destroy(link, reason):
                self._destroy(link, reason)
            case KeepAlive(link):
                if link.user.connection is not None:
                    link.user.connection.keep_alive()
            case Listen():
                self._listen()
            case StopListening():
                self._stop_listening()
            case Flushed(flush, complete):
                self._flushed(flush, complete)
            case Idle():
                if self._idle is not None and not self._idle.done():
                    self._idle.set_result(None)
            case Ban():
                pass

    def _flushed(self, flush: Flush, complete: bool) -> None:
        future = self._flushes.pop(flush)
        if not future.done():
            future.set_result(complete)

    async def _until_idle(self, seconds: float | None) -> None:
        self._idle = self._loop.create_future()
        self._acting = False
        self.act()
        try:
            async with asyncio.timeout(seconds):
                await self._idle
                if self._taken_back is not None:
                    await self.dht.settled(self._taken_back)
        except TimeoutError:
            pass

    def _set_timer(self) -> None:
        due = self.swarm.deadline()
        if due is None or self.swarm.stopped:
            return
        at = self._loop.time() + min(max(0.0, due - self.now()), _LOOK_SECONDS)
        if self._timer is not None:
            if self._timer_at <= at:
                return
            self._timer.cancel()
        self._timer_at = at
        self._timer = self._loop.call_at(at, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self.swarm.on_timer(self.now())
        self.act()

    # --- queries --------------------------------------------------------------------------------------

    def _found(self, query: Query, record: PeerRecord) -> None:
        self.swarm.found(query, record.public_key, record.relay_addresses, self.now())
        self.act()

    def _query_done(self, query: Query, closest: bytes, error: str | None) -> None:
        self.swarm.query_done(query, self.now(), closest=closest, error=error)
        self.act()

    def _relay_addresses(self) -> tuple[Address, ...]:
        return () if self.server is None else self.server.relay_addresses

    # --- serving --------------------------------------------------------------------------------------

    def _listen(self) -> None:
        server = self.server = self.dht.serve(
            self._key_pair,
            self._incoming,
            firewall=lambda key, address: self._refuses(key),
            relay_through=lambda: self.swarm.relay_for(None),
        )

        def announced(_: object) -> None:
            if self.server is server:
                self.swarm.listening()
                self.act()

        server.announced.when_done(announced)

    def _refuses(self, key: bytes) -> bool:
        refused = self.swarm.refuses(key)
        self._loop.call_soon(self.act)
        return refused

    def _stop_listening(self) -> None:
        server, self.server = self.server, None
        if server is not None and server in self.dht.servers:
            self.dht.servers.remove(server)
            self._taken_back = server.close()

    def _incoming(self, meeting: Meeting) -> None:
        link = Link(meeting.handshake.remote_public_key, is_client=False)
        wire = link.user = _Wire()
        self._take(link, wire, meeting)
        self.swarm.incoming(link, self.now())
        self.act()

    # --- links ----------------------------------------------------------------------------------------

    def _dial(self, link: Link, relay_addresses: Sequence[Address], relay_through: bytes | None) -> None:
        wire = link.user = _Wire()
        self.dialed += 1

        def met(meeting: Meeting) -> None:
            wire.connecting = None
            self._take(link, wire, meeting)
            self.swarm.dial_opened(link, self.now())
            self.act()

        def failed(error: MeadowError) -> None:
            wire.connecting = None
            self.errors.append(PeerError(time.time(), link.key, str(error)))
            self._closed(link, error)

        wire.connecting = self.dht.dial(
            link.key,
            ConnectOptions(tuple(relay_addresses), relay_through),
            key_pair=self._key_pair,
            on_meeting=met,
            on_failure=failed,
        )

    def _take(self, link: Link, wire: _Wire, meeting: Meeting) -> None:
        """A stream, not yet a connection: the swarm may decide against it, or let it wait."""
        wire.meeting = meeting

        def closed(error: MeadowError | None) -> None:
            meeting.ended()
            self._closed(link, error)

        meeting.stream.on_close = closed

    def _connect(self, link: Link) -> None:
        wire: _Wire = link.user
        if wire.connection is None and wire.meeting is not None and not wire.meeting.stream.closed:
            wire.header_seq = wire.meeting.stream.sender.next
            wire.connection = self._make_connection(wire.meeting)
            self._watch(link, wire.connection)

    def _prove(self, link: Link) -> None:
        """The remote shows its keys in its header. That it still wants the stream only its ack of ours shows: the
        header may lie in the same burst as the end of a dial that was overtaken."""
        self._connect(link)
        wire: _Wire = link.user
        connection = wire.connection
        if connection is None or wire.meeting is None:
            return  # its stream has ended; one that came by an address is never asked to prove anything
        stream = wire.meeting.stream

        def look(_: object = None) -> None:
            if connection.mux is not None and stream.sender.una > wire.header_seq:
                stream.on_acked = _nothing
                self._loop.call_soon(self._proved, link, connection)

        stream.on_acked = look
        connection.opened.add_done_callback(look)

    def _proved(self, link: Link, connection: Connection) -> None:
        # Its end may have come since; then `link_closed` follows, and nobody is behind it.
        if not connection.closed.done():
            self.swarm.proved(link, self.now())
            self.act()

    def _watch(self, link: Link, connection: Connection) -> None:
        link.exchanged = lambda: connection.exchanged
        connection.closed.add_done_callback(partial(self._connection_closed, link))

    def _connection_closed(self, link: Link, closed: asyncio.Future[MeadowError | None]) -> None:
        self._closed(link, closed.result())

    def _destroy(self, link: Link, reason: str) -> None:
        wire: _Wire = link.user
        if wire.connection is not None:
            wire.connection.abort(ConnectionDropped(reason))
        elif wire.meeting is not None:
            wire.meeting.stream.destroy()
        elif wire.connecting is not None:
            connecting, wire.connecting = wire.connecting, None
            connecting.cancel()
            self._closed(link, None)

    def _closed(self, link: Link, error: MeadowError | None) -> None:
        self.swarm.link_closed(
            link, self.now(), error=None if error is None else str(error), code=getattr(error, "code", None)
        )
        self.act()

    # --- the network ----------------------------------------------------------------------------------

    def _node_event(self, event: Event) -> None:
        machine = self.dht.machine
        if event is Event.BOOTSTRAPPED:
            self._acting = False
            self._loop.call_soon(self.act)
        online = machine.health.state is not Health.OFFLINE
        came_online, self._online = online and not self._online, online
        address = machine.public_address
        host = None if address is None else address[0]
        self.swarm.nat_is_random = address is not None and address[1] == 0
        moved = self._host is not None and host is not None and host != self._host
        self._host = host or self._host
        if came_online or moved or event is Event.WOKE_UP:
            self.swarm.network_changed(self.now())
            self.act()


def _nothing() -> None:
    pass
