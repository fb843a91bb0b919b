"""The command line: `userpeer --dir DIR COMMAND`. Every command works whether or not the peer is running.

Results go to standard output, everything else to standard error. Exit codes: 0 done, 1 not done (the sentence
says why), 2 the command line itself is wrong.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from core.errors import MeadowError, StorageLocked

from . import owning_cli
from .sealing_cli import seal, unseal
from .settings import DEFAULT_WEB, UNDO_SECONDS, Settings, default_directory, parse_address
from .sharing_cli import aggregators, seed, sharing, unseed
from .terminal import (
    Context,
    fail,
    given,
    items,
    json_option,
    parse_json,
    print_item,
    print_json,
    remark,
    text_or_stdin,
    typed,
)
from .unlocking import asking, unlock_options
from .wording import counted

F = TypeVar("F", bound=Callable[..., Any])


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--dir",
    "directory",
    type=click.Path(file_okay=False, path_type=Path),
    envvar="USERPEER_DIR",
    default=default_directory,
    show_default="~/.local/share/meadow/peer",
    help="The directory of this peer; it is made at the first start.",
)
@click.option("--json", "as_json", is_flag=True, help="Print machine-readable lines.")
@click.version_option(package_name="meadow-feed", prog_name="userpeer")
@click.pass_context
def cli(ctx: click.Context, directory: Path, as_json: bool) -> None:
    """Your own peer: write posts and films, own the key, and let others read."""
    ctx.obj = Context(directory.expanduser(), as_json)


# --- one's own records ----------------------------------------------------------------------------


@cli.command()
@json_option
@click.pass_obj
def key(obj: Context) -> None:
    """Print your public key: what you give to others."""
    for item in items(obj, "key", {}):
        print_item(obj, item, item["key"])


@cli.command()
@click.argument("text")
@click.option("--tags", help="Up to eight tags, separated by spaces.")
@click.option("--cw", help="A content warning; the text is folded behind it.")
@json_option
@click.pass_obj
def post(obj: Context, text: str, tags: str | None, cw: str | None) -> None:
    """Publish TEXT (`-` reads it from standard input)."""
    arguments = {"text": text_or_stdin(text), "tags": tags, "cw": cw}
    for item in items(obj, "post", given(arguments)):
        print_item(obj, item, f"Posted as {item['key']}")


def movie_options(function: F) -> F:
    """The fields of a film, for `movie` and `edit`."""
    for option in reversed(
        [
            click.option("--year", type=int, help="The year it came out."),
            click.option("--rating", type=int, help="Half stars, 1 to 10."),
            click.option("--review", help="What you thought of it."),
            click.option("--spoiler/--no-spoiler", default=None, help="Fold the review behind a warning."),
            click.option("--watched-on", help="The day, month or year you saw it: YYYY[-MM[-DD]]."),
            click.option("--rewatch/--no-rewatch", default=None, help="You had seen it before."),
            click.option("--liked/--no-liked", default=None, help="You liked it."),
            click.option("--tags", help="Up to eight tags, separated by spaces."),
            click.option("--tmdb", type=int, help="Its number at The Movie Database."),
            click.option("--imdb", help="Its id at IMDb, such as tt0062622."),
        ]
    ):
        function = option(function)
    return function


@cli.command()
@click.argument("title")
@movie_options
@json_option
@click.pass_obj
def movie(obj: Context, /, **arguments: Any) -> None:
    """Publish the film TITLE that you watched or recommend."""
    for item in items(obj, "movie", typed(arguments)):
        print_item(obj, item, f"Published as {item['key']}")


@cli.command()
@click.argument("key")
@click.argument("text", required=False)
@click.option("--cw", help="A post's content warning.")
@click.option("--title", help="A film's title.")
@movie_options
@json_option
@click.pass_obj
def edit(obj: Context, /, **arguments: Any) -> None:
    """Change the post (a new TEXT) or the film under KEY; what you do not name stays as it is.

    An empty option takes the field out: --review "".
    """
    if arguments["text"] is not None:
        arguments["text"] = text_or_stdin(arguments["text"])
    for item in items(obj, "edit", typed(arguments)):
        print_item(obj, item, f"Changed {item['key']} (block {item['seq']})")


@cli.command()
@click.argument("key")
@json_option
@click.pass_obj
def delete(obj: Context, key: str) -> None:
    """Take the record under KEY out of your bee.

    Readers that ask afterwards do not find it; whoever kept the old block can still prove that it existed.
    """
    for item in items(obj, "delete", {"key": key}):
        print_item(obj, item, f"Deleted {item['key']}")


@cli.command()
@click.argument("url", metavar="AGGREGATOR-URL")
@json_option
@click.pass_obj
def submit(obj: Context, url: str) -> None:
    """Give your key, and the address at which your running peer listens, to an aggregator."""
    for item in items(obj, "submit", {"url": url}):
        print_item(obj, item, item["sentence"])
        if item["peer"] is None:
            remark("Your peer is not running: nobody can fetch your records until `userpeer run` is up.")
        if not item["accepted"]:
            sys.exit(1)


# --- the bee itself -------------------------------------------------------------------------------


@cli.group()
def bee() -> None:
    """The bee itself: any key, any JSON value. Takes and prints JSON, one entry a line."""


@bee.command("put")
@click.argument("key")
@click.argument("value", metavar="JSON")
@json_option
@click.pass_obj
def bee_put(obj: Context, key: str, value: str) -> None:
    """Put JSON (`-` reads it from standard input) under KEY."""
    for item in items(obj, "bee.put", {"key": key, "value": parse_json(text_or_stdin(value))}):
        note = item.pop("note", None)
        print_json(item)
        if note:
            remark(note)


@bee.command("get")
@click.argument("key")
@json_option
@click.pass_obj
def bee_get(obj: Context, key: str) -> None:
    """Print the entry under KEY."""
    for item in items(obj, "bee.get", {"key": key}):
        print_json(item)


@bee.command("del")
@click.argument("key")
@json_option
@click.pass_obj
def bee_del(obj: Context, key: str) -> None:
    """Delete the entry under KEY."""
    for item in items(obj, "bee.del", {"key": key}):
        print_json(item)


def range_options(function: F) -> F:
    """Bounds, direction and number, for `ls` and `history`."""
    for option in reversed(
        [
            click.option("--reverse", is_flag=True, default=None, help="The last first."),
            click.option("--limit", type=click.IntRange(min=0), help="At most so many."),
        ]
    ):
        function = option(function)
    return function


@bee.command("ls")
@click.option("--gt", help="Keys after this one.")
@click.option("--gte", help="Keys from this one on.")
@click.option("--lt", help="Keys before this one.")
@click.option("--lte", help="Keys up to this one.")
@range_options
@json_option
@click.pass_obj
def bee_ls(obj: Context, /, **arguments: Any) -> None:
    """List the entries in the order of their keys."""
    for item in items(obj, "bee.ls", given(arguments)):
        print_json(item)


@bee.command("history")
@click.option("--gt", type=int, help="Blocks after this one.")
@click.option("--gte", type=int, help="Blocks from this one on.")
@click.option("--lt", type=int, help="Blocks before this one.")
@click.option("--lte", type=int, help="Blocks up to this one.")
@range_options
@json_option
@click.pass_obj
def bee_history(obj: Context, /, **arguments: Any) -> None:
    """List everything that was ever put and deleted, in the order of the log."""
    for item in items(obj, "bee.history", given(arguments)):
        print_json(item)


@bee.command("info")
@json_option
@click.pass_obj
def bee_info(obj: Context) -> None:
    """Print the log's figures and who is connected."""
    for item in items(obj, "bee.info", {}):
        print_json(item)


