"""Who a datagram is for: UDX streams, hole-punch probes and DHT messages share one socket.

`DatagramHub` belongs to one socket; `StreamTable` holds the streams of all sockets of a process that form one node
(a stream may move between them), and drives them: acks and data once a batch of reads, and one timer for them all.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import secrets
from collections import deque
from collections.abc import Callable
from typing import Final

from ..errors import LocalProtocolError
from ..limits import KIB, MIB
from ..udx import Address, Train, UdxStream
from ..udx.packet import DATA, END, HEADER_BYTES
from ..udx.stream import Firewall
from .udp import UdpSocket

DHT_REQUEST: Final = 0x03
DHT_RESPONSE: Final = 0x13

# A closed stream goes on answering a repeated END for this long: its last ack may have been lost.
LINGER_SECONDS: Final = 10.0
MAX_LINGERING: Final = 4096

# What a stream may have in flight towards us. The kernel counts some 2,300 bytes for a packet of 1,172, so this part
# of the buffer it reports holds a window of small packets (measured: no loss at a quarter, some at a third).
_WINDOW_PART: Final = 4
_MIN_WINDOW: Final = 64 * KIB
_MAX_WINDOW: Final = 4 * MIB


class StreamTable:
    """The streams by local id, and everything that happens to them by time."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.now = self._loop.time
        self.streams: dict[int, UdxStream] = {}
        self._dirty: dict[UdxStream, None] = {}
        self._flush_handle: asyncio.Handle | None = None
        self._reading = 0
        self._heap: list[tuple[float, int, UdxStream]] = []
        self._scheduled: dict[UdxStream, float] = {}
        self._order = itertools.count()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._lingering: dict[int, Train] = {}
        self._linger_ends: deque[tuple[float, int]] = deque()

    def create_stream(
        self, local_id: int | None = None, *, capacity: int = MIB, firewall: Firewall | None = None
    ) -> UdxStream:
        """A stream that receives from now on. Without `local_id` a random free one is taken."""
        if local_id is None:
            local_id = secrets.randbits(32)
            while local_id in self.streams or local_id in self._lingering:
                local_id = secrets.randbits(32)
        elif local_id in self.streams:
            raise LocalProtocolError(f"there is a stream with the id {local_id} already")
        stream = UdxStream(local_id, capacity=capacity, firewall=firewall)
        self._lingering.pop(local_id, None)
        self.streams[local_id] = stream
        stream.on_wake = self.wake
        stream.on_release = self._release
        return stream

    def close(self) -> None:
        """Destroy every stream and stop the timer."""
        for stream in list(self.streams.values()):
            stream.destroy()
        self.flush()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._flush_handle is not None:
            self._flush_handle.cancel()
            self._flush_handle = None
        self._lingering.clear()
        self._linger_ends.clear()
        self._heap.clear()
        self._scheduled.clear()

    # --- sending --------------------------------------------------------------------------------------

    def wake(self, stream: UdxStream) -> None:
        """`stream` has something to say; it will at the end of this batch of reads, or of this turn of the loop."""
        self._dirty[stream] = None
        if self._flush_handle is None and not self._reading:
            self._flush_handle = self._loop.call_soon(self.flush)

    def flush(self) -> None:
        """Let every stream that has something to say send it."""
        if self._flush_handle is not None:
            self._flush_handle.cancel()
            self._flush_handle = None
        if not self._dirty:
            return
        dirty, self._dirty = self._dirty, {}
        now = self.now()
        for stream in dirty:
            path = stream.path
            if path is not None and isinstance(path.link, DatagramHub) and path.link.socket.blocked:
                path.link.held_up[stream] = None
                continue
            for train in stream.trains_to_send(now):
                link = train.path.link
                if isinstance(link, DatagramHub):
                    link.socket.send_train(train.buffers, train.size, train.path.address)
            self._schedule(stream)

    # --- time -----------------------------------------------------------------------------------------

    def _schedule(self, stream: UdxStream) -> None:
        """See to it that the stream is looked at by its deadline. Later deadlines than the one we know are found out
        when that comes: most are moved on by acks long before.
        """
        at = stream.deadline()
        if at is None or at >= self._scheduled.get(stream, float("inf")):
            return
        self._scheduled[stream] = at
        heapq.heappush(self._heap, (at, next(self._order), stream))
        self._set_timer(at)

    def _set_timer(self, at: float) -> None:
        """Have the timer go off at `at`, or earlier if it was to."""
        if self._timer is not None:
            if self._timer_at <= at:
                return
            self._timer.cancel()
        self._timer_at = at
        self._timer = self._loop.call_at(at, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        now = self.now()
        heap, scheduled = self._heap, self._scheduled
        while heap and heap[0][0] <= now:
            at, _, stream = heapq.heappop(heap)
            if scheduled.get(stream) != at:
                continue
            del scheduled[stream]
            due = stream.deadline()
            if due is not None and due <= now:
                stream.on_timer(now)
                self._dirty[stream] = None
            else:
                self._schedule(stream)
        self.flush()
        while heap and scheduled.get(heap[0][2]) != heap[0][0]:
            heapq.heappop(heap)
        if heap:
            self._set_timer(heap[0][0])

    # --- the end of streams ---------------------------------------------------------------------------

    def _release(self, stream: UdxStream) -> None:
        if self.streams.get(stream.local_id) is stream:
            del self.streams[stream.local_id]
        self._scheduled.pop(stream, None)
        train = stream.last_ack()
        if train is not None:
            self._forget_lingering()
            self._lingering[stream.local_id] = train
            self._linger_ends.append((self.now() + LINGER_SECONDS, stream.local_id))

    def _forget_lingering(self) -> None:
        now = self.now()
        ends = self._linger_ends
        while ends and (ends[0][0] <= now or len(ends) >= MAX_LINGERING):
            self._lingering.pop(ends.popleft()[1], None)

    def answer_late(self, local_id: int, flags: int) -> bool:
        """Ack what comes for a stream that closed in order a moment ago; False when there was none."""
        train = self._lingering.get(local_id)
        if train is None:
            return False
        link = train.path.link
        if flags & (DATA | END) and isinstance(link, DatagramHub):
            link.socket.send_train(train.buffers, train.size, train.path.address)
        return True

    # --- reading --------------------------------------------------------------------------------------

    def reading(self) -> None:
        """A batch of reads begins: nothing is sent until `flush`."""
        self._reading = 1

    def read(self) -> None:
        """The batch of reads is over."""
        self._reading = 0
        self.flush()


class DatagramHub:
    """Sorts the datagrams of one socket. Streams name the hub as their `link`.

    `on_dht(data, address)` gets DHT requests and responses, `on_probe(address)` one-byte datagrams.
    """

    def __init__(self, socket: UdpSocket, table: StreamTable | None = None) -> None:
        self.socket = socket
        self.table = table if table is not None else StreamTable()
        self.streams = self.table.streams
        self.on_dht: Callable[[bytes, Address], None] = lambda data, address: None
        self.on_probe: Callable[[Address], None] = lambda address: None
        self.held_up: dict[UdxStream, None] = {}
        """Streams that wait until the kernel takes more."""
        socket.on_segments = self._segments
        socket.on_batch = self.table.read
        socket.on_writable = self._writable

    @property
    def stream_capacity(self) -> int:
        """The receive window that the socket's buffer can hold."""
        return min(max(self.socket.receive_buffer // _WINDOW_PART, _MIN_WINDOW), _MAX_WINDOW)

    def create_stream(self, local_id: int | None = None, *, firewall: Firewall | None = None) -> UdxStream:
        """A stream whose window fits this socket; see `StreamTable.create_stream`."""
        return self.table.create_stream(local_id, capacity=self.stream_capacity, firewall=firewall)

    def close(self) -> None:
        """Close the socket. Streams that use it are destroyed first."""
        for stream in list(self.streams.values()):
            if stream.path is not None and stream.path.link is self:
                stream.destroy()
        self.table.flush()
        self.socket.close()

    def _segments(self, view: memoryview, length: int, size: int, address: Address) -> None:
        table = self.table
        table.reading()
        now = table.now()
        position = 0
        while position < length:
            end = min(position + size, length)
            if end - position >= HEADER_BYTES and view[position] == 0xFF and view[position + 1] == 0x01:
                local_id = int.from_bytes(view[position + 4 : position + 8], "little")
                stream = self.streams.get(local_id)
                if stream is not None:
                    position = stream.receive_segments(view, position, length, size, address, now, self)
                    table.wake(stream)
                    continue
                table.answer_late(local_id, view[position + 2])
            elif end - position == 1:
                self.on_probe(address)
            elif end - position >= 2 and view[position] in (DHT_REQUEST, DHT_RESPONSE):
                self.on_dht(bytes(view[position:end]), address)
            position = end
            if self.socket.closed:
                return

    def _writable(self) -> None:
        held_up, self.held_up = self.held_up, {}
        for stream in held_up:
            self.table.wake(stream)
