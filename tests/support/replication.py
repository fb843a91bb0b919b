"""Logs in memory that replicate over joined muxes: no sockets, no clock, no event loop needed to carry frames."""

from __future__ import annotations

import heapq
import itertools
import random
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from core.crypto.keys import KeyPair, key_pair
from core.encoding.compact import decode_uint, encode_uint
from core.errors import RemoteProtocolError
from core.hypercore.layout import Head, Identity
from core.hypercore.log import Log
from core.hypercore.manifest import Manifest, default_manifest, manifest_key
from core.hypercore.merkle import missing_nodes
from core.hypercore.proof_types import BlockRequest, ProofRequest, UpgradeRequest
from core.protomux import Mux
from core.replication import Options, Replicator
from core.replication.messages import DATA, NO_DATA, REQUEST, Request, decode_request
from core.storage.commit import GroupCommit
from core.storage.memory import MemoryStorage

SEED_1 = bytes([1]) * 32

WRITER, READER = 0, 1
"""The sides of the wire that `pair` makes."""


def block(index: int) -> bytes:
    """The test block of the vectors."""
    return bytes((31 * index + 7 * place + 1) % 256 for place in range((5 * index + 3) % 17))


def messages_of(frame: bytes) -> Iterator[tuple[int, int, bytes]]:
    """(channel, type, body) of everything in a frame; control messages have channel 0."""
    channel, position = decode_uint(frame, 0)
    if channel == 0 and frame[position] == 0:
        channel, position = decode_uint(frame, position + 1)
        while position < len(frame):
            size, position = decode_uint(frame, position)
            if size == 0:
                channel, position = decode_uint(frame, position)
                continue
            yield channel, frame[position], frame[position + 1 : position + size]
            position += size
    else:
        yield channel, frame[position], frame[position + 1 :]


class Clock:
    """`call_later` whose time passes only by `advance`."""

    def __init__(self) -> None:
        self.now = 0.0
        self._numbers = itertools.count()
        self._calls: list[tuple[float, int, Callable[[], None]]] = []

    def call_later(self, seconds: float, function: Callable[[], None]) -> None:
        heapq.heappush(self._calls, (self.now + seconds, next(self._numbers), function))

    def advance(self, seconds: float) -> None:
        end = self.now + seconds
        while self._calls and self._calls[0][0] <= end:
            self.now, _, function = heapq.heappop(self._calls)
            function()
        self.now = end


class Node:
    """One store with one log, and its replicator. `turn` is the end of a turn of the event loop."""

    def __init__(
        self,
        clock: Clock,
        key: bytes | None = None,
        *,
        pair: KeyPair | None = None,
        manifest: Manifest | None = None,
        options: Options | None = None,
        active: bool = True,
    ) -> None:
        if key is None:
            pair = pair or key_pair(SEED_1)
            manifest = manifest or default_manifest(pair.public_key)
            key = manifest_key(manifest)
        self.storage = MemoryStorage()
        self.commit = GroupCommit(self.storage, call_soon=lambda function: None)
        self.log = Log(self.storage, self.commit, 1, Identity(key, manifest, pair), Head())
        self.replicator = Replicator(self.log, options or Options(linger=0.0), call_later=clock.call_later)
        self.log.replicator = self.replicator
        self.events: list[tuple[Any, ...]] = []
        self.log.observers.append(_Recorder(self.events))
        if active:
            self.replicator.set_downloading(True)

    def append(self, count: int = 1, *, first: int | None = None) -> None:
        start = self.log.length if first is None else first
        self.log.append([block(index) for index in range(start, start + count)])

    def turn(self) -> None:
        if self.commit.pending:
            self.commit.now()

    @property
    def blocks_downloaded(self) -> list[int]:
        return [event[1] for event in self.events if event[0] == "download"]


def copy_log(source: Node, reader: Node, blocks: Sequence[int]) -> None:
    """Give `reader` the length of `source` and some of its blocks, as an earlier connection would have."""
    upgrade = ProofRequest(upgrade=UpgradeRequest(reader.log.length, source.log.length), manifest=True)
    requests = [upgrade, *(ProofRequest(block=BlockRequest(index, 0)) for index in blocks)]
    for request in requests:
        if request.block is not None:
            request.block.nodes = missing_nodes(reader.log, 2 * request.block.index)
        proof = source.log.create_proof(request)
        assert reader.log.apply(reader.log.verify(proof), proof)
    reader.turn()
    reader.events.clear()