for command in (aggregators, seed, unseed, sharing):
    cli.add_command(command)


# --- running --------------------------------------------------------------------------------------


@cli.command()
@click.option("--web", default=str(DEFAULT_WEB), show_default=True, metavar="HOST:PORT", help="Your page.")
@click.option(
    "--listen",
    metavar="HOST:PORT",
    help="Where other peers connect; by default a free port of this machine, the same at each start.",
)
@click.option(
    "--bootstrap",
    metavar="HOST:PORT,...",
    help="Nodes of the DHT to begin with, instead of those of the public network.",
)
@click.option("--no-dht", is_flag=True, help="Do not use the DHT: peers are found by address only.")
@click.option(
    "--dht-node", is_flag=True, help="Store for others in the DHT as soon as this machine is reachable."
)
@click.option(
    "--undo-seconds",
    type=click.FloatRange(0, 600),
    default=UNDO_SECONDS,
    show_default=True,
    help="How long an edit or a delete on your page waits before it is signed.",
)
@unlock_options
@json_option
@click.pass_obj
def run(
    obj: Context,
    web: str,
    listen: str | None,
    bootstrap: str | None,
    no_dht: bool,
    dht_node: bool,
    undo_seconds: float,
    passphrase_file: str | None,
    passphrase_fd: int | None,
) -> None:
    """Serve your bee and your page until you stop it (Ctrl-C)."""
    from core.peer import PUBLIC_BOOTSTRAP

    from .serve import serve

    if no_dht and (bootstrap is not None or dht_node):
        raise click.UsageError("--no-dht turns off what --bootstrap and --dht-node are about.")
    begin = (
        PUBLIC_BOOTSTRAP if bootstrap is None else tuple(filter(None, map(str.strip, bootstrap.split(","))))
    )
    try:
        peers = None if listen is None else parse_address(listen)
        settings = Settings(
            obj.settings.directory,
            parse_address(web),
            peers,
            None if no_dht else begin,
            dht_node,
            undo_seconds,
        )
        announce = _announce_json if obj.as_json else _announce
        asyncio.run(serve(settings, announce, asking(passphrase_file, passphrase_fd)))
    except StorageLocked as error:
        hint = (
            "If that is the daemon of `hyp`, `hyp daemon stop` ends it: it is the same peer without a page."
        )
        fail(obj, StorageLocked(f"{error}. {hint}"))
    except (MeadowError, OSError) as error:
        fail(obj, error)


