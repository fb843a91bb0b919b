"""The LMDB environment of a store: opening it, reading it, and one way of writing it.

What LMDB asks of us, and where it is answered here:

* *A map size fixed in advance.* It is address space, not disk; when a transaction does not fit, it is aborted,
  the map doubled and the transaction done again (`write`). Nothing of the first try is left.
* *No long read transactions*: they keep freed pages from being used again. We hold one reader between
  transactions, at the newest state, and give it up before each.
* *One environment a process, and other processes only read*: `StoreLock`.
* *Durability*: every transaction is on the disk, data and meta page, before `write` returns. They are rare (the
  journal comes first), so nothing is saved at this end. (`sync=False` could corrupt the file: never.)
"""

from __future__ import annotations

import errno
import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final, TypeAlias

import lmdb

from ..errors import StorageCorrupt, StorageError, StorageFull, StorageVersion
from ..limits import MIB
from .layer import Layer, Pair

LOW_DISK_BYTES: Final = MIB
"""An input/output error with less free space than this is a full disk."""

DATA_FILE: Final = "data.mdb"

_FRESH: Final = "rewriting"
_LAST_KEY: Final = b"\xff" * 512
_REWRITE_BYTES: Final = 8 * MIB
_REWRITE_PAIRS: Final = 64

MAX_PAGES_SHORT: Final = 64
"""The last pages of the file may never have been written: LMDB leaves out what one transaction took and freed."""

LmdbError: TypeAlias = lmdb.Error


