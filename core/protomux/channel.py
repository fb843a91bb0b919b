"""One named channel of a connection, as its user sees it.

Source: protomux 3.12.1 `index.js` (`Channel`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from ..encoding.compact import encode_uint
from ..errors import LocalProtocolError

if TYPE_CHECKING:
    from .mux import Mux, Pairing

MessageHandler = Callable[[bytes, int], None]
"""Takes (frame, position): the message's body is `frame[position:]`. What it raises ends the connection."""

# Types are small; a table is faster than encoding.
_TYPE_PREFIXES: Final = tuple(encode_uint(number) for number in range(64))


class Channel:
    """Made by `Mux.create_channel`. Messages may be sent at once; those for a remote that rejects it are
    dropped there.

    `opened`: both sides have opened it. `closed`: by either side, by a rejection, or with the connection;
    then `send` does nothing, no handler runs any more, and `on_close` has been called once. `user`: free for
    its creator.
    """

    __slots__ = (
        "_handlers", "_local_id", "_mux", "_on_close", "_on_drain", "_on_open", "_pairing", "_prefix",
        "_remote_id", "closed", "id", "opened", "protocol", "user",
    )  # fmt: skip

    def __init__(
        self,
        mux: Mux,
        local_id: int,
        pairing: Pairing,
        protocol: str,
        id: bytes | None,
        messages: Sequence[MessageHandler],
        on_open: Callable[[bytes], None] | None,
        on_close: Callable[[], None] | None,
        on_drain: Callable[[], None] | None,
    ) -> None:
        if len(messages) > len(_TYPE_PREFIXES):
            raise LocalProtocolError(f"a channel has at most {len(_TYPE_PREFIXES)} message types")
        self.protocol = protocol
        self.id = id
        self.opened = False
        self.closed = False
        self.user: Any = None
        self._mux = mux
        self._local_id = local_id
        self._remote_id = 0
        self._prefix = encode_uint(local_id)
        self._pairing = pairing
        self._handlers = tuple(messages)
        self._on_open = on_open
        self._on_close = on_close
        self._on_drain = on_drain

    @property
    def mux(self) -> Mux:
        return self._mux

    def send(self, type: int, body: bytes) -> None:
        """One message of the given type (its index in the protocol's list). Nothing happens once closed."""
        if not self.closed:
            self._mux._send_message(self._prefix, _TYPE_PREFIXES[type], body)

    def close(self) -> None:
        """Close it on both sides. Calling it twice is harmless."""
        if not self.closed:
            self._mux._close_channel(self)

    def _opened(self, handshake: bytes) -> None:
        """The remote's open has been bound to this channel."""
        self.opened = True
        if self._on_open is not None:
            self._on_open(handshake)

    def _ended(self) -> None:
        """It is closed and the mux has forgotten it; tell the user, and let go of what the user handed in."""
        on_close = self._on_close
        self._handlers = ()
        self._on_open = self._on_close = self._on_drain = None
        if on_close is not None:
            on_close()
