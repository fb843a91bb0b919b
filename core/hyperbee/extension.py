"""The `hyperbee` extension: a reader tells what it looks up, a peer that holds more answers with the blocks it takes.

It saves round trips and nothing else: without it a reader learns of each block from the one before. We ask when
the first block of a lookup is missing, and answer from what is stored here, without ever waiting ourselves.

Source: hyperbee 2.27.3 `lib/extension.js` and `lib/messages.js` (Extension), section 10.8 of the protocol text;
checked against the scenario "hyperbee-extension" of `tests/vectors/log/transcripts.json`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ..encoding.protobuf import (
    BYTES,
    VARINT,
    decode_leb128,
    decode_packed,
    encode_field,
    encode_integer_field,
    encode_packed,
    fields,
)
from ..errors import DecodingError, MeadowError
from ..hypercore import Hypercore
from ..hypercore.demand import PeerView
from .blocks import MAX_TREE_DEPTH, Missing, TracingReader
from .ranges import Bounds, Entry, Frame, RangeCursor

NAME: Final = "hyperbee"

BLOCKS_A_MESSAGE: Final = 128
VISITS_BETWEEN_MESSAGES: Final = 2_048
"""hyperbee 2.27.3 lib/extension.js: FLUSH_BATCH and MAX_PASSIVE_BATCH."""

MAX_ANSWERED_BLOCKS: Final = VISITS_BETWEEN_MESSAGES + BLOCKS_A_MESSAGE
"""hyperbee 2.27.3 lib/extension.js: MAX_ACTIVE_BATCH."""

MAX_VISITS: Final = 4 * MAX_ANSWERED_BLOCKS
"""What one message may make us look at, whatever it says."""


@dataclass(frozen=True, slots=True)
class Cache:
    """These blocks will be needed; all of them lie in [start, end)."""

    start: int
    end: int
    blocks: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Get:
    """Somebody looks up `key` in `version`."""

    version: int
    key: bytes


@dataclass(frozen=True, slots=True)
class Iterator:
    """Somebody walks a range of `version` and has come to `checkpoint`: (block, level, position) from the root down.

    `limit` 0 means all.
    """

    version: int
    bounds: Bounds
    limit: int
    reverse: bool
    checkpoint: tuple[int, ...] = ()


Message = Cache | Get | Iterator


def encode_message(message: Message) -> bytes:
    if isinstance(message, Cache):
        body = encode_integer_field(1, message.start) + encode_integer_field(2, message.end)
        if message.blocks:
            body += encode_field(3, encode_packed(message.blocks))
        return encode_field(1, body)
    if isinstance(message, Get):
        return encode_field(2, encode_integer_field(1, message.version) + encode_field(2, message.key))
    bounds = message.bounds
    body = encode_integer_field(1, message.version)
    for number, bound, wanted in (
        (2, bounds.lower, bounds.lower_inclusive),
        (3, bounds.lower, not bounds.lower_inclusive),
        (4, bounds.upper, bounds.upper_inclusive),
        (5, bounds.upper, not bounds.upper_inclusive),
    ):
        if bound is not None and wanted:
            body += encode_field(number, bound)
    body += encode_integer_field(6, message.limit) + encode_integer_field(7, int(message.reverse))
    if message.checkpoint:
        body += encode_field(8, encode_packed(message.checkpoint))
    return encode_field(3, body)


def decode_message(data: bytes) -> list[Message]:
    """The parts of a message, usually one; unknown ones are left out. Raises `DecodingError`."""
    messages: list[Message] = []
    for number, kind, start, end in fields(data):
        if kind != BYTES or number not in (1, 2, 3):
            continue
        integers: dict[int, int] = {}
        buffers: dict[int, bytes] = {}
        for inner, wire, a, b in fields(data, start, end):
            if wire == VARINT:
                integers[inner] = decode_leb128(data, a)[0]
            elif wire == BYTES:
                buffers[inner] = data[a:b]
        if number == 1:
            blocks = tuple(decode_packed(buffers.get(3, b"")))
            messages.append(Cache(integers.get(1, 0), integers.get(2, 0), blocks))
        elif number == 2:
            messages.append(Get(integers.get(1, 0), buffers.get(2, b"")))
        else:
            messages.append(_iterator(integers, buffers))
    return messages


def _iterator(integers: dict[int, int], buffers: dict[int, bytes]) -> Iterator:
    lower, upper = buffers.get(3, buffers.get(2)), buffers.get(5, buffers.get(4))
    return Iterator(
        integers.get(1, 0),
        Bounds(lower, 3 not in buffers, upper, 5 not in buffers),
        integers.get(6, 0),
        bool(integers.get(7, 0)),
        tuple(decode_packed(buffers.get(8, b""))),
    )


class BeeExtension:
    """Asks for one bee, and answers for it."""

    def __init__(self, core: Hypercore) -> None:
        self._core = core
        self._outgoing = core.register_extension(NAME, self._received)
        self._credit = 0
        """How many blocks peers may still make us download; each question of ours renews it."""

    def close(self) -> None:
        self._outgoing.destroy()

    def looking_up(self, version: int, key: bytes) -> None:
        """Tell all peers that `key` is being looked up and that its first block is not here."""
        self._credit = MAX_ANSWERED_BLOCKS
        self._outgoing.broadcast(encode_message(Get(version, key)))

    def walking(self, cursor: RangeCursor) -> None:
        """Tell all peers where a walk stands that has to wait for a block."""
        if not cursor.remaining or (cursor.opened and not cursor.stack):
            return
        checkpoint: list[int] = []
        for frame in cursor.stack:
            if frame.at >= 0:
                checkpoint += (frame.node.block_seq, frame.node.level, frame.at)
        self._credit = MAX_ANSWERED_BLOCKS
        self._outgoing.broadcast(
            encode_message(
                Iterator(
                    cursor.version, cursor.bounds, max(0, cursor.remaining), cursor.reverse, tuple(checkpoint)
                )
            )
        )

    # --- answering ----------------------------------------------------------------------------

    def _received(self, data: bytes, peer: PeerView) -> None:
        """A malformed message is ignored: the extension is advice."""
        if self._core.closed:
            return
        try:
            messages = decode_message(data)
        except DecodingError:
            return
        for message in messages:
            if isinstance(message, Cache):
                self._download(message.blocks)
            elif 0 < message.version <= max(1, self._core.length):
                answer = _Answer(self, peer)
                try:
                    if isinstance(message, Get):
                        self._repeat_get(message, answer)
                    else:
                        self._repeat_walk(message, answer)
                except (Missing, _Enough, MeadowError):
                    pass  # what was seen until here is still worth telling
                answer.flush()

    def _download(self, blocks: Sequence[int]) -> None:
        length = self._core.length
        wanted = [seq for seq in blocks[: self._credit] if seq < length and not self._core.has(seq)]
        self._credit -= len(wanted)
        if wanted:
            self._core.download(blocks=wanted)

    def send_cache(self, blocks: list[int], peer: PeerView) -> None:
        self._outgoing.send(encode_message(Cache(min(blocks), max(blocks) + 1, tuple(blocks))), peer)

    def _repeat_get(self, message: Get, answer: _Answer) -> None:
        reader = TracingReader(self._core, answer.visit)
        node = reader.root(message.version)
        depth = 0
        while node is not None and depth < MAX_TREE_DEPTH:
            if node.block_key == message.key:
                return
            slot, found = reader.position(node, message.key)
            if found:
                reader.block(node.seqs[slot])
                return
            node = reader.child(node, slot) if node.children else None
            depth += 1

    def _repeat_walk(self, message: Iterator, answer: _Answer) -> None:
        answer.unreported = len(message.checkpoint)
        reader = TracingReader(self._core, answer.visit)
        frames: list[Frame] | None = None
        if message.checkpoint:
            frames = _resume(reader, message.checkpoint[: 3 * MAX_TREE_DEPTH])
        cursor = RangeCursor(
            reader,
            message.version,
            message.bounds,
            Entry,
            reverse=message.reverse,
            limit=message.limit or -1,
            checkpoint=frames,
            thorough=True,
        )
        while cursor.fill(BLOCKS_A_MESSAGE):
            if cursor.visits > MAX_VISITS:
                return


def _resume(reader: TracingReader, checkpoint: Sequence[int]) -> list[Frame]:
    """The stack that a checkpoint describes; raises `DecodingError` when it cannot be one."""
    frames: list[Frame] = []
    for i in range(0, len(checkpoint) - 2, 3):
        seq, level, at = checkpoint[i : i + 3]
        node = reader.node(seq, level)
        if at > 2 * len(node.seqs) + 1:
            raise DecodingError("a checkpoint points outside its node")
        frames.append(Frame(node, at))
    return frames


class _Enough(Exception):
    """The answer is as long as one may be."""


class _Answer:
    """Collects the blocks a lookup visits, each once, and sends them in messages of at most 128."""

    def __init__(self, extension: BeeExtension, peer: PeerView) -> None:
        self._extension = extension
        self._peer = peer
        self._seen: set[int] = set()
        self._unsent: list[int] = []
        self.unreported = 0
        """How many visits not to report: the one who asks has made them already."""

    def visit(self, seq: int) -> None:
        if self.unreported:
            self.unreported -= 1
            return
        if seq in self._seen:
            return
        if len(self._seen) >= MAX_ANSWERED_BLOCKS:
            raise _Enough
        self._seen.add(seq)
        self._unsent.append(seq)
        if len(self._unsent) >= BLOCKS_A_MESSAGE:
            self.flush()

    def flush(self) -> None:
        if self._unsent:
            self._extension.send_cache(self._unsent, self._peer)
            self._unsent = []
