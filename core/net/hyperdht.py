"""HyperDHT on real sockets: find peers and values by key, connect to peers by key, be found and connected to.

    dht = await HyperDht.open(bootstrap=["127.0.0.1:49737"])
    server = await dht.listen(key_pair, on_meeting)            # others may connect to this key now
    meeting = await dht.connect(public_key)                    # PeerUnreachable says why not
    connection = connection_over(meeting, ...)                 # (core/net/meeting.py)

    await dht.announce(topic, key_pair, server.relay_addresses)
    async for found in dht.lookup(topic): ...                  # found.peers

Everything that decides is in `core.dht`; here are sockets, timers and awaitables. The API is that of hyperdht 6.34.0.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import Final, TypeVar

from ..crypto.hashing import hash32
from ..crypto.keys import KeyPair
from ..crypto.keys import key_pair as make_key_pair
from ..dht.address import Address
from ..dht.connect import Connecting, ConnectOptions
from ..dht.events import Event
from ..dht.flow import Outcome
from ..dht.hyper_commands import (
    DEFAULT_PORT,
    FIND_PEER,
    IMMUTABLE_GET,
    IMMUTABLE_PUT,
    LOOKUP,
    MUTABLE_GET,
    MUTABLE_PUT,
    PUBLIC_BOOTSTRAP,
)
from ..dht.node import DhtNode
from ..dht.outgoing import Reply
from ..dht.publishing import announce_commit, may_hold, unannounce_at, value_commit
from ..dht.query import Commit
from ..dht.records import (
    MutableValue,
    PeerRecord,
    encode_mutable_put,
)
from ..dht.server import Server
from ..dht.signatures import sign_mutable, verify_mutable
from ..dht.world import KeyFirewall, Meeting, OnMeeting, OpenRelay, RelayConnection, World
from ..encoding.compact import encode_uint
from ..errors import BadArgument, MeadowError, PeerUnreachable, SessionClosed
from ..limits import MAX_STORED_VALUE_BYTES
from .dht_lookup import Found, Lookup, decoded, mutable_of, peer_of, resolve
from .dht_node import UdpDhtNode
from .hyper_sockets import HyperSockets
from .relay_dial import RelayDial
from .udp_mux import StreamTable

T = TypeVar("T")

__all__ = ["PORTS", "Found", "HyperDht", "Lookup"]

PORTS: Final = tuple(range(DEFAULT_PORT, DEFAULT_PORT + 5))
"""Where a node's server socket is bound, if one of them is free."""


