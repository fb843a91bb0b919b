"""A request somebody sent us, and the three things a handler may do with it: reply, refuse, relay.

Source: dht-rpc 6.27.0 `lib/io.js` (`Request.reply`, `error`, `relay`, `sendReply`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .address import Address
from .commands import Socket
from .messages import encode_request

if TYPE_CHECKING:
    from .node import DhtNode


@dataclass(slots=True, eq=False)
class IncomingRequest:
    """`address` is where it came from; `id` is set only if it fits that address; a `token` here was accepted."""

    node: DhtNode
    socket: Socket
    address: Address
    tid: int
    id: bytes | None
    to: Address
    token: bytes | None
    internal: bool
    command: int
    target: bytes | None
    value: bytes | None

    def reply(
        self,
        value: bytes | None = None,
        *,
        token: bool = True,
        closer_nodes: bool = True,
        to: Address | None = None,
        socket: Socket | None = None,
    ) -> None:
        """Answer. By default with a fresh token, and with closer nodes if the request had a target."""
        self.node.send_reply(
            self, value=value, token=token, closer_nodes=closer_nodes, to=to or self.address, socket=socket
        )

    def error(
        self,
        code: int,
        *,
        token: bool = False,
        closer_nodes: bool = True,
        to: Address | None = None,
        socket: Socket | None = None,
    ) -> None:
        """Refuse, but still tell who is closer, so that the asker's walk goes on."""
        self.node.send_reply(
            self, error=code, token=token, closer_nodes=closer_nodes, to=to or self.address, socket=socket
        )

    def relay(self, value: bytes | None, to: Address, *, socket: Socket | None = None) -> None:
        """Pass it on under its own transaction id, with another value; whoever answers, answers the asker's request."""
        socket = socket or self.socket
        data = encode_request(
            self.tid,
            to,
            self.command,
            internal=self.internal,
            id=self.node.id_on(socket),
            target=self.target,
            value=value,
        )
        self.node.send_datagram(data, to, socket)
