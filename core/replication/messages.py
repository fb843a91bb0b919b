"""The messages of one log's channel, as bytes.

Source: hypercore 11.37.1 `lib/messages.js` (`wire`), the order of the types is that of `_makePeer` in
`lib/replicator.js`. Checked against `tests/vectors/log/messages.json`.

Encoders return the body of a message (the mux adds channel and type); decoders take `(frame, position)`, read to the
end of what they know and ignore what follows, as the reference does. They raise `DecodingError` and nothing else.

A block travels in one `request` and one `data`, so those two are written out by hand where the other messages
are lists of fields: most integers are below 253 or below 65536, and a call per integer would cost more than
the hashing of the block.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from struct import Struct
from struct import error as _STRUCT_ERROR
from typing import Final

from ..crypto.hashing import Node
from ..encoding.compact import (
    decode_buffer,
    decode_fixed,
    decode_optional_buffer,
    decode_string,
    decode_uint,
    encode_optional_buffer,
    encode_string,
    encode_uint,
)
from ..errors import DecodingError
from ..hypercore.manifest import decode_manifest, encode_manifest
from ..hypercore.proof_types import (
    BlockProof,
    BlockRequest,
    HashProof,
    HashRequest,
    Proof,
    ProofRequest,
    SeekProof,
    SeekRequest,
    UpgradeProof,
    UpgradeRequest,
)
from ..limits import MAX_ARRAY_ITEMS

PROTOCOL: Final = "hypercore/alpha"
PROTOCOL_ALIASES: Final = ("hypercore",)

# Message types, in the order in which the channel registers them.
SYNC: Final = 0
REQUEST: Final = 1
CANCEL: Final = 2
DATA: Final = 3
NO_DATA: Final = 4
WANT: Final = 5
UNWANT: Final = 6
BITFIELD: Final = 7
RANGE: Final = 8
EXTENSION: Final = 9

# Reasons of `noData`.
NOT_AVAILABLE: Final = 1
INVALID_REQUEST: Final = 2

_BLOCK: Final = 1
_HASH: Final = 2
_SEEK: Final = 4
_UPGRADE: Final = 8
_MANIFEST: Final = 16
_PRIORITY: Final = 32

_U16: Final = Struct("<H")
_U32: Final = Struct("<I")


# --- the channel's handshake ------------------------------------------------------------------


def encode_handshake(capability: bytes, *, seeks: bool = True) -> bytes:
    """`capability`: 32 bytes that prove knowledge of the log's key on this very connection."""
    return (b"\x01" if seeks else b"\x00") + capability


def decode_handshake(data: bytes, position: int = 0) -> tuple[bool, bytes]:
    """(whether the remote understands the seek part of requests, its capability)."""
    flags, position = decode_uint(data, position)
    capability, _ = decode_fixed(data, position, 32)
    return bool(flags & 1), capability


# --- sync -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Sync:
    """Where a side stands. Lengths in blocks; `remote_length` echoes the last length heard (0 across forks)."""

    fork: int
    length: int
    remote_length: int
    can_upgrade: bool
    uploading: bool
    downloading: bool
    has_manifest: bool
    allow_push: bool


def encode_sync(sync: Sync) -> bytes:
    flags = (
        sync.can_upgrade
        | sync.uploading << 1
        | sync.downloading << 2
        | sync.has_manifest << 3
        | sync.allow_push << 4
    )
    head = encode_uint(flags) + encode_uint(sync.fork)
    return head + encode_uint(sync.length) + encode_uint(sync.remote_length)


def decode_sync(data: bytes, position: int) -> Sync:
    flags, position = decode_uint(data, position)
    fork, position = decode_uint(data, position)
    length, position = decode_uint(data, position)
    remote_length, position = decode_uint(data, position)
    return Sync(
        fork,
        length,
        remote_length,
        can_upgrade=bool(flags & 1),
        uploading=bool(flags & 2),
        downloading=bool(flags & 4),
        has_manifest=bool(flags & 8),
        allow_push=bool(flags & 16),
    )


# --- request, cancel, noData ------------------------------------------------------------------


@dataclass(slots=True)
class Request:
    """One question. `id` is the asker's number for it, 0 when it probes for a conflict; `parts` is what it asks."""

    id: int
    fork: int
    parts: ProofRequest = field(default_factory=ProofRequest)
    priority: int = 0


