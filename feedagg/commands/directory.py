"""What every command needs: where the aggregator lives, and its database."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import click
from sqlalchemy import Connection

from core.errors import BadArgument
from feedagg import settings
from feedagg.database import Database, database_url
from feedagg.settings import Settings

T = TypeVar("T")

db_option = click.option("--db", metavar="URL", help="Database URL; the default is SQLite in DIR.")
json_option = click.option("--json", "is_json", is_flag=True, help="Print JSON.")

CONFIG: Final = "feedagg.config"
"""Under this name click's context carries what `--config` named."""


def load(directory: Path, **flags: Any) -> Settings:
    """The settings that hold for the command that runs."""
    return settings.load(directory, click.get_current_context().meta.get(CONFIG), **flags)


@dataclass(frozen=True, slots=True)
class Directory:
    """An aggregator's directory, whether or not it runs."""

    path: Path
    db: str | None

    def change(self, change: Callable[[Connection], T], *, begins: bool = False) -> T:
        """One change in the database, whether or not the aggregator runs. `begins`: there may be none yet.

        Raises `BadArgument` when there is none.
        """
        with self.database() if begins else self.existing() as database:
            return database.write_now(change)

    def read(self, query: Callable[[Connection], T]) -> T:
        """What the database says. Raises `BadArgument` when there is none."""
        with self.existing() as database:
            return database.read_now(query)

    def existing(self) -> AbstractContextManager[Database]:
        """The database of an aggregator that was begun: a mistyped directory is told, not made.

        Raises `BadArgument`.
        """
        url = database_url(self.path, load(self.path, db=self.db).db)
        if url.get_backend_name() == "sqlite" and not Path(url.database or "").exists():
            raise BadArgument(f"There is no aggregator in {self.path}. Name its directory with --dir.")
        return self.database()

    @contextmanager
    def database(self) -> Iterator[Database]:
        self.path.mkdir(parents=True, exist_ok=True)
        database = Database(database_url(self.path, load(self.path, db=self.db).db))
        try:
            yield database
        finally:
            database.dispose()
