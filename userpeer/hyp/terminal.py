"""What every `hyp` command shares: asking the daemon, printing, and ending with an honest exit code.

0: done. 1: not done, the sentence says why. 2: the command line is wrong, or no daemon runs.
"""

from __future__ import annotations

import difflib
import json
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import click

from core.errors import MeadowError
from userpeer.call import call
from userpeer.errors import NotRunning
from userpeer.settings import Settings

FAILED = 1
USAGE = 2


class Context:
    """What the options before the command say."""

    def __init__(self, directory: Path, as_json: bool, *, named: Path | None = None) -> None:
        """`named`: the directory as `--dir` named it, if it did."""
        self.settings = Settings(directory)
        self.as_json = as_json
        self.hyp = "hyp" if named is None else f"hyp --dir {shlex.quote(str(named))}"


class Group(click.Group):
    """A group of commands that guesses what a wrong one was meant to be."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if self.get_command(ctx, name) is None and not name.startswith("-"):
            known = dict(self._known(ctx.command_path))
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
            hint = (
                f"did you mean `{known[near[0]]}`?"
                if near
                else f"`{ctx.command_path}` knows {', '.join(self.list_commands(ctx))}."
            )
            ctx.fail(f"Invalid command: {name}; {hint}")
        return super().resolve_command(ctx, args)

    def _known(self, path: str) -> Iterator[tuple[str, str]]:
        """Every command at or below this group with its full name; what is nearer to the top comes last, and wins."""
        for name, command in self.commands.items():
            if isinstance(command, Group):
                yield from command._known(f"{path} {name}")
        for name in self.commands:
            yield name, f"{path} {name}"


def ask(obj: Context, command: str, **arguments: Any) -> Iterator[dict[str, Any]]:
    """The items of one command as they come. Remarks go to standard error; an error ends the process."""
    given = {name: value for name, value in arguments.items() if value is not None}
    try:
        for item in call(obj.settings.control_socket, command, given):
            if "remark" in item:
                remark(obj, item["remark"])
            else:
                yield item
    except (MeadowError, OSError) as error:
        if isinstance(error, BrokenPipeError):
            raise
        fail(obj, error)


def fail(obj: Context, error: Exception) -> NoReturn:
    """Say what went wrong, and end."""
    if isinstance(error, NotRunning):
        where = (
            "" if obj.settings.directory.is_dir() else f" (there is nothing at {obj.settings.directory} yet)"
        )
        say_error(obj, error.code, f"The daemon is not active{where}. Please run:\n  {obj.hyp} daemon start")
        sys.exit(USAGE)
    say_error(obj, getattr(error, "code", "error"), str(error) or type(error).__name__)
    sys.exit(FAILED)


def say_error(obj: Context, code: str, sentence: str) -> None:
    if obj.as_json:
        print_json({"error": {"code": code, "sentence": sentence}}, err=True)
    else:
        click.echo(f"hyp: {sentence}", err=True)


def remark(obj: Context, sentence: str) -> None:
    """What a person should know, and a program need not read."""
    if obj.as_json:
        print_json({"remark": sentence}, err=True)
    else:
        click.echo(f"hyp: {sentence}", err=True)


def print_json(value: Any, *, err: bool = False) -> None:
    click.echo(json.dumps(value, ensure_ascii=False, separators=(",", ":")), err=err)


def print_item(obj: Context, item: Any, words: str) -> None:
    if obj.as_json:
        print_json(item)
    else:
        click.echo(words)


def size(length: float) -> str:
    """Bytes in words: 512 B, 1.4 kB, 20 MB."""
    unit = 0
    while length >= 999.5 and unit < 4:
        length /= 1000
        unit += 1
    digits = 1 if unit and length < 9.95 else 0
    return f"{length:.{digits}f} {('B', 'kB', 'MB', 'GB', 'TB')[unit]}"
