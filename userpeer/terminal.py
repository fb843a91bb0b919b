"""What every command shares: calling the peer, printing what came, and ending with an honest exit code."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncGenerator, Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import click

from core.errors import MeadowError, StorageLocked

from .errors import NotRunning
from .settings import Settings
from .unlocking import asking

# A peer that is just starting holds the store before its socket is there.
_STARTING_SECONDS = 5.0
_CLOSING_SECONDS = 5.0


F = TypeVar("F", bound=Callable[..., Any])


class Context:
    """What the options before the command say."""

    def __init__(self, directory: Path, as_json: bool) -> None:
        self.settings = Settings(directory)
        self.as_json = as_json


def items(obj: Context, command: str, arguments: Mapping[str, Any]) -> Any:
    """The items of one command, printed as they come; an error ends the process with its sentence."""
    loop = asyncio.new_event_loop()
    stream = _call(obj.settings, command, arguments)
    try:
        while True:
            try:
                yield loop.run_until_complete(anext(stream))
            except StopAsyncIteration:
                return
    except (MeadowError, OSError) as error:
        if isinstance(error, BrokenPipeError):
            raise
        fail(obj, error)
    finally:
        loop.run_until_complete(stream.aclose())
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.run_until_complete(_finish())
        loop.close()


async def _finish() -> None:
    """Let what was left half read close itself; a loop that is closed before says so on standard error."""
    if tasks := asyncio.all_tasks() - {asyncio.current_task()}:
        await asyncio.wait(tasks, timeout=_CLOSING_SECONDS)


async def _call(
    settings: Settings, command: str, arguments: Mapping[str, Any]
) -> AsyncGenerator[dict[str, Any], None]:
    """Through the running peer if there is one, else on the store itself."""
    from .client import call_running

    settings.prepare()
    waited = 0.0
    while True:
        try:
            async for item in call_running(settings.control_socket, command, arguments):
                yield item
            return
        except NotRunning:
            pass
        from .commands import COMMANDS
        from .service import open_service

        try:
            async with open_service(settings, passphrase=asking()) as service:
                async for item in COMMANDS[command](service, arguments):
                    yield item
            return
        except StorageLocked:
            if waited >= _STARTING_SECONDS:
                raise
            await asyncio.sleep(0.1)
            waited += 0.1


def fail(obj: Context, error: Exception) -> None:
    sentence = str(error) or type(error).__name__
    if obj.as_json:
        code = getattr(error, "code", "error")
        click.echo(json.dumps({"error": {"code": code, "sentence": sentence}}, ensure_ascii=False), err=True)
    else:
        click.echo(f"userpeer: {sentence}", err=True)
    sys.exit(1)


def remark(sentence: str) -> None:
    click.echo(f"userpeer: {sentence}", err=True)


def print_item(obj: Context, item: dict[str, Any], words: str) -> None:
    if obj.as_json:
        print_json(item)
    else:
        click.echo(words)


def print_json(value: Any) -> None:
    click.echo(json.dumps(value, ensure_ascii=False, separators=(",", ":")))


def text_or_stdin(text: str) -> str:
    return sys.stdin.read() if text == "-" else text


def parse_json(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise click.BadParameter(
            f"not JSON: {error}. Text needs double quotes inside: '\"like this\"'."
        ) from None


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def given(arguments: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in arguments.items() if value is not None}


def typed(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Numbers as the text a form would hold: drafts read what was typed."""
    return {
        name: str(value) if isinstance(value, int) and not isinstance(value, bool) else value
        for name, value in given(arguments).items()
    }


def json_option(function: F) -> F:
    """`--json`, also after the command."""

    def remember(ctx: click.Context, _: click.Parameter, value: bool) -> None:
        if value:
            ctx.find_object(Context).as_json = True  # type: ignore[union-attr]

    return click.option(
        "--json", is_flag=True, expose_value=False, callback=remember, help="Print machine-readable lines."
    )(function)
