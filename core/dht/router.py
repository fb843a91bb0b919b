"""Passing on handshakes and hole punches: what every node does for servers that announced themselves to it.

No state is kept about what passes through: the transaction id and the target travel along, and each body says whom
it is for. So a node answers every such datagram with at most one, never larger than a few bytes more.

    client -> N    request   FROM_CLIENT              N -> server  request   FROM_RELAY (peer = client)
    server -> N    request   FROM_SERVER              N -> client  response  REPLY (peer = server)

A node that was told of another relay's server passes on once more (FROM_SECOND_RELAY). Source: hyperdht 6.34.0
`lib/router.js`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol, Unpack

from ..errors import DecodingError, LocalProtocolError, RemoteProtocolError
from ..limits import MAX_STORED_RECORDS
from .address import Address, may_be_visited
from .asking import ask
from .cache import AgingCache
from .commands import Socket
from .handshake_messages import HandshakeBody, Mode, decode_handshake, encode_handshake
from .holepunch_messages import HolepunchBody, decode_holepunch, encode_holepunch
from .hyper_commands import PEER_HANDSHAKE, PEER_HOLEPUNCH
from .incoming import IncomingRequest
from .node import DhtNode
from .outgoing import RequestOptions

FORWARD_SECONDS: Final = 20 * 60.0


@dataclass(frozen=True, slots=True)
class Forward:
    """A server's self announcement: `relay` is where it came from, `record` the encoded peer."""

    relay: Address
    record: bytes


class LocalServer(Protocol):
    """A server of this process, as the router sees it. `answer` may be called later, or never.

    `answer(noise or payload, socket)`: the socket to answer from, None for the one the request came in on.
    """

    record: bytes

    def on_handshake(
        self, body: HandshakeBody, request: IncomingRequest, answer: Callable[[bytes, Socket | None], None]
    ) -> None: ...

    def on_holepunch(
        self, body: HolepunchBody, request: IncomingRequest, answer: Callable[[bytes, Socket | None], None]
    ) -> None: ...


@dataclass(frozen=True, slots=True)
class HandshakeAnswer:
    """`relayed`: it came through a relay. `server_address` is the server as the relay sees it (or as we asked it),
    `client_address` we as the relay sees us.
    """

    noise: bytes
    relayed: bool
    server_address: Address
    client_address: Address


@dataclass(frozen=True, slots=True)
class HolepunchAnswer:
    """`address` is the relay that answered, `to` we as it sees us, `peer_address` the server as it sees that."""

    payload: bytes
    address: Address
    to: Address
    peer_address: Address


