"""One peer: a store of logs, connections that carry them, a network to find others in. The public door to `core`.

    peer = await Peer.open(Path("my-peer"))
    bee = peer.bee(name="main")                     # mine: I hold its key pair
    await bee.put("post/0001", {"text": "hello"})
    host, port = await peer.listen()                # others may read it now

    other = await Peer.open(None)                   # in memory
    await other.connect(host, port)
    theirs = other.bee(key=bee.core.key)            # read-only, downloaded as it is read

With `bootstrap` (nodes of the DHT to begin with) no address is needed. Every core that is opened then joins the swarm
of its discovery key: it is found there, and finds whoever else holds it.

    peer = await Peer.open(Path("my-peer"), bootstrap=PUBLIC_BOOTSTRAP)
    theirs = peer.bee(key=...)                      # connects by itself

Every core that is open here is offered on every connection; what we store is served to whoever proves that they know
its key.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from .corestore import Corestore
from .crypto.hashing import hash32
from .crypto.keys import KeyPair, sign, verify
from .crypto.vault import spellings
from .dht.hyper_commands import PUBLIC_BOOTSTRAP
from .dht.world import Meeting
from .encoding.z32 import key_to_id, parse_key
from .errors import BadArgument, PeerUnreachable
from .evidence.check import Finding, Version, check_file
from .evidence.file import Kind, ProofFile, encode_file
from .evidence.make import find_versions, prove_conflict, prove_history, prove_lookup, prove_record
from .hyperbee import Hyperbee
from .hypercore import Hypercore
from .hypercore.audit import Damage
from .net.connection import Connection
from .net.meeting import connection_over
from .net.process import settle_garbage_collector
from .net.tcp import TcpCarrier, dial, listen
from .net.testnet import Testnet
from .swarm.beam import Beam
from .swarm.driver import Joined
from .swarm.network import Network
from .swarm.status import ConnectionStatus, NetworkStatus, PeerError, SharedStatus, TopicStatus

__all__ = [
    "PUBLIC_BOOTSTRAP",
    "Beam",
    "Connection",
    "ConnectionStatus",
    "Damage",
    "Finding",
    "Joined",
    "Kind",
    "Network",
    "NetworkStatus",
    "Peer",
    "PeerError",
    "PeerUnreachable",
    "ProofFile",
    "SecretKey",
    "SharedStatus",
    "Testnet",
    "TopicStatus",
    "Version",
    "check_file",
    "encode_file",
    "find_versions",
    "is_signed",
    "key_to_id",
    "parse_key",
    "prove_conflict",
    "prove_history",
    "prove_lookup",
    "prove_record",
    "settle_garbage_collector",
    "spellings",
]

_NETWORK_KEY_NAME = "meadow/network"
"""Names the key pair (derived from the primary key) that this peer proves to those it connects with."""

_LOOK_AGAIN_SECONDS = 2.0

_STATEMENT = b"meadow statement 1\n"
"""Begins everything that a peer signs for people, so that no handshake can be mistaken for one."""


def is_signed(statement: bytes, signature: bytes, public_key: bytes) -> bool:
    """Whether the peer `public_key` made this statement. False for anything malformed."""
    return verify(_STATEMENT + hash32(statement), signature, public_key)


class SecretKey(NamedTuple):
    """A secret key that a peer holds: the public key (or the log's key) it belongs to, and the log's name in the store;
    None for the peer's own, which writes nothing.
    """

    key: bytes
    name: str | None


class Peer:
    """A store, its connections and its listening sockets. Make one with `await Peer.open(directory)`."""

    def __init__(self, store: Corestore, network_key: KeyPair) -> None:
        self.store = store
        self._network_key = network_key
        self._connections: dict[Connection, Any] = {}
        self._servers: list[asyncio.Server] = []
        self._listeners: list[Callable[[str, Connection], None]] = []
        self._closing = False
        self._followed: dict[bytes, tuple[Joined, set[Hypercore]]] = {}
        self._announces = True
        self.network: Network | None = None
        """The DHT node and the swarm; None: peers are found by address only."""

    @classmethod
    async def open(
        cls,
        directory: Path | str | None,
        *,
        bootstrap: Sequence[str] | None = None,
        is_node: bool = False,
        max_peers: int = 64,
        relay_through: bytes | None = None,
        **store_options: Any,
    ) -> Peer:
        """Open (or create) the peer that lives in `directory`; None keeps everything in memory.

        With `bootstrap` it also joins the network (see `go_online`). Raises `StorageLocked` when another process
        holds the directory, `StorageVersion` when another version wrote it.
        """
        store = Corestore(None if directory is None else Path(directory), **store_options)
        peer = cls(store, store.create_key_pair(_NETWORK_KEY_NAME))
        if bootstrap is not None:
            try:
                await peer.go_online(
                    bootstrap, is_node=is_node, max_peers=max_peers, relay_through=relay_through
                )
            except BaseException:
                await peer.close()
                raise
        return peer

    @property
    def announces(self) -> bool:
        """Whether what is opened here is announced, when there is a network."""
        return self._announces

    # --- what is here -------------------------------------------------------------------------

    @property
    def public_key(self) -> bytes:
        """The 32-byte key this peer proves on its connections (not the key of any bee)."""
        return self._network_key.public_key

    @property
    def connections(self) -> list[Connection]:
        """The connections whose other side has proved its key, oldest first."""
        return [
            connection for connection, replication in self._connections.items() if replication is not None
        ]

    def core(self, **options: Any) -> Hypercore:
        """A session on a core; the options are those of `Corestore.get`."""
        core = self.store.get(**options)
        self._follow(core)
        return core

    def bee(
        self,
        *,
        name: str | None = None,
        key: bytes | str | None = None,
        key_encoding: Any = "utf-8",
        value_encoding: Any = "json",
        joined: bool = True,
        **options: Any,
    ) -> Hyperbee:
        """The bee called `name` in this store (ours to write), or the one of that `key` (read-only unless ours).

        `joined` False: whoever asks decides when the network is searched for it (`Network.join`).
        """
        core = self.store.get(name=name) if key is None else self.store.get(key)
        if joined:
            self._follow(core)
        return Hyperbee(core, key_encoding=key_encoding, value_encoding=value_encoding, **options)

    async def safe(self) -> None:
        """Return when what was written here so far survives a power cut. Raises `StorageError` when it cannot."""
        await self.store.safe()

    def secret_keys(self) -> list[SecretKey]:
        """Every secret key that this peer holds, by its public half: its own, and those of logs it can write."""
        logs = [SecretKey(key, name or "") for key, name in self.store.signed_here()]
        return [SecretKey(self.public_key, None), *logs]

    def sign(self, statement: bytes) -> bytes:
        """This peer's signature (64 bytes) over a statement of its own; `is_signed` checks it with `public_key`."""
        return sign(_STATEMENT + hash32(statement), self._network_key.secret_key)

    # --- who is there -------------------------------------------------------------------------

    async def listen(self, host: str = "127.0.0.1", port: int = 0) -> tuple[str, int]:
        """Accept connections; returns the address really bound. Raises `OSError` when it cannot be had."""
        server = await listen(self._make_connection, host, port, lambda: len(self._connections))
        self._servers.append(server)
        bound = server.sockets[0].getsockname()
        return str(bound[0]), int(bound[1])

    async def connect(self, host: str, port: int, *, timeout: float = 10.0) -> Connection:
        """Dial a peer; returns once it has proved its key. Raises `PeerUnreachable` with a sentence."""
        return await dial(self._make_connection, host, port, timeout)

    # --- the network --------------------------------------------------------------------------

    async def go_online(
        self,
        bootstrap: Sequence[str],
        *,
        is_node: bool = False,
        max_peers: int = 64,
        port: int | None = None,
        announce: bool = True,
        relay_through: bytes | None = None,
    ) -> Network:
        """Join the DHT that begins at `bootstrap` ("host:port"), and every core opened so far and from now on.

        Returns at once; `network.status()` tells how it goes. `is_node`: store for others too, as soon as this
        machine turns out to be reachable. `port`: the UDP port that others reach; None takes a usual one. `announce`:
        False looks for others without being found. `relay_through`: the key of a blind relay, where two peers meet that
        cannot reach each other. Raises `BadArgument`, or `OSError` when there is no UDP socket to be had.
        """
        if self.network is not None:
            raise BadArgument("this peer is in a network already")
        self._announces = announce
        network = self.network = await Network.open(
            self._network_key,
            self._met,
            bootstrap=bootstrap,
            is_node=is_node,
            port=port,
            max_peers=max_peers,
            relay_through=relay_through,
        )
        for connection in self.connections:
            network.adopt(connection)
        for core in self.store.sessions:
            self._follow(core)
        return network

    async def join(self, topic: bytes | Hypercore, *, server: bool = True, client: bool = True) -> Joined:
        """Be found (server) and find others (client) under a discovery key, until `leave`. Cores opened here have
        joined already. Raises `BadArgument` when this peer is in no network.
        """
        if self.network is None:
            raise BadArgument("this peer is in no network: open it with bootstrap nodes")
        key = topic.discovery_key if isinstance(topic, Hypercore) else topic
        return self.network.join(key, server=server, client=client)

    async def find(self, core: Hypercore, timeout: float) -> bool:
        """Look for peers that have `core` now, whatever was found before; whether one is there within `timeout`
        seconds. Without a network: whether one is there.
        """
        followed = self._followed.get(core.discovery_key)
        if core.peers or followed is None:
            return bool(core.peers)
        added = asyncio.Event()

        def peer_added(*_: object) -> None:
            added.set()

        core.on("peer-add", peer_added)
        waiting = asyncio.create_task(added.wait())
        try:
            async with asyncio.timeout(timeout):
                while not added.is_set():
                    # Two that announce themselves at one moment do not see each other: look again.
                    followed[0].refresh()
                    await asyncio.wait([waiting], timeout=_LOOK_AGAIN_SECONDS)
        except TimeoutError:
            pass
        finally:
            waiting.cancel()
            core.off("peer-add", peer_added)
        return bool(core.peers)

    def shared(self, others: Iterable[Hypercore] = ()) -> list[SharedStatus]:
        """Every core that is open here, once, what is our own first; and `others`, opened in another namespace."""
        found: dict[bytes, SharedStatus] = {}
        for core in (*self.store.sessions, *others):
            if core.key in found and not core.writable:
                continue
            topic = None if self.network is None else self.network.topic_status(core.discovery_key)
            found[core.key] = SharedStatus(
                key=core.key,
                length=core.length,
                is_mine=core.writable,
                peers=len(core.peers),
                found=None if topic is None else topic.peers_found,
                error=None if topic is None else topic.error,
            )
        return sorted(found.values(), key=lambda status: (not status.is_mine, status.key))

    def _follow(self, core: Hypercore) -> None:
        """Be found and find others for `core`, until the last session on it is closed."""
        if self.network is None or self._closing:
            return
        key = core.discovery_key
        followed = self._followed.get(key)
        if followed is None:
            followed = self._followed[key] = (self.network.join(key, server=self._announces), set())
        followed[1].add(core)
        core.on("close", lambda: self._unfollow(core))

    def _unfollow(self, core: Hypercore) -> None:
        joined, sessions = self._followed[core.discovery_key]
        sessions.discard(core)
        if not sessions and not self._closing:
            del self._followed[core.discovery_key]
            joined.leave()

    def _met(self, meeting: Meeting) -> Connection:
        """Two peers found each other: their stream becomes a connection like any other."""
        connection = connection_over(
            meeting,
            self._network_key,
            commit=self.store.commit,
            when_safe=self.store.when_safe,
            on_open=self._opened,
            on_close=self._closed,
        )
        if not connection.closed.done():
            self._connections.setdefault(connection)  # what waited in its stream may have opened it already
        return connection

    # --- connections --------------------------------------------------------------------------

    def on_connection(self, listener: Callable[[str, Connection], None]) -> Callable[[], None]:
        """Call `listener("open" | "close", connection)` from now on; returns what ends that."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    async def close(self) -> None:
        """Stop listening, end all connections, close the store. What was acknowledged is on disk already."""
        if self._closing:
            return
        self._closing = True
        for server in self._servers:
            server.close()
        for connection in list(self._connections):
            connection.close()
        if self.network is not None:
            await self.network.close()
        await self.store.close()

    def _make_connection(self, carrier: TcpCarrier, is_initiator: bool, remote_address: str) -> Connection:
        connection = Connection(
            carrier,
            is_initiator=is_initiator,
            key_pair=self._network_key,
            remote_address=remote_address,
            commit=self.store.commit,
            when_safe=self.store.when_safe,
            on_open=self._opened,
            on_close=self._closed,
        )
        self._connections[connection] = None
        return connection

    def _opened(self, connection: Connection) -> None:
        if connection.mux is not None:
            self._connections[connection] = self.store.replicate(connection.mux)
            if self.network is not None and connection.how == "tcp":
                self.network.adopt(connection)
            self._tell("open", connection)

    def _closed(self, connection: Connection) -> None:
        replication = self._connections.pop(connection, None)
        if replication is not None:
            replication.close()
            self._tell("close", connection)

    def _tell(self, event: str, connection: Connection) -> None:
        for listener in list(self._listeners):
            listener(event, connection)
