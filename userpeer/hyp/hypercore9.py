"""Reading the logs of 2021 from a storage folder: Hypercore 9 files, as corestore 5 laid them out.

A log is a directory with `key`, `data` (the blocks, end to end), `tree` and `signatures`; `name` or `secret_key` tells
that its owner wrote it here. Sources: hypercore 9.12.0 `lib/storage.js`, hypercore-crypto 2.3.2 (`data`, `parent`,
`tree`, `signable`), corestore 5.8.2, derived-key-storage. `tree` and `signatures` begin with a header of 32 bytes; a
tree node is a hash (32) and the bytes below it (8, big-endian), at the place of its flat-tree index; a signature of 64
bytes is over the roots when the log ended with that block, and their number of blocks. Hashes are BLAKE2b-256 over
big-endian sizes, unlike today's.

Nothing of it is believed that its owner did not sign: a block counts only if its hash leads to a signed root.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Final

from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey

_HEADER: Final = 32
_NODE: Final = 40
_SIGNATURE: Final = 64
_MAX_BLOCK: Final = 15 * 1024 * 1024
_MAX_FOLDERS: Final = 1_000_000
_FILES: Final = ("data", "tree", "signatures")


class NotAnOldLog(Exception):
    """The folder does not hold what it should; the message says what is wrong."""


@dataclass(frozen=True, slots=True)
class OldLog:
    """A log of 2021. `blocks`: its signed blocks in order, None where one is missing or not what was signed.

    `name`: what its program called it, if that is text. `is_own`: it was written here.
    """

    key: bytes
    name: str | None
    is_own: bool
    blocks: list[bytes | None]

    @property
    def missing(self) -> int:
        return self.blocks.count(None)


def find_old_logs(folder: Path) -> list[Path]:
    """Every directory below `folder` that looks like a log, in order. Raises `OSError` when it cannot be listed."""
    found: list[Path] = []
    os.scandir(folder).close()
    for number, (place, folders, files) in enumerate(os.walk(folder)):
        if number > _MAX_FOLDERS:
            break
        folders.sort()
        if "key" in files and "tree" in files and "data" in files:
            found.append(Path(place))
    return found


def read_old_log(place: Path) -> OldLog:
    """Read and verify one log. Raises `NotAnOldLog` with a sentence, or `OSError`."""
    key = (place / "key").read_bytes()
    if len(key) != 32:
        raise NotAnOldLog(f"the file key has {len(key)} bytes instead of 32")
    name = _content(place / "name")
    is_own = bool(name or _content(place / "secret_key"))
    with _Files(place) as files:
        length = files.signed_length(key)
        blocks = files.blocks(length)
    return OldLog(key, _readable(name), is_own, blocks)


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except FileNotFoundError:
        return b""


def _readable(name: bytes) -> str | None:
    """The file holds a length and the name. Programs gave text; logs without a name had 32 random bytes."""
    if len(name) < 2 or name[0] != len(name) - 1 or name[0] > 127:
        return None
    try:
        text = name[1:].decode()
    except UnicodeDecodeError:
        return None
    return text if text and text.isprintable() and len(text) <= 63 else None


class _Files:
    """The open files of one log. Whatever is not there reads as nothing."""

    def __init__(self, place: Path) -> None:
        self._handles: dict[str, int] = {}
        for name in _FILES:
            try:
                self._handles[name] = os.open(place / name, os.O_RDONLY)
            except FileNotFoundError:
                continue

    def __enter__(self) -> _Files:
        return self

    def __exit__(self, *_: object) -> None:
        for handle in self._handles.values():
            os.close(handle)

    def signed_length(self, key: bytes) -> int:
        """The largest number of blocks that the owner signed and whose roots are here."""
        try:
            owner = VerifyKey(key)
        except ValueError:
            raise NotAnOldLog("the key is not an Ed25519 key") from None
        signed = max(0, (self._size("signatures") - _HEADER) // _SIGNATURE)
        for length in range(signed, 0, -1):
            signature = self._read("signatures", _HEADER + (length - 1) * _SIGNATURE, _SIGNATURE)
            if not any(signature):
                continue
            roots = [self._node(index) for index in full_roots(length)]
            if None in roots:
                continue
            digest = blake2b(b"\x02", digest_size=32)
            for index, root in zip(full_roots(length), roots, strict=True):
                assert root is not None
                digest.update(root[0] + _u64(index) + _u64(root[1]))
            message = digest.digest()
            for signable in (message + _u64(length), message):  # the second is how the first 9.x signed
                try:
                    owner.verify(signable, signature)
                    return length
                except BadSignatureError:
                    continue
        return 0

    def blocks(self, length: int) -> list[bytes | None]:
        """The blocks below signed roots, each checked against its hash, and that against its parents'."""
        blocks: list[bytes | None] = [None] * length
        offset = 0
        for index in full_roots(length):
            root = self._node(index)
            assert root is not None
            self._below(index, root, offset, blocks)
            offset += root[1]
        return blocks

    def _below(self, index: int, node: tuple[bytes, int], offset: int, blocks: list[bytes | None]) -> None:
        """Take what lies below a node that is known to be right; `offset` is where its bytes begin."""
        pending = [(index, node, offset)]
        while pending:
            index, (digest, size), offset = pending.pop()
            half = (~index & (index + 1)) >> 1  # half the distance between a node's children; 0 for a leaf
            if not half:
                if size <= _MAX_BLOCK:
                    block = self._read("data", offset, size)
                    if len(block) == size and _hash(b"\x00", _u64(size), block) == digest:
                        blocks[index // 2] = block
                continue
            left, right = self._node(index - half), self._node(index + half)
            if left is None or right is None:
                continue
            if left[1] + right[1] != size or _hash(b"\x01", _u64(size), left[0], right[0]) != digest:
                continue
            pending.append((index + half, right, offset + left[1]))
            pending.append((index - half, left, offset))

    def _node(self, index: int) -> tuple[bytes, int] | None:
        """(hash, bytes below it) of a tree node, None where nothing is stored."""
        stored = self._read("tree", _HEADER + index * _NODE, _NODE)
        if len(stored) < _NODE or not any(stored):
            return None
        return stored[:32], int.from_bytes(stored[32:], "big")

    def _read(self, name: str, offset: int, size: int) -> bytes:
        handle = self._handles.get(name)
        if handle is None or offset + size > 1 << 62:
            return b""
        return os.pread(handle, size, offset)

    def _size(self, name: str) -> int:
        handle = self._handles.get(name)
        return 0 if handle is None else os.fstat(handle).st_size


def full_roots(length: int) -> Iterator[int]:
    """The flat-tree indices of the roots of a log of `length` blocks, from left to right."""
    start = 0
    while length:
        width = 1 << (length.bit_length() - 1)
        yield 2 * start + width - 1
        start += width
        length -= width


def _hash(*parts: bytes) -> bytes:
    return blake2b(b"".join(parts), digest_size=32).digest()


def _u64(number: int) -> bytes:
    return number.to_bytes(8, "big")
