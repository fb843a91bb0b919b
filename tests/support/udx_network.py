"""Two UDX streams and a bad network between them, in a time of their own: everything follows from one seed."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from core.errors import MeadowError
from core.udx import UdxStream
from core.udx.mtu import IP_AND_UDP_BYTES
from core.udx.packet import HEADER_BYTES, Packet, decode
from core.udx.train import datagrams

LEFT, RIGHT = ("10.0.0.1", 1), ("10.0.0.2", 2)
_STEPS = 2_000_000


@dataclass(frozen=True)
class Weather:
    """What the network does to each datagram. Times in seconds, the rest are probabilities."""

    loss: float = 0.0
    duplicates: float = 0.0
    delay: float = 0.010
    jitter: float = 0.0
    """Up to so much is added to the delay of each datagram, so they overtake one another."""
    garbage: float = 0.0
    """A datagram of noise arrives too, addressed to no stream or cut short."""
    mtu: int = 1500
    """The largest IP packet that passes."""
    rate: float = 0.0
    """Bytes a second that the bottleneck carries; 0: no bottleneck."""
    queue: int = 64 * 1024
    """Bytes the bottleneck holds; what comes on top is lost."""


class Side:
    """One stream and its application, which collects what it gets."""

    def __init__(self, stream: UdxStream, address: tuple[str, int]) -> None:
        self.stream = stream
        self.address = address
        self.received = bytearray()
        self.messages: list[bytes] = []
        self.ended = False
        self.closed = False
        self.error: MeadowError | None = None
        self.bottleneck_free_at = 0.0
        self.datagrams = 0
        stream.on_data = self.received.extend
        stream.on_message = self.messages.append
        stream.on_end = self._end
        stream.on_close = self._close

    def _end(self) -> None:
        assert not self.ended, "the end was reported twice"
        self.ended = True

    def _close(self, error: MeadowError | None) -> None:
        assert not self.closed, "the close was reported twice"
        self.closed, self.error = True, error


class Network:
    """Joined streams; `run` lets time pass."""

    def __init__(self, seed: int, weather: Weather | None = None, capacity: int = 1 << 20) -> None:
        self.random = Random(seed)
        self.weather = weather or Weather()
        self.now = 0.0
        self.drops: Callable[[Packet], bool] = lambda packet: False
        """Which packets of the left side are lost besides, whatever the weather."""
        self.left = Side(UdxStream(1, capacity=capacity), LEFT)
        self.right = Side(UdxStream(2, capacity=capacity), RIGHT)
        self.left.stream.connect(2, RIGHT)
        self.right.stream.connect(1, LEFT)
        self._order = itertools.count()
        self._events: list[tuple[float, int, Callable[[], None]]] = []

    def other(self, side: Side) -> Side:
        return self.right if side is self.left else self.left

    def at(self, when: float, action: Callable[[], None]) -> None:
        """Do something at a moment."""
        heapq.heappush(self._events, (when, next(self._order), action))

    def run(self, until: Callable[[], bool], seconds: float = 600.0) -> None:
        """Let time pass until a condition holds; it must before `seconds` of this world went by."""
        limit = self.now + seconds
        self._flush()
        for _ in range(_STEPS):
            if until():
                return
            deadlines = [side.stream.deadline() for side in (self.left, self.right)]
            times = [at for at in deadlines if at is not None]
            if self._events:
                times.append(self._events[0][0])
            assert times, "nothing will ever happen again"
            self.now = max(self.now, min(times))
            assert self.now <= limit, f"it took more than {seconds} s"
            while self._events and self._events[0][0] <= self.now:
                heapq.heappop(self._events)[2]()
            for side in (self.left, self.right):
                at = side.stream.deadline()
                if at is not None and at <= self.now:
                    side.stream.on_timer(self.now)
            self._flush()
        raise AssertionError("the streams never came to rest")

    def _flush(self) -> None:
        for side in (self.left, self.right):
            for data, _ in side.stream.datagrams_to_send(self.now):
                side.datagrams += 1
                self._carry(data, side)
            self._check(side.stream)

    def _carry(self, data: bytes, side: Side) -> None:
        weather, random = self.weather, self.random
        if len(data) + IP_AND_UDP_BYTES > weather.mtu:
            return
        leaves = self.now
        if weather.rate:
            start = max(side.bottleneck_free_at, self.now)
            if (start - self.now) * weather.rate > weather.queue:
                return
            leaves = side.bottleneck_free_at = start + len(data) / weather.rate
        packet = decode(data) if side is self.left else None
        if packet is not None and self.drops(packet):
            return
        if random.random() < weather.loss:
            return
        for _ in range(2 if random.random() < weather.duplicates else 1):
            when = leaves + weather.delay + random.random() * weather.jitter
            self.at(when, lambda: self._arrive(data, side))
        if random.random() < weather.garbage:
            noise = self._noise(data)
            self.at(leaves + weather.delay, lambda: self._arrive(noise, side))

    def _noise(self, data: bytes) -> bytes:
        kind = self.random.randrange(4)
        if kind == 0:
            return self.random.randbytes(self.random.randrange(60))
        if kind == 1:
            return data[: self.random.randrange(HEADER_BYTES)]
        if kind == 2:  # for a stream that is not here
            return data[:4] + bytes([9, 9, 9, 9]) + data[8:]
        return data[:3] + b"\xff" + data[4:HEADER_BYTES]  # dataOffset beyond the end

    def _arrive(self, data: bytes, sender: Side) -> None:
        target = self.other(sender)
        stream = target.stream
        if stream.closed:  # as `core.net.udp_mux` does for a while
            train = stream.last_ack()
            if train is not None and len(data) > 2 and data[2] & 0x03:
                for answer, _ in datagrams([train]):
                    self._carry(answer, target)
            return
        stream.receive(data, sender.address, self.now)

    @staticmethod
    def _check(stream: UdxStream) -> None:
        """What must hold at every moment."""
        sender, receiver = stream.sender, stream.receiver
        assert not sender.flight.keys() & sender.lost.keys()
        assert sender.flight_bytes >= 0
        assert receiver.held_bytes + receiver.unread_bytes <= 2 * receiver.capacity + (1 << 16)
        if not sender.flight:
            assert sender.flight_bytes == 0
        if sender.queued_bytes or sender.flight or sender.lost:
            assert stream.closed or stream.deadline() is not None, (
                "a stream with work to do waits for nothing"
            )