def encode_request(request: Request) -> bytes:
    """Any combination of parts."""
    parts = request.parts
    flags = 0
    fields: list[int] = []
    if parts.block is not None:
        flags |= _BLOCK
        fields += (parts.block.index, parts.block.nodes)
    if parts.hash is not None:
        flags |= _HASH
        fields += (parts.hash.index, parts.hash.nodes)
    if parts.seek is not None:
        flags |= _SEEK
        fields += (parts.seek.bytes, parts.seek.padding)
    if parts.upgrade is not None:
        flags |= _UPGRADE
        fields += (parts.upgrade.start, parts.upgrade.length)
    if parts.manifest:
        flags |= _MANIFEST
    if request.priority > 0:
        flags |= _PRIORITY
        fields.append(request.priority)
    return b"".join([encode_uint(number) for number in (flags, request.id, request.fork, *fields)])


def encode_block_request(request_id: int, fork: int, index: int, nodes: int, priority: int) -> bytes:
    """What `encode_request` makes of one block and nothing else."""
    head = b"\x21" if priority > 0 else b"\x01"
    body = head + encode_uint(request_id) + encode_uint(fork) + encode_uint(index) + encode_uint(nodes)
    return body + encode_uint(priority) if priority > 0 else body


def decode_request(data: bytes, position: int) -> Request:
    flags, position = decode_uint(data, position)
    number, position = decode_uint(data, position)
    fork, position = decode_uint(data, position)
    parts = ProofRequest()
    if flags & _BLOCK:
        index, position = decode_uint(data, position)
        nodes, position = decode_uint(data, position)
        parts.block = BlockRequest(index, nodes)
    if flags & _HASH:
        index, position = decode_uint(data, position)
        nodes, position = decode_uint(data, position)
        parts.hash = HashRequest(index, nodes)
    if flags & _SEEK:
        byte_offset, position = decode_uint(data, position)
        padding, position = decode_uint(data, position)
        parts.seek = SeekRequest(byte_offset, padding)
    if flags & _UPGRADE:
        start, position = decode_uint(data, position)
        length, position = decode_uint(data, position)
        parts.upgrade = UpgradeRequest(start, length)
    parts.manifest = bool(flags & _MANIFEST)
    priority = 0
    if flags & _PRIORITY:
        priority, position = decode_uint(data, position)
    return Request(number, fork, parts, priority)


def encode_cancel(request_id: int) -> bytes:
    return encode_uint(request_id)


def decode_cancel(data: bytes, position: int) -> int:
    return decode_uint(data, position)[0]


def encode_no_data(request_id: int, reason: int = 0) -> bytes:
    if not reason:
        return encode_uint(request_id) + b"\x00"
    return encode_uint(request_id) + b"\x01" + encode_uint(reason)


def decode_no_data(data: bytes, position: int) -> tuple[int, int]:
    """(request id, reason). Older peers end the message after the id: reason 0."""
    request_id, position = decode_uint(data, position)
    if position >= len(data):
        return request_id, 0
    flags, position = decode_uint(data, position)
    return request_id, decode_uint(data, position)[0] if flags & 1 else 0


# --- data -------------------------------------------------------------------------------------


def encode_data(request_id: int, proof: Proof) -> bytes:
    """The answer to request `request_id` (0: nobody asked)."""
    flags = 0
    out: list[bytes] = [b"", encode_uint(request_id), encode_uint(proof.fork)]
    block = proof.block
    if block is not None:
        flags |= _BLOCK
        out += (encode_uint(block.index), encode_uint(len(block.value)), block.value)
        _append_nodes(out, block.nodes)
    if proof.hash is not None:
        flags |= _HASH
        out.append(encode_uint(proof.hash.index))
        _append_nodes(out, proof.hash.nodes)
    if proof.seek is not None:
        flags |= _SEEK
        out.append(encode_uint(proof.seek.bytes))
        _append_nodes(out, proof.seek.nodes)
    if proof.upgrade is not None:
        flags |= _UPGRADE
        out += (encode_uint(proof.upgrade.start), encode_uint(proof.upgrade.length))
        _append_nodes(out, proof.upgrade.nodes)
        _append_nodes(out, proof.upgrade.additional_nodes)
        out.append(encode_optional_buffer(proof.upgrade.signature))
    if proof.manifest is not None:
        flags |= _MANIFEST
        out.append(encode_manifest(proof.manifest))
    out[0] = encode_uint(flags)
    return b"".join(out)


