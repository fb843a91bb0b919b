"""The UDX packet: twenty bytes of header, SACK pairs or padding, payload.

    0  u8   0xff                      8  u32  receive window of the sender, bytes
    1  u8   version 1                 12 u32  seq
    2  u8   flags                     16 u32  ack: the next seq expected
    3  u8   dataOffset                20 dataOffset bytes of SACK pairs or padding, then the payload
    4  u32  stream id at the receiver

All integers are little endian (udx-native 1.21.3). Sequence numbers count packets and wrap at 2^32; inside this
package they are plain integers that never wrap (`unwrap`).

Everything here is for the paths where a packet is alone. Trains of packets are read and written with `HEADER` in
place, whose five words hold the first four bytes as one (`word`).
"""

from __future__ import annotations

from struct import Struct
from typing import Final, NamedTuple

from ..errors import BadArgument

HEADER: Final = Struct("<IIIII")
"""(word, stream id, window, seq, ack)."""
HEADER_BYTES: Final = 20

DATA: Final = 0x01
END: Final = 0x02
SACK: Final = 0x04
MESSAGE: Final = 0x08
DESTROY: Final = 0x10
HEARTBEAT: Final = 0x20

MAGIC_WORD: Final = 0x01FF
"""The first two bytes of every packet, as the low half of the header's first word."""
SEQ_MASK: Final = 0xFFFFFFFF
NATIVE_SACK_BLOCKS: Final = 50
"""Blocks a pure ack of udx-native 1.21.3 holds at most; it reads more."""
MAX_SACK_BLOCKS: Final = 144
"""Blocks that fit where a packet of data fits, and that we send at most."""

_HALF: Final = 0x80000000
_PAIR: Final = Struct("<II")


class Packet(NamedTuple):
    """One packet, its numbers as they are on the wire."""

    flags: int
    stream_id: int
    window: int
    seq: int
    ack: int
    sack: tuple[tuple[int, int], ...] = ()
    padding: int = 0
    payload: bytes = b""


def header_word(flags: int, data_offset: int = 0) -> int:
    """The first four bytes of a packet as one integer."""
    return MAGIC_WORD | flags << 16 | data_offset << 24


def unwrap(wire: int, near: int) -> int:
    """The integer closest to `near` that is `wire` modulo 2^32."""
    return near + ((wire - near + _HALF) & SEQ_MASK) - _HALF


def sack_pairs(region: bytes | memoryview) -> list[tuple[int, int]]:
    """The (start, end) pairs of a SACK region, wire numbers; an incomplete last pair is ignored."""
    return list(_PAIR.iter_unpack(region[: len(region) & ~7]))


def encode_sack(blocks: list[tuple[int, int]]) -> bytes:
    """The bytes of at most `MAX_SACK_BLOCKS` pairs."""
    return b"".join([_PAIR.pack(start & SEQ_MASK, end & SEQ_MASK) for start, end in blocks[:MAX_SACK_BLOCKS]])


def encode(packet: Packet) -> bytes:
    """The datagram of `packet`. SACK pairs that nothing follows run to the end, with dataOffset 0, as native does."""
    region = encode_sack(list(packet.sack)) if packet.sack else bytes(packet.padding)
    offset = 0 if packet.sack and not packet.payload else len(region)
    if offset > 0xFF:
        raise BadArgument(f"a header extension has at most 255 bytes, not {offset}")
    word = header_word(packet.flags, offset)
    header = HEADER.pack(word, packet.stream_id, packet.window, packet.seq & SEQ_MASK, packet.ack & SEQ_MASK)
    return header + region + packet.payload


def decode(datagram: bytes | memoryview) -> Packet | None:
    """The packet in a datagram; None when it is not UDX or its dataOffset points beyond its end."""
    if len(datagram) < HEADER_BYTES:
        return None
    word, stream_id, window, seq, ack = HEADER.unpack_from(datagram)
    if word & 0xFFFF != MAGIC_WORD:
        return None
    flags, offset = word >> 16 & 0xFF, word >> 24
    body = bytes(datagram[HEADER_BYTES:])
    if offset > len(body):
        return None
    if not flags & SACK:
        return Packet(flags, stream_id, window, seq, ack, (), offset, body[offset:])
    split = offset or len(body)
    return Packet(flags, stream_id, window, seq, ack, tuple(sack_pairs(body[:split])), 0, body[split:])
