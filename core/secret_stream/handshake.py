"""What comes before the first encrypted message: whose keys, and the proof that both sides mean this
connection.

On TCP the handshake is Noise XX in frames of the stream itself (`HandshakeExchange`). A connection that
HyperDHT made has had its handshake (IK, in datagrams) before the stream begins, and starts with a ready
`HandshakeResult`.

Source: @hyperswarm/secret-stream 6.9.2 `lib/handshake.js`, `index.js` (`streamId`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from ..crypto.hashing import hash32, namespaces
from ..crypto.keys import KeyPair
from ..crypto.noise import NoiseHandshake

NS_INITIATOR, NS_RESPONDER, NS_SEND = namespaces("hyperswarm/secret-stream", 3)

STREAM_ID_BYTES: Final = 32

# Bodies of the three XX messages with empty payloads: what is not of this length is not a handshake.
_MESSAGE_BYTES: Final = (32, 96, 64)


@dataclass(frozen=True, slots=True)
class HandshakeResult:
    """`tx`, `rx`: 32-byte keys; `handshake_hash`: 64, equal on both sides; `remote_public_key`: 32."""

    tx: bytes = field(repr=False)
    rx: bytes = field(repr=False)
    handshake_hash: bytes
    remote_public_key: bytes


def stream_id(handshake_hash: bytes, is_initiator: bool) -> bytes:
    """What a side of that role sends first (32 bytes), so that nobody takes another stream for this one."""
    return hash32(NS_INITIATOR if is_initiator else NS_RESPONDER, key=handshake_hash)


class HandshakeExchange:
    """Noise XX with empty payloads, one message a frame."""

    __slots__ = ("_message", "_noise")

    def __init__(self, is_initiator: bool, key_pair: KeyPair) -> None:
        self._noise = NoiseHandshake("XX", is_initiator, key_pair)
        self._message = 0

    def start(self) -> bytes:
        """The initiator's first message; nothing for the responder."""
        return self._write() if self._noise.is_initiator else b""

    @property
    def expected_bytes(self) -> int:
        """The length that the remote's next message must have."""
        return _MESSAGE_BYTES[self._message]

    def read(self, message: bytes) -> bytes:
        """Take the remote's message; returns ours that answers it, if any. Raises `HandshakeError`."""
        # The payload is empty today; official peers ignore whatever is in it, and so do we.
        self._noise.read(message)
        self._message += 1
        return b"" if self._noise.complete else self._write()

    @property
    def result(self) -> HandshakeResult | None:
        """None until all three messages have passed."""
        noise = self._noise
        if not noise.complete or noise.remote_static is None:
            return None
        return HandshakeResult(noise.tx, noise.rx, noise.handshake_hash, noise.remote_static)

    def _write(self) -> bytes:
        self._message += 1
        return self._noise.write()
