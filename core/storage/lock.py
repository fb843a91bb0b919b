"""Who holds a store: a lock that the operating system drops with the process, and a name to show the second
one.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from ..errors import StorageLocked


class StoreLock:
    """An exclusive `flock` on a file that holds the owner's process id. Survives nothing: a killed owner is
    gone.
    """

    __slots__ = ("_fd",)

    def __init__(self, path: Path) -> None:
        """Raises `StorageLocked` naming the process that holds it."""
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            owner = os.pread(fd, 64, 0).decode("ascii", "replace").strip()
            os.close(fd)
            raise StorageLocked(
                f"the store {path.parent} is held by {_describe(owner)}; only one at a time may open it"
            ) from error
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{os.getpid()}\n".encode("ascii"), 0)
        self._fd: int | None = fd

    def release(self) -> None:
        if self._fd is not None:
            # The file stays: removing it would let a third process lock a name that a second still waits for.
            os.ftruncate(self._fd, 0)
            os.close(self._fd)
            self._fd = None


def _describe(owner: str) -> str:
    if not owner.isdigit():
        return "another process"
    if int(owner) == os.getpid():
        return f"this process itself (pid {owner})"
    return f"process {owner}"
