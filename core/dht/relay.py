"""A blind relay's client: two peers that cannot reach each other meet at a third, which sees only ciphertext.

    protomux protocol "blind-relay", id = the client's public key, no handshake
    0 pair    flags u8 (bit 0: initiator), token 32, stream id uint, seq uint     both ways
    1 unpair  flags u8 (0), token 32                                              client -> relay

Both clients send the same token; the relay answers each with the id of its own stream for that side, and from then on
forwards UDX packets between the two. Source: blind-relay 1.6.1, hyperdht 6.34.0 `lib/relay-connection.js`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from ..encoding.compact import decode_fixed, decode_uint, encode_uint
from ..errors import DecodingError, MeadowError, PeerUnreachable
from ..protomux import Channel, Mux
from .timers import Timer
from .world import OpenRelay, RelayConnection, World

PROTOCOL: Final = "blind-relay"
PAIR: Final = 0
UNPAIR: Final = 1
PAIR_SECONDS: Final = 15.0
_INITIATOR: Final = 1


def encode_pair(is_initiator: bool, token: bytes, stream_id: int, seq: int = 0) -> bytes:
    return bytes((_INITIATOR if is_initiator else 0,)) + token + encode_uint(stream_id) + encode_uint(seq)


def decode_pair(data: bytes, position: int) -> tuple[bool, bytes, int]:
    """(is initiator, token, stream id)."""
    flags, position = decode_fixed(data, position, 1)
    token, position = decode_fixed(data, position, 32)
    stream_id, position = decode_uint(data, position)
    decode_uint(data, position)
    if stream_id > 0xFFFFFFFF:
        raise DecodingError("a stream id has more than 32 bits")
    return flags[0] & _INITIATOR != 0, token, stream_id


def encode_unpair(token: bytes) -> bytes:
    return b"\x00" + token


class RelayClient:
    """The channel on one connection to a relay; `on_pair(stream_id)` tells the relay's id of our side."""

    def __init__(
        self,
        mux: Mux,
        public_key: bytes,
        *,
        is_initiator: bool,
        token: bytes,
        stream_id: int,
        on_pair: Callable[[int], None],
        on_close: Callable[[], None],
    ) -> None:
        self._is_initiator = is_initiator
        self._token = token
        self._on_pair = on_pair
        self._paired = False
        self._channel: Channel | None = mux.create_channel(
            PROTOCOL, public_key, messages=(self._received_pair, _ignored), on_close=on_close
        )
        if self._channel is not None:
            self._channel.send(PAIR, encode_pair(is_initiator, token, stream_id))

    def cancel(self) -> None:
        """We do not wait any more: the relay need not either."""
        if self._channel is not None and not self._paired:
            self._channel.send(UNPAIR, encode_unpair(self._token))

    def _received_pair(self, frame: bytes, position: int) -> None:
        is_initiator, token, stream_id = decode_pair(frame, position)
        if not self._paired and token == self._token and is_initiator == self._is_initiator:
            self._paired = True
            self._on_pair(stream_id)


def _ignored(frame: bytes, position: int) -> None:
    """A relay has nothing to unpair."""


class RelayLeg:
    """Our way to a relay, from dialling it until the peers are paired there or a direct path made it needless.

    `on_paired(relay, stream_id)` once; `on_failed(error)` once at most, and not after `close`.
    """

    def __init__(
        self,
        world: World,
        public_key: bytes,
        token: bytes,
        *,
        is_initiator: bool,
        stream_id: int,
        on_paired: Callable[[OpenRelay, int], None],
        on_failed: Callable[[MeadowError], None],
    ) -> None:
        self.relay: OpenRelay | None = None
        self.paired = False
        self.token = token
        self._is_initiator = is_initiator
        self._stream_id = stream_id
        self._on_paired = on_paired
        self._on_failed = on_failed
        self._client: RelayClient | None = None
        self.failed = False
        self._closed = False
        self._connection: RelayConnection | None = None
        self._timer: Timer = world.timers.after(PAIR_SECONDS, self._timed_out)
        self._connection = world.outside.dial_relay(public_key, self._opened, self._lost)

    def close(self) -> None:
        """End the connection to the relay, if it is still there."""
        if self._closed:
            return
        self._closed = True
        self._timer.cancel()
        if self._client is not None:
            self._client.cancel()
        if self._connection is not None:
            self._connection.close()

    def _opened(self, relay: OpenRelay) -> None:
        if self._closed:
            return
        self.relay = relay
        self._client = RelayClient(
            relay.mux,
            relay.public_key,
            is_initiator=self._is_initiator,
            token=self.token,
            stream_id=self._stream_id,
            on_pair=self._pair,
            on_close=self._lost,
        )

    def _pair(self, stream_id: int) -> None:
        if self._closed or self.relay is None:
            return
        self.paired = True
        self._timer.cancel()
        self._on_paired(self.relay, stream_id)

    def _timed_out(self) -> None:
        self._fail(PeerUnreachable("the other peer did not come to the relay"))

    def _lost(self) -> None:
        # Once paired, packets go on through the relay's streams for as long as it pleases; nothing is to be said.
        if not self.paired:
            self._fail(PeerUnreachable("the relay could not be reached, or refused"))

    def _fail(self, error: MeadowError) -> None:
        if not self._closed:
            self.failed = True
            self.close()
            self._on_failed(error)