class _Recorder:
    """A log observer that keeps what it is told."""

    def __init__(self, events: list[tuple[Any, ...]]) -> None:
        self._events = events

    def event(self, name: str, *arguments: Any) -> None:
        self._events.append((name, *arguments))

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *arguments: self._events.append((name, *arguments))


class Wire:
    """A connection between two nodes, whose frames are carried by `carry` or `run`.

    With `overtaking`, answers carried together arrive in random order, as those of an official peer may.
    """

    def __init__(
        self, left: Node, right: Node, *, attach: bool = True, overtaking: random.Random | None = None
    ) -> None:
        self.nodes = (left, right)
        self._overtaking = overtaking
        self.queues: tuple[deque[bytes], deque[bytes]] = (deque(), deque())
        self.error: RemoteProtocolError | None = None
        self.sent: list[tuple[int, bytes]] = []
        self.muxes = tuple(
            Mux(
                is_initiator=side == 0,
                handshake_hash=b"\x42" * 64,
                remote_public_key=bytes([side]) * 32,
                send=self._sender(side),
            )
            for side in (0, 1)
        )
        if attach:
            for node, mux in zip(self.nodes, self.muxes, strict=True):
                node.replicator.attach(mux)

    def _sender(self, side: int) -> Callable[[bytes], None]:
        def send(frame: bytes) -> None:
            self.queues[side].append(frame)
            self.sent.append((side, frame))

        return send

    def carry(self, side: int, frames: int = -1) -> bool:
        """Deliver what `side` sent; True when there was something."""
        queue, receiver = self.queues[side], self.muxes[1 - side]
        count = len(queue) if frames < 0 else min(frames, len(queue))
        self.nodes[side].turn()
        arriving = [queue.popleft() for _ in range(count)]
        if self._overtaking is not None:
            arriving = self._overtake(self._overtaking, arriving)
        receiver.cork()
        try:
            for frame in arriving:
                receiver.receive(frame)
        except RemoteProtocolError as error:
            self.error = error
            self.close()
            return False
        finally:
            receiver.uncork()
        self.nodes[1 - side].turn()
        return count > 0

    @staticmethod
    def _overtake(dice: random.Random, frames: list[bytes]) -> list[bytes]:
        messages = [message for frame in frames for message in messages_of(frame)]
        places = [
            place for place, (channel, type, _) in enumerate(messages) if channel and type in (DATA, NO_DATA)
        ]
        answers = [messages[place] for place in places]
        dice.shuffle(answers)
        for place, answer in zip(places, answers, strict=True):
            messages[place] = answer
        return [encode_uint(channel) + encode_uint(type) + body for channel, type, body in messages]

    def sent_by(self, side: int, type: int) -> list[bytes]:
        """The bodies of all messages of one type that `side` has sent so far."""
        return [
            body
            for sender, frame in self.sent
            if sender == side
            for channel, kind, body in messages_of(frame)
            if channel and kind == type
        ]

    @property
    def silent(self) -> bool:
        return not (self.queues[0] or self.queues[1])

    def close(self) -> None:
        for queue in self.queues:
            queue.clear()
        for mux in self.muxes:
            mux.close()


def run(
    wires: Sequence[Wire], clock: Clock, *, dice: random.Random | None = None, seconds: float = 0.0
) -> None:
    """Carry frames until everybody is silent, letting `seconds` pass when that is needed to get on."""
    for _ in range(100_000):
        for wire in wires:
            for node in wire.nodes:
                node.turn()
        clock.advance(0)
        busy = [(wire, side) for wire in wires for side in (0, 1) if wire.queues[side]]
        if not busy:
            if seconds <= 0:
                return
            clock.advance(0.1)
            seconds -= 0.1
            continue
        if dice is None:
            for wire, side in busy:
                wire.carry(side)
        else:
            wire, side = dice.choice(busy)
            wire.carry(side, dice.randint(1, 4))
    raise AssertionError("the conversation does not end")


def pair(blocks: int, **options: object) -> tuple[Clock, Node, Node, Wire]:
    """A writer with some test blocks and a reader, connected and quiet."""
    clock = Clock()
    writer = Node(clock)
    if blocks:
        writer.append(blocks)
    reader = Node(clock, writer.log.key, options=Options(linger=0.0, **options))  # type: ignore[arg-type]
    wire = Wire(writer, reader)
    run([wire], clock)
    return clock, writer, reader, wire


def requests_of(wire: Wire, side: int = READER) -> list[Request]:
    return [decode_request(body, 0) for body in wire.sent_by(side, REQUEST)]
