"""The write-ahead journal: what was committed and is not in the engine yet, one record a commit.

The file is a header and then records, from the start, without gaps:

    "meadow-journal" u16le(version)
    u32le(length of the body)  u32le(CRC-32 of the body, begun with its length)  body
    body = epoch (16 bytes)  u64le(number of the record in its epoch)  counts  lengths  keys and values

An *epoch* is the time between two checkpoints. Its name is a random number, which the checkpoint that begins it
writes into the engine. After a checkpoint the journal starts over at its first byte, over the records of the
epoch before; whatever does not carry the name of the present epoch is not read. Random, because blocks of
strangers lie in here: one who could guess the name might hide a record in a block, and hope for a crash that
leaves his bytes where a record is looked for.

Replay reads up to the first record that is torn, damaged or of another epoch. So what comes back after a crash
is a prefix of the commits: all of them if the process was killed, those up to the last `sync` at least if the
power failed.

A write costs one system call; the file keeps its size, grows in steps and is filled with zeros ahead, so that
`fdatasync` rarely has a new size to write down.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from struct import Struct
from typing import Final
from zlib import crc32

from ..crypto.keys import random_bytes
from ..errors import StorageVersion
from ..limits import KIB, MIB
from .layer import Layer

NAME: Final = b"meadow-journal"
VERSION: Final = 1
EPOCH_BYTES: Final = 16

STEP_BYTES: Final = 256 * KIB
"""The file grows by this."""

KEPT_BYTES: Final = 4 * MIB
"""What grew larger than this (while the engine's disk was full) is given back."""

HEADER: Final = NAME + VERSION.to_bytes(2, "little")
_FRAME: Final = Struct("<II")
_BODY: Final = Struct("<16sQIII")
"""Epoch, number, then how many ranges are dropped, keys put and keys deleted."""


class Journal:
    """The journal at `path`, which is made when missing (mode 0600). All errors of the disk are `OSError`.

    Raises `StorageVersion` when it was written by another version; then it was not touched.
    """

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            self._check_header(path)
        except BaseException:
            os.close(self._fd)
            raise
        self._size = os.fstat(self._fd).st_size
        self._epoch = b""
        self._number = 0
        self.position = len(HEADER)
        """Where the next record will lie; in a fresh epoch right behind the header."""
        self.written = 0
        """Counts the records written by this object."""
        self._synced = 0

    def _check_header(self, path: Path) -> None:
        found = os.pread(self._fd, len(HEADER), 0)
        if found == HEADER:
            return
        if found.strip(b"\0"):
            what = "has another version" if found.startswith(NAME) else "is something else's file"
            raise StorageVersion(f"{path} {what}; it was left untouched")
        # New, or the power failed before the header was on the disk: then no record was acknowledged either.
        _write_all(self._fd, HEADER, 0)
        os.fsync(self._fd)

    @property
    def was_used(self) -> bool:
        """Whether a record was ever written, of whatever epoch: then there was a store."""
        return bool(os.pread(self._fd, 4 * KIB, len(HEADER)).strip(b"\0"))

    # --- opening ------------------------------------------------------------------------------

    def replay(self, epoch: bytes) -> Iterator[Layer]:
        """The commits of `epoch` in order; read to the end, the journal goes on behind the last one."""
        self._begin(epoch)
        data = os.pread(self._fd, self._size, 0)
        for layer, end in read_records(data, epoch):
            self.position = end
            self._number += 1
            yield layer
        if data.find(epoch, self.position) >= 0:
            # The power failed while records behind a torn one were on the disk already. Once something else
            # ends where they begin, they must not be read as its continuation.
            _write_all(self._fd, bytes(self._size - self.position), self.position)
        if self._number:
            self.written += 1  # An earlier process may not have synced it.

    def start_over(self, epoch: bytes) -> None:
        """Everything in here is in the engine, which knows `epoch` as the present one, and both are synced."""
        self._begin(epoch)
        self._synced = self.written
        if self._size > KEPT_BYTES:
            os.ftruncate(self._fd, KEPT_BYTES)
            self._size = KEPT_BYTES

    def erase(self) -> None:
        """Overwrite what earlier epochs left in the file. Only at the beginning of an epoch."""
        _write_all(self._fd, bytes(self._size - len(HEADER)), len(HEADER))
        os.fsync(self._fd)

    def _begin(self, epoch: bytes) -> None:
        self._epoch = epoch
        self._number = 0
        self.position = len(HEADER)

    # --- writing ------------------------------------------------------------------------------

    def append(self, payload: Payload) -> None:
        """Write one commit. After an `OSError` it is as if it had not been tried."""
        counts, content = payload
        body = _BODY.pack(self._epoch, self._number, *counts) + content
        record = _FRAME.pack(len(body), crc32(body, len(body))) + body
        end = self.position + len(record)
        try:
            if end > self._size:
                self._grow(record, end)
            else:
                _write_all(self._fd, record, self.position)
        except BaseException:
            self._forget_half_written()
            raise
        self.position = end
        self._number += 1
        self.written += 1

    def _grow(self, record: bytes, end: int) -> None:
        size = -(-end // STEP_BYTES) * STEP_BYTES
        _write_all(self._fd, record, self.position)
        self._size = end
        try:
            _write_all(self._fd, bytes(size - end), end)
            self._size = size
        except OSError:
            pass  # The disk has room for the record and for no more; the next one will say so.

    def _forget_half_written(self) -> None:
        try:
            os.pwrite(self._fd, bytes(_FRAME.size), self.position)
        except OSError:
            pass  # A record that was cut short does not pass its checksum either.

    # --- syncing ------------------------------------------------------------------------------

    @property
    def unsynced(self) -> bool:
        return self._synced != self.written

    def sync_job(self) -> Callable[[], None]:
        """What syncs everything written so far, from any thread. Should the journal be closed meanwhile, it may
        sync something else or fail, which harms nobody.
        """
        return partial(os.fdatasync, self._fd)

    def synced(self, mark: int) -> None:
        """Everything up to the count `mark` of `written` is on the disk."""
        self._synced = max(self._synced, mark)

    def close(self) -> None:
        os.close(self._fd)


# --- records --------------------------------------------------------------------------------------

Payload = tuple[tuple[int, int, int], bytes]
"""Counts (dropped ranges, puts, deletes), and the rest of a body."""


def encode(layer: Layer) -> Payload:
    """What a record says. Most time goes into the lengths, so they are packed by one call."""
    changes = layer.changes
    keys: Iterable[bytes] = changes
    values: Iterable[bytes | None] = changes.values()
    deleted: list[bytes] = []
    if None in values:
        deleted = [key for key, value in changes.items() if value is None]
        keys = [key for key, value in changes.items() if value is not None]
        values = [value for value in values if value is not None]
    names = [*(bound for bounds in layer.dropped for bound in bounds), *keys, *deleted]
    contents: list[bytes] = list(values)  # type: ignore[arg-type]
    counts = len(layer.dropped), len(contents), len(deleted)
    lengths = Struct(f"<{len(names)}H{len(contents)}I").pack(*map(len, names), *map(len, contents))
    return counts, b"".join([lengths, *names, *contents])


def read_records(data: bytes, epoch: bytes) -> Iterator[tuple[Layer, int]]:
    """The commits of `epoch` in `data`, the content of a journal, and where the record of each ends."""
    position, number = len(HEADER), 0
    while True:
        body = _body_at(data, position)
        if body is None or _BODY.unpack_from(body)[:2] != (epoch, number):
            return
        position += _FRAME.size + len(body)
        number += 1
        yield _decode(body), position


def payload_bytes(payload: Payload) -> int:
    """How much the record of `payload` takes in the file."""
    return _FRAME.size + _BODY.size + len(payload[1])


def new_epoch() -> bytes:
    return random_bytes(EPOCH_BYTES)


def _decode(body: memoryview) -> Layer:
    _, _, ranges, puts, deletes = _BODY.unpack_from(body)
    shape = Struct(f"<{2 * ranges + puts + deletes}H{puts}I")
    position = _BODY.size + shape.size
    parts: list[bytes] = []
    for length in shape.unpack_from(body, _BODY.size):
        parts.append(bytes(body[position : position + length]))
        position += length
    bounds, rest = parts[: 2 * ranges], parts[2 * ranges :]
    keys, deleted, values = rest[:puts], rest[puts : puts + deletes], rest[puts + deletes :]
    changes: dict[bytes, bytes | None] = dict(zip(keys, values, strict=True))
    changes.update(dict.fromkeys(deleted))
    return Layer(list(zip(bounds[::2], bounds[1::2], strict=True)), changes)


def _body_at(data: bytes, position: int) -> memoryview | None:
    """The body of the record at `position`, None when there is no whole one."""
    if position + _FRAME.size + _BODY.size > len(data):
        return None
    length, checksum = _FRAME.unpack_from(data, position)
    start = position + _FRAME.size
    if not _BODY.size <= length <= len(data) - start:
        return None
    body = memoryview(data)[start : start + length]
    return body if crc32(body, length) == checksum else None


def _write_all(fd: int, data: bytes, position: int) -> None:
    """A disk that fills up takes a part of a write and refuses the rest."""
    written = os.pwrite(fd, data, position)
    while written < len(data):
        written += os.pwrite(fd, data[written:], position + written)
