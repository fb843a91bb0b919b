"""A UDP socket on the event loop, for many datagrams a wake-up.

asyncio's own datagram transport calls back once for each datagram and hands each to the kernel alone. Here a wake-up
drains up to 64 reads into one kept buffer, and on Linux the kernel's segmentation offload (`UDP_SEGMENT`, `UDP_GRO`)
takes and gives up to 64 KiB of datagrams in one call: 0.4 us a packet for both instead of 5 (measured on loopback).
Where the kernel or the network card refuses it, the same trains are sent one datagram at a time.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import struct
from collections import deque
from collections.abc import Callable
from typing import Final

from ..limits import KIB, MIB
from ..udx import Address
from ..udx.train import Buffer

READS_A_WAKE_UP: Final = 64
BATCH_READS: Final = 16
"""Reads after which `on_batch` is called: what answers them need not wait for the rest of the wake-up."""
WANTED_RECEIVE_BUFFER: Final = 4 * MIB
WANTED_SEND_BUFFER: Final = 2 * MIB
MAX_WAITING_DATAGRAMS: Final = 1024

_READ_BYTES: Final = 64 * KIB + 2 * KIB
_BUFFER_BYTES: Final = 2 * _READ_BYTES
_CONTROL_BYTES: Final = 64
_SOL_UDP: Final = 17
_UDP_SEGMENT: Final = 103
_UDP_GRO: Final = 104
_IP_MTU_DISCOVER: Final = 10
_IP_PMTUDISC_PROBE: Final = 3
_NATIVE_INT: Final = struct.Struct("=i")
_NATIVE_SHORT: Final = struct.Struct("=H")
_BLOCKED: Final = (BlockingIOError, InterruptedError)
# The kernel or the card cannot segment; anything else is about the destination.
_NO_OFFLOAD: Final = {errno.EIO, errno.EINVAL, errno.EOPNOTSUPP, errno.ENOPROTOOPT}

# Shared by all sockets: what was read is copied out before the loop turns, on its one thread.
_read_buffer = memoryview(bytearray(_BUFFER_BYTES))

Segments = Callable[[memoryview, int, int, Address], None]
"""(buffer, length, size of each datagram in it, sender); the last datagram may be shorter."""


class UdpSocket:
    """An IPv4 socket bound to `host`:`port` (0 chooses a port). Raises `OSError` when the address cannot be had.

    `on_datagram(data, address)` gets every datagram, unless `on_segments` is set, which gets runs of them: those of one
    sender and one size that came one behind the other, whether the kernel coupled them or we do.
    `on_batch()` follows after each batch of reads, and `on_writable()` after `blocked` was True.
    """

    def __init__(self, host: str = "127.0.0.1", port: int = 0, *, offload: bool = True) -> None:
        self._loop = asyncio.get_running_loop()
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        try:
            self._socket.bind((host, port))
        except OSError:
            self._socket.close()
            raise
        self.on_datagram: Callable[[bytes, Address], None] = lambda data, address: None
        self.on_segments: Segments | None = None
        self.on_batch: Callable[[], None] = lambda: None
        self.on_writable: Callable[[], None] = lambda: None
        self.closed = False
        self.datagrams_sent = 0
        self.send_errors = 0
        self._waiting: deque[tuple[bytes, int | None, Address]] = deque()
        self._offload = offload
        self._set_options(offload)
        self.local_address: Address = self._socket.getsockname()[:2]
        self.receive_buffer = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
        """Bytes the kernel really keeps for us, its own bookkeeping included."""
        self.send_buffer = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)
        self._loop.add_reader(self._socket, self._readable)

    def _set_options(self, offload: bool) -> None:
        sock = self._socket
        for option, wanted in (
            (socket.SO_RCVBUF, WANTED_RECEIVE_BUFFER),
            (socket.SO_SNDBUF, WANTED_SEND_BUFFER),
        ):
            try:
                sock.setsockopt(socket.SOL_SOCKET, option, wanted)
            except OSError:  # some kernels refuse what others cut to their maximum
                pass
        for level, option, value in (
            (socket.IPPROTO_IP, _IP_MTU_DISCOVER, _IP_PMTUDISC_PROBE),
            *(((_SOL_UDP, _UDP_GRO, 1),) if offload else ()),
        ):
            try:
                sock.setsockopt(level, option, value)
            except OSError:  # not Linux, or an old one
                pass

    # --- in -------------------------------------------------------------------------------------------

    def _readable(self) -> None:
        try:
            for _ in range(READS_A_WAKE_UP // BATCH_READS):
                more = self._read_batch()
                self.on_batch()
                if not more or self.closed:
                    break
        finally:
            self.on_batch()

    def _read_batch(self) -> bool:
        """Take up to `BATCH_READS` reads and hand them on in runs; False when nothing is left."""
        receive, buffer = self._socket.recvmsg_into, _read_buffer
        start = end = size = 0  # of the run that is open
        sender: Address | None = None
        more = True
        for _ in range(BATCH_READS):
            if _BUFFER_BYTES - end < _READ_BYTES:
                self._dispatch(buffer[start:end], size, sender)
                start = end = 0
                if self.closed:
                    return False
            try:
                length, control, _, address = receive((buffer[end:],), _CONTROL_BYTES)
            except _BLOCKED:
                more = False
                break
            except OSError:  # an ICMP error about something we sent
                continue
            size_now = length
            for level, kind, data in control:
                if level == _SOL_UDP and kind == _UDP_GRO:
                    size_now = _NATIVE_INT.unpack_from(data)[0]
            if size_now != size or address != sender or start == end or (end - start) % size:
                self._dispatch(buffer[start:end], size, sender)
                if self.closed:
                    return False
                start, size, sender = end, size_now, address
                if length == 0:
                    self._dispatch_empty(address)
            end += length
        self._dispatch(buffer[start:end], size, sender)
        return more

    def _dispatch(self, run: memoryview, size: int, sender: Address | None) -> None:
        length = len(run)
        if length == 0 or sender is None:
            return
        if self.on_segments is not None:
            self.on_segments(run, length, size, sender)
            return
        for at in range(0, length, size):
            self.on_datagram(bytes(run[at : min(at + size, length)]), sender)

    def _dispatch_empty(self, sender: Address) -> None:
        if self.on_segments is None:
            self.on_datagram(b"", sender)

    # --- out ------------------------------------------------------------------------------------------

    @property
    def blocked(self) -> bool:
        """The kernel's send buffer is full. `send` queues (and drops beyond a bound), `send_train` refuses."""
        return bool(self._waiting)

    def send(self, data: bytes, address: Address, ttl: int | None = None) -> None:
        """Send one datagram, now or when the kernel has room. An unreachable address is not an error here."""
        if self.closed:
            return
        if self._waiting or not self._send_one(data, ttl, address):
            self._wait(data, ttl, address)

    def send_train(self, buffers: list[Buffer], size: int, address: Address) -> None:
        """Send datagrams of `size` bytes each that lie in `buffers`, one behind the other; the last may be shorter.

        What the kernel has no room for waits: see `blocked` before making more.
        """
        if self.closed:
            return
        length = sum(map(len, buffers))
        if length > size and self._offload and not self._waiting:
            try:
                self._socket.sendmsg(
                    buffers, [(_SOL_UDP, _UDP_SEGMENT, _NATIVE_SHORT.pack(size))], 0, address
                )
                self.datagrams_sent += -(-length // size)
                return
            except _BLOCKED:
                pass
            except OSError as error:
                if error.errno not in _NO_OFFLOAD:
                    self.send_errors += 1
                    return
                self._offload = False
        elif length <= size and not self._waiting:
            try:
                self._socket.sendmsg(buffers, (), 0, address)
                self.datagrams_sent += 1
                return
            except _BLOCKED:
                pass
            except OSError:
                self.send_errors += 1
                return
        whole = b"".join(buffers)
        for at in range(0, length, size):
            self.send(whole[at : at + size], address)

    def _send_one(self, data: bytes, ttl: int | None, address: Address) -> bool:
        """False when the kernel has no room."""
        try:
            if ttl is None:
                self._socket.sendto(data, address)
            else:
                control = [(socket.IPPROTO_IP, socket.IP_TTL, _NATIVE_INT.pack(ttl))]
                self._socket.sendmsg([data], control, 0, address)
            self.datagrams_sent += 1
        except _BLOCKED:
            return False
        except OSError:  # no route, a firewall, a datagram too large for the path: lost like any other
            self.send_errors += 1
        return True

    def _wait(self, data: bytes, ttl: int | None, address: Address) -> None:
        if not self._waiting:
            self._loop.add_writer(self._socket, self._writable)
        if len(self._waiting) < MAX_WAITING_DATAGRAMS:
            self._waiting.append((data, ttl, address))

    def _writable(self) -> None:
        while self._waiting:
            if not self._send_one(*self._waiting[0]):
                return
            self._waiting.popleft()
        self._loop.remove_writer(self._socket)
        self.on_writable()

    def close(self) -> None:
        """Give the address back. What waits is dropped."""
        if self.closed:
            return
        self.closed = True
        self._waiting.clear()
        self._loop.remove_reader(self._socket)
        self._loop.remove_writer(self._socket)
        self._socket.close()