def decode_data(data: bytes, position: int) -> tuple[int, Proof]:
    """(request id, proof)."""
    flags, position = decode_uint(data, position)
    request_id, position = decode_uint(data, position)
    fork, position = decode_uint(data, position)
    proof = Proof(fork)
    if flags & _BLOCK:
        index, position = decode_uint(data, position)
        value, position = decode_buffer(data, position)
        nodes, position = _decode_nodes(data, position)
        proof.block = BlockProof(index, value, nodes)
    if flags & _HASH:
        index, position = decode_uint(data, position)
        nodes, position = _decode_nodes(data, position)
        proof.hash = HashProof(index, nodes)
    if flags & _SEEK:
        byte_offset, position = decode_uint(data, position)
        nodes, position = _decode_nodes(data, position)
        proof.seek = SeekProof(byte_offset, nodes)
    if flags & _UPGRADE:
        start, position = decode_uint(data, position)
        length, position = decode_uint(data, position)
        nodes, position = _decode_nodes(data, position)
        additional, position = _decode_nodes(data, position)
        signature, position = decode_optional_buffer(data, position)
        proof.upgrade = UpgradeProof(start, length, nodes, additional, signature or b"")
    if flags & _MANIFEST:
        proof.manifest, position = decode_manifest(data, position)
    return request_id, proof


def _append_nodes(out: list[bytes], nodes: list[Node]) -> None:
    out.append(encode_uint(len(nodes)))
    for index, size, digest in nodes:
        out += (encode_uint(index), encode_uint(size), digest)


def _decode_nodes(data: bytes, position: int) -> tuple[list[Node], int]:
    """A list of tree nodes; the two integers of each are read in place (see the head of this file)."""
    count, position = decode_uint(data, position)
    if count == 0:
        return [], position
    if count > MAX_ARRAY_ITEMS:
        raise DecodingError(f"an array of {count} nodes is longer than {MAX_ARRAY_ITEMS}")
    nodes: list[Node] = []
    try:
        for _ in range(count):
            index = data[position]
            position += 1
            if index == 0xFD:
                index = _U16.unpack_from(data, position)[0]
                position += 2
            elif index > 0xFD:
                index, position = decode_uint(data, position - 1)
            size = data[position]
            position += 1
            if size == 0xFD:
                size = _U16.unpack_from(data, position)[0]
                position += 2
            elif size > 0xFD:
                size, position = decode_uint(data, position - 1)
            end = position + 32
            nodes.append((index, size, data[position:end]))
            position = end
    except (IndexError, _STRUCT_ERROR) as error:
        raise DecodingError("the message ends inside a list of nodes") from error
    if position > len(data):
        raise DecodingError("the message ends inside a hash")
    return nodes, position


# --- availability -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Want:
    """Interest in [start, start + length); with `any`, one held block in there is answer enough."""

    start: int
    length: int
    any: bool = False


def encode_want(want: Want) -> bytes:
    """Also the layout of `unwant`."""
    return encode_uint(want.start) + encode_uint(want.length) + (b"\x01" if want.any else b"")


def decode_want(data: bytes, position: int) -> Want:
    start, position = decode_uint(data, position)
    length, position = decode_uint(data, position)
    flags = decode_uint(data, position)[0] if position < len(data) else 0
    return Want(start, length, bool(flags & 1))


def encode_bitfield(start: int, words: bytes) -> bytes:
    """Bits from block `start` (a multiple of 32) on; `words` = 32-bit little-endian words, lowest bit first."""
    return encode_uint(start) + encode_uint(len(words) // 4) + words


def decode_bitfield(data: bytes, position: int) -> tuple[int, bytes]:
    start, position = decode_uint(data, position)
    count, position = decode_uint(data, position)
    words, _ = decode_fixed(data, position, 4 * count)
    return start, words


def encode_range(start: int, length: int, *, drop: bool = False) -> bytes:
    if length == 1:
        return (b"\x03" if drop else b"\x02") + encode_uint(start)
    return (b"\x01" if drop else b"\x00") + encode_uint(start) + encode_uint(length)


def decode_range(data: bytes, position: int) -> tuple[int, int, bool]:
    """(start, length, whether the blocks are no longer held)."""
    flags, position = decode_uint(data, position)
    start, position = decode_uint(data, position)
    length = 1 if flags & 2 else decode_uint(data, position)[0]
    return start, length, bool(flags & 1)


# --- extension --------------------------------------------------------------------------------


def encode_extension(name: str, message: bytes) -> bytes:
    """An empty name stands for that of the previous extension message on this channel."""
    return encode_string(name) + message


def decode_extension(data: bytes, position: int) -> tuple[str, bytes]:
    name, position = decode_string(data, position)
    return name, data[position:]
