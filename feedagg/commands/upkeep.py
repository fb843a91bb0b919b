"""`check`, `rebuild`, `purge`, `backup`, `restore`: what keeps a directory in order."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import click
import httpx2

from core.errors import BadArgument, MeadowError, StorageError, StorageLocked
from core.peer import Peer, parse_key
from feedagg import audit as audits
from feedagg import backup as backups
from feedagg import feed_hash, operations, operator_token, picture_cache, pictures, purging, rebuild
from feedagg.commands.directory import Directory, db_option
from feedagg.database import Database
from feedagg.ingest import now_ms
from feedagg.operations import Target
from feedagg.rebuild import Outcome
from feedagg.server import WEB_URL_FILE


@asynccontextmanager
async def _open_store(directory: Path) -> AsyncIterator[Peer]:
    """The store, which no other process has. Raises `StorageLocked`."""
    if not (directory / "store").exists():
        raise BadArgument(
            f"There is no aggregator in {directory}: it has no store. Name its directory with --dir."
        )
    peer = await Peer.open(directory / "store")
    try:
        yield peer
    finally:
        await peer.close()


def _with_store(directory: Path, db: str | None, work: Callable[[Database, Peer], Awaitable[None]]) -> None:
    async def run() -> None:
        async with _open_store(directory) as peer:
            with Directory(directory, db).database() as database:
                await work(database, peer)

    try:
        asyncio.run(run())
    except StorageLocked as error:
        raise click.ClickException(
            f"{error}. Stop the aggregator for this: it must have the store alone."
        ) from error


@click.command()
@db_option
@click.pass_obj
def check(directory: Path, db: str | None) -> None:
    """Verify every stored block against its author's signature, and the database against the blocks. Changes
    nothing; exit status 1 if something is wrong.
    """
    wrong = 0
    blocks_of: set[str] = set()

    async def work(database: Database, peer: Peer) -> None:
        nonlocal wrong
        blocks = 0
        for found in audits.store(peer):
            blocks += found.blocks
            for damage in found.damages:
                wrong += 1
                blocks_of.add("us" if found.is_ours else "bees")
                where = "the log" if damage.block is None else f"block {damage.block}"
                whose = " (this aggregator's own)" if found.is_ours else ""
                print(f"{found.name}{whose}: {where}: {damage.what}")
        print(f"{blocks:,} stored blocks were compared with their authors' signatures.", file=sys.stderr)
        rows = 0

        def told(outcome: Outcome) -> None:
            nonlocal wrong, rows
            rows += outcome.rows
            wrong += outcome.changed
            for example in outcome.examples:
                print(f"{outcome.bee.hex()}: {example}")
            if outcome.changed > len(outcome.examples):
                print(f"{outcome.bee.hex()}: and {outcome.changed - len(outcome.examples):,} more rows")
            if outcome.skipped:
                print(f"{outcome.bee.hex()}: not compared: {outcome.skipped}", file=sys.stderr)

        await rebuild.check(database, peer, now_ms(), told)
        print(f"{rows:,} rows were compared with their blocks.", file=sys.stderr)

    _with_store(directory, db, work)
    if wrong:
        raise click.ClickException(_advice(wrong, blocks_of))
    print("Everything is as it should be.")


def _advice(wrong: int, blocks_of: set[str]) -> str:
    """What to do about what `check` found. `blocks_of`: "bees", "us", or both, where stored blocks are damaged."""
    said = [f"{wrong:,} {'thing is' if wrong == 1 else 'things are'} wrong."]
    if "us" in blocks_of:
        said.append("This aggregator's own logs come back only with a backup: `feedagg restore`.")
    if "bees" in blocks_of:
        said.append(
            "Blocks first, since rows are derived from them: `feedagg purge BEE` drops the copy, and "
            "`feedagg accept BEE` fetches it anew."
        )
    return " ".join([*said, "Rows: `feedagg rebuild` derives them again."])


@click.command(name="rebuild")
@db_option
@click.pass_obj
def rebuild_(directory: Path, db: str | None) -> None:
    """Take the rows of every bee out of the database and derive them again from the stored blocks; prints the feed
    hash, which is as before unless rows were wrong.
    """

    async def work(database: Database, peer: Peer) -> None:
        before = database.read_now(feed_hash.of_database)
        rows = changed = 0
        gc.set_threshold(
            50_000, 20, 100
        )  # many small objects and hardly a cycle: looking for them took a tenth
        began = time.perf_counter()

        def told(outcome: Outcome) -> None:
            nonlocal rows, changed
            rows += outcome.rows
            changed += outcome.changed
            if outcome.changed:
                print(f"{outcome.bee.hex()}: {outcome.changed:,} rows were not as in the blocks")
            if outcome.missing:
                print(
                    f"{outcome.bee.hex()}: {outcome.missing:,} blocks are not here; their rows stay as they were"
                )
            if outcome.skipped:
                print(f"{outcome.bee.hex()}: left alone: {outcome.skipped}")

        await rebuild.rebuild(database, peer, now_ms(), told)
        seconds = time.perf_counter() - began
        print(f"{rows:,} rows in {seconds:.2f} seconds; {changed:,} of them had changed.")
        after = database.read_now(feed_hash.of_database)
        print(f"feed hash {after.hex()}" + (" as before" if after == before else f", it was {before.hex()}"))

    _with_store(directory, db, work)


@click.command()
@click.argument("bee")
@click.argument("key", required=False)
@click.option("--reason", required=True, help="Shown to the author and to everybody else.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@db_option
@click.pass_obj
def purge(directory: Path, bee: str, key: str | None, reason: str, yes: bool, db: str | None) -> None:
    """Drop our copy of a BEE, or of its record KEY, rows and blocks. The author's bee is not touched."""
    which = parse_key(bee)
    what = f"the bee {which.hex()}" if key is None else f"the record {key} of {which.hex()}"
    if not yes:
        click.confirm(f"Drop our copy of {what}?", abort=True)
    here = Directory(directory, db)
    if key is None:
        rows = here.change(
            lambda connection: operations.purge_bee(connection, now_ms(), Target(which, None, reason))
        )
        print(f"{rows:,} rows dropped, and the bee is refused.")
    else:
        is_here = here.change(
            lambda connection: operations.purge_record(
                connection, now_ms(), Target(which, key.encode(), reason)
            )
        )
        print(
            "The record is dropped and hidden."
            if is_here
            else "The record was not here; it is hidden if it comes."
        )

    async def blocks(database: Database, peer: Peer) -> None:
        for one in database.read_now(purging.pending):
            dropped = await purging.drop_blocks(peer, one)
            files = picture_cache.drop(directory / pictures.DIRECTORY, pictures.beginning(one.bee))
            print(f"{dropped:,} blocks and {files:,} pictures dropped.")
            database.write_now(purging.done, one.id)

    async def run() -> None:
        async with _open_store(directory) as peer:
            with here.database() as database:
                await blocks(database, peer)

    try:
        asyncio.run(run())
    except StorageLocked:
        print("The running aggregator drops the blocks within a second.")
    except BadArgument:
        print("No blocks are stored here.")


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@db_option
@click.pass_obj
def backup(directory: Path, file: Path, db: str | None) -> None:
    """Write everything to FILE, whether or not the aggregator runs. It holds secret keys: keep it as one."""

    if not file.parent.is_dir():
        raise BadArgument(f"The backup cannot be written to {file}: there is no directory {file.parent}.")

    async def work(database: Database, peer: Peer) -> None:
        await backups.write(database, peer, directory, file)

    async def run() -> None:
        async with _open_store(directory) as peer:
            with Directory(directory, db).database() as database:
                await work(database, peer)

    try:
        asyncio.run(run())
    except StorageLocked:
        _ask_for_backup(directory, file)
    print(
        f"Written: {file}, {file.stat().st_size:,} bytes. Whoever has it has the secret keys of this aggregator."
    )


