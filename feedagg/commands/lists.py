"""`bees export` and `bees import`: the subscription list."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TextIO

import click
from sqlalchemy import Connection

from core.errors import BadArgument
from feedagg import bee_lists, policy, queries, sources, views
from feedagg.bee_lists import Listed
from feedagg.commands.directory import Directory, db_option, load
from feedagg.ingest import now_ms

AT_ONCE = 500


@click.group()
def bees() -> None:
    """The list of bees, out and in."""


@bees.command(name="export")
@click.option("--format", "form", type=click.Choice(bee_lists.FORMATS), default="json", show_default=True)
@click.option(
    "--all", "is_all", is_flag=True, help="Those that wait, are paused or refused as well (JSON only)."
)
@db_option
@click.pass_obj
def export(directory: Path, form: str, is_all: bool, db: str | None) -> None:
    """Print the bees that are followed, for another aggregator."""

    def read(connection: Connection) -> list[Listed]:
        found: list[Listed] = []
        after = b""
        while some := sources.listing(connection, AT_ONCE, after):
            profiles = queries.profiles(connection, [one.bee for one in some])
            for one in some:
                if one.state == sources.FOLLOWING or (is_all and form == "json"):
                    peers = tuple(hint.address for hint in sources.hints_of(connection, one.bee))
                    name = views.author(one.bee, profiles.get(one.bee)).name
                    found.append(Listed(one.bee, name, one.state, one.state_reason, peers))
            after = some[-1].bee
        return found

    title = f"{load(directory).site_name}: bees"
    print(bee_lists.dump(Directory(directory, db).read(read), form, title), end="")


@bees.command(name="import")
@click.argument("file", type=click.File(encoding="utf-8"), default="-")
@db_option
@click.pass_obj
def import_(directory: Path, file: TextIO, db: str | None) -> None:
    """Follow every bee of a list, JSON or OPML.

    It is read from FILE, or from standard input. What is followed already stays so.
    """
    try:
        text = file.read(bee_lists.MAX_BYTES + 1)
    except UnicodeDecodeError as error:
        raise BadArgument(f"The list is not UTF-8: {error}.") from error
    listed = bee_lists.load(text)
    here = Directory(directory, db)
    added = refused = 0

    def take(some: list[Listed]) -> None:
        def change(connection: Connection) -> None:
            nonlocal added, refused
            for one in some:
                if one.state == sources.REFUSED:
                    refused += policy.refuse(
                        connection, one.bee, now_ms(), one.reason or "Refused elsewhere."
                    )
                elif one.state == sources.FOLLOWING:
                    addresses = one.peers or (None,)
                    is_new = [policy.add(connection, one.bee, now_ms(), address) for address in addresses]
                    added += is_new[0]

        here.change(change, begins=True)

    for start in range(0, len(listed), AT_ONCE):
        take(listed[start : start + AT_ONCE])
    print(f"{len(listed)} bees in the list: {added} added, {refused} refused.", file=sys.stderr)


COMMANDS = (bees,)
