"""Messages of applications that travel on a log's channel, by name.

Source: hypercore 11.37.1 `index.js` (`registerExtension`), `lib/replicator.js` (`extension`, `onextension`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ..encoding.compact import decode_buffer, encode_buffer
from ..hypercore.demand import PeerView
from ..storage.listeners import call_safely

if TYPE_CHECKING:
    from .peer import Peer
    from .replicator import Replicator

OnMessage = Callable[[bytes, PeerView], None]


class Extension:
    """One name and its handler. Messages are length-prefixed on the wire, the reference's default encoding."""

    __slots__ = ("_replicator", "name", "on_message")

    def __init__(self, replicator: Replicator, name: str, on_message: OnMessage) -> None:
        self._replicator = replicator
        self.name = name
        self.on_message = on_message

    def send(self, message: bytes, peer: PeerView) -> None:
        """To one peer of the log; nothing when it is gone."""
        for candidate in self._replicator.open_peers:
            if candidate is peer:
                candidate.send_extension(self.name, encode_buffer(message))

    def broadcast(self, message: bytes) -> None:
        body = encode_buffer(message)
        for peer in self._replicator.open_peers:
            peer.send_extension(self.name, body)

    def destroy(self) -> None:
        if self._replicator.extensions.get(self.name) is self:
            del self._replicator.extensions[self.name]

    def receive(self, body: bytes, peer: Peer) -> None:
        """The raw part of a message arrived. Raises `DecodingError`."""
        message, _ = decode_buffer(body, 0)
        call_safely(self.on_message, message, peer)
