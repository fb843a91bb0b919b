"""One encrypted connection to one proven key, whatever carries its bytes.

    transport bytes -> SecretStream -> Mux -> channels, and back

The order inside one turn of the event loop is the promise of this house: *verified, then stored, then announced*.
Bytes that arrive are handled at once; what is to be sent in answer is only collected. At the end of the turn the
store commits (`commit`), and only then the collected bytes leave. So nothing we say is ahead of what we hold. When a
new signature of ours is among them, they also wait until no power cut can make us forget it (`when_safe`).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from functools import partial
from typing import Protocol

from ..crypto.keys import KeyPair
from ..errors import HandshakeError, LocalProtocolError, MeadowError, RemoteProtocolError, StorageError
from ..limits import HANDSHAKE_TIMEOUT_SECONDS, KEEP_ALIVE_SECONDS, MAX_SEND_BUFFER, MAX_UNSENT_BYTES
from ..protomux import Mux
from ..secret_stream import SecretStream
from ..secret_stream.handshake import HandshakeResult
from .inbox import Inbox

_LOGGER = logging.getLogger(__name__)


class Carrier(Protocol):
    """What a connection needs of the transport below it: a TCP socket or a UDX stream."""

    @property
    def how(self) -> str:
        """By which kind of path it goes: tcp, direct, lan, punched, relayed."""

    @property
    def rtt(self) -> float | None:
        """Smoothed round-trip time in seconds, once measured."""

    @property
    def unsent_bytes(self) -> int:
        """Written, and not yet taken by the network."""

    def write(self, data: bytes) -> None: ...
    def pause_reading(self) -> None:
        """Read nothing until `resume_reading`."""

    def resume_reading(self) -> None: ...
    def close(self) -> None:
        """Send what is written, then end."""

    def abort(self) -> None:
        """End at once."""


class WhenSafe(Protocol):
    """Calls `told` once what was committed can be spoken of; in the order of the calls."""

    def __call__(self, told: Callable[[MeadowError | None], None], *, at_once: bool = False) -> None: ...


class Connection:
    """An open connection. `await opened` gives its `Mux`; `await closed` tells why it ended (None: gracefully).

    `handshake`: the outcome of one that was made before there was a stream; without it the stream begins with one.
    """

    def __init__(
        self,
        carrier: Carrier,
        *,
        is_initiator: bool,
        key_pair: KeyPair,
        remote_address: str,
        commit: Callable[[], None],
        when_safe: WhenSafe,
        on_open: Callable[[Connection], None],
        on_close: Callable[[Connection], None],
        handshake: HandshakeResult | None = None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._carrier = carrier
        self._stream = SecretStream(is_initiator, key_pair, handshake=handshake)
        # The first message of a handshake made elsewhere can be replayed by whoever saw it; a header cannot.
        self._wait_for_header = handshake is not None
        self._commit = commit
        self._when_safe = when_safe
        self._on_open = on_open
        self._on_close = on_close
        self._flush_scheduled = False
        self._inbox = Inbox()
        self._handling = False
        self._carrier_full = False
        self._unsent = 0
        self._close_after_handling = False
        self._ended = False
        self._last_write = self._loop.time()
        self.is_initiator = is_initiator
        self.remote_address = remote_address
        self.remote_public_key = b""
        self.mux: Mux | None = None
        self.opened: asyncio.Future[Mux] = self._loop.create_future()
        self.closed: asyncio.Future[MeadowError | None] = self._loop.create_future()
        self.opened_at = time.time()
        self.error: MeadowError | None = None
        self.bytes_in = 0
        self.bytes_out = 0
        self._heard = False
        self._spoke = False
        # Nobody may be waiting for either; an unretrieved exception is not news.
        self.opened.add_done_callback(_retrieve)
        self._timer = self._loop.call_later(HANDSHAKE_TIMEOUT_SECONDS, self._handshake_timed_out)
        self._flush_soon()

    @property
    def how(self) -> str:
        """By which kind of path it goes now: tcp, direct, lan, punched, relayed."""
        return self._carrier.how

    @property
    def rtt(self) -> float | None:
        """Round-trip time in seconds, once measured."""
        return self._carrier.rtt

    @property
    def exchanged(self) -> bool:
        """Whether messages went both ways. Handshakes and headers are none: both sides send those unasked."""
        return self._heard and self._spoke

    # --- bytes in -----------------------------------------------------------------------------

    def received(self, data: bytes) -> None:
        """Bytes from the transport, cut anywhere."""
        if self._ended:
            return
        self.bytes_in += len(data)
        self._guarded(partial(self._take, data))

    def _take(self, data: bytes) -> None:
        messages = self._stream.receive(data)
        mux = self.mux
        if mux is None:
            mux = self._open_if_ready()
        if messages and mux is not None:
            self._heard = True
            self._inbox.add(messages)
            if not self._inbox.pending:
                self._handle(mux)

    def _guarded(self, work: Callable[[], None]) -> None:
        """Do `work` for the remote. Whatever goes wrong, the worst that happens is the end of this connection."""
        try:
            work()
        except RemoteProtocolError as error:
            self.abort(error)
        except StorageError as error:
            _LOGGER.error("%s", error)
            self.abort(error)
        except Exception as error:
            _LOGGER.exception("a message of %s could not be handled", self.remote_address)
            self.abort(LocalProtocolError(f"a message could not be handled: {error!r}"))
        if self._close_after_handling:
            self.close()
        else:
            self._flush_soon()

    def _handle(self, mux: Mux) -> None:
        """Handle as much of what arrived as one turn may take; the rest in the next one, and nothing is read before."""
        was_pending = self._inbox.pending
        self._handling = True
        mux.cork()
        try:
            self._inbox.handle(mux)
        finally:
            self._handling = False
            mux.uncork()
        if self._inbox.pending and not self._ended:
            self._loop.call_soon(self._go_on)
            if not was_pending:
                self._carrier.pause_reading()
        elif was_pending and not self._ended:
            self._carrier.resume_reading()

    def _go_on(self) -> None:
        if self.mux is not None and not self._ended:
            self._guarded(partial(self._handle, self.mux))

    def lost(self, error: OSError | None) -> None:
        """The transport ended; `error` is None when the other side closed in order."""
        if error is None and not self.opened.done():
            self._end(HandshakeError(f"{self.remote_address} closed the connection before it proved a key"))
        elif error is None:
            self._end(None)
        else:
            self._end(RemoteProtocolError(f"the connection to {self.remote_address} was lost: {error}"))

    def _open_if_ready(self) -> Mux | None:
        if self.mux is not None or self._ended or not self._stream.opened:
            return self.mux
        self._timer.cancel()
        self.remote_public_key = self._stream.remote_public_key
        self.mux = Mux(
            is_initiator=self.is_initiator,
            handshake_hash=self._stream.handshake_hash,
            remote_public_key=self.remote_public_key,
            send=self._send,
            remote_address=self.remote_address,
        )
        self.opened.set_result(self.mux)
        self._on_open(self)
        self._timer = self._loop.call_later(KEEP_ALIVE_SECONDS, self._keep_alive)
        return self.mux

    # --- bytes out ----------------------------------------------------------------------------

    def _send(self, frame: bytes) -> None:
        self._stream.send(frame)
        self._spoke = True
        self._unsent += len(frame)
        if self._unsent > MAX_SEND_BUFFER:
            self._tell_drained()
        if not self._flush_scheduled:
            self._flush_soon()

    def _flush_soon(self) -> None:
        if not self._flush_scheduled and not self._ended:
            self._flush_scheduled = True
            self._loop.call_soon(self._flush)

    def _flush(self, *, at_once: bool = False) -> None:
        self._flush_scheduled = False
        if self._ended:
            return
        # Announcements that this commit allows are corked into the same write.
        try:
            self._commit()
        except StorageError as error:
            # Everybody who waits for it was told; what is about to leave may speak of what is gone.
            _LOGGER.error("%s", error)
            self.abort(error)
            return
        data = self._stream.data_to_send()
        self._unsent = 0
        if data:
            self._when_safe(partial(self._leave, data), at_once=at_once)

    def _leave(self, data: bytes, error: MeadowError | None) -> None:
        if self._ended:
            return
        if error is not None:
            # What comes later in the stream cannot be read without this.
            self.abort(error)
            return
        self._last_write = self._loop.time()
        self.bytes_out += len(data)
        self._carrier.write(data)
        if self._carrier.unsent_bytes > MAX_UNSENT_BYTES:
            self.abort(RemoteProtocolError(f"{self.remote_address} asks for more than it reads"))
        self._tell_drained()

    def writable(self, is_writable: bool) -> None:
        """The transport's send buffer is full, or has drained: answers to requests wait meanwhile."""
        self._carrier_full = not is_writable
        self._tell_drained()

    def _tell_drained(self) -> None:
        if self.mux is not None and not self._ended:
            self.mux.set_drained(not self._carrier_full and self._unsent <= MAX_SEND_BUFFER)

    def keep_alive(self) -> None:
        """Say something now, so that a dead link is noticed soon."""
        if self.mux is not None and not self._ended:
            self._stream.send(b"")
            self._flush_soon()

    def _keep_alive(self) -> None:
        """An empty message after silence, as official peers send, so that a dead link is noticed below."""
        silence = self._loop.time() - self._last_write
        if silence >= KEEP_ALIVE_SECONDS:
            self.keep_alive()
            silence = 0.0
        self._timer = self._loop.call_later(KEEP_ALIVE_SECONDS - silence, self._keep_alive)

    # --- the end ------------------------------------------------------------------------------

    def close(self) -> None:
        """Send what is pending, then end in order. Within a message handler: once its answers are collected."""
        if self._handling:
            self._close_after_handling = True
            return
        if self._ended:
            return
        try:
            self._flush(at_once=True)
        except StorageError:
            pass  # Whoever waits for that commit was told; here is nobody.
        if not self._ended:
            self._carrier.close()
            self._end(None)

    def abort(self, error: MeadowError) -> None:
        """End at once, because of `error`."""
        if self._ended:
            return
        self._carrier.abort()
        self._end(error)

    def _handshake_timed_out(self) -> None:
        self.abort(
            HandshakeError(
                f"{self.remote_address} did not prove a key within {HANDSHAKE_TIMEOUT_SECONDS:g} seconds"
            )
        )

    def _end(self, error: MeadowError | None) -> None:
        if self._ended:
            return
        self._ended = True
        self._inbox.clear()
        self._timer.cancel()
        self.error = error
        if not self.opened.done():
            self.opened.set_exception(error or HandshakeError("the connection was closed before it opened"))
        if self.mux is not None:
            self.mux.close(error)
        if not self.closed.done():
            self.closed.set_result(error)
        self._on_close(self)


def _retrieve(future: asyncio.Future[Mux]) -> None:
    if not future.cancelled():
        future.exception()
