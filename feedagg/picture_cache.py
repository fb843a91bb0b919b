"""Pictures on the disk, as pages show them: bounded, and the one that was asked for longest ago goes first.

Every function is synchronous and belongs in a thread. What is lost here is fetched again.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from pathlib import Path
from typing import Final

SUFFIX: Final = ".webp"


def drop(directory: Path, beginning: str) -> int:
    """Delete the pictures whose names begin so, whether or not their cache is open; returns how many."""
    found = list(directory.glob(f"{beginning}*{SUFFIX}"))
    for path in found:
        path.unlink(missing_ok=True)
    return len(found)


class PictureCache:
    """Files of one directory, at most `limit` bytes of them."""

    def __init__(self, directory: Path, limit: int) -> None:
        self.directory = directory
        self._limit = limit
        self._sizes: OrderedDict[str, int] = OrderedDict()  # the longest unused first
        self.total = 0

    def open(self) -> None:
        """Learn what is there from an earlier run."""
        self.directory.mkdir(parents=True, exist_ok=True)
        found = []
        for path in self.directory.iterdir():
            if path.suffix != SUFFIX:  # half written when the machine stopped
                path.unlink(missing_ok=True)
                continue
            status = path.stat()
            found.append((status.st_mtime_ns, path.stem, status.st_size))
        for _, name, size in sorted(found):
            self._sizes[name] = size
            self.total += size
        self._make_room(0)

    def get(self, name: str) -> bytes | None:
        """The picture, and a note that it was asked for."""
        if name not in self._sizes:
            return None
        path = self._path(name)
        try:
            data = path.read_bytes()
            os.utime(path)
        except OSError:
            self.total -= self._sizes.pop(name, 0)
            return None
        self._sizes.move_to_end(name)
        return data

    def put(self, name: str, data: bytes) -> None:
        """Keep a picture; others may go for it."""
        if len(data) > self._limit:
            return
        self.total -= self._sizes.pop(name, 0)
        self._make_room(len(data))
        path = self._path(name)
        begun = path.with_suffix(".part")
        begun.write_bytes(data)
        begun.replace(path)
        self._sizes[name] = len(data)
        self.total += len(data)

    def _make_room(self, size: int) -> None:
        while self._sizes and self.total + size > self._limit:
            name, freed = self._sizes.popitem(last=False)
            self.total -= freed
            self._path(name).unlink(missing_ok=True)

    def _path(self, name: str) -> Path:
        return self.directory / f"{name}{SUFFIX}"