class LmdbEnvironment:
    """The pairs in `directory`, which exists. Raises `StorageVersion` (not an LMDB file of this version),
    `StorageCorrupt`, `StorageFull`.
    """

    def __init__(self, directory: Path, *, initial_map_bytes: int, max_map_bytes: int) -> None:
        self._directory = directory
        self._map_bytes = max(initial_map_bytes, _file_bytes(directory / DATA_FILE))
        self._max_map_bytes = max_map_bytes
        self._still = threading.Lock()
        """Held while the file is copied, and by what must not happen meanwhile."""
        self.current: lmdb.Transaction[bytes] | None = None
        """What `reader` gave last, None after a write: for who cannot afford the call."""
        self._env: lmdb.Environment | None = self._open()
        try:
            self._check_size(self._env)
        except BaseException:
            self.close()
            raise

    def _check_size(self, env: lmdb.Environment) -> None:
        """A file that was copied in part is found out here: reading its missing pages would kill the process."""
        page = env.stat()["psize"]
        said = (env.info()["last_pgno"] + 1) * page
        there = _file_bytes(self._directory / DATA_FILE)
        if there < said - MAX_PAGES_SHORT * page:
            raise StorageCorrupt(
                f"{self._directory / DATA_FILE} has {there} bytes where {said} were written: it was cut off, perhaps "
                "while it was copied; it was left untouched"
            )

    def damaged(self, error: lmdb.Error) -> StorageError:
        """What a failed read means."""
        return StorageCorrupt(f"the store {self._directory} is damaged: {error}")

    def _open(self) -> lmdb.Environment:
        directory = self._directory
        try:
            return lmdb.open(
                str(directory),
                map_size=self._map_bytes,
                mode=0o600,
                # Random reads of a store larger than memory: reading ahead would push useful pages out.
                readahead=False,
                max_spare_txns=1,
            )
        except (lmdb.VersionMismatchError, lmdb.InvalidError) as error:
            raise StorageVersion(
                f"{directory / DATA_FILE} is not a store of this version: {error}"
            ) from error
        except lmdb.CorruptedError as error:
            raise StorageCorrupt(f"the store {directory} is damaged: {error}") from error
        except lmdb.DiskError as error:
            raise StorageFull(f"no space left on the disk to open the store {directory}") from error
        except lmdb.Error as error:
            raise StorageError(f"the store {directory} cannot be opened: {error}") from error

    # --- reading ------------------------------------------------------------------------------

    def reader(self) -> lmdb.Transaction[bytes]:
        """A transaction at the newest state; good until the next `write`."""
        if self.current is None:
            if self._env is None:
                raise StorageError(f"the store {self._directory} is closed")
            self.current = self._env.begin()
        return self.current

    def get(self, key: bytes) -> bytes | None:
        """The value of `key`. Raises `StorageCorrupt`."""
        try:
            return self.reader().get(key)
        except lmdb.Error as error:
            raise self.damaged(error) from error

    def read_chunk(self, gte: bytes, lt: bytes, reverse: bool, count: int) -> list[Pair]:
        """Up to `count` pairs of [gte, lt), in the order asked. Raises `StorageCorrupt`."""
        try:
            return self._read_chunk(gte, lt, reverse, count)
        except lmdb.Error as error:
            raise self.damaged(error) from error

    def _read_chunk(self, gte: bytes, lt: bytes, reverse: bool, count: int) -> list[Pair]:
        pairs: list[Pair] = []
        with self.reader().cursor() as cursor:
            if not reverse:
                found = cursor.set_range(gte)
                while found and len(pairs) < count:
                    pair = cursor.item()
                    if pair[0] >= lt:
                        break
                    pairs.append(pair)
                    found = cursor.next()
                return pairs
            found = cursor.prev() if cursor.set_range(lt) else cursor.last()
            while found and len(pairs) < count:
                pair = cursor.item()
                if pair[0] < gte:
                    break
                pairs.append(pair)
                found = cursor.prev()
        return pairs

    # --- writing ------------------------------------------------------------------------------

    def write(self, layer: Layer) -> None:
        """Apply `layer` in one transaction, synced. Raises `StorageFull`, `StorageError`; then it did nothing."""
        if self._env is None:
            raise StorageError(f"the store {self._directory} is closed")
        self._release_reader()
        # Sorted, the engine walks each page once. Keys only: lists of pairs would be food for the garbage collector.
        changes = layer.changes
        puts = sorted(changes)
        deletes: list[bytes] = []
        if None in changes.values():
            deletes = [key for key in puts if changes[key] is None]
            puts = [key for key in puts if changes[key] is not None]
        while True:
            try:
                self._write_once(self._env, layer, deletes, puts)
                return
            except lmdb.MapFullError:
                self._grow()
            except lmdb.MapResizedError:
                self._env.set_mapsize(0)
            except lmdb.Error as error:
                is_full = self._is_full(error)
                self._recover()
                if is_full:
                    raise StorageFull(f"the disk of the store {self._directory} is full") from error
                raise StorageError(f"the store {self._directory} could not be written: {error}") from error

    @staticmethod
    def _write_once(env: lmdb.Environment, layer: Layer, deletes: list[bytes], puts: list[bytes]) -> None:
        with env.begin(write=True) as transaction, transaction.cursor() as cursor:
            for gte, lt in layer.dropped:
                found = cursor.set_range(gte)
                while found and cursor.key() < lt:
                    found = cursor.delete()
            for key in deletes:
                if cursor.set_key(key):
                    cursor.delete()
            values: Iterator[bytes] = map(layer.changes.__getitem__, puts)  # type: ignore[arg-type]
            cursor.putmulti(zip(puts, values, strict=True))

    def _is_full(self, error: lmdb.Error) -> bool:
        """LMDB reports a write that fitted in part as an input/output error, so that one is looked into."""
        code = getattr(error, "code", 0)
        if isinstance(error, lmdb.DiskError) or code in (errno.EDQUOT, errno.EFBIG):
            return True
        disk = os.statvfs(self._directory)
        return code == errno.EIO and disk.f_bavail * disk.f_frsize < LOW_DISK_BYTES

    def _grow(self) -> None:
        assert self._env is not None
        if self._map_bytes >= self._max_map_bytes:
            raise StorageFull(
                f"the store {self._directory} has reached its largest size of {self._max_map_bytes} bytes"
            )
        self._map_bytes = min(2 * self._map_bytes, self._max_map_bytes)
        with self._still:
            self._env.set_mapsize(self._map_bytes)

    def _recover(self) -> None:
        """After an error while writing the meta page LMDB refuses the environment; a new one reads the old
        state.
        """
        if self._env is not None:
            with self._still:
                self._env.close()
            self._env = None
            self._env = self._open()

    def _release_reader(self) -> None:
        if self.current is not None:
            self.current.abort()
            self.current = None

    def close(self) -> None:
        self._release_reader()
        if self._env is not None:
            with self._still:
                self._env.close()
            self._env = None

    def copy(self, directory: Path) -> None:
        """Write what is in the file now into `directory`, without gaps; may run in a thread of its own.

        Raises `StorageError`. Writes go on meanwhile, but the map cannot grow and the store not close until it is done.
        """
        with self._still:
            if self._env is None:
                raise StorageError(f"the store {self._directory} is closed")
            try:
                self._env.copy(str(directory), compact=True)
            except lmdb.Error as error:
                raise StorageError(f"the store cannot be copied to {directory}: {error}") from error

    def rewrite(self) -> None:
        """Write the file anew, pair by pair: what was deleted or replaced is not in it any more, in no free page and in
        no gap of a page (which is why `copy` will not do). Raises `StorageError`; then the old file is there still.
        """
        self._release_reader()
        fresh = self._directory / _FRESH
        try:
            with self._still:
                shutil.rmtree(fresh, ignore_errors=True)
                fresh.mkdir(mode=0o700)
                self._write_pairs(fresh)
                if self._env is not None:
                    self._env.close()
                    self._env = None
                try:
                    os.replace(fresh / DATA_FILE, self._directory / DATA_FILE)
                    sync_directory(self._directory)
                finally:
                    self._env = self._open()
                shutil.rmtree(fresh, ignore_errors=True)
        except OSError as error:
            raise StorageError(
                f"the store {self._directory} cannot be rewritten: {error.strerror}"
            ) from error

    def _write_pairs(self, directory: Path) -> None:
        target = LmdbEnvironment(
            directory, initial_map_bytes=self._map_bytes, max_map_bytes=self._max_map_bytes
        )
        try:
            after: bytes | None = b""
            while after is not None:
                layer, size = Layer(), 0
                while size < _REWRITE_BYTES:
                    pairs = self.read_chunk(after, _LAST_KEY, False, _REWRITE_PAIRS)
                    if not pairs:
                        after = None
                        break
                    layer.changes.update(pairs)
                    size += sum(len(value) for _, value in pairs)
                    after = pairs[-1][0] + b"\0"
                target.write(layer)
        finally:
            target.close()
            self._release_reader()


def sync_directory(directory: Path) -> None:
    """A file whose directory entry was never synced may be gone after a power cut, whatever was synced in it."""
    fd = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _file_bytes(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
