"""The store on disk: an LMDB file and a write-ahead journal.

    writes -> overlay --commit--> journal and settled layer --checkpoint--> LMDB
    reads  <- overlay, then the settled layer, then LMDB

* A *commit* is one write to the journal and no fsync, some ten microseconds: it survives a killed process.
* A *sync* is an fdatasync of the journal: what was committed survives a power cut. Logs ask for one before a
  new signature of ours leaves (`GroupCommit.promise`), a timer does 100 ms after a write (`upkeep.py`).
* A *checkpoint* is one LMDB transaction with everything that is only in the journal, after which the journal
  starts over. It happens when the journal is full, about a second after the last write, and at close. Large commits
  take this way at once.

LMDB says under `EPOCH_KEY` which epoch of the journal comes on top of it, in the same transaction as the data, so
there is no moment at which a crash leaves the two out of step.

A full disk: a commit that does not fit into the journal is dropped and `StorageFull` raised. A checkpoint that
does not fit leaves everything where it is and is tried again later; meanwhile commits go on into the journal, up
to `MAX_JOURNAL_BYTES`.
"""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from ..errors import StorageCorrupt, StorageError, StorageFull, StorageVersion
from ..limits import MIB
from .base import OverlayStorage, SyncJob, check_key
from .environment import DATA_FILE, LmdbEnvironment, LmdbError, sync_directory
from .journal import Journal, encode, new_epoch, payload_bytes
from .layer import Layer, Pair
from .lock import StoreLock

FORMAT_KEY: Final = b"\x00format"
FORMAT_NAME: Final = b"meadow-store"
FORMAT_VERSION: Final = 1
EPOCH_KEY: Final = b"\x00journal"

INITIAL_MAP_BYTES: Final = 64 * MIB
MAX_MAP_BYTES: Final = 2**40
"""1 TiB of address space: the size at which a store says it is full although the disk is not."""

CHECKPOINT_BYTES: Final = 2 * MIB
"""A commit that would make the journal larger goes to LMDB, with all that is in the journal. Larger journals are
no faster, and make the event loop stand still for longer at each checkpoint.
"""

DIRECT_BYTES: Final = MIB
"""A commit with larger values goes to LMDB at once: an fsync costs it less than being written twice."""

MAX_JOURNAL_BYTES: Final = 64 * MIB
"""How large it may become, and memory with it, while LMDB's file cannot be written."""

MAX_DROPPED: Final = 64
"""Every read of something that is not in a layer looks through the ranges dropped there."""

JOURNAL_FILE: Final = "journal"
LOCK_FILE: Final = "store.lock"

_FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class LmdbStorage(OverlayStorage):
    """The store in `directory`, which is made when missing (mode 0700, files 0600: it holds secret keys).

    Raises `StorageLocked` (another process holds it), `StorageVersion` (another version of the format; the
    files were not touched), `StorageCorrupt`, `StorageFull`.
    """

    def __init__(
        self,
        directory: Path | str,
        *,
        initial_map_bytes: int = INITIAL_MAP_BYTES,
        max_map_bytes: int = MAX_MAP_BYTES,
        checkpoint_bytes: int = CHECKPOINT_BYTES,
        direct_bytes: int = DIRECT_BYTES,
        max_journal_bytes: int = MAX_JOURNAL_BYTES,
    ) -> None:
        super().__init__()
        self.directory = Path(directory)
        self._settled = Layer()
        self._checkpoint_bytes = checkpoint_bytes
        self._checkpoint_at = checkpoint_bytes
        self._direct_bytes = direct_bytes
        self._max_journal_bytes = max_journal_bytes
        self._sync_failed = False
        self._environment: LmdbEnvironment | None = None
        self._journal: Journal | None = None
        try:
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.directory.chmod(0o700)
        except OSError as error:
            raise StorageError(f"the store {self.directory} cannot be used: {error.strerror}") from error
        self._lock = StoreLock(self.directory / LOCK_FILE)
        try:
            is_new = not (self.directory / DATA_FILE).exists()
            self._environment = LmdbEnvironment(
                self.directory, initial_map_bytes=initial_map_bytes, max_map_bytes=max_map_bytes
            )
            self._open_journal(self._environment, is_new)
        except BaseException:
            self._release()
            raise

    # --- opening ------------------------------------------------------------------------------

    def _open_journal(self, environment: LmdbEnvironment, is_new: bool) -> None:
        is_new = self._check_format(environment, is_new)
        epoch = environment.get(EPOCH_KEY)
        path = self.directory / JOURNAL_FILE
        if epoch is not None and not path.exists():
            raise StorageCorrupt(
                f"the journal {path} is gone, and with it perhaps the last writes to this store; bring it back, "
                "or make an empty file of that name to go on from what is left"
            )
        try:
            journal = self._journal = Journal(path)
            if epoch is None and journal.was_used:
                raise StorageCorrupt(
                    f"{self.directory / DATA_FILE} is empty or gone, but {path} shows that there was a store; bring "
                    "it back from a copy, or move both files away to begin a new store with new keys"
                )
            if is_new or epoch is None:
                sync_directory(self.directory)
                layer = Layer(changes={FORMAT_KEY: FORMAT_NAME + FORMAT_VERSION.to_bytes(2, "big")})
                self._checkpoint(layer)
                return
            for commit in journal.replay(epoch):
                self._settled.absorb(commit)
        except OSError as error:
            raise self._trouble(error) from error
        try:
            self.checkpoint()
        except StorageFull:
            self._checkpoint_at += journal.position  # What is there can be read all the same.

    def _check_format(self, environment: LmdbEnvironment, is_new: bool) -> bool:
        """Whether the file is new. Raises `StorageVersion`."""
        found = environment.get(FORMAT_KEY)
        if found == FORMAT_NAME + FORMAT_VERSION.to_bytes(2, "big"):
            return False
        if found is None and (is_new or not environment.read_chunk(b"\x00", b"\xff" * 8, False, 1)):
            return True
        if found is None or not found.startswith(FORMAT_NAME):
            raise StorageVersion(f"{self.directory} holds something else's LMDB file; it was left untouched")
        version = int.from_bytes(found[len(FORMAT_NAME) :], "big")
        raise StorageVersion(
            f"the store {self.directory} has format {version} and this program reads format {FORMAT_VERSION}; "
            "it was left untouched"
        )

    # --- reading ------------------------------------------------------------------------------

    def get(self, key: bytes) -> bytes | None:
        # The same as the base class with `_read` inlined: this is the hottest call of the whole program.
        layer = self._overlay
        changes = layer.changes
        if changes and key in changes:
            return changes[key]
        if layer.dropped and layer.drops(key):
            return None
        layer = self._settled
        changes = layer.changes
        if changes and key in changes:
            return changes[key]
        if layer.dropped and layer.drops(key):
            return None
        environment = self._environment or self._engine()
        try:
            return (environment.current or environment.reader()).get(key)
        except LmdbError as error:
            raise environment.damaged(error) from error

    def _read(self, key: bytes) -> bytes | None:
        layer = self._settled
        if key in layer.changes:
            return layer.changes[key]
        if layer.dropped and layer.drops(key):
            return None
        return self._engine().get(key)

    def _read_chunk(self, gte: bytes, lt: bytes, reverse: bool, count: int) -> list[Pair]:
        return self._engine().read_chunk(gte, lt, reverse, count)

    def _committed(self, chunk: list[Pair], gte: bytes, lt: bytes, reverse: bool) -> list[Pair]:
        return self._settled.over(chunk, gte, lt, reverse)

    def _engine(self) -> LmdbEnvironment:
        if self._environment is None:
            raise StorageError(f"the store {self.directory} is closed")
        return self._environment

    # --- committing ---------------------------------------------------------------------------

    def put(self, key: bytes, value: bytes) -> None:
        check_key(key)
        self._overlay.changes[key] = value

    def put_many(self, pairs: Iterable[Pair]) -> None:
        """Keys are not checked here: the callers are the logs, whose keys have a fixed length
        (`layout.py`).
        """
        self._overlay.changes.update(pairs)

    def _write(self, delta: Layer) -> None:
        self._engine()
        journal = self._journal
        assert journal is not None
        full: StorageFull | None = None
        if delta.value_bytes() > self._direct_bytes:
            full = self._write_through(delta)
            if full is None:
                return
        payload = encode(delta)
        end = journal.position + payload_bytes(payload)
        if full is None:
            is_due = end > min(self._checkpoint_at, self._max_journal_bytes)
            if is_due or len(self._settled.dropped) > MAX_DROPPED:
                full = self._write_through(delta)
                if full is None:
                    return
        if full is not None:
            if end > self._max_journal_bytes:
                raise StorageFull(f"{full}; nothing of the last write was kept") from full
            self._checkpoint_at = end + self._checkpoint_bytes
        try:
            journal.append(payload)
        except OSError as error:
            raise self._trouble(error) from error
        if self._settled:
            self._settled.absorb(delta)
        else:
            self._settled = delta

    def _write_through(self, delta: Layer) -> StorageFull | None:
        """Checkpoint with `delta` on top, which then need not pass through the journal. When the disk of LMDB's
        file is full nothing happens, and the journal may have room for it.
        """
        merged = self._settled.copy()
        merged.absorb(delta)
        try:
            self._checkpoint(merged)
        except StorageFull as full:
            return full
        return None

    def _trouble(self, error: OSError) -> StorageError:
        if error.errno in _FULL:
            return StorageFull(
                f"the disk of the store {self.directory} is full; nothing of the last write was kept"
            )
        return StorageError(f"the journal of the store {self.directory} cannot be used: {error.strerror}")

    # --- syncing ------------------------------------------------------------------------------

    @property
    def unsynced(self) -> bool:
        return self._journal is not None and self._journal.unsynced

    def sync(self) -> None:
        if not self.unsynced:
            return
        mark, job = self.begin_sync()
        try:
            job()
        except OSError as error:
            self.end_sync(mark, error)
        else:
            self.end_sync(mark, None)

    def begin_sync(self) -> tuple[int, SyncJob]:
        self._engine()
        journal = self._journal
        assert journal is not None
        return journal.written, journal.sync_job()

    def end_sync(self, mark: int, error: OSError | None) -> None:
        if self._journal is None:
            return
        self._sync_failed = error is not None or self._sync_failed
        if self._sync_failed:
            # After a failed fsync the kernel takes the pages for clean, and the next one succeeds with nothing
            # written. What counts is in memory still, and goes to the other file.
            self.checkpoint()
        else:
            self._journal.synced(mark)

    # --- checkpoints --------------------------------------------------------------------------

    @property
    def uncheckpointed(self) -> bool:
        return bool(self._settled)

    async def copy(self, directory: Path) -> None:
        """A whole store in `directory`, which exists and is empty, with everything that is committed now.

        It is written in a thread; commits go on meanwhile. Raises `StorageError`.
        """
        self.checkpoint()
        await asyncio.to_thread(self._engine().copy, directory)
        (directory / DATA_FILE).chmod(0o600)
        os.close(os.open(directory / JOURNAL_FILE, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))

    def checkpoint(self) -> None:
        self._engine()
        if self._settled:
            self._checkpoint(self._settled)

    def rewrite(self) -> None:
        self.checkpoint()
        self._engine().rewrite()
        assert self._journal is not None
        try:
            self._journal.erase()
        except OSError as error:
            raise self._trouble(error) from error

    def _checkpoint(self, layer: Layer) -> None:
        """Make `layer`, which is everything that is not in LMDB, part of it, and begin a new epoch."""
        environment, journal = self._environment, self._journal
        assert environment is not None
        assert journal is not None
        epoch = new_epoch()
        layer.changes[EPOCH_KEY] = epoch
        try:
            environment.write(layer)
        except StorageError:
            # An error after the fact: the old epoch is over all the same.
            if environment.get(EPOCH_KEY) != epoch:
                raise
        # From here on what the journal holds is of no account, whether or not the next line is reached.
        self._settled = Layer()
        journal.start_over(epoch)
        self._checkpoint_at = self._checkpoint_bytes
        self._sync_failed = False

    def close(self) -> None:
        self._overlay = Layer()
        try:
            if self._environment is not None and self._settled:
                try:
                    self.checkpoint()
                except StorageFull:
                    self.sync()  # It is in the journal, and the next to open the store finds it there.
        finally:
            self._release()

    def _release(self) -> None:
        self._settled = Layer()
        if self._journal is not None:
            self._journal.close()
            self._journal = None
        if self._environment is not None:
            self._environment.close()
            self._environment = None
        self._lock.release()
