"""A UDX stream under a connection: the same bytes as over TCP, behind NATs.

The stream is made and connected by whoever found the peer; from then on it is the carrier's. UDX has no half-closed
life above it here: the remote's END is answered with ours, as the official packages do.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ..errors import MeadowError, StreamReset
from ..limits import MAX_SEND_BUFFER
from ..udx import UdxStream

if TYPE_CHECKING:
    from .connection import Connection


class UdxCarrier:
    """The `Carrier` of one `UdxStream`. Give it its `connection` before the loop turns.

    `how` says by which kind of path the stream goes; it may change while it is open.
    """

    def __init__(self, stream: UdxStream, how: Callable[[], str] = lambda: "direct") -> None:
        self.stream = stream
        self._how = how
        self.connection: Connection | None = None
        self.on_closed: Callable[[], None] = lambda: None
        """Called when nothing is left of the stream."""
        self._full = False
        self._lost = False
        stream.on_data = self._received
        stream.on_end = self._ended
        stream.on_close = self._closed
        stream.on_drain = self._drained

    @property
    def how(self) -> str:
        return self._how()

    @property
    def rtt(self) -> float | None:
        """Smoothed round-trip time, seconds."""
        return self.stream.rtt

    # --- what the connection asks for -----------------------------------------------------------------

    @property
    def unsent_bytes(self) -> int:
        return self.stream.unsent_bytes

    def write(self, data: bytes) -> None:
        if not self.stream.writable:
            return
        self.stream.write(data)
        if not self._full and self.stream.unsent_bytes > MAX_SEND_BUFFER and self.connection is not None:
            self._full = True
            self.connection.writable(False)

    def close(self) -> None:
        self.stream.resume()  # what nobody reads any more must not hold up the remote's END
        self.stream.end()

    def abort(self) -> None:
        self.stream.destroy()

    def pause_reading(self) -> None:
        self.stream.pause()

    def resume_reading(self) -> None:
        self.stream.resume()

    # --- what the stream tells ------------------------------------------------------------------------

    def _received(self, data: bytes) -> None:
        if self.connection is not None:
            self.connection.received(data)

    def _drained(self) -> None:
        if self._full and self.connection is not None:
            self._full = False
            self.connection.writable(True)

    def _ended(self) -> None:
        self.stream.end()
        self._tell(None)

    def _closed(self, error: MeadowError | None) -> None:
        if error is not None and not isinstance(error, OSError):
            error = StreamReset(str(error))
        self._tell(error)
        self.on_closed()

    def _tell(self, error: OSError | None) -> None:
        if not self._lost and self.connection is not None:
            self._lost = True
            self.connection.lost(error)