class Router:
    """Forwards at `node`; servers of this process register themselves by the hash of their key."""

    def __init__(self, node: DhtNode, clock: Callable[[], float]) -> None:
        self._node = node
        self._forwards: AgingCache[bytes, Forward] = AgingCache(MAX_STORED_RECORDS, FORWARD_SECONDS, clock)
        self._servers: dict[bytes, LocalServer] = {}
        node.on_command(PEER_HANDSHAKE, self._on_handshake)
        node.on_command(PEER_HOLEPUNCH, self._on_holepunch)

    # --- who is where ---------------------------------------------------------------------------------

    def add_server(self, target: bytes, server: LocalServer) -> None:
        if target in self._servers:
            raise LocalProtocolError("there is a server with this key already")
        self._servers[target] = server

    def remove_server(self, target: bytes) -> None:
        self._servers.pop(target, None)

    def put(self, target: bytes, forward: Forward) -> None:
        self._forwards.put(target, forward)

    def discard(self, target: bytes) -> None:
        self._forwards.discard(target)

    def relay_for(self, target: bytes) -> Address | None:
        """Where handshakes for `target` go on to, if its server announced itself here."""
        forward = None if target in self._servers else self._forwards.get(target)
        return None if forward is None else forward.relay

    def record(self, target: bytes) -> bytes | None:
        server = self._servers.get(target)
        if server is not None:
            return server.record
        forward = self._forwards.get(target)
        return None if forward is None else forward.record

    # --- asking ---------------------------------------------------------------------------------------

    async def handshake(
        self, target: bytes, noise: bytes, to: Address, **options: Unpack[RequestOptions]
    ) -> HandshakeAnswer:
        """Send the client's first Noise message to the server of `target`, through the node `to`.

        Raises `RequestTimeout`, or `RemoteProtocolError` when the answer is none.
        """
        value = encode_handshake(HandshakeBody(Mode.FROM_CLIENT, noise))
        reply = await ask(self._node, to, PEER_HANDSHAKE, target=target, value=value, **options)
        body = decode_handshake(reply.value or b"")
        if body.mode != Mode.REPLY or reply.address != to or not body.noise:
            raise RemoteProtocolError("a relay answered a handshake with something else")
        return HandshakeAnswer(body.noise, body.peer_address is not None, body.peer_address or to, reply.to)

    async def holepunch(
        self,
        target: bytes,
        id: int,
        payload: bytes,
        peer_address: Address,
        to: Address,
        **options: Unpack[RequestOptions],
    ) -> HolepunchAnswer:
        """Send a hole-punch payload to the server at `peer_address`, as the relay `to` sees it. Raises the same."""
        value = encode_holepunch(HolepunchBody(Mode.FROM_CLIENT, id, payload, peer_address))
        reply = await ask(self._node, to, PEER_HOLEPUNCH, target=target, value=value, **options)
        body = decode_holepunch(reply.value or b"")
        if body.mode != Mode.REPLY or reply.address != to:
            raise RemoteProtocolError("a relay answered a hole punch with something else")
        return HolepunchAnswer(body.payload, reply.address, reply.to, body.peer_address or to)

    # --- answering and passing on ---------------------------------------------------------------------

    def _on_handshake(self, request: IncomingRequest) -> None:
        try:
            body = decode_handshake(request.value or b"")
        except DecodingError:
            return
        server = self._servers.get(request.target) if request.target is not None else None
        if server is not None:
            self._serve_handshake(server, body, request)
        elif body.noise:
            self._pass_on_handshake(body, request)

    def _serve_handshake(self, server: LocalServer, body: HandshakeBody, request: IncomingRequest) -> None:
        mode, peer, relay = body.mode, body.peer_address, body.relay_address
        if not body.noise:
            return
        if mode == Mode.FROM_CLIENT:

            def answer(noise: bytes, socket: Socket | None) -> None:
                value = encode_handshake(HandshakeBody(Mode.REPLY, noise))
                request.reply(value, token=False, closer_nodes=False, socket=socket)

            # Whom the client names as its address means nothing when it speaks to us itself.
            server.on_handshake(HandshakeBody(mode, body.noise), request, answer)
            return
        back = request.address if mode == Mode.FROM_RELAY else relay
        if mode not in (Mode.FROM_RELAY, Mode.FROM_SECOND_RELAY) or peer is None or back is None:
            return
        if not self._may_be_sent_to(back, request) or not may_be_visited(peer, request.address):
            return
        destination = back

        def answer_by_relay(noise: bytes, socket: Socket | None) -> None:
            value = encode_handshake(HandshakeBody(Mode.FROM_SERVER, noise, peer))
            request.relay(value, destination, socket=socket)

        server.on_handshake(body, request, answer_by_relay)

    def _pass_on_handshake(self, body: HandshakeBody, request: IncomingRequest) -> None:
        target = request.target
        known = self.relay_for(target) if target is not None else None
        mode, noise, peer = body.mode, body.noise, body.peer_address
        if mode == Mode.FROM_CLIENT:
            to = body.relay_address or known
            if to is None:
                request.reply(token=False)
            elif self._may_be_sent_to(to, request):
                request.relay(encode_handshake(HandshakeBody(Mode.FROM_RELAY, noise, request.address)), to)
        elif mode == Mode.FROM_RELAY:
            if known is not None and peer is not None:
                onward = HandshakeBody(Mode.FROM_SECOND_RELAY, noise, peer, request.address)
                request.relay(encode_handshake(onward), known)
        elif mode == Mode.FROM_SERVER and peer is not None and self._may_be_sent_to(peer, request):
            value = encode_handshake(HandshakeBody(Mode.REPLY, noise, request.address))
            request.reply(value, token=False, closer_nodes=False, to=peer)

    def _on_holepunch(self, request: IncomingRequest) -> None:
        try:
            body = decode_holepunch(request.value or b"")
        except DecodingError:
            return
        target, peer = request.target, body.peer_address
        if body.mode == Mode.FROM_CLIENT:
            to = peer or (self.relay_for(target) if target is not None else None)
            if to is not None and self._may_be_sent_to(to, request):
                onward = HolepunchBody(Mode.FROM_RELAY, body.id, body.payload, request.address)
                request.relay(encode_holepunch(onward), to)
        elif body.mode == Mode.FROM_RELAY:
            server = self._servers.get(target) if target is not None else None
            if server is None or peer is None or not may_be_visited(peer, request.address):
                return

            def answer(payload: bytes, socket: Socket | None) -> None:
                value = encode_holepunch(HolepunchBody(Mode.FROM_SERVER, 0, payload, peer))
                request.relay(value, request.address, socket=socket)

            server.on_holepunch(body, request, answer)
        elif body.mode == Mode.FROM_SERVER and peer is not None and self._may_be_sent_to(peer, request):
            value = encode_holepunch(HolepunchBody(Mode.REPLY, body.id, body.payload, request.address))
            request.reply(value, token=False, closer_nodes=False, to=peer)

    def _may_be_sent_to(self, address: Address, request: IncomingRequest) -> bool:
        return may_be_visited(address, request.address)