@cli.command()
@json_option
@click.pass_obj
def net(obj: Context) -> None:
    """Print how the network is: whether others reach you, who is connected and how, and what went wrong last."""
    for item in items(obj, "net", {}):
        if obj.as_json:
            print_json(item)
            continue
        click.echo(item["sentence"])
        for one in item["connections"]:
            rtt = "" if one["rtt"] is None else f", {one['rtt'] * 1000:.1f} ms"
            click.echo(
                f"  {one['key'][:8]}  {one['how']:<8} {one['address']}{rtt}, "
                f"{one['bytesIn']:,} bytes in, {one['bytesOut']:,} out"
            )
        if not item["connections"]:
            click.echo("  Nobody is connected.")
        if item["bee"].get("error"):
            click.echo(f"  Your bee was not announced: {item['bee']['error']}")
        for error in (item["dht"] or {}).get("errors", []):
            click.echo(f"  {error['key'][:8]}  could not be reached: {error['sentence']}")


@cli.command()
@click.option(
    "--port", type=click.IntRange(0, 65_535), default=0, help="UDP port of the first node; 0 is a free one."
)
@click.option("--nodes", type=click.IntRange(1, 256), default=8, show_default=True, help="How many nodes.")
@json_option
@click.pass_obj
def dht(obj: Context, port: int, nodes: int) -> None:
    """Run a whole DHT on this machine until you stop it (Ctrl-C): nothing of it leaves the loopback interface.

    Peers join it with --bootstrap and the address this prints.
    """
    from .local_dht import run_local_dht

    try:
        asyncio.run(run_local_dht(port, nodes, print_json if obj.as_json else _announce_dht))
    except (MeadowError, OSError) as error:
        fail(obj, error)


for command in (*owning_cli.COMMANDS, seal, unseal):
    cli.add_command(command)


def _announce_dht(event: dict[str, Any]) -> None:
    click.echo(f"A DHT of {counted(event['nodes'], 'node')} runs on this machine.")
    click.echo(f"Join it with    --bootstrap {event['bootstrap']}")
    click.echo("Press Ctrl-C to stop.")


def _announce(event: dict[str, Any]) -> None:
    if event["event"] == "ready":
        click.echo(f"Your page       {event.get('open', event['web'])}")
        click.echo(f"Your key        {event['key']}")
        click.echo(f"Peers connect   {event['listen']}")
        click.echo("Press Ctrl-C to stop.")


def _announce_json(event: dict[str, Any]) -> None:
    print_json(event)


def main() -> None:
    """The console script."""
    try:
        cli()
    except BrokenPipeError:  # `| head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.exit(0)
