"""A DHT node on two UDP sockets: the machine of `core.dht` with a clock, and something to await.

The two sockets also carry the UDX streams of the node, so each is a `DatagramHub`; both hubs share one stream table.
Answers leave with the batch of reads that asked for them, everything else once a turn of the event loop; one timer
serves all waiting.
"""

from __future__ import annotations

import asyncio
import socket as system_sockets
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import Final

from ..dht.address import Address
from ..dht.commands import CLIENT, FIND_NODE, PING, SERVER, Socket
from ..dht.events import Event
from ..dht.node import DhtNode
from ..dht.outgoing import OnError, OnReply, Pending, Reply
from ..dht.query import Commit, Query
from ..errors import MeadowError, SessionClosed
from .udp import UdpSocket
from .udp_mux import DatagramHub, StreamTable

ANY_PORT: Final = (0,)


class UdpDhtNode:
    """Open one with `UdpDhtNode.open`, and close it. `machine` is the node itself, `hubs` its sockets by name."""

    def __init__(self, machine: DhtNode, host: str, streams: StreamTable | None = None) -> None:
        """For subclasses and tests: `open` also binds and starts."""
        self.machine = machine
        self.streams = streams if streams is not None else StreamTable()
        self.hubs: dict[Socket, DatagramHub] = {}
        self._host = host
        self._ports = (0, 0)
        self._loop = asyncio.get_running_loop()
        self._flush_handle: asyncio.Handle | None = None
        self._reading = False
        self._answers_wait = False
        self._timer: asyncio.TimerHandle | None = None
        self._lookups: set[asyncio.Task[None]] = set()
        self._bootstrapped: asyncio.Future[None] = self._loop.create_future()
        machine.wake = self._wake
        machine.bootstrap.resolve = self._resolve
        machine.observers.append(self._observe)

    @classmethod
    async def open(
        cls,
        *,
        host: str = "0.0.0.0",  # noqa: S104 - a peer is there to be reached
        ports: Iterable[int] = ANY_PORT,
        any_port: bool = True,
        bootstrap: Sequence[str | Address] = (),
        nodes: Sequence[Address] = (),
        ephemeral: bool | None = None,
        firewalled: bool = True,
        quick_firewall: bool = True,
        known_host: str | None = None,
        accept_node: Callable[[Address], bool] | None = None,
    ) -> UdpDhtNode:
        """Bind both sockets and begin to bootstrap (see `bootstrapped`). The other options are `DhtNode`'s.

        `ports` are tried in order for the server socket, then any, if `any_port`. `known_host` makes a first node of
        a network, which nobody can tell its address. Raises `OSError` when no port can be had.
        """
        machine = DhtNode(
            bootstrap=bootstrap,
            nodes=nodes,
            ephemeral=ephemeral,
            firewalled=firewalled,
            quick_firewall=quick_firewall,
            accept_node=accept_node,
            now=asyncio.get_running_loop().time(),
        )
        node = cls(machine, host)
        node.bind(ports, any_port=any_port)
        if known_host is not None:
            machine.reachability.sample((known_host, machine.server_port))
        node.start()
        return node

    # --- sockets ------------------------------------------------------------------------------

    def bind(self, ports: Iterable[int] = ANY_PORT, *, any_port: bool = True, client_port: int = 0) -> None:
        server = _bind(self._host, [*ports, *(ANY_PORT if any_port else ())])
        try:
            client = _bind(self._host, [client_port, 0])
        except OSError:
            server.close()
            raise
        self.add_socket(SERVER, server)
        self.add_socket(CLIENT, client)
        self.machine.server_port = server.local_address[1]

    def add_socket(self, name: Socket, socket: UdpSocket) -> DatagramHub:
        """Serve one more socket; requests that name it leave from it."""
        hub = DatagramHub(socket, self.streams)
        streams_read = socket.on_batch

        def on_dht(data: bytes, address: Address) -> None:
            self._reading = True
            self.machine.receive(data, address, name, self._loop.time())

        def batch_read() -> None:
            streams_read()
            self._batch_read()

        hub.on_dht = on_dht
        socket.on_batch = batch_read
        self.hubs[name] = hub
        return hub

    def remove_socket(self, name: Socket) -> None:
        hub = self.hubs.pop(name, None)
        if hub is not None:
            hub.close()

    @property
    def server_address(self) -> Address:
        return self.hubs[SERVER].socket.local_address

    @property
    def client_address(self) -> Address:
        return self.hubs[CLIENT].socket.local_address

    # --- life ---------------------------------------------------------------------------------

    def start(self) -> None:
        self.machine.start(self._loop.time())
        self._wake()

    async def bootstrapped(self) -> None:
        """Returns after the first walk (and the checks that follow from it), whether or not anybody answered."""
        await asyncio.shield(self._bootstrapped)

    async def suspend(self) -> None:
        """Close the sockets and let everything under way fail; `resume` takes the same ports again if it can."""
        if self.machine.suspended or self.machine.closed:
            return
        self.machine.suspend()
        self._cancel_handles()
        self._ports = self.server_address[1], self.client_address[1]
        self._close_sockets()
        await asyncio.sleep(0)

    async def resume(self) -> None:
        if not self.machine.suspended or self.machine.closed:
            return
        self.bind([self._ports[0]], client_port=self._ports[1])
        self.machine.resume(self._loop.time())
        self._wake()

    async def close(self) -> None:
        """Everything under way fails; no task, timer or socket remains."""
        if self.machine.closed:
            return
        self.machine.close()
        self._cancel_handles()
        for task in list(self._lookups):
            task.cancel()
        await asyncio.gather(*self._lookups, return_exceptions=True)
        self._close_sockets()
        self.streams.close()
        if not self._bootstrapped.done():
            self._bootstrapped.set_exception(SessionClosed("the node was closed while it was bootstrapping"))
            self._bootstrapped.exception()  # nobody need have waited for it

    async def __aenter__(self) -> UdpDhtNode:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def _close_sockets(self) -> None:
        for name in list(self.hubs):
            self.remove_socket(name)

    def _cancel_handles(self) -> None:
        if self._flush_handle is not None:
            self._flush_handle.cancel()
            self._flush_handle = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _observe(self, event: Event) -> None:
        if event is Event.BOOTSTRAPPED and not self._bootstrapped.done():
            self._bootstrapped.set_result(None)

    # --- the loop -----------------------------------------------------------------------------

    def _wake(self) -> None:
        if self._reading:
            self._answers_wait = True
        elif self._flush_handle is None and not self.machine.closed:
            self._flush_handle = self._loop.call_soon(self._flush)

    def _batch_read(self) -> None:
        """What is to be answered leaves at once, without another turn of the loop."""
        self._reading = False
        if self._answers_wait:
            self._answers_wait = False
            if self._flush_handle is not None:
                self._flush_handle.cancel()
            self._flush()

    def _flush(self) -> None:
        self._flush_handle = None
        for data, address, name, ttl in self.machine.datagrams_to_send(self._loop.time()):
            hub = self.hubs.get(name)
            if hub is not None:  # a hole-punch socket may be gone by now
                hub.socket.send(data, address, ttl or None)
        due = self.machine.deadline()
        # A timer that comes too early finds nothing to do and is set again: cheaper than moving it with every answer.
        if due is not None and (self._timer is None or due < self._timer.when()):
            if self._timer is not None:
                self._timer.cancel()
            self._timer = self._loop.call_at(due, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self.machine.on_timer(self._loop.time())
        if self._flush_handle is not None:
            self._flush_handle.cancel()
        self._flush()

    def _resolve(self, name: str, done: Callable[[str | None], None]) -> None:
        async def look_up() -> None:
            try:
                found = await self._loop.getaddrinfo(name, None, family=system_sockets.AF_INET)
            except (OSError, UnicodeError):  # the second: no name can be written so
                done(None)
            else:
                done(str(found[0][4][0]))
            self._wake()

        task = self._loop.create_task(look_up())
        self._lookups.add(task)
        task.add_done_callback(self._lookups.discard)

    # --- asking -------------------------------------------------------------------------------

    async def request(
        self,
        to: Address,
        command: int,
        *,
        target: bytes | None = None,
        value: bytes | None = None,
        token: bytes | None = None,
        internal: bool = False,
        retries: int = 3,
    ) -> Reply:
        """One answer of one node. Raises `RequestTimeout`; `RequestCancelled` when the node is closed meanwhile."""

        def begin(on_reply: OnReply, on_error: OnError) -> Pending:
            return self.machine.request(
                to,
                command,
                internal=internal,
                target=target,
                value=value,
                token=token,
                retries=retries,
                on_reply=on_reply,
                on_error=on_error,
            )

        return await _answer(begin)

    async def ping(self, to: Address, *, retries: int = 3) -> Reply:
        return await self.request(to, PING, internal=True, retries=retries)

    def query(
        self,
        target: bytes,
        command: int,
        value: bytes | None = None,
        *,
        internal: bool = False,
        nodes: Sequence[Address] = (),
        only_closest: bool = False,
        commit: Commit | bool | None = None,
    ) -> Walk:
        """A walk whose replies can be iterated; `await walk.finished()` for its end alone."""

        def begin(on_reply: OnReply, on_done: Callable[[MeadowError | None], None]) -> Query:
            return self.machine.query(
                target,
                command,
                value,
                internal=internal,
                nodes=nodes,
                only_closest=only_closest,
                commit=commit,
                on_reply=on_reply,
                on_done=on_done,
            )

        return Walk(begin)

    async def find_node(self, target: bytes) -> list[Reply]:
        """The up to 20 closest nodes that answered, nearest first."""
        walk = self.query(target, FIND_NODE, internal=True)
        await walk.finished()
        return walk.closest_replies


class Walk:
    """The replies of one query as they come: `async for reply in walk`. Leaving the loop early: `walk.cancel()`."""

    def __init__(self, begin: Callable[[OnReply, Callable[[MeadowError | None], None]], Query]) -> None:
        self._replies: deque[Reply] = deque()
        self._waiting: asyncio.Future[None] | None = None
        self._error: MeadowError | None = None
        self._done = False
        self.query = begin(self._replied, self._ended)

    @property
    def closest_replies(self) -> list[Reply]:
        return self.query.closest_replies

    @property
    def closest_nodes(self) -> list[Address]:
        return self.query.closest_nodes

    def cancel(self) -> None:
        """Stop the walk; whoever iterates sees its end."""
        self.query.cancel()
        self._ended(None)

    async def finished(self) -> None:
        """Let the walk end, whatever was replied; raises what it failed with."""
        try:
            async for _ in self:
                pass
        except asyncio.CancelledError:
            self.cancel()
            raise

    def __aiter__(self) -> Walk:
        return self

    async def __anext__(self) -> Reply:
        while not self._replies:
            if self._done:
                if self._error is not None:
                    raise self._error
                raise StopAsyncIteration
            self._waiting = asyncio.get_running_loop().create_future()
            await self._waiting
        return self._replies.popleft()

    def _replied(self, reply: Reply) -> None:
        self._replies.append(reply)
        self._notify()

    def _ended(self, error: MeadowError | None) -> None:
        if not self._done:
            self._done = True
            self._error = error
            self._notify()

    def _notify(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)


async def _answer(begin: Callable[[OnReply, OnError], Pending]) -> Reply:
    answer: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()

    def replied(reply: Reply) -> None:
        if not answer.done():
            answer.set_result(reply)

    def failed(error: MeadowError) -> None:
        if not answer.done():
            answer.set_exception(error)

    pending = begin(replied, failed)
    try:
        return await answer
    except asyncio.CancelledError:
        pending.cancel()
        raise


def _bind(host: str, ports: list[int]) -> UdpSocket:
    """The first port of these that is free."""
    for number, port in enumerate(ports):
        try:
            return UdpSocket(host, port)
        except OSError:
            if number == len(ports) - 1:
                raise
    raise OSError("no port was given")
