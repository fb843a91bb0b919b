"""`export`, `import`, `diff`: an aggregator in one file."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path
from typing import Any

import click

from feedagg import portable
from feedagg.commands.directory import Directory, db_option, json_option
from feedagg.ingest import now_ms

_file = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@db_option
@json_option
@click.pass_obj
def export(directory: Path, file: Path, db: str | None, is_json: bool) -> None:
    """Write bees, cursors, policy, hide list and the feed into FILE, whether or not the aggregator runs."""
    head = Directory(directory, db).read(lambda connection: portable.export(connection, file, now_ms()))
    _show(head, is_json, f"Written to {file}")


@click.command(name="import")
@click.argument("file", type=_file)
@db_option
@json_option
@click.pass_obj
def import_(directory: Path, file: Path, db: str | None, is_json: bool) -> None:
    """Make this empty aggregator show the feed of FILE; it then reads and verifies every bee by itself."""
    head = Directory(directory, db).change(
        lambda connection: portable.bring_in(connection, file, now_ms()), begins=True
    )
    _show(head, is_json, f"Read from {file}")


@click.command()
@click.argument("a", type=_file)
@click.argument("b", type=_file)
@click.option(
    "--limit", type=click.IntRange(min=1), default=50, show_default=True, help="Show at most so many."
)
@json_option
def diff(a: Path, b: Path, limit: int, is_json: bool) -> None:
    """Compare two exports; ends with 1 when they differ."""
    found = portable.diff(a, b)
    shown = list(islice(found, limit))
    rest = sum(1 for _ in found)
    for one in shown:
        if is_json:
            print(json.dumps({"what": one.what, "name": one.name, "only": one.only, "detail": one.detail}))
        else:
            place = f"only in {one.only}" if one.only else one.detail
            print(f"{one.what} {one.name}: {place}")
    if not is_json:
        if rest:
            print(f"and {rest:,} more")
        if not shown:
            print("They show the same feed, decided the same, and read the same.")
    raise SystemExit(1 if shown else 0)


def _show(head: dict[str, Any], is_json: bool, words: str) -> None:
    if is_json:
        print(json.dumps(head))
        return
    counts = head["counts"]
    print(f"{words}: {counts['bees']:,} bees, {counts['records']:,} records, {counts['hidden']:,} hidden")
    print(f"Feed hash {head['feedHash']}")


COMMANDS = (export, import_, diff)
