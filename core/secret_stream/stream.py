"""Framed, encrypted messages over any ordered byte stream, with a proven key at the other end. No I/O.

    frame   = length u24 little endian, body
    bodies  = Noise messages (unless the handshake was made elsewhere), then one header, then sealed messages
    header  = stream id of the sender's role (32), secretstream header (24)

One message sent is one message received: the layer above depends on it. An empty message is a keep-alive.

Source: @hyperswarm/secret-stream 6.9.2 `index.js`, checked against
`tests/vectors/network/02-secret-stream.json`.

**What a stranger can make us hold:** until the handshake is over, a frame whose length is not the one due is
refused at its third byte, so nothing of theirs is kept; afterwards at most one partial frame (16 MiB), and
only what has arrived.
"""

from __future__ import annotations

from typing import Final

from ..crypto.keys import KeyPair
from ..crypto.keys import key_pair as make_key_pair
from ..crypto.sealing import HEADER_BYTES, OVERHEAD_BYTES, Pull, Push
from ..errors import HandshakeError, LocalProtocolError, RemoteProtocolError
from ..limits import MAX_FRAME_BODY, MAX_SEND_BUFFER
from .handshake import STREAM_ID_BYTES, HandshakeExchange, HandshakeResult, stream_id

LENGTH_BYTES: Final = 3
MAX_MESSAGE_BYTES: Final = MAX_FRAME_BODY - OVERHEAD_BYTES
_HEADER_FRAME_BYTES: Final = STREAM_ID_BYTES + HEADER_BYTES


class SecretStream:
    """One side of a secret stream. Feed what arrives to `receive`, send away what `data_to_send` returns.

    `key_pair`: whom to be (a fresh random key when None). `handshake`: the outcome of one made elsewhere;
    then the stream is open at once. A stream that raised `RemoteProtocolError` is over.
    """

    __slots__ = (
        "_error", "_exchange", "_outgoing", "_partial", "_partial_due", "_pull", "_push", "_queued",
        "_queued_bytes", "_rx", "handshake_hash", "is_initiator", "opened", "public_key", "remote_public_key",
    )  # fmt: skip

    def __init__(
        self, is_initiator: bool, key_pair: KeyPair | None = None, *, handshake: HandshakeResult | None = None
    ) -> None:
        own = key_pair or make_key_pair()
        self.is_initiator = is_initiator
        self.public_key = own.public_key
        self.remote_public_key = b""
        self.handshake_hash = b""
        self.opened = False
        self._error: RemoteProtocolError | None = None
        self._exchange: HandshakeExchange | None = None
        self._rx = b""
        self._push: Push | None = None
        self._pull: Pull | None = None
        self._partial = bytearray()
        self._partial_due = 0
        self._outgoing: list[bytes] = []
        self._queued: list[bytes] = []
        self._queued_bytes = 0
        if handshake is not None:
            self._open(handshake)
        else:
            self._exchange = HandshakeExchange(is_initiator, own)
            self._frame(self._exchange.start())

    @property
    def proven(self) -> bool:
        """Whether the other side has shown in this stream that it holds its keys: its header came, and fits."""
        return self._pull is not None

    # --- in -----------------------------------------------------------------------------------

    def receive(self, data: bytes) -> list[bytes]:
        """The messages that `data` (cut anywhere) completes, no keep-alives. Raises `RemoteProtocolError`."""
        if self._error is not None:
            raise self._error
        if self._partial:
            self._partial += data
            if len(self._partial) < self._partial_due:
                return []
            data = bytes(self._partial)
            self._partial = bytearray()
        try:
            return self._receive_frames(data)
        except RemoteProtocolError as error:
            self._error = error
            self._partial = bytearray()
            raise

    def _receive_frames(self, data: bytes) -> list[bytes]:
        messages: list[bytes] = []
        pull = self._pull
        position, available = 0, len(data)
        due = LENGTH_BYTES
        while position + LENGTH_BYTES <= available:
            body = position + LENGTH_BYTES
            length = data[position] | data[position + 1] << 8 | data[position + 2] << 16
            if pull is None:
                self._check_setup_length(length)
            elif length < OVERHEAD_BYTES:
                raise RemoteProtocolError(
                    f"an encrypted message of {length} bytes is shorter than its authenticator"
                )
            end = body + length
            if end > available:
                due = LENGTH_BYTES + length
                break
            if pull is None:
                self._set_up(data[body:end])
                pull = self._pull
            else:
                message = pull.open(data[body:end])
                if message:
                    messages.append(message)
            position = end
        if position < available:
            self._partial += data[position:]
            self._partial_due = due
        return messages

    def _check_setup_length(self, length: int) -> None:
        """Refuse what cannot be the frame that is due before a byte of it is kept."""
        due = _HEADER_FRAME_BYTES if self._exchange is None else self._exchange.expected_bytes
        if length != due:
            raise HandshakeError(f"the handshake needs a frame of {due} bytes here, not {length}")

    def _set_up(self, body: bytes) -> None:
        exchange = self._exchange
        if exchange is None:
            self._take_header(body)
            return
        self._frame(exchange.read(body))
        result = exchange.result
        if result is not None:
            self._exchange = None
            self._open(result)

    def _take_header(self, body: bytes) -> None:
        if body[:STREAM_ID_BYTES] != stream_id(self.handshake_hash, not self.is_initiator):
            raise HandshakeError("the remote's header names another stream")
        self._pull = Pull(self._rx, body[STREAM_ID_BYTES:])

    # --- out ----------------------------------------------------------------------------------

    def send(self, message: bytes) -> None:
        """One message, at most 2^24-18 bytes. Before the stream is open it is queued, 4 MiB in all."""
        size = len(message)
        if size > MAX_MESSAGE_BYTES:
            raise LocalProtocolError(
                f"a message of {size} bytes is longer than the {MAX_MESSAGE_BYTES} of one frame"
            )
        if self._push is None:
            self._queued_bytes += size + LENGTH_BYTES + OVERHEAD_BYTES
            if self._queued_bytes > MAX_SEND_BUFFER:
                raise LocalProtocolError("too much is queued on a stream that is not open yet")
            self._queued.append(message)
            return
        outgoing = self._outgoing
        outgoing.append((size + OVERHEAD_BYTES).to_bytes(LENGTH_BYTES, "little"))
        outgoing.append(self._push.seal(message))

    def data_to_send(self) -> bytes:
        """Everything to be written to the transport since the last call."""
        data = b"".join(self._outgoing)
        self._outgoing.clear()
        return data

    def _frame(self, body: bytes) -> None:
        if body:
            self._outgoing.append(len(body).to_bytes(LENGTH_BYTES, "little") + body)

    def _open(self, result: HandshakeResult) -> None:
        """Our header may go out, and messages behind it, without waiting for the remote's."""
        self.handshake_hash = result.handshake_hash
        self.remote_public_key = result.remote_public_key
        self._rx = result.rx
        self._push = Push(result.tx)
        self._frame(stream_id(result.handshake_hash, self.is_initiator) + self._push.header)
        self.opened = True
        queued, self._queued = self._queued, []
        for message in queued:
            self.send(message)
