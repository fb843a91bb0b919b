"""The Noise IK handshake that a connection by key begins with: one message each way, inside datagrams.

The client knows the server's key (that is what it looked for), so its first message is encrypted already, and no
relay on the way learns more than where it goes. Source: hyperdht 6.34.0 `lib/noise-wrap.js`; the vectors are
`tests/vectors/network/01-noise.json` (`IK_hyperdht`).
"""

from __future__ import annotations

from copy import copy

from ..crypto.hashing import hash32
from ..crypto.keys import KeyPair
from ..crypto.noise import NoiseHandshake
from ..errors import LocalProtocolError
from ..secret_stream.handshake import HandshakeResult
from .handshake_messages import NoisePayload, decode_payload, encode_payload
from .hyper_commands import NS_PEER_HANDSHAKE, NS_PEER_HOLEPUNCH


class PeerHandshake:
    """One side. The client (it gives `remote_public_key`) writes first. Raises `HandshakeError`, `DecodingError`."""

    __slots__ = ("_noise",)

    def __init__(
        self, key_pair: KeyPair, remote_public_key: bytes | None = None, *, ephemeral: KeyPair | None = None
    ) -> None:
        self._noise = NoiseHandshake(
            "IK",
            remote_public_key is not None,
            key_pair,
            prologue=NS_PEER_HANDSHAKE,
            remote_static=remote_public_key,
            ephemeral=ephemeral,
        )

    def copy(self) -> PeerHandshake:
        """Another one that has come as far; what it reads changes nothing here."""
        other = copy(self)
        other._noise = self._noise.copy()
        return other

    @property
    def remote_public_key(self) -> bytes:
        key = self._noise.remote_static
        if key is None:
            raise LocalProtocolError("the remote's key is known only once its message was read")
        return key

    def write(self, payload: NoisePayload) -> bytes:
        return self._noise.write(encode_payload(payload))

    def read(self, message: bytes) -> NoisePayload:
        return decode_payload(self._noise.read(message))

    def result(self) -> HandshakeResult:
        """Keys for the secret stream, once both messages have passed."""
        noise = self._noise
        if not noise.complete:
            raise LocalProtocolError("the handshake is not over")
        return HandshakeResult(noise.tx, noise.rx, noise.handshake_hash, self.remote_public_key)


def holepunch_secret(handshake_hash: bytes) -> bytes:
    """The key under which both sides talk about hole punching (32 bytes)."""
    return hash32(NS_PEER_HOLEPUNCH, key=handshake_hash)
