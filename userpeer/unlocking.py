"""The passphrase that a peer's keys are sealed by: from a file, a descriptor, the environment or the terminal.

It is asked for only when the store turns out to be sealed, is in no argument list and in no log, and what this process
starts does not inherit it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any, BinaryIO, Final, TypeVar

import click

from core.errors import StoreSealed

from .errors import UserError

ENVIRONMENT: Final = "USERPEER_KEY_PASSPHRASE"
MAX_PASSPHRASE_BYTES: Final = 4096

F = TypeVar("F", bound=Callable[..., Any])
Ask = Callable[[], str]
"""Gives the passphrase; raises `StoreSealed` when nobody can be asked, `UserError` when it cannot be read."""


def unlock_options(function: F) -> F:
    """`--passphrase-file` and `--passphrase-fd`, of what opens a sealed store."""
    for option in (
        click.option(
            "--passphrase-fd",
            type=click.IntRange(min=0),
            metavar="NUMBER",
            help="Read the passphrase of sealed keys from this open file descriptor.",
        ),
        click.option(
            "--passphrase-file",
            type=click.Path(dir_okay=False),
            help="Read the passphrase of sealed keys from the first line of this file (- is standard input).",
        ),
    ):
        function = option(function)
    return function


def asking(file: str | None = None, descriptor: int | None = None) -> Ask:
    """The first there is of: the file, the descriptor, USERPEER_KEY_PASSPHRASE, the terminal."""

    def ask() -> str:
        given = os.environ.pop(ENVIRONMENT, None)
        if file is not None or descriptor is not None:
            return _from_file(file, descriptor)
        if given is not None:
            return given
        if not sys.stdin.isatty():
            raise StoreSealed(
                "The keys of this peer are sealed by a passphrase. Start it from a terminal, which asks for it, or use "
                f"--passphrase-file, --passphrase-fd or {ENVIRONMENT}."
            )
        return str(click.prompt("Passphrase of the keys", hide_input=True, err=True))

    return ask


def _from_file(file: str | None, descriptor: int | None) -> str:
    try:
        if file == "-":
            return _first_line(sys.stdin.buffer)
        with open(file if file is not None else int(descriptor or 0), "rb") as opened:
            return _first_line(opened)
    except OSError as error:
        where = file if file is not None else f"descriptor {descriptor}"
        raise UserError(f"The passphrase could not be read from {where}: {error.strerror}.") from error
    except UnicodeDecodeError:
        raise UserError("The passphrase is not text in UTF-8.") from None


def _first_line(file: BinaryIO) -> str:
    line = file.readline(MAX_PASSPHRASE_BYTES).decode().rstrip("\r\n")
    if not line:
        raise UserError("There is no passphrase on the first line of what was to be read.")
    return line
