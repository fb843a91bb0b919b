"""The connection to a blind relay: an ordinary HyperDHT connection that carries the relay's own protocol."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ..dht.connect import Connecting, ConnectOptions
from ..dht.world import Meeting, OpenRelay
from .connection import Connection
from .meeting import plain_connection

if TYPE_CHECKING:
    from .hyperdht import HyperDht


class RelayDial:
    """One connection to a blind relay."""

    def __init__(
        self,
        node: HyperDht,
        public_key: bytes,
        on_open: Callable[[OpenRelay], None],
        on_close: Callable[[], None],
    ) -> None:
        self._node = node
        self._on_open = on_open
        self._on_close: Callable[[], None] | None = on_close
        self._meeting: Meeting | None = None
        self._connection: Connection | None = None
        self._connecting: Connecting | None = None
        node._relays.add(self)
        node._loop.call_soon(self._dial, public_key)

    def close(self) -> None:
        self._on_close = None
        self._over()
        if self._connecting is not None:
            self._connecting.cancel()
            self._node._dials.discard(self._connecting)
        if self._connection is not None:
            self._connection.close()

    def _dial(self, public_key: bytes) -> None:
        if self._on_close is None or self._node.machine.closed:
            return
        self._connecting = self._node.dial(
            public_key, ConnectOptions(), on_meeting=self._met, on_failure=lambda _: self._lost()
        )

    def _met(self, meeting: Meeting) -> None:
        self._meeting = meeting
        self._connection = plain_connection(
            meeting, self._node.key_pair, on_open=self._opened, on_close=lambda _: self._lost()
        )

    def _opened(self, connection: Connection) -> None:
        if connection.mux is not None and self._meeting is not None and self._on_close is not None:
            self._on_open(OpenRelay(connection.mux, self._meeting.stream, self._node.key_pair.public_key))

    def _lost(self) -> None:
        self._over()
        on_close, self._on_close = self._on_close, None
        if on_close is not None:
            on_close()

    def _over(self) -> None:
        self._node._relays.discard(self)
