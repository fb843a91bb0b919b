"""One file with everything: the database as rows, the store of blocks, the operator's token.

A tar file. `manifest.json` says what is in it, `tables/<name>.jsonl` holds the rows (bytes as {"hex": ...}), `store/`
the blocks and the aggregator's own secret keys. The database is read first and in one transaction, the store is
copied after it, so the store has every block that the rows speak of. Rows and not a database file: a backup of SQLite
can be restored into PostgreSQL and the other way round.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from sqlalchemy import Connection, Table, func, insert, select, text

from core.errors import BadArgument, MeadowError, StorageError
from core.peer import Peer
from feedagg import operator_token
from feedagg.database import HEAD, Database
from feedagg.tables import metadata

FORMAT: Final = 1
STORE_FILES: Final = ("data.mdb", "journal")
AT_ONCE: Final = 1_000


class BadBackup(MeadowError):
    """The file is no backup, or not a whole one."""


# --- making one ---------------------------------------------------------------------------------


async def write(database: Database, peer: Peer, directory: Path, file: Path) -> dict[str, int]:
    """Write a backup of the aggregator in `directory`, which may be running, to `file`; rows by table.

    The file appears when it is whole, readable by its owner alone. Raises `StorageError`.
    """
    draft = file.with_name(f".{file.name}.part")
    try:
        with TemporaryDirectory(prefix=".backup-", dir=file.parent) as name:
            room = Path(name)
            (room / "tables").mkdir()
            (room / "store").mkdir(mode=0o700)
            rows = await database.read(_dump, room / "tables")
            await peer.store.copy(room / "store")
            _pack(room, directory, draft, rows)
        os.replace(draft, file)
    except OSError as error:
        raise StorageError(f"The backup cannot be written to {file}: {error.strerror or error}.") from error
    finally:
        draft.unlink(missing_ok=True)
    return rows


def _dump(connection: Connection, room: Path) -> dict[str, int]:
    if connection.dialect.name == "postgresql":  # on SQLite a transaction is a snapshot anyway
        connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))
    rows = {}
    for table in metadata.sorted_tables:
        number = 0
        with (room / f"{table.name}.jsonl").open("w", encoding="ascii") as out:
            found = connection.execution_options(yield_per=AT_ONCE).execute(
                select(table).order_by(*_order(table))
            )
            for row in found:
                out.write(json.dumps([_plain(value) for value in row]) + "\n")
                number += 1
        rows[table.name] = number
    return rows


def _order(table: Table) -> list[Any]:
    return list(table.primary_key.columns)


def _plain(value: Any) -> Any:
    return {"hex": bytes(value).hex()} if isinstance(value, (bytes, memoryview)) else value


def _pack(room: Path, directory: Path, draft: Path, rows: dict[str, int]) -> None:
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "wb") as out, tarfile.open(fileobj=out, mode="w") as tar:
        sums = {}
        members = {f"tables/{name}.jsonl": room / "tables" / f"{name}.jsonl" for name in rows}
        members |= {f"store/{name}": room / "store" / name for name in STORE_FILES}
        token = directory / operator_token.FILE
        if token.exists():
            members[operator_token.FILE] = token
        for name, path in members.items():
            sums[name] = _sum(path)
            tar.add(path, name, recursive=False)
        manifest = {
            "format": FORMAT,
            "schema": HEAD,
            "madeAt": int(time.time() * 1000),
            "rows": rows,
            "sums": sums,
        }
        content = json.dumps(manifest, indent=1).encode()
        entry = tarfile.TarInfo("manifest.json")
        entry.size, entry.mode, entry.mtime = len(content), 0o600, int(time.time())
        tar.addfile(entry, io.BytesIO(content))
        tar.close()
        out.flush()
        os.fsync(out.fileno())


def _sum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def verify(file: Path) -> None:
    """Raises `BadBackup` unless the file is a whole backup."""
    try:
        with tarfile.open(file, "r:") as tar:
            for name, wanted in _manifest(tar)["sums"].items():
                member = tar.extractfile(name)
                if member is None or hashlib.file_digest(member, "sha256").hexdigest() != wanted:  # type: ignore[arg-type]
                    raise BadBackup(f"{file} is damaged: {name} is not what was written.")
    except (tarfile.TarError, KeyError, EOFError) as error:
        raise BadBackup(f"{file} is no whole backup: {error}.") from error


# --- bringing one back --------------------------------------------------------------------------


def unpack(file: Path, directory: Path) -> Path:
    """The store and the token of a backup go to `directory`, its tables into a folder beside them, which is returned.

    Everything is compared with the manifest first. Raises `BadBackup`, and `BadArgument` when something is there
    already; then nothing was written.
    """
    store = directory / "store"
    for path in (store, directory / operator_token.FILE, directory / "feedagg.sqlite"):
        if path.exists():
            raise BadArgument(f"{path} is there already: restore into a directory that holds no aggregator.")
    directory.mkdir(parents=True, exist_ok=True)
    room = Path(directory / ".restoring")
    _remove(room)
    room.mkdir(mode=0o700)
    try:
        with tarfile.open(file, "r:") as tar:
            manifest = _manifest(tar)
            for name, wanted in manifest["sums"].items():
                path = room / name
                path.parent.mkdir(exist_ok=True)
                member = tar.extractfile(name)
                if member is None:
                    raise BadBackup(f"{file}: {name} is missing.")
                with member, path.open("xb") as out:
                    os.chmod(path, 0o600)
                    while piece := member.read(1 << 20):
                        out.write(piece)
                if _sum(path) != wanted:
                    raise BadBackup(f"{file} is damaged: {name} is not what was written.")
        (room / "store").chmod(0o700)
        os.replace(room / "store", store)
        token = room / operator_token.FILE
        if token.exists():
            os.replace(token, directory / operator_token.FILE)
        (room / "manifest.json").write_text(json.dumps(manifest))
    except (tarfile.TarError, KeyError, EOFError) as error:
        _remove(room)
        raise BadBackup(f"{file} is no whole backup: {error}.") from error
    except BaseException:
        _remove(room)
        raise
    return room


def _manifest(tar: tarfile.TarFile) -> dict[str, Any]:
    member = tar.extractfile("manifest.json")
    assert member is not None
    try:
        manifest = json.load(member)
        names = [*manifest["rows"], *manifest["sums"]]
    except (ValueError, KeyError, TypeError) as error:
        raise BadBackup(f"its manifest cannot be read: {error}") from error
    known = {f"tables/{table.name}.jsonl" for table in metadata.sorted_tables}
    known |= {f"store/{name}" for name in STORE_FILES} | {operator_token.FILE}
    if manifest.get("format") != FORMAT or manifest.get("schema") != HEAD:
        raise BadBackup(
            "it was made by another version of this program: restore it with that one, then start the newer one"
        )
    if not set(manifest["sums"]) <= known or len(names) > 1000:
        raise BadBackup("it holds what no backup holds")
    return dict(manifest)


def load(database: Database, room: Path) -> dict[str, int]:
    """The rows of an unpacked backup go into an empty database, in one transaction; rows by table.

    Raises `BadArgument` when it is not empty.
    """
    rows = json.loads((room / "manifest.json").read_text())["rows"]
    database.write_now(_load, room / "tables", rows)
    _remove(room)
    return dict(rows)


def _load(connection: Connection, room: Path, rows: dict[str, int]) -> None:
    for table in metadata.sorted_tables:
        if connection.execute(select(func.count()).select_from(table)).scalar():
            raise BadArgument(f"The database is not empty (table {table.name}); restore into a new one.")
    for table in metadata.sorted_tables:
        if table.name == "feed_changes":
            continue  # the rows of `records` make notes as they come; those of the backup come after
        _fill(connection, table, room)
    notes = metadata.tables["feed_changes"]
    connection.execute(notes.delete())
    _fill(connection, notes, room)
    if connection.dialect.name == "postgresql":
        for table in metadata.sorted_tables:
            if "id" in table.c:
                connection.execute(
                    text(
                        f"SELECT setval(pg_get_serial_sequence('{table.name}', 'id'), "  # noqa: S608 (our own names)
                        f"(SELECT coalesce(max(id), 0) + 1 FROM {table.name}), false)"
                    )
                )
    for name, number in rows.items():
        table = metadata.tables[name]
        if connection.execute(select(func.count()).select_from(table)).scalar() != number:
            raise BadBackup(f"Table {name} has not the {number} rows that the backup names.")


def _fill(connection: Connection, table: Table, room: Path) -> None:
    for some in _rows(room / f"{table.name}.jsonl", [column.name for column in table.columns]):
        connection.execute(insert(table), some)


def _rows(path: Path, names: list[str]) -> Iterator[list[dict[str, Any]]]:
    some = []
    with path.open(encoding="ascii") as lines:
        for line in lines:
            values = [bytes.fromhex(one["hex"]) if isinstance(one, dict) else one for one in json.loads(line)]
            some.append(dict(zip(names, values, strict=True)))
            if len(some) == AT_ONCE:
                yield some
                some = []
    if some:
        yield some


async def begin_new_forks(peer: Peer) -> int:
    """The aggregator's own logs go on under a new fork number; how many there are.

    The restored store is older than what followers may have seen. Without this, the next entry would be a second
    history under the same number, which they could prove and would never forgive; a new fork is an honest rewind.
    """
    number = 0
    for info in list(peer.store.list()):
        core = peer.store.get(discovery_key=info.discovery_key)
        if core.writable and core.length:
            await core.truncate(core.length, fork=max(core.fork + 1, int(time.time())))
            number += 1
        await core.close()
    await peer.store.flush()
    return number


def _remove(room: Path) -> None:
    if room.exists():
        for path in sorted(room.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        room.rmdir()
