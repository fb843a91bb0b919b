"""The command line `hyp`: the workshop's words for the bees of this machine.

Nearly everything asks the running daemon (or `userpeer run`, which is the same peer with a page) and imports nothing of
the peer itself: that is what makes a command quick.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from core.errors import BadArgument, MeadowError
from userpeer.settings import Settings, default_directory, parse_address
from userpeer.unlocking import asking, unlock_options
from userpeer.wording import counted

from .cli_bee import bee
from .terminal import (
    FAILED,
    USAGE,
    Context,
    Group,
    ask,
    fail,
    print_item,
    print_json,
    remark,
    say_error,
)


def _directory() -> Path:
    """That of the personal peer: one directory, one store, one process."""
    named = os.environ.get("USERPEER_DIR")
    return Path(named) if named else default_directory()


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"]}, no_args_is_help=True)
@click.option(
    "--dir",
    "directory",
    type=click.Path(file_okay=False, path_type=Path),
    envvar="HYP_DIR",
    default=_directory,
    show_default="the directory of `userpeer`",
    help="The directory of the peer; it is made at the first start.",
)
@click.option("--json", "as_json", is_flag=True, help="Print machine-readable lines.")
@click.version_option(package_name="meadow-feed", prog_name="hyp")
@click.pass_context
def cli(ctx: click.Context, directory: Path, as_json: bool) -> None:
    """Bees by key: create them, read and write them, keep other people's alive.

    A bee is named by hyper://<64 hex>, or by the name it was created with. To begin:

    \b
      hyp daemon start
      hyp create bee movies
      hyp bee put movies/1985/ran '{"title": "Ran"}'
      hyp bee ls movies

    docs/hyp.md tells the rest.
    """
    is_named = ctx.get_parameter_source("directory") is ParameterSource.COMMANDLINE
    ctx.obj = Context(directory.expanduser(), as_json, named=directory if is_named else None)


# --- the daemon -----------------------------------------------------------------------------------


@cli.group(cls=Group)
def daemon() -> None:
    """Start, stop and ask the process in the background.

    It holds the store and the connections, for all programs of this machine.
    """


@daemon.command()
@click.option(
    "--bootstrap",
    metavar="HOST:PORT,...",
    help="Nodes of the DHT to begin with, instead of those of the public network.",
)
@click.option("--no-dht", is_flag=True, help="Do not use the DHT: peers are found by address only.")
@click.option(
    "--port",
    type=click.IntRange(1, 65_535),
    metavar="PORT",
    help="UDP port by which others reach this machine; by default the one of the last time, at first 49737.",
)
@click.option("--listen", metavar="HOST:PORT", help="TCP address for peers that are given one.")
@click.option("--no-announce", is_flag=True, help="Find others without being found.")
@click.option("--memory-only", is_flag=True, help="Keep nothing on the disk: a restart begins anew.")
@click.option(
    "--dht-node", is_flag=True, help="Store for others in the DHT as soon as this machine is reachable."
)
@unlock_options
@click.pass_obj
def start(
    obj: Context,
    bootstrap: str | None,
    no_dht: bool,
    port: int | None,
    listen: str | None,
    no_announce: bool,
    memory_only: bool,
    dht_node: bool,
    passphrase_file: str | None,
    passphrase_fd: int | None,
) -> None:
    """Start the daemon; returns once it answers. It goes on when this terminal is closed."""
    from . import spawn

    if no_dht and (bootstrap is not None or port is not None or dht_node or no_announce):
        raise click.UsageError(
            "--no-dht turns off what --bootstrap, --port, --no-announce and --dht-node are about."
        )
    nodes = None if bootstrap is None else tuple(filter(None, map(str.strip, bootstrap.split(","))))
    try:
        settings = Settings(
            obj.settings.directory,
            listen=None if listen is None else parse_address(listen),
            bootstrap=None if no_dht else nodes,
            dht_node=dht_node,
            port=port,
            announce=not no_announce,
            memory_only=memory_only,
        )
        ask_for = asking(passphrase_file, passphrase_fd)
        started = spawn.start(settings, public_dht=nodes is None and not no_dht, passphrase=ask_for)
        about = spawn.status(settings) if obj.as_json else {}
    except BadArgument as error:
        raise click.UsageError(str(error)) from None
    except (MeadowError, OSError) as error:
        fail(obj, error)
    if not started:
        remark(
            obj,
            "It was running already, and goes on as it was started; options of this command changed nothing.",
        )
    print_item(obj, about, "Daemon is running.")


@daemon.command("status")
@click.pass_obj
def daemon_status(obj: Context) -> None:
    """Say how the daemon is; exit code 2 when there is none."""
    for about in ask(obj, "daemon.status"):
        if obj.as_json:
            print_json(about)
            continue
        reach = "hole-punchable" if about["holePunchable"] else "not hole-punchable"
        click.echo(f"Meadow v{about['version']}, process {about['pid']}")
        click.echo(f"Your address:  {about['address'] or '?'} ({reach})")
        click.echo(f"Network        {about['network']}")
        if about["udp"]:
            click.echo(f"UDP            {about['udp']}, bootstrap {', '.join(about['bootstrap'])}")
        click.echo(f"TCP            {about['listen']}")
        click.echo(f"Connections    {about['connections']}")
        click.echo(f"Bees           {about['bees']}{'' if about['announces'] else ', announced to nobody'}")
        click.echo(f"Store          {about['store'] or 'in memory only'}")
        click.echo(f"Log            {about['log']}")
        if about["restoring"]:
            click.echo(
                "Restored       `main` is not written to before what it held is found. " + about["restoring"]
            )


@daemon.command()
@click.pass_obj
def stop(obj: Context) -> None:
    """Stop the daemon (or `userpeer run`); returns once it is gone."""
    from userpeer.errors import NotRunning

    from . import spawn
    from .spawn import DaemonFailed

    try:
        process = spawn.stop(obj.settings)
    except NotRunning:
        print_item(obj, {"stopped": False}, "Daemon was not running.")
        return
    except (DaemonFailed, MeadowError, OSError) as error:
        fail(obj, error)
    print_item(obj, {"stopped": True, "pid": process}, "Daemon stopped.")


# --- bees -----------------------------------------------------------------------------------------


@cli.group(cls=Group)
def create() -> None:
    """Make a new bee."""


@create.command("bee")
@click.argument("name", required=False)
@click.pass_obj
def create_bee(obj: Context, name: str | None) -> None:
    """Make a bee and print its URL.

    It is called NAME, or bee-1, bee-2, ...; its URL is what you give to others. It can be written and read at
    once, and is shared for as long as the daemon runs.
    """
    for item in ask(obj, "hyp.create", name=name):
        if not obj.as_json:
            remark(obj, f"Bee created: {item['name']}")
        print_item(obj, item, item["url"])


@cli.command("ls")
@click.pass_obj
def ls(obj: Context) -> None:
    """List your bees, and those of others that you seed."""
    for item in ask(obj, "hyp.list"):
        what = "yours" if item["own"] else "seeded for others"
        shared = "" if item["seeding"] else ", not shared"
        words = f"{item['name'] or '-':<16} {item['url']}  {counted(item['length'], 'block')}, {what}{shared}"
        print_item(obj, item, words)


@cli.command()
@click.argument("bees", nargs=-1, metavar="[BEE]...")
@click.option("-l", "--long", "is_long", is_flag=True, help="Each peer, and who took how much.")
@click.option("--live", is_flag=True, help="Again every second, until Ctrl-C.")
@click.pass_obj
def info(obj: Context, bees: tuple[str, ...], is_long: bool, live: bool) -> None:
    """Say who is connected, and how much is here.

    And what goes in and out. Without BEE: of all that `hyp ls` lists. Never waits for the network.
    """
    from .report import bee_report

    if not live:
        found = list(ask(obj, "hyp.info", bees=list(bees)))
        for item in found:
            print_item(obj, item, bee_report(item, is_long=is_long))
        return
    lines = 0
    for moment in ask(obj, "hyp.live", bees=list(bees)):
        if obj.as_json:
            print_json(moment)
            continue
        text = "\n".join(bee_report(item, is_long=is_long) for item in moment["bees"])
        if lines and sys.stdout.isatty():
            click.echo(f"\x1b[{lines}F\x1b[J", nl=False)
        click.echo(text)
        lines = text.count("\n") + 1


@cli.command()
@click.argument("bees", nargs=-1, required=True, metavar="BEE...")
@click.pass_obj
def seed(obj: Context, bees: tuple[str, ...]) -> None:
    """Share bees, also other people's, and keep all of them.

    What their owners add comes by itself. It is remembered: a restart goes on with it.
    """
    for bee_named in bees:
        for item in ask(obj, "hyp.seed", bee=bee_named):
            print_item(obj, item, f"Seeding {short(item)}")


@cli.command()
@click.argument("bees", nargs=-1, required=True, metavar="BEE...")
@click.option("--clear", is_flag=True, help="Also forget the blocks of other people's bees that are here.")
@click.pass_obj
def unseed(obj: Context, bees: tuple[str, ...], clear: bool) -> None:
    """Share bees no longer; what is here stays readable.

    They are announced no more, and nothing more of them is fetched; this is remembered, too. Whoever is
    connected already and knows the key can still be given what is here, until it is cleared.
    """
    for bee_named in bees:
        for item in ask(obj, "hyp.unseed", bee=bee_named, clear=clear):
            print_item(obj, item, f"No longer seeding {short(item)}")


@cli.command("import")
@click.argument("directory", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--all", "everybody", is_flag=True, help="Copy other people's bees too, as bees of yours.")
@click.pass_obj
def import_2021(obj: Context, directory: Path, everybody: bool) -> None:
    """Bring the bees of a hyperspace folder of 2021 here.

    They become new ones, and it is safe to run again. Keys and values stay as they are. The bees get new
    keys, because logs are signed otherwise today; each names its old key in its header. The folder is only
    read; stop what writes to it first.
    """
    failed = False
    for item in ask(obj, "hyp.import", directory=str(directory.resolve()), all=everybody):
        failed = failed or item["result"] == "failed"
        what = item.get("old", item["place"])
        where = f" -> {item['name']} {item['url']}" if "url" in item else ""
        print_item(obj, item, f"{what}{where}: {item['sentence']}")
    if failed:
        sys.exit(FAILED)


@cli.command()
@click.argument("phrase", nargs=-1)
@click.option("--listen", "listens", is_flag=True, help="Wait for the other side under a PHRASE of your own.")
@click.option(
    "--bootstrap",
    metavar="HOST:PORT,...",
    help="Nodes of the DHT; by default the daemon's, or the public ones.",
)
@click.pass_obj
def beam(obj: Context, phrase: tuple[str, ...], listens: bool, bootstrap: str | None) -> None:
    """Be a pipe to another machine, by a phrase alone.

    Standard input goes there, and what comes from there is printed. Without PHRASE it makes one up and waits;
    type that on the other machine: hyp beam WORD WORD WORD WORD. Whoever knows the phrase can take the other
    end, so say it to one person only. It needs no daemon.
    """
    import asyncio

    from .beam import beam as run
    from .phrase import BITS_OF_A_WORD, checked_phrase, new_phrase

    try:
        words = checked_phrase(" ".join(phrase)) if phrase else new_phrase()
    except MeadowError as error:
        raise click.UsageError(str(error)) from None
    if listens and not phrase:
        raise click.UsageError("--listen waits under a phrase of yours: name it, or leave --listen out.")
    if not phrase:
        bits = BITS_OF_A_WORD * len(words.split())
        remark(
            obj,
            f"The phrase ({bits} bits, for one use) is:\n\n  {words}\n\nOn the other machine: hyp beam {words}",
        )
    nodes = (
        tuple(filter(None, map(str.strip, bootstrap.split(",")))) if bootstrap else _nodes_of_the_daemon(obj)
    )
    try:
        asyncio.run(
            run(words, listens=listens or not phrase, bootstrap=nodes, say=lambda text: remark(obj, text))
        )
    except (MeadowError, OSError) as error:
        if isinstance(error, BrokenPipeError) and not isinstance(error, MeadowError):
            raise
        fail(obj, error)


def _nodes_of_the_daemon(obj: Context) -> tuple[str, ...]:
    """Where the running daemon begins; without one, or when it uses no DHT, the public nodes."""
    from core.peer import PUBLIC_BOOTSTRAP

    from .spawn import status

    try:
        return tuple(status(obj.settings)["bootstrap"] or PUBLIC_BOOTSTRAP)
    except (MeadowError, OSError):
        return PUBLIC_BOOTSTRAP


def short(item: dict[str, Any]) -> str:
    """A bee in a few letters."""
    return item["name"] or f"{item['key'][:6]}..{item['key'][-2:]}"


cli.add_command(bee)


def main() -> None:
    """The console script."""
    try:
        words = sys.argv[1:]
        if "--json" in words:  # wherever it stands
            words.remove("--json")
            words.insert(0, "--json")
        status = cli.main(words, prog_name="hyp", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        sys.exit(USAGE)
    except click.ClickException as error:
        if "--json" in sys.argv:
            say_error(Context(Path(), True), "usage", error.format_message())
        else:
            error.show()
        sys.exit(USAGE)
    except MeadowError as error:  # what was typed names no bee
        say_error(Context(Path(), "--json" in sys.argv), getattr(error, "code", "usage"), str(error))
        sys.exit(USAGE)
    except (KeyboardInterrupt, click.Abort):
        sys.exit(130)
    except BrokenPipeError:  # `| head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.exit(0)
    sys.exit(status if isinstance(status, int) else 0)


if __name__ == "__main__":
    main()
