"""A node of the DHT as a machine without sockets: datagrams and the time in, datagrams and a deadline out.

Source: dht-rpc 6.27.0 `index.js` and `lib/io.js`. The driver (core/net/dht_node.py, or a simulation) must

* give every datagram of either socket to `receive`, with the socket's name and the time;
* call `on_timer` at `deadline()` or soon after;
* send what `datagrams_to_send` returns, after either of these and whenever `wake` was called.

Everything else may be called at any time, also from callbacks; requests made between two calls leave with the next
`datagrams_to_send`. Times are seconds of one monotonic clock. Nothing a stranger sends raises.

A node has two sockets. While it believes itself behind a firewall its requests leave from the *client* socket, so
that a packet arriving at the *server* socket proves something; afterwards everything leaves from the server socket.
Names of further sockets may be used in `request`: hole punching does.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Unpack

from ..crypto.keys import random_bytes
from ..errors import LocalProtocolError, MeadowError, RemoteProtocolError, RequestCancelled
from .address import Address, may_be_visited
from .answers import Answers
from .bootstrap import Bootstrap, Resolver
from .commands import (
    CLIENT,
    CONCURRENCY,
    FIND_NODE,
    INVALID_TOKEN,
    MAX_DOWN_HINTS_PER_TICK,
    PING,
    QUERY_RETRIES,
    SERVER,
    UNKNOWN_COMMAND,
    Socket,
)
from .events import Event
from .health import HealthWindow
from .incoming import IncomingRequest
from .messages import (
    REQUEST,
    RESPONSE,
    decode_request,
    decode_response,
    encode_request,
    encode_response,
)
from .outgoing import (
    Datagram,
    OutgoingRequests,
    Pending,
    Reply,
    RequestOptions,
    ignore,
)
from .peer_id import peer_id
from .query import Commit, Query
from .reachability import Reachability
from .table import RoutingTable
from .tokens import Tokens
from .upkeep import Upkeep

Handler = Callable[[IncomingRequest], bool | None]
"""Handles one user command. Returning False refuses it as unknown (with closer nodes)."""


class DhtNode:
    """One node. `ephemeral`: True stays so, False becomes persistent at once, None adapts after 20 quiet minutes.

    `server_port` must be the port the server socket is bound to (set it before `start`). `known_address` is for a
    first bootstrap node, which nobody could tell its address.
    """

    def __init__(
        self,
        *,
        bootstrap: Sequence[str | Address] = (),
        nodes: Sequence[Address] = (),
        ephemeral: bool | None = None,
        firewalled: bool = True,
        quick_firewall: bool = True,
        server_port: int = 0,
        known_address: Address | None = None,
        concurrency: int = CONCURRENCY,
        accept_node: Callable[[Address], bool] | None = None,
        resolve: Resolver | None = None,
        random: Callable[[int], bytes] = random_bytes,
        now: float = 0.0,
    ) -> None:
        self.now = now
        self.random = random
        self.bootstrap = Bootstrap(bootstrap, resolve)
        self.server_port = server_port
        self.ephemeral = True
        self.adaptive = ephemeral is None
        self.firewalled = firewalled
        self.bootstrapped = False
        self.suspended = False
        self.closed = False
        self.concurrency = concurrency
        self.table = RoutingTable(random(32))
        self.requests = OutgoingRequests(random, self._gave_up)
        self.tokens = Tokens(random)
        self.health = HealthWindow()
        self.observers: list[Callable[[Event], None]] = []
        self.wake: Callable[[], None] = _nothing
        self.active_queries: dict[Query, None] = {}
        self._accept_node = accept_node
        self._handlers: dict[int, Handler] = {}
        self._out: list[Datagram] = []
        self._starting: deque[Query] = deque()
        self._hints_this_tick = 0
        self.reachability = Reachability(self, ephemeral is False, quick_firewall, known_address)
        self.upkeep = Upkeep(self)
        self.answers = Answers(self)
        for address in reversed(nodes):
            self.upkeep.add_known(address)

    # --- what one can read --------------------------------------------------------------------

    @property
    def id(self) -> bytes | None:
        """Ours on the wire; None while ephemeral."""
        return None if self.ephemeral else self.table.id

    @property
    def public_address(self) -> Address | None:
        """How others see us. Port 0: every one of them sees another port."""
        sampler = self.reachability.sampler
        return None if sampler.host is None else (sampler.host, sampler.port)

    @property
    def remote_address(self) -> Address | None:
        """Where anybody can reach our server socket, if that is so."""
        address = self.public_address
        if address is None or self.firewalled or address[1] != self.server_port:
            return None
        return address

    @property
    def socket(self) -> Socket:
        """The socket requests leave from."""
        return CLIENT if self.firewalled else SERVER

    @property
    def own_address(self) -> Address | None:
        """The address our id stands for; None while ephemeral."""
        return None if self.ephemeral else self.reachability.own_address

    def id_on(self, socket: Socket) -> bytes | None:
        return self.table.id if not self.ephemeral and socket == SERVER else None

    def closest(self, target: bytes) -> list[Address]:
        return [node.address for node in self.table.closest(target)]

    def known_nodes(self, limit: int | None = None) -> list[Address]:
        """Most recently heard from first: worth saving for the next start."""
        return self.upkeep.known(limit)

    # --- life ---------------------------------------------------------------------------------

    def start(self, now: float) -> None:
        """Walk towards our own id, find out how others see us, then `Event.BOOTSTRAPPED`."""
        self.now = now
        self.upkeep.start(now)
        self.bootstrap.prepare(self.reachability.bootstrap)

    def suspend(self) -> None:
        """Everything under way fails; nothing is sent or answered until `resume`."""
        self.suspended = True
        self._stop(RequestCancelled("the node was suspended"))

    def resume(self, now: float) -> None:
        if self.suspended and not self.closed:
            self.suspended = False
            self.now = now
            self.upkeep.woke_up(now)
            if self.bootstrapped:
                self.refresh()
            else:  # suspended before the first walk could begin
                self.bootstrap.prepare(self.reachability.bootstrap)

    def close(self) -> None:
        """Everything under way fails, and nothing is held any more."""
        if not self.closed:
            self.closed = True
            self._stop(RequestCancelled("the node was closed"))

    def _stop(self, error: MeadowError) -> None:
        self._starting.clear()
        for query in list(self.active_queries):
            query.stop(error)
        self.requests.cancel_all(error)
        self.answers.clear()
        self._out.clear()

    def tell(self, event: Event) -> None:
        for observer in list(self.observers):
            observer(event)

    # --- the driver's side --------------------------------------------------------------------

    def receive(self, data: bytes, address: Address, socket: Socket, now: float) -> None:
        """One datagram from `address`. Whatever it holds, this does not raise."""
        self.now = now
        if len(data) < 2 or self.suspended or self.closed or not 0 < address[1] < 65536:
            return
        try:
            if data[0] == REQUEST:
                self._receive_request(data, address, socket)
            elif data[0] == RESPONSE:
                self._receive_response(data, address, socket)
        except RemoteProtocolError:
            return  # dropped without an answer, as the reference drops what it cannot decode

    def datagrams_to_send(self, now: float) -> list[Datagram]:
        self.now = now
        if self.suspended or self.closed:
            return []
        while self._starting:
            self._starting.popleft().start()
        out, self._out = self._out, []
        return out + self.requests.to_send(now)

    def deadline(self) -> float | None:
        """When `on_timer` wants to be called; None when there is nothing to wait for."""
        if self.suspended or self.closed:
            return None
        times = (self.upkeep.next_tick, self.requests.deadline(), self.answers.deadline())
        return min((time for time in times if time is not None), default=None)

    def on_timer(self, now: float) -> None:
        self.now = now
        if self.suspended or self.closed:
            return
        self.requests.expire(now)
        self.answers.send_delayed(now)
        if self.upkeep.next_tick is not None and now >= self.upkeep.next_tick:
            self._hints_this_tick = 0
            self.upkeep.tick(now)

    # --- asking -------------------------------------------------------------------------------

    def request(
        self,
        to: Address,
        command: int,
        *,
        internal: bool = False,
        target: bytes | None = None,
        value: bytes | None = None,
        token: bytes | None = None,
        **options: Unpack[RequestOptions],
    ) -> Pending:
        """Ask one node; nothing is called before the next `datagrams_to_send`.

        Raises `LocalProtocolError` when closed or suspended.
        """
        if self.closed or self.suspended:
            raise LocalProtocolError("the node is closed" if self.closed else "the node is suspended")
        socket = options.get("socket") or self.socket

        def encode(tid: int) -> bytes:
            return encode_request(
                tid,
                to,
                command,
                internal=internal,
                id=self.id_on(socket),
                token=token,
                target=target,
                value=value,
            )

        pending = self.requests.create(to, command, encode, internal=internal, socket=socket, options=options)
        self.wake()
        return pending

    def ping(self, to: Address, *, padding: int = 0, **options: Unpack[RequestOptions]) -> Pending:
        """`padding` zero bytes make the request larger than its answer."""
        return self.request(to, PING, internal=True, value=bytes(padding) if padding else None, **options)

    def query(
        self,
        target: bytes,
        command: int,
        value: bytes | None = None,
        *,
        internal: bool = False,
        nodes: Sequence[Address] = (),
        only_closest: bool = False,
        concurrency: int | None = None,
        retries: int = QUERY_RETRIES,
        commit: Commit | bool | None = None,
        on_reply: Callable[[Reply], None] = ignore,
        on_done: Callable[[MeadowError | None], None] = ignore,
    ) -> Query:
        """Walk towards `target`; see `query.py`. It begins with the next `datagrams_to_send`: no callback runs before.

        `nodes` are where to begin (the closest nodes of an earlier walk); with `only_closest` nobody else is asked.
        `commit` True repeats the command at each of the closest with its token; a function does what it likes.
        """
        if self.closed or self.suspended:
            raise LocalProtocolError("the node is closed" if self.closed else "the node is suspended")
        self.upkeep.postpone_refresh()
        query = Query(
            self,
            target,
            command,
            value,
            internal=internal,
            nodes=nodes,
            only_given=only_closest,
            concurrency=concurrency or self.concurrency,
            retries=retries,
            commit=commit,
            on_reply=on_reply,
            on_done=on_done,
        )
        self.active_queries[query] = None
        self._starting.append(query)
        self.wake()
        return query

    def find_node(
        self,
        target: bytes,
        *,
        nodes: Sequence[Address] = (),
        on_reply: Callable[[Reply], None] = ignore,
        on_done: Callable[[MeadowError | None], None] = ignore,
    ) -> Query:
        return self.query(target, FIND_NODE, internal=True, nodes=nodes, on_reply=on_reply, on_done=on_done)

    def background_query(
        self,
        target: bytes,
        on_reply: Callable[[Reply], None] = ignore,
        on_done: Callable[[MeadowError | None], None] = ignore,
    ) -> Query:
        """FIND_NODE that gives way to other traffic (dht-rpc 6.27.0 `_backgroundQuery`)."""
        modest = min(self.concurrency, max(2, self.concurrency // 8))

        def replied(reply: Reply) -> None:
            query.concurrency = self.concurrency if len(self.requests) < 3 else modest
            on_reply(reply)

        query = self.query(
            target, FIND_NODE, internal=True, concurrency=modest, on_reply=replied, on_done=on_done
        )
        return query

    def refresh(self) -> None:
        """Walk towards somebody we know, to hear of others."""
        self.bootstrap.retry()
        self.background_query(self.upkeep.random_id())

    def query_ended(self, query: Query) -> None:
        self.active_queries.pop(query, None)

    def may_visit(self, address: Address, told_by: Address) -> bool:
        """Whether a walk may follow `told_by` to `address`: not to ourselves, nor where nobody can be."""
        if not may_be_visited(address, told_by) or address == self.own_address:
            return False
        return self._accept_node is None or self._accept_node(address)

    def may_hint(self) -> bool:
        """Counts one DOWN_HINT against this tick's limit."""
        self._hints_this_tick += 1
        return self._hints_this_tick <= MAX_DOWN_HINTS_PER_TICK

    # --- answering ----------------------------------------------------------------------------

    def on_command(self, number: int, handler: Handler) -> None:
        """Handle user command `number`; what has no handler is refused with error 1 and closer nodes."""
        self._handlers[number] = handler

    def send_reply(
        self,
        request: IncomingRequest,
        *,
        to: Address,
        socket: Socket | None = None,
        error: int = 0,
        value: bytes | None = None,
        token: bool,
        closer_nodes: bool,
    ) -> None:
        """Lay out one answer (handlers use the methods of `IncomingRequest`)."""
        socket = socket or request.socket
        closer: list[bytes] = []
        if closer_nodes and request.target is not None:
            closer = [node.compact for node in self.table.closest(request.target)]
        data = encode_response(
            request.tid,
            to,
            id=self.id_on(socket),
            token=self.tokens.issue(to[0], self.now) if token else None,
            closer_nodes=closer,
            error=error,
            value=value,
        )
        self.send_datagram(data, to, socket)

    def send_datagram(self, data: bytes, to: Address, socket: Socket, ttl: int = 0) -> None:
        if not (self.closed or self.suspended):
            self._out.append(Datagram(data, to, socket, ttl))
            self.wake()

    def _receive_request(self, data: bytes, address: Address, socket: Socket) -> None:
        message = decode_request(data)
        id = _proven_id(message.id, address)
        request = IncomingRequest(
            self,
            socket,
            address,
            message.tid,
            id,
            message.to,
            message.token,
            message.internal,
            message.command,
            message.target,
            message.value,
        )
        if message.token is not None and not self.tokens.accepts(message.token, address[0], self.now):
            request.error(INVALID_TOKEN, token=True)
            return
        if id is not None:
            self.upkeep.heard(id, address)
        if message.internal:
            self.answers.answer(request)
            return
        handler = self._handlers.get(message.command)
        if handler is None or handler(request) is False:
            request.error(UNKNOWN_COMMAND)

    def _receive_response(self, data: bytes, address: Address, socket: Socket) -> None:
        self.reachability.arrived(address, socket)
        message = decode_response(data)
        pending = self.requests.answered(message.tid)
        if pending is None:
            return
        id = _proven_id(message.id, address)
        if id is not None:
            self.upkeep.heard(id, address, message.to if socket == self.socket else None)
        elif socket == self.socket:
            self.reachability.sample_stranger(address, message.to)
        pending.on_reply(
            Reply(
                address,
                id,
                message.to,
                message.token,
                message.compact_closer_nodes,
                message.error,
                message.value,
                self.now - pending.first_sent,
                socket,
            )
        )

    def _gave_up(self, pending: Pending) -> None:
        if pending.node_id is not None:
            self.upkeep.forget(pending.node_id)


def _proven_id(id: bytes | None, address: Address) -> bytes | None:
    """The id a sender claims, if it is the one of the address it sends from."""
    return id if id is not None and id == peer_id(address) else None


def _nothing() -> None:
    pass
