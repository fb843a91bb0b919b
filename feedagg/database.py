"""The SQL database: one door for reads, one for writes, and the schema brought up to date.

Writes go through one thread. While one transaction runs there, further writes queue up and then share the
next one (group commit), so a thousand bees that each append one record cost a few transactions, and one fsync
each. Reads run in a small pool of threads of their own and, on SQLite, on connections that cannot write.

SQLite runs in WAL mode with `synchronous=FULL`: what `write` has answered survives a killed process and a
power cut.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Concatenate, Final, ParamSpec, TypeAlias, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DatabaseError, OperationalError, ProgrammingError

from core.errors import StorageError, StorageVersion
from feedagg import words

HEAD: Final = "0006"
"""The newest migration, so that a start needs no look at the scripts; a test compares it with them."""

MIGRATIONS: Final = Path(__file__).parent / "migrations"

READERS: Final = 4
BUSY_SECONDS: Final = 15

BULK_AT_ONCE: Final = 2

P = ParamSpec("P")
T = TypeVar("T")
_Write: TypeAlias = tuple[Callable[[Connection], Any], asyncio.Future[Any]]


def database_url(directory: Path, url: str | None) -> URL:
    """The URL given, or SQLite in `directory`. `postgres://` and `postgresql://` mean psycopg.

    Raises `StorageError` for what names no database we know; the sentence shows no password.
    """
    if url is None:
        return URL.create("sqlite", database=str(directory / "feedagg.sqlite"))
    try:
        parsed = make_url(url)
        if parsed.drivername in ("postgres", "postgresql"):
            parsed = parsed.set(drivername="postgresql+psycopg")
        if parsed.get_backend_name() not in ("sqlite", "postgresql"):
            raise ValueError("another kind of database")
        parsed.get_dialect()
    except (
        ArgumentError,
        ImportError,
        ValueError,
    ) as error:  # one is of a known kind whose driver is not installed
        raise StorageError(
            "That is not the URL of a database: write postgresql://user@host/name, or leave it out for SQLite."
        ) from error
    return parsed


class Database:
    """An open, migrated database. Raises `StorageError` with a sentence when it cannot be had."""

    def __init__(self, url: URL) -> None:
        self.url = url
        self.is_sqlite = url.get_backend_name() == "sqlite"
        self.engine = _engine(url, pool_size=2, is_writer=True)
        self.reader = _engine(url, pool_size=READERS, is_writer=False)
        try:
            _migrate(self.engine)
        except OperationalError as error:
            raise StorageError(f"The database {url!r} cannot be opened: {_reason(error)}") from error
        self._write_thread = ThreadPoolExecutor(1, "feedagg-write")
        self._read_threads = ThreadPoolExecutor(READERS, "feedagg-read")
        self._pending: deque[_Write] = deque()
        self._pending_bulk: deque[_Write] = deque()
        self._writer: asyncio.Task[None] | None = None

    async def read(
        self, query: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """`query(connection, ...)` in a reading thread."""

        def run() -> T:
            with self.reader.connect() as connection:
                return query(connection, *args, **kwargs)

        return await asyncio.get_running_loop().run_in_executor(self._read_threads, run)

    async def write(
        self, change: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """`change(connection, ...)` in a transaction, shared with other writes; returns once it is durable.

        `change` may run twice: if another write of its transaction fails, each is done again alone.
        """
        return await self._queue(self._pending, lambda connection: change(connection, *args, **kwargs))

    async def write_bulk(
        self, change: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """The same for a large change: few of them share a transaction, so that nobody's small one waits long."""
        return await self._queue(self._pending_bulk, lambda connection: change(connection, *args, **kwargs))

    def _queue(self, queue: deque[_Write], change: Callable[[Connection], T]) -> asyncio.Future[T]:
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        queue.append((change, future))
        if self._writer is None:
            self._writer = asyncio.create_task(self._write_pending())
        return future

    def write_now(
        self, change: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """The same without an event loop, for commands."""
        with self.engine.begin() as connection:
            return change(connection, *args, **kwargs)

    def read_now(
        self, query: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        with self.reader.connect() as connection:
            return query(connection, *args, **kwargs)

    async def close(self) -> None:
        """Finish the writes that were asked for, then let go."""
        while self._writer is not None:
            await asyncio.wait([self._writer])
        self.dispose()

    def dispose(self) -> None:
        self._write_thread.shutdown()
        self._read_threads.shutdown()
        self.engine.dispose()
        self.reader.dispose()

    # --- group commit -----------------------------------------------------------------------------

    async def _write_pending(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._pending or self._pending_bulk:
                group = list(self._pending)
                self._pending.clear()
                group += [
                    self._pending_bulk.popleft() for _ in range(min(BULK_AT_ONCE, len(self._pending_bulk)))
                ]
                outcomes = await loop.run_in_executor(
                    self._write_thread, self._commit, [item[0] for item in group]
                )
                for (_, future), (result, error) in zip(group, outcomes, strict=True):
                    if future.done():  # its caller was cancelled; the write happened all the same
                        continue
                    if error is None:
                        future.set_result(result)
                    else:
                        future.set_exception(error)
        finally:
            self._writer = None

    def _commit(self, changes: list[Callable[[Connection], Any]]) -> list[tuple[Any, Exception | None]]:
        try:
            with self.engine.begin() as connection:
                results = [change(connection) for change in changes]
            return [(result, None) for result in results]
        except Exception as error:
            if len(changes) == 1:
                return [(None, error)]
            return [self._commit([change])[0] for change in changes]


def _engine(url: URL, *, pool_size: int, is_writer: bool) -> Engine:
    engine = create_engine(
        url, pool_size=pool_size, max_overflow=2, pool_pre_ping=not url.drivername.startswith("sqlite")
    )
    if url.get_backend_name() != "sqlite":
        return engine

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _: Any) -> None:
        # The driver's own transactions begin too late (at the first write); ours begin where SQLAlchemy says
        # so.
        connection.isolation_level = None
        connection.create_function("feed_words", 3, words.terms, deterministic=True)  # the triggers call it
        connection.execute(f"PRAGMA busy_timeout = {BUSY_SECONDS * 1000}")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA cache_size = -16000")
        if not is_writer:
            connection.execute("PRAGMA query_only = ON")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE" if is_writer else "BEGIN")

    return engine


def _migrate(engine: Engine) -> None:
    """Bring the schema to `HEAD`; two processes that start at once do it one after the other."""
    with engine.begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('feedagg migrations'))"))
        version = _version(connection)
        if version == HEAD:
            return
        known = {path.name[:4] for path in (MIGRATIONS / "versions").glob("0*.py")}
        if version is not None and version not in known:
            raise StorageVersion(
                f"The database is at version {version} and this program knows {HEAD}: use the newer program."
            )
        from alembic import command
        from alembic.config import Config

        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def _version(connection: Connection) -> str | None:
    with connection.begin_nested() as savepoint:
        try:
            return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
        except (OperationalError, ProgrammingError):
            savepoint.rollback()
            return None


def _reason(error: DatabaseError) -> str:
    return str(error.orig).strip().splitlines()[0] if error.orig else str(error)
