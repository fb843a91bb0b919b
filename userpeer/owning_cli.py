"""The commands about owning one's key: `backup`, `words`, `restore`, `nobody-has-it`; and `follow`, `unfollow`."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO, TypeVar

import click

from core.errors import MeadowError

from .terminal import Context, fail, items, json_option, print_item, print_json, remark
from .wording import counted

F = TypeVar("F", bound=Callable[..., Any])


def passphrase_option(function: F) -> F:
    return click.option(
        "--passphrase-file",
        type=click.File("r"),
        help="Read the passphrase from the first line of this file (- is standard input) instead of asking.",
    )(function)


def _passphrase(file: TextIO | None, *, twice: bool) -> str:
    """From the file, from USERPEER_PASSPHRASE, or asked for at the terminal."""
    if file is not None:
        return file.readline().rstrip("\r\n")
    given = os.environ.get("USERPEER_PASSPHRASE")
    if given is not None:
        return given
    return str(click.prompt("Passphrase", hide_input=True, confirmation_prompt=twice, err=True))


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@passphrase_option
@json_option
@click.pass_obj
def backup(obj: Context, file: Path, passphrase_file: TextIO | None) -> None:
    """Write your keys into FILE, sealed by a passphrase.

    With FILE and the passphrase `userpeer restore` makes your peer again. Your records are not in it: they come from
    whoever holds them, so keep an `export` too. Without the passphrase the file is worth nothing, to you as well.
    """
    passphrase = _passphrase(passphrase_file, twice=True)
    for item in items(obj, "backup", {"passphrase": passphrase}):
        try:
            handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            fail(obj, FileExistsError(f"{file} is there already, and is not overwritten. Name another file."))
        except OSError as error:
            fail(obj, OSError(f"{file} cannot be written: {error.strerror}."))
        with os.fdopen(handle, "w", encoding="ascii") as out:
            out.write(item["file"])
            out.flush()
            os.fsync(out.fileno())
        print_item(
            obj, {"key": item["key"], "file": str(file)}, f"Wrote {file}. Keep it and the passphrase apart."
        )


@click.command()
@json_option
@click.pass_obj
def words(obj: Context) -> None:
    """Print 24 words that are your keys, to write down on paper.

    Whoever reads them can write to your bee. They are printed here and nowhere else.
    """
    for item in items(obj, "words", {}):
        if obj.as_json:
            print_json(item)
            continue
        remark("Write these down and keep them where nobody reads them.")
        every = item["words"].split()
        for row in range(6):
            click.echo(
                "   ".join(f"{row + 6 * column + 1:2}. {every[row + 6 * column]:<9}" for column in range(4))
            )


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path), required=False)
@click.option(
    "--words", "from_words", is_flag=True, help="Restore from 24 words, typed or on standard input."
)
@passphrase_option
@json_option
@click.pass_obj
def restore(obj: Context, file: Path | None, from_words: bool, passphrase_file: TextIO | None) -> None:
    """Make your peer again, from a backup FILE or from words, in a directory where there is none.

    A restored peer first looks for whoever has your records and writes nothing before it has found the last of them:
    two histories under one key could never be mended.
    """
    from .backup import MAX_FILE_BYTES, Backup, key_from_words, unseal
    from .restore_into import restore as restore_peer

    if (file is None) is not from_words:
        raise click.UsageError("Give either a backup FILE or --words.")
    try:
        if file is not None:
            if file.stat().st_size > MAX_FILE_BYTES:
                raise click.UsageError(f"{file} is too large to be a backup.")
            made = unseal(file.read_bytes(), _passphrase(passphrase_file, twice=False))
        else:
            text = click.prompt("24 words", err=True) if sys.stdin.isatty() else sys.stdin.read()
            made = Backup(key_from_words(text), "")
        key = asyncio.run(restore_peer(obj.settings, made))
    except (MeadowError, OSError) as error:
        fail(obj, error)
    print_item(obj, {"key": key}, f"Restored {key}")
    remark("Start it with `userpeer run`. It writes as soon as it has found your records.")


@click.command("nobody-has-it")
@json_option
@click.pass_obj
def nobody_has_it(obj: Context) -> None:
    """Let a restored peer write although nothing was found, because nothing was ever published.

    Refused when the backup knows of records. If you did publish, do not: readers would see two histories.
    """
    for item in items(obj, "nobody-has-it", {}):
        print_item(obj, item, item["sentence"])


@click.command()
@click.argument("key")
@json_option
@click.pass_obj
def follow(obj: Context, key: str) -> None:
    """Follow the bee of KEY: your peer reads it, keeps it, and shows it in your timeline."""
    for item in items(obj, "follow", {"key": key}):
        print_item(obj, item, f"You follow {item['key'].partition('/')[2]}")


@click.command()
@click.argument("key")
@json_option
@click.pass_obj
def unfollow(obj: Context, key: str) -> None:
    """Do not follow the bee of KEY any more."""
    for item in items(obj, "unfollow", {"key": key}):
        print_item(obj, item, f"You do not follow {item['key'].partition('/')[2]} any more")


@click.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, resolve_path=True))
@json_option
@click.pass_obj
def import_(obj: Context, file: str) -> None:
    """Bring in a zip FILE: an export of Letterboxd as it was downloaded, or one of your own.

    Safe to run twice: what is here already is left alone, what you edited too.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    last: dict[str, Any] = {}
    columns = (TextColumn("Bringing in"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=obj.as_json) as progress:
        bar = progress.add_task("import", total=None)
        for last in items(obj, "import", {"path": file}):
            progress.update(bar, completed=last["done"], total=last["total"] or None)
    print_item(obj, last, last["sentence"])
    if not obj.as_json:
        for one in last["not_understood"]:
            remark(f"{one['file']} line {one['line']}: {one['sentence']}")
        if last["more_not_understood"]:
            remark(f"And {last['more_not_understood']:,} more.")


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, resolve_path=True))
@json_option
@click.pass_obj
def export(obj: Context, file: str) -> None:
    """Write everything you published into a zip FILE: JSON Lines, Markdown, CSV for Letterboxd, images."""
    for item in items(obj, "export", {"path": file}):
        print_item(obj, item, f"Wrote {counted(item['records'], 'record')} into {item['path']}")


COMMANDS = (import_, export, backup, words, restore, nobody_has_it, follow, unfollow)