class HyperDht(UdpDhtNode):
    """A DHT node that stores, routes, connects and serves. `world` is everything it decides with."""

    def __init__(
        self, machine: DhtNode, host: str, streams: StreamTable | None = None, key_pair: KeyPair | None = None
    ) -> None:
        super().__init__(machine, host, streams)
        self.key_pair = key_pair if key_pair is not None else make_key_pair()
        """Whom we connect as, unless a call says otherwise."""
        self.sockets = HyperSockets(self, host)
        self.world = World(machine, self.sockets, self._loop.time)
        self.world.timers.wake = self._world_timer_changed
        self.servers: list[Server] = []
        self._dials: set[Connecting] = set()
        self._relays: set[RelayDial] = set()
        self._world_timer: asyncio.TimerHandle | None = None
        machine.observers.append(self._network_changed)

    @classmethod
    async def open(
        cls,
        *,
        key_pair: KeyPair | None = None,
        host: str = "0.0.0.0",  # noqa: S104 - a peer is there to be reached
        ports: Iterable[int] = PORTS,
        any_port: bool = True,
        bootstrap: Sequence[str | Address] = PUBLIC_BOOTSTRAP,
        nodes: Sequence[Address] = (),
        ephemeral: bool | None = None,
        firewalled: bool = True,
        quick_firewall: bool = True,
        known_host: str | None = None,
        accept_node: Callable[[Address], bool] | None = None,
    ) -> HyperDht:
        """Bind the sockets and begin to bootstrap; parameters and errors as of `UdpDhtNode.open`."""
        machine = DhtNode(
            bootstrap=bootstrap,
            nodes=nodes,
            ephemeral=ephemeral,
            firewalled=firewalled,
            quick_firewall=quick_firewall,
            accept_node=accept_node,
            now=asyncio.get_running_loop().time(),
        )
        node = cls(machine, host, key_pair=key_pair)
        node.bind(ports, any_port=any_port)
        if known_host is not None:
            machine.reachability.sample((known_host, machine.server_port))
        node.start()
        return node

    # --- peers of a topic -----------------------------------------------------------------------------

    def find_peer(self, public_key: bytes) -> AsyncIterator[PeerRecord]:
        """What nodes know of the server with this key, as each of them answers."""
        return decoded(self.query(hash32(public_key), FIND_PEER), lambda reply: peer_of(reply))

    def lookup(self, topic: bytes, *, nodes: Sequence[Address] = ()) -> Lookup:
        """Peers that announced themselves under `topic` (32 bytes), node by node."""
        return Lookup(self.query(topic, LOOKUP, nodes=nodes))

    def announce(
        self,
        topic: bytes,
        key_pair: KeyPair | None = None,
        relay_addresses: Sequence[Address] = (),
        *,
        nodes: Sequence[Address] = (),
        clear: bool = False,
        bump: int = 0,
    ) -> Lookup:
        """Announce at the 20 nodes nearest to `topic`. The walk there is a lookup: iterate it, or await `finished`.

        `clear`: take back at once what older announcements of this key are met on the way.
        Raises `TooFewNodes` (from the walk) when no node took it.
        """
        pair = key_pair or self.key_pair
        commit = announce_commit(self.machine, pair, topic, tuple(relay_addresses), bump)
        return (
            self._lookup_and_unannounce(topic, pair, nodes, commit)
            if clear
            else self._lookup(topic, nodes, commit)
        )

    async def unannounce(
        self,
        topic: bytes,
        key_pair: KeyPair | None = None,
        *,
        nodes: Sequence[Address] = (),
        only_nodes: bool = False,
    ) -> None:
        """Take back what `key_pair` announced; with `only_nodes` nowhere else than at `nodes`."""
        pair = key_pair or self.key_pair
        self.world.storing.forget(topic, pair.public_key)
        await self._lookup_and_unannounce(topic, pair, nodes, None, only_nodes=only_nodes).finished()

    def lookup_and_unannounce(
        self, topic: bytes, key_pair: KeyPair | None = None, *, nodes: Sequence[Address] = ()
    ) -> Lookup:
        """Both in one walk."""
        pair = key_pair or self.key_pair
        self.world.storing.forget(topic, pair.public_key)
        return self._lookup_and_unannounce(topic, pair, nodes, None)

    def _lookup(self, topic: bytes, nodes: Sequence[Address], commit: Commit | None) -> Lookup:
        return Lookup(self.query(topic, LOOKUP, nodes=nodes, commit=commit))

    def _lookup_and_unannounce(
        self,
        topic: bytes,
        key_pair: KeyPair,
        nodes: Sequence[Address],
        commit: Commit | None,
        *,
        only_nodes: bool = False,
    ) -> Lookup:
        pending: list[Outcome[None]] = []

        def replied(reply: Reply) -> None:
            if may_hold(reply, key_pair.public_key) and reply.address not in told:
                told.add(reply.address)
                settled: Outcome[None] = Outcome()
                pending.append(settled)
                unannounce_at(self.machine, reply, key_pair, topic, lambda _: settled.set(None))

        told: set[Address] = set()
        walk = self.query(topic, LOOKUP, nodes=nodes, only_closest=only_nodes, commit=commit)
        return Lookup(walk, replied, pending)

    # --- values ---------------------------------------------------------------------------------------

    async def immutable_put(self, value: bytes) -> bytes:
        """Store `value` at the nodes nearest to its hash, which is returned (32 bytes)."""
        _check_value(value)
        target = hash32(value)
        commit = value_commit(self.machine, IMMUTABLE_PUT, target, value)
        await self.query(target, IMMUTABLE_GET, commit=commit).finished()
        return target

    async def immutable_get(self, target: bytes) -> bytes | None:
        """The value whose hash is `target`, from the first node that has it."""
        walk = self.query(target, IMMUTABLE_GET)
        async for reply in walk:
            if reply.value is not None and hash32(reply.value) == target:
                walk.cancel()
                return reply.value
        return None

    async def mutable_put(self, key_pair: KeyPair, value: bytes, seq: int = 0) -> MutableValue:
        """Store `value`, signed, where everybody who knows the key looks; a larger `seq` replaces a smaller."""
        _check_value(value)
        signed = sign_mutable(key_pair, seq, value)
        target = hash32(key_pair.public_key)
        data = encode_mutable_put(key_pair.public_key, signed)
        commit = value_commit(self.machine, MUTABLE_PUT, target, data)
        await self.query(target, MUTABLE_GET, encode_uint(0), commit=commit).finished()
        return signed

    async def mutable_get(
        self, public_key: bytes, *, seq: int = 0, latest: bool = True
    ) -> MutableValue | None:
        """The signed value with the largest seq, not less than `seq`; without `latest` the first that is found."""
        best: MutableValue | None = None
        walk = self.query(hash32(public_key), MUTABLE_GET, encode_uint(seq))
        async for reply in walk:
            value = mutable_of(reply)
            if value is None or value.seq < seq or (best is not None and value.seq <= best.seq):
                continue
            if verify_mutable(value, public_key):
                best = value
                if not latest:
                    walk.cancel()
                    break
        return best

    # --- connections ----------------------------------------------------------------------------------

    async def connect(
        self,
        public_key: bytes,
        *,
        relay_addresses: Sequence[Address] = (),
        key_pair: KeyPair | None = None,
        relay_through: bytes | None = None,
        local: bool = True,
        fast_open: bool = True,
    ) -> Meeting:
        """Meet the peer with this key (see `ConnectOptions`). Raises `PeerUnreachable` with the reason.

        Nothing of its stream is lost before somebody takes it up with `connection_over`; but do that, or destroy it.
        """
        if len(public_key) != 32:
            raise BadArgument(f"a public key has 32 bytes, not {len(public_key)}")
        if self.machine.closed or self.machine.suspended:
            raise PeerUnreachable("the network is switched off")
        options = ConnectOptions(tuple(relay_addresses), relay_through, local, fast_open)
        met: asyncio.Future[Meeting] = self._loop.create_future()
        connecting = self.dial(
            public_key,
            options,
            key_pair=key_pair,
            on_meeting=lambda meeting: resolve(met, meeting),
            on_failure=lambda error: _reject(met, error),
        )
        try:
            return await met
        except asyncio.CancelledError:
            connecting.cancel()
            self._dials.discard(connecting)
            if met.done() and not met.cancelled() and met.exception() is None:
                met.result().stream.destroy()
            raise

    def dial(
        self,
        public_key: bytes,
        options: ConnectOptions,
        *,
        on_meeting: OnMeeting,
        on_failure: Callable[[MeadowError], None],
        key_pair: KeyPair | None = None,
    ) -> Connecting:
        """`connect` with callbacks."""

        def failed(error: MeadowError) -> None:
            self._dials.discard(connecting)
            on_failure(_in_words(error))

        def met(meeting: Meeting) -> None:
            self._dials.discard(connecting)
            on_meeting(meeting)

        connecting = Connecting(
            self.world, key_pair or self.key_pair, public_key, options, on_meeting=met, on_failure=failed
        )
        self._dials.add(connecting)
        connecting.start()
        return connecting

    async def listen(
        self,
        key_pair: KeyPair | None,
        on_meeting: OnMeeting,
        *,
        firewall: KeyFirewall | None = None,
        relay_through: Callable[[], bytes | None] | None = None,
        punch: bool = True,
        share_local_addresses: bool = True,
    ) -> Server:
        """Serve `key_pair` (ours if None): returns once it has been announced, or the attempt to failed."""
        server = self.serve(
            key_pair,
            on_meeting,
            firewall=firewall,
            relay_through=relay_through,
            punch=punch,
            share_local_addresses=share_local_addresses,
        )
        await self.settled(server.announced)
        return server

    def serve(
        self,
        key_pair: KeyPair | None,
        on_meeting: OnMeeting,
        *,
        firewall: KeyFirewall | None = None,
        relay_through: Callable[[], bytes | None] | None = None,
        punch: bool = True,
        share_local_addresses: bool = True,
    ) -> Server:
        """`listen` that does not wait. Raises `LocalProtocolError` when this key is served already."""
        server = Server(
            self.world,
            key_pair or self.key_pair,
            on_meeting=on_meeting,
            firewall=firewall,
            relay_through=relay_through,
            punch=punch,
            share_local_addresses=share_local_addresses,
        )
        server.listen()
        self.servers.append(server)
        return server

    async def close_server(self, server: Server) -> None:
        """Stop serving; returns when the nodes that kept the announcement were told."""
        if server in self.servers:
            self.servers.remove(server)
            await self.settled(server.close())

    def dial_relay(
        self, public_key: bytes, on_open: Callable[[OpenRelay], None], on_close: Callable[[], None]
    ) -> RelayConnection:
        """For `Outside`: a connection to a blind relay, with our usual key."""
        return RelayDial(self, public_key, on_open, on_close)

    async def settled(self, outcome: Outcome[None]) -> None:
        """Wait for an outcome of `core.dht`, good or bad."""
        if not outcome.done:
            done: asyncio.Future[None] = self._loop.create_future()
            outcome.when_done(lambda _: resolve(done, None))
            await done

    # --- life -----------------------------------------------------------------------------------------

    async def suspend(self) -> None:
        """Take announcements back, break off what is under way, end every stream, close the sockets."""
        if self.machine.suspended or self.machine.closed:
            return
        for outcome in [server.suspend() for server in self.servers]:
            await self.settled(outcome)
        self._break_off(PeerUnreachable("the network was switched off"))
        await super().suspend()
        self.sockets.forget_all()

    async def resume(self) -> None:
        if not self.machine.suspended or self.machine.closed:
            return
        await super().resume()
        for server in self.servers:
            server.resume()

    async def close(self) -> None:
        """Take announcements back (as far as nodes answer), then leave no socket, timer or task behind."""
        if self.machine.closed:
            return
        if not self.machine.suspended:
            for outcome in [server.close() for server in self.servers]:
                await self.settled(outcome)
        self.servers.clear()
        self._break_off(SessionClosed("the node was closed"))
        await super().close()
        self.sockets.forget_all()
        self.world.timers.clear()
        self._cancel_world_timer()

    def _break_off(self, error: MeadowError) -> None:
        for connecting in list(self._dials):
            connecting.fail(error)
        for relay in list(self._relays):
            relay.close()
        for stream in list(self.streams.streams.values()):
            stream.destroy()
        self.streams.flush()

    def _network_changed(self, event: Event) -> None:
        if event in (Event.NAT_CHANGED, Event.OPEN, Event.WOKE_UP):
            for server in self.servers:
                server.refresh()

    # --- time -----------------------------------------------------------------------------------------

    def _world_timer_changed(self) -> None:
        self._cancel_world_timer()
        due = self.world.timers.deadline()
        if due is not None and not self.machine.closed:
            self._world_timer = self._loop.call_at(due, self._world_timer_due)

    def _world_timer_due(self) -> None:
        self._world_timer = None
        self.world.timers.run(self._loop.time())
        self._world_timer_changed()

    def _cancel_world_timer(self) -> None:
        if self._world_timer is not None:
            self._world_timer.cancel()
            self._world_timer = None


def _check_value(value: bytes) -> None:
    if not 0 < len(value) <= MAX_STORED_VALUE_BYTES // 2:
        raise BadArgument(
            f"a value in the DHT has 1 to {MAX_STORED_VALUE_BYTES // 2} bytes, not {len(value)}"
        )


def _in_words(error: MeadowError) -> MeadowError:
    return error if isinstance(error, PeerUnreachable) else PeerUnreachable(str(error))


def _reject(future: asyncio.Future[Meeting], error: MeadowError) -> None:
    if not future.done():
        future.set_exception(error)
