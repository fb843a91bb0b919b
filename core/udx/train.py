"""Trains: datagrams for one path that leave in one system call.

All datagrams of a train have one size, except that the last may be shorter; so a kernel with UDP segmentation
offload takes the whole train at once, and any other transport can cut it (`datagrams`).
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Final, NamedTuple, TypeAlias

Address: TypeAlias = tuple[str, int]
"""IPv4 text and port."""
Buffer: TypeAlias = bytes | memoryview

MAX_TRAIN_PACKETS: Final = 64
MAX_TRAIN_BYTES: Final = 65_000


class Path(NamedTuple):
    """Where packets go: the stream's id over there, its address, and the local socket (whatever names it)."""

    remote_id: int
    address: Address
    link: Hashable


class Train(NamedTuple):
    """`buffers` joined are datagrams of `size` bytes each."""

    buffers: list[Buffer]
    size: int
    path: Path


def datagrams(trains: Iterable[Train]) -> list[tuple[bytes, Address]]:
    """The datagrams of `trains`, one by one, in order."""
    out = []
    for buffers, size, path in trains:
        whole = b"".join(buffers)
        out += [(whole[at : at + size], path.address) for at in range(0, len(whole), size)]
    return out


class TrainMaker:
    """Couples single packets to trains where their sizes allow it."""

    __slots__ = ("_closed", "_count", "trains")

    def __init__(self) -> None:
        self.trains: list[Train] = []
        self._count = 0
        self._closed = True

    def add(self, header: bytes, payload: Buffer, path: Path) -> None:
        size = len(header) + len(payload)
        if not self._closed:
            train = self.trains[-1]
            if (
                size <= train.size
                and train.path is path
                and self._count < MAX_TRAIN_PACKETS
                and (self._count + 1) * train.size <= MAX_TRAIN_BYTES
            ):
                train.buffers.append(header)
                train.buffers.append(payload)
                self._count += 1
                self._closed = size < train.size
                return
        self.trains.append(Train([header, payload], size, path))
        self._count = 1
        self._closed = False

    def add_train(self, buffers: list[Buffer], count: int, size: int, path: Path) -> None:
        """`count` packets of one size: headers and payloads alternating."""
        self.trains.append(Train(buffers, size, path))
        self._count = count
        self._closed = False

    def pad(self, padding: int) -> None:
        """Put zeros between header and payload of the train of one packet that was added last; it stays alone."""
        (header, payload), size, path = self.trains[-1]
        padded = bytes(header[:3]) + bytes([padding]) + bytes(header[4:]) + bytes(padding)
        self.trains[-1] = Train([padded, payload], size + padding, path)
        self._closed = True
