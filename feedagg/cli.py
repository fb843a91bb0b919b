"""The command `feedagg`."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click
from sqlalchemy import Connection

from core.errors import MeadowError
from core.peer import key_to_id, parse_key
from feedagg import moderation, settings, sources
from feedagg.addresses import normal
from feedagg.database import Database, database_url
from feedagg.ingest import now_ms

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Directory:
    """What every command needs: where the aggregator lives, and its database."""

    path: Path
    db: str | None

    def change(self, change: Callable[[Connection], T]) -> T:
        """One change in the database, whether or not the aggregator runs."""
        with self._database() as database:
            return database.write_now(change)

    def read(self, query: Callable[[Connection], T]) -> T:
        with self._database() as database:
            return database.read_now(query)

    @contextmanager
    def _database(self) -> Iterator[Database]:
        self.path.mkdir(parents=True, exist_ok=True)
        database = Database(database_url(self.path, self.db or os.environ.get("FEEDAGG_DB")))
        try:
            yield database
        finally:
            database.dispose()


class _Group(click.Group):
    """Shows our errors as the sentences they are."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except MeadowError as error:
            raise click.ClickException(str(error)) from error


_db_option = click.option("--db", metavar="URL", help="Database URL; the default is SQLite in DIR.")


@click.group(cls=_Group)
@click.option(
    "--dir",
    "directory",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("feedagg-data"),
    show_default=True,
    help="Where the aggregator keeps its blocks and its database.",
)
@click.version_option(package_name="meadow-feed")
@click.pass_context
def main(context: click.Context, directory: Path) -> None:
    """Follow many bees and show them as one feed."""
    context.obj = directory


@main.command()
@click.option(
    "--web", metavar="HOST:PORT", help="Where pages are served [127.0.0.1:8080]; port 0 is a free one."
)
@click.option("--listen", metavar="HOST:PORT", help="Where peers may connect [127.0.0.1:0].")
@_db_option
@click.option("--no-dht", is_flag=True, help="Find peers only by the addresses given.")
@click.option("--public-url", metavar="URL", help="Our address as readers see it, behind a proxy.")
@click.option(
    "--peer-addresses",
    type=click.Choice(["auto", "public", "any"]),
    help="Where a stranger may make us dial: auto allows this machine only while --web is on it; any allows "
    "private networks.",
)
@click.option("--json", "is_json", is_flag=True, help="Print one JSON line when it is ready.")
@click.pass_obj
def serve(directory: Path, /, is_json: bool, no_dht: bool, **flags: Any) -> None:
    """Follow the bees and serve the pages, until Ctrl-C or SIGTERM."""
    from feedagg import server

    chosen = settings.load(directory, no_dht=no_dht or None, **flags)
    asyncio.run(server.serve(chosen, is_json=is_json))


@main.command()
@click.argument("key")
@click.option("--peer", metavar="HOST:PORT", help="A peer that holds the bee.")
@_db_option
@click.option("--json", "is_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def add(directory: Path, key: str, peer: str | None, db: str | None, is_json: bool) -> None:
    """Follow the bee KEY (hex or z-base-32). A running aggregator picks it up within a second."""
    bee = parse_key(key)
    address = None if peer is None else normal(peer)
    is_new = Directory(directory, db).change(
        lambda connection: sources.add(connection, bee, now_ms(), "command", address)
    )
    if is_json:
        print(json.dumps({"key": bee.hex(), "id": key_to_id(bee), "new": is_new, "peer": address}))
    else:
        print(f"{'Following' if is_new else 'Already following'} {bee.hex()}")


@main.command()
@click.argument("bee")
@click.argument("key")
@click.option("--reason", required=True, help="Shown to readers in place of the record.")
@_db_option
@click.pass_obj
def hide(directory: Path, bee: str, key: str, reason: str, db: str | None) -> None:
    """Take the record KEY of a BEE off the pages. The author's bee is not touched."""
    which = parse_key(bee)
    is_here = Directory(directory, db).change(
        lambda connection: moderation.hide(connection, which, key.encode(), reason, now_ms())
    )
    print(f"Hidden: {key}" if is_here else f"Noted: {key} is not here yet and will be hidden when it comes.")


@main.command()
@click.argument("bee")
@click.argument("key")
@_db_option
@click.pass_obj
def unhide(directory: Path, bee: str, key: str, db: str | None) -> None:
    """Show a hidden record again."""
    which = parse_key(bee)
    was_hidden = Directory(directory, db).change(
        lambda connection: moderation.unhide(connection, which, key.encode())
    )
    print(f"Shown again: {key}" if was_hidden else f"{key} was not hidden.")


@main.command(name="list")
@_db_option
@click.option("--json", "is_json", is_flag=True, help="Print one JSON object a line.")
@click.pass_obj
def list_(directory: Path, db: str | None, is_json: bool) -> None:
    """The bees that are followed, and how far each is read."""
    for source in Directory(directory, db).read(lambda connection: sources.listing(connection, 1_000_000)):
        if is_json:
            facts = {
                "key": source.key,
                "connected": source.connected,
                "length": source.length,
                "indexed": source.cursor,
                "oldest": source.tail,
                "error": source.error,
            }
            print(json.dumps(facts))
        else:
            state = "connected" if source.connected else source.error or "waiting"
            print(f"{source.key}  {source.cursor}/{source.length}  {state}")


if __name__ == "__main__":
    main()
