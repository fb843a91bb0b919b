"""A UDP relay that loses packets by a seed: two ports, and what comes in at one leaves at the other.

    python -m tests.support.lossy_relay LOSS SEED

prints `[left port, right port]`, takes `[[left host, port], [right host, port]]` (where the two ends are) on standard
input, and relays until standard input ends; then it prints `Counts` as JSON. A process of its own, so that it costs
neither end its processor. It forwards what arrived in one system call in one again, so it hides no offload from the
ends and adds no pauses between packets.
"""

from __future__ import annotations

import contextlib
import json
import random
import selectors
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

_UDP, _SEGMENT, _GRO = 17, 103, 104
_READ_BYTES = 66 * 1024
_BUFFER_BYTES = 4 << 20
_DATA_OR_END = 0x03

Address = tuple[str, int]


@dataclass
class Counts:
    """What one direction carried."""

    packets: int = 0
    dropped: int = 0
    data_packets: int = 0
    """Packets with DATA or END, the dropped among them."""
    retransmissions: int = 0
    """Those of them whose seq had come before."""
    overflows: int = 0
    """What the kernel had no room for on the way out: loss nobody asked for."""
    seen: set[int] = field(default_factory=set, repr=False)


def _open() -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    sock.setblocking(False)
    for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, option, _BUFFER_BYTES)
    with contextlib.suppress(OSError):
        sock.setsockopt(_UDP, _GRO, 1)
    return sock


class _Direction:
    """From one socket to the other."""

    def __init__(self, source: socket.socket, target: socket.socket, loss: float, seed: str) -> None:
        self.source, self.target = source, target
        self.loss = loss
        self.random = random.Random(seed)
        self.counts = Counts()
        self.to: Address | None = None
        self.buffer = memoryview(bytearray(_READ_BYTES))

    def pump(self) -> None:
        """Carry everything that waits."""
        while True:
            try:
                length, control, _, _ = self.source.recvmsg_into([self.buffer], 64)
            except BlockingIOError:
                return
            except OSError:  # an ICMP error about an end that is gone
                continue
            size = length
            for level, kind, data in control:
                if (level, kind) == (_UDP, _GRO):
                    size = struct.unpack_from("=i", data)[0]
            run = 0
            for at in range(0, length, size or 1):
                end = min(at + size, length)
                if self._is_lost(self.buffer[at:end]):
                    self._forward(run, at, size)
                    run = end
            self._forward(run, length, size)

    def _is_lost(self, packet: memoryview) -> bool:
        counts = self.counts
        counts.packets += 1
        if len(packet) >= 20 and packet[2] & _DATA_OR_END:
            seq = int.from_bytes(packet[12:16], "little")
            counts.data_packets += 1
            if seq in counts.seen:
                counts.retransmissions += 1
            counts.seen.add(seq)
        if self.random.random() >= self.loss:
            return False
        counts.dropped += 1
        return True

    def _forward(self, start: int, end: int, size: int) -> None:
        if start >= end or self.to is None:
            return
        control = [(_UDP, _SEGMENT, struct.pack("=H", size))] if end - start > size else []
        try:
            self.target.sendmsg([self.buffer[start:end]], control, 0, self.to)
        except OSError:
            if not control:
                self.counts.overflows += 1
                return
            for at in range(start, end, size):  # a kernel without segmentation
                self._forward(at, min(at + size, end), size)


def main() -> None:
    loss, seed = float(sys.argv[1]), sys.argv[2]
    left, right = _open(), _open()
    rightward = _Direction(left, right, loss, f"{seed} rightward")
    leftward = _Direction(right, left, loss, f"{seed} leftward")
    print(json.dumps([left.getsockname()[1], right.getsockname()[1]]), flush=True)
    leftward.to, rightward.to = (tuple(address) for address in json.loads(sys.stdin.readline()))
    selector = selectors.DefaultSelector()
    selector.register(left, selectors.EVENT_READ, rightward)
    selector.register(right, selectors.EVENT_READ, leftward)
    selector.register(sys.stdin, selectors.EVENT_READ)
    while True:
        for key, _ in selector.select():
            if key.data is None:
                for direction in (rightward, leftward):
                    direction.counts.seen = set()
                print(json.dumps([asdict(d.counts, dict_factory=_plain) for d in (rightward, leftward)]))
                return
            key.data.pump()


def _plain(pairs: list[tuple[str, object]]) -> dict[str, object]:
    return {name: value for name, value in pairs if name != "seen"}


class LossyRelay:
    """The relay as a process. `ports`: where the left end and where the right end send to."""

    def __init__(self, loss: float, seed: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__, str(loss), str(seed)],
            cwd=Path(__file__).resolve().parents[2],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        left, right = json.loads(self._process.stdout.readline())
        self.ports: tuple[int, int] = (left, right)

    def join(self, left: Address, right: Address) -> None:
        """Say where the ends are; nothing is carried before."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([left, right]) + "\n")
        self._process.stdin.flush()

    def stop(self) -> tuple[Counts, Counts]:
        """End the process: what was carried from left to right, and from right to left."""
        rightward, leftward = json.loads(self._process.communicate(timeout=30)[0])
        return Counts(**rightward), Counts(**leftward)

    def kill(self) -> None:
        """End the process if it runs."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()


@contextlib.contextmanager
def lossy_relay(loss: float, seed: int) -> Iterator[LossyRelay]:
    """A relay that is gone afterwards."""
    relay = LossyRelay(loss, seed)
    try:
        yield relay
    finally:
        relay.kill()


if __name__ == "__main__":
    main()
