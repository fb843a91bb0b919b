"""A pipe of bytes between two machines that share a secret: both derive one key pair, and meet under its public key.

One of them listens; the other finds it through the DHT. Each proves that it holds the secret key, so a connection means
that the other side knows the secret; who does not is turned away before there is a stream.

The pipe is a channel `meadow/beam` of the connection, with three messages: data, the end of the data, and how many
bytes were taken in all. Nobody sends more than `WINDOW` bytes ahead of what was taken, so a slow reader makes a slow
writer and not a full memory. All was delivered when as much was taken as was sent: only then does a side close.

Unlike hyperbeam this is not a protocol of the official packages; both ends must be ours.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from ..crypto.keys import KeyPair, key_pair
from ..dht.world import Meeting
from ..encoding.compact import decode_uint, encode_uint
from ..errors import MeadowError, PeerUnreachable, RemoteProtocolError
from ..net.connection import Connection
from ..net.hyperdht import HyperDht
from ..net.meeting import plain_connection
from ..protomux import Channel
from .network import ANYWHERE, LOOPBACK, is_local

PROTOCOL: Final = "meadow/beam"
WINDOW: Final = 4 * 1024 * 1024
_PIECE: Final = 64 * 1024
_AGAIN_SECONDS: Final = 1.0
_CLOSE_SECONDS: Final = 3.0
_DATA, _END, _TAKEN = range(3)


class Beam:
    """An open pipe. Get one from `listen` or `connect`, read and write, then `close` it.

    Its errors are those of the connection: `RemoteProtocolError`, `PeerUnreachable`.
    """

    def __init__(self, dht: HyperDht, meeting: Meeting, pair: KeyPair) -> None:
        self._dht = dht
        self._gone = asyncio.Event()
        ended = meeting.ended

        def stream_ended() -> None:
            ended()
            self._gone.set()

        meeting.ended = stream_ended
        self._arrived: deque[bytes] = deque()
        self._sent = self._sent_taken = 0
        self._received = self._taken = 0
        self._ended = self._remote_ended = False
        self._changed = asyncio.Event()
        self._channel: Channel | None = None
        self._connection = plain_connection(meeting, pair, on_open=self._opened, on_close=self._closed)

    # --- meeting --------------------------------------------------------------------------------------

    @classmethod
    async def listen(
        cls, seed: bytes, *, bootstrap: Sequence[str], on_listening: Callable[[], None] = lambda: None
    ) -> Beam:
        """Wait for the other side, for as long as it takes. `seed`: 32 bytes that both derive from their secret.

        `on_listening()` is called once we can be found. Raises `PeerUnreachable` when no node of the DHT answers.
        """
        dht, pair = await _open(bootstrap), key_pair(seed)
        met: asyncio.Queue[Meeting] = asyncio.Queue()

        def refused(key: bytes, address: object) -> bool:
            return key != pair.public_key

        try:
            server = await dht.listen(pair, met.put_nowait, firewall=refused)
            if not server.relay_addresses:
                raise PeerUnreachable(f"no node of the DHT answers (asked: {', '.join(bootstrap)})")
            on_listening()
            while True:
                beam = cls(dht, await met.get(), pair)
                try:
                    await beam._connection.opened
                    break
                except MeadowError:
                    continue  # whoever it was did not prove the key
            dht.servers.remove(server)
            server.close()
            while not met.empty():  # one is enough
                met.get_nowait().stream.destroy()
            return beam
        except BaseException:
            await dht.close()
            raise

    @classmethod
    async def connect(
        cls,
        seed: bytes,
        *,
        bootstrap: Sequence[str],
        on_waiting: Callable[[MeadowError], None] = lambda _: None,
    ) -> Beam:
        """Find the side that listens; looks again, with `on_waiting(why)`, until it is there."""
        dht, pair = await _open(bootstrap), key_pair(seed)
        try:
            while True:
                try:
                    beam = cls(dht, await dht.connect(pair.public_key, key_pair=pair), pair)
                    await beam._connection.opened
                    return beam
                except MeadowError as error:
                    on_waiting(error)
                await asyncio.sleep(_AGAIN_SECONDS)
        except BaseException:
            await dht.close()
            raise

    @property
    def remote_address(self) -> str:
        """Where the other side is, host:port."""
        return self._connection.remote_address

    @property
    def how(self) -> str:
        """By which kind of path: direct, lan, punched, relayed."""
        return self._connection.how

    # --- the pipe -------------------------------------------------------------------------------------

    async def read(self) -> bytes | None:
        """What arrived next; None when the other side has sent all. Raises when it goes away before that."""
        while not self._arrived:
            if self._remote_ended:
                return None
            await self._change()
        data = self._arrived.popleft()
        self._taken += len(data)
        self._send(_TAKEN, encode_uint(self._taken))
        return data

    async def write(self, data: bytes) -> None:
        """Send; returns when there is room for more."""
        for start in range(0, len(data), _PIECE):
            piece = data[start : start + _PIECE]
            while self._sent + len(piece) - self._sent_taken > WINDOW:
                await self._change()
            self._refuse_if_closed()
            self._sent += len(piece)
            self._send(_DATA, piece)

    async def end(self) -> None:
        """No more comes from here. Returns when the other side has taken everything."""
        if not self._ended:
            self._ended = True
            self._send(_END, b"")
        while self._sent_taken < self._sent:
            await self._change()

    async def close(self) -> None:
        """End the connection and leave the network. What was not taken by then is lost."""
        try:
            self._connection.close()
            await asyncio.wait_for(self._gone.wait(), _CLOSE_SECONDS)
        except TimeoutError:
            pass
        finally:
            await self._dht.close()

    # --- inside ---------------------------------------------------------------------------------------

    async def _change(self) -> None:
        self._refuse_if_closed()
        self._changed.clear()
        await self._changed.wait()

    def _refuse_if_closed(self) -> None:
        closed = self._connection.closed
        if closed.done():
            raise closed.result() or PeerUnreachable(
                "the other side closed the beam before everything was taken"
            )

    def _send(self, type: int, body: bytes) -> None:
        if self._channel is not None:
            self._channel.send(type, body)

    def _opened(self, connection: Connection) -> None:
        assert connection.mux is not None
        self._channel = connection.mux.create_channel(
            PROTOCOL, messages=(self._on_data, self._on_end, self._on_taken)
        )

    def _closed(self, connection: Connection) -> None:
        self._changed.set()

    def _on_data(self, frame: bytes, position: int) -> None:
        data = frame[position:]
        self._received += len(data)
        if self._remote_ended or self._received - self._taken > WINDOW:
            raise RemoteProtocolError("the other side of the beam sends more than it may")
        self._arrived.append(data)
        self._changed.set()

    def _on_end(self, frame: bytes, position: int) -> None:
        self._remote_ended = True
        self._changed.set()

    def _on_taken(self, frame: bytes, position: int) -> None:
        taken, _ = decode_uint(frame, position)
        if not self._sent_taken <= taken <= self._sent:
            raise RemoteProtocolError("the other side of the beam took what was never sent")
        self._sent_taken = taken
        self._changed.set()


async def _open(bootstrap: Sequence[str]) -> HyperDht:
    """A node of our own; on loopback when all of the network is there."""
    host = LOOPBACK if is_local(tuple(bootstrap)) else ANYWHERE
    return await HyperDht.open(host=host, ports=(0,), bootstrap=tuple(bootstrap), ephemeral=True)
