"""A peer over TCP that says whatever it likes: real handshake, hand-made frames."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence

from core.crypto.hashing import REPLICATE_INITIATOR, discovery_key, hash32
from core.encoding.compact import encode_buffer, encode_string, encode_uint
from core.replication.messages import PROTOCOL, encode_handshake
from core.secret_stream import SecretStream


def batch(channel: int, messages: Iterable[bytes]) -> bytes:
    """One frame of many messages (each its type and body) for one channel of the sender's numbering."""
    return (
        b"\0\0"
        + encode_uint(channel)
        + b"".join([encode_uint(len(message)) + message for message in messages])
    )


class Stranger:
    """`await Stranger.dial(address)`; reads nothing unless told to."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.stream = SecretStream(True)

    @classmethod
    async def dial(cls, address: tuple[str, int]) -> Stranger:
        stranger = cls(*await asyncio.open_connection(*address))
        stream = stranger.stream
        while not stream.opened:
            stranger.writer.write(stream.data_to_send())
            stream.receive(await stranger.reader.read(4096))
        stranger.writer.write(stream.data_to_send())
        return stranger

    async def send(self, frames: Sequence[bytes]) -> None:
        for frame in frames:
            self.stream.send(frame)
        self.writer.write(self.stream.data_to_send())
        await self.writer.drain()

    def open_message(self, key: bytes, number: int = 1) -> bytes:
        """The control message that opens the channel of the log `key`, proving that we know it."""
        capability = hash32(REPLICATE_INITIATOR + key, key=self.stream.handshake_hash)
        name = encode_string(PROTOCOL) + encode_buffer(discovery_key(key))
        return b"\1" + encode_uint(number) + name + encode_handshake(capability)

    async def open(self, key: bytes) -> None:
        await self.send([b"\0" + self.open_message(key)])

    def close(self) -> None:
        self.writer.transport.abort()