def _ask_for_backup(directory: Path, file: Path) -> None:
    """The running aggregator makes the backup, and it is fetched."""
    try:
        url = (directory / WEB_URL_FILE).read_text("ascii").strip()
    except OSError:
        raise StorageError("Another process has the store, but does not say where its pages are.") from None
    token = operator_token.load(directory).reveal()
    draft = file.with_name(f".{file.name}.part")
    try:
        with httpx2.stream(
            "POST", f"{url}admin/backup", headers={"authorization": f"Bearer {token}"}, timeout=3600
        ) as answer:
            if answer.status_code != 200:
                raise MeadowError(f"The aggregator at {url} refused to make a backup ({answer.status_code}).")
            handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(handle, "wb") as out:
                for piece in answer.iter_bytes():
                    out.write(piece)
                out.flush()
                os.fsync(out.fileno())
        backups.verify(draft)
        os.replace(draft, file)
    except (httpx2.HTTPError, OSError) as error:
        raise StorageError(f"The backup was not fetched from {url}: {error}.") from error
    finally:
        draft.unlink(missing_ok=True)


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@db_option
@click.pass_obj
def restore(directory: Path, file: Path, db: str | None) -> None:
    """Bring a backup back into an empty directory (and an empty database). Never run two from one backup."""
    room = backups.unpack(file, directory)
    with Directory(directory, db).database() as database:
        rows = backups.load(database, room)

    async def forks() -> None:
        async with _open_store(directory) as peer:
            await backups.begin_new_forks(peer)

    asyncio.run(forks())
    print(f"Restored: {rows['sources']:,} bees, {rows['records']:,} records. `feedagg check` verifies them.")


COMMANDS = (check, rebuild_, purge, backup, restore)
