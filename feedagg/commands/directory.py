"""What every command needs: where the aggregator lives, and its database."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import click
from sqlalchemy import Connection

from feedagg.database import Database, database_url

T = TypeVar("T")

db_option = click.option("--db", metavar="URL", help="Database URL; the default is SQLite in DIR.")
json_option = click.option("--json", "is_json", is_flag=True, help="Print JSON.")


@dataclass(frozen=True, slots=True)
class Directory:
    """An aggregator's directory, whether or not it runs."""

    path: Path
    db: str | None

    def change(self, change: Callable[[Connection], T]) -> T:
        """One change in the database, whether or not the aggregator runs."""
        with self.database() as database:
            return database.write_now(change)

    def read(self, query: Callable[[Connection], T]) -> T:
        with self.database() as database:
            return database.read_now(query)

    @contextmanager
    def database(self) -> Iterator[Database]:
        self.path.mkdir(parents=True, exist_ok=True)
        database = Database(database_url(self.path, self.db or os.environ.get("FEEDAGG_DB")))
        try:
            yield database
        finally:
            database.dispose()
