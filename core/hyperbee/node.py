"""The blocks of a bee: bytes in, plain values out, and back. No state, no tree rules.

A bee is a log. Block 0 is the header; every later block is one operation (a key, and the value it was given, or no
value for a deletion) plus the *levels*: the nodes of the B-tree that the operation changed. A node is written as the
sequence numbers of its keys and, for an inner node, a pair (block, level in that block) for each child.

Source: hyperbee 2.27.3 `lib/messages.js` (Header, Node, YoloIndex), checked against `tests/vectors/bee/codec.json`.
`parse_block` has a fast path for the one layout that writers produce; everything else that is valid protobuf takes
the slow one. Whatever a stranger sends either parses or raises `DecodingError`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ..encoding.protobuf import BYTES, decode_packed, encode_field, encode_leb128, encode_packed, fields
from ..errors import DecodingError

PROTOCOL: Final = "hyperbee"


@dataclass(frozen=True, slots=True)
class Metadata:
    """What a header may carry: the key of a companion core, and anything else the author wants to say."""

    content_feed: bytes | None = None
    user_data: bytes | None = None


@dataclass(frozen=True, slots=True)
class Header:
    """Block 0."""

    protocol: str
    metadata: Metadata | None = None


def encode_header(metadata: Metadata | None = None) -> bytes:
    """The header block of a new bee; metadata that is present but empty is written as an empty field."""
    block = encode_field(1, PROTOCOL.encode())
    if metadata is not None:
        content = b"" if metadata.content_feed is None else encode_field(1, metadata.content_feed)
        user = b"" if metadata.user_data is None else encode_field(2, metadata.user_data)
        block += encode_field(2, content + user)
    return block


def decode_header(block: bytes) -> Header:
    """Block 0 of any bee; raises `DecodingError` when it is not a header."""
    protocol: str | None = None
    metadata: Metadata | None = None
    for number, kind, start, end in fields(block):
        if number == 1 and kind == BYTES:
            protocol = block[start:end].decode("utf-8", "replace")
        elif number == 2 and kind == BYTES:
            parts: dict[int, bytes] = {
                inner: block[a:b] for inner, wire, a, b in fields(block, start, end) if wire == BYTES
            }
            metadata = Metadata(parts.get(1), parts.get(2))
    if protocol is None:
        raise DecodingError("the header does not name a protocol")
    return Header(protocol, metadata)


def encode_level(seqs: Sequence[int], child_pairs: Sequence[int]) -> bytes:
    """One tree node as a field of the index. `child_pairs` is flat: block, level, block, level ..."""
    keys = encode_packed(seqs)
    body = b"\x0a%b%b" % (encode_leb128(len(keys)), keys) if keys else b""
    if child_pairs:
        children = encode_packed(child_pairs)
        body = b"%b\x12%b%b" % (body, encode_leb128(len(children)), children)
    return b"\x0a%b%b" % (encode_leb128(len(body)), body)


def encode_block(index: bytes, key: bytes, value: bytes | None) -> bytes:
    """One operation; `index` is the concatenation of its levels. None means deleted (or a null value)."""
    if not index and value is not None and len(key) < 0x80:  # nearly every operation of a batch
        return b"\x0a\x00\x12%c%b\x1a%b%b" % (len(key), key, encode_leb128(len(value)), value)
    index_length, key_length = encode_leb128(len(index)), encode_leb128(len(key))
    if value is None:
        return b"\x0a%b%b\x12%b%b" % (index_length, index, key_length, key)
    return b"\x0a%b%b\x12%b%b\x1a%b%b" % (
        index_length,
        index,
        key_length,
        key,
        encode_leb128(len(value)),
        value,
    )


def parse_block(block: bytes) -> tuple[int, int, bytes, bytes | None]:
    """Split a block into (index start, index end, key, value or None); the index lies inside the block."""
    try:
        # index and key always, lengths below 2^14 and 2^7: what real writers produce for nearly every block
        length = block[1]
        start = 2
        if length >= 0x80:
            length = length & 0x7F | block[2] << 7
            start = 3
        key_tag = start + length
        key_length = block[key_tag + 1]
        key_end = key_tag + 2 + key_length
        if block[0] == 0x0A and length < 0x4000 and block[key_tag] == 0x12 and key_length < 0x80:
            size = len(block)
            if key_end == size:
                return start, key_tag, block[key_tag + 2 : key_end], None
            if block[key_end] == 0x1A:
                length = block[key_end + 1]
                value = key_end + 2
                if length >= 0x80:
                    length = length & 0x7F | block[value] << 7
                    value += 1
                if length < 0x4000 and value + length == size:
                    return start, key_tag, block[key_tag + 2 : key_end], block[value:]
    except IndexError:
        pass
    return _parse_any_block(block)


def _parse_any_block(block: bytes) -> tuple[int, int, bytes, bytes | None]:
    index: tuple[int, int] | None = None
    key: bytes | None = None
    value: bytes | None = None
    for number, kind, start, end in fields(block):
        if number > 3:
            continue
        if kind != BYTES:
            raise DecodingError("a field of the block is not of type bytes")
        if number == 1:
            index = (start, end)
        elif number == 2:
            key = block[start:end]
        elif number == 3:
            value = block[start:end]
    if index is None or key is None:
        raise DecodingError("the block is not a bee's: its index or its key is missing")
    return index[0], index[1], key, value


def parse_key(block: bytes) -> bytes:
    """The key of a block and nothing else: what a search reads most."""
    try:
        length = block[1]
        tag = 2 + length
        if length < 0x80 and block[0] == 0x0A and block[tag] == 0x12:
            length = block[tag + 1]
            end = tag + 2 + length
            if length < 0x80 and (end == len(block) or block[end] == 0x1A):
                return block[tag + 2 : end]
    except IndexError:
        pass
    return parse_block(block)[2]


def decode_level(block: bytes, start: int, end: int, level: int) -> tuple[list[int], list[int]]:
    """The node `level` of the index block[start:end]: (sequence numbers of its keys, flat child pairs).

    A node without children is a leaf; an inner node has one child more than keys. Anything else is refused, which
    (with the order of keys and `MAX_TREE_DEPTH`) is what keeps a hostile tree from keeping a reader busy forever.
    """
    position = start
    for _ in range(level):  # levels before the wanted one: hop over them
        position = _field_end(block, position, end)
    after = _field_end(block, position, end)
    seqs: list[int] = []
    pairs: list[int] = []
    if after - position > 2:
        body_start = position + 2 if block[position + 1] < 0x80 else _content_start(block, position)
        for number, kind, a, b in fields(block, body_start, after):
            if kind != BYTES:
                raise DecodingError("a level's field is not packed")
            if number == 1:
                seqs += decode_packed(block[a:b])
            elif number == 2:
                pairs += decode_packed(block[a:b])
    if pairs and len(pairs) != 2 * len(seqs) + 2:
        raise DecodingError("a tree node's children do not fit its keys")
    return seqs, pairs


def decode_levels(block: bytes, start: int, end: int) -> list[tuple[list[int], list[int]]]:
    """All nodes of an index."""
    count = sum(1 for number, *_ in fields(block, start, end) if number == 1)
    return [decode_level(block, start, end, level) for level in range(count)]


def _field_end(block: bytes, position: int, end: int) -> int:
    """Where the level that starts at `position` ends."""
    if position + 1 < end and block[position] == 0x0A:
        length = block[position + 1]
        after = position + 2 + length
        if length >= 0x80:
            _, _, _, after = next(fields(block, position, end))
        if after <= end:
            return after
    raise DecodingError("the block has no such level")


def _content_start(block: bytes, position: int) -> int:
    return next(fields(block, position))[2]


def index_mentions(block: bytes, start: int, end: int, seq: int) -> bool:
    """Whether `seq` is a key in any level: an operation without value that mentions itself is a null put."""
    for number, kind, a, b in fields(block, start, end):
        if number != 1 or kind != BYTES:
            continue
        for inner, wire, c, d in fields(block, a, b):
            if inner == 1 and wire == BYTES and seq in decode_packed(block[c:d]):
                return True
    return False


def is_deletion(block: bytes, seq: int) -> bool:
    """Whether the operation `seq` removed its key (section 10.2 of the protocol text)."""
    start, end, _, value = parse_block(block)
    return value is None and not index_mentions(block, start, end, seq)
