"""The command `feedagg`."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import click

from core.errors import MeadowError
from core.peer import key_to_id, parse_key
from feedagg import operations, settings, sources
from feedagg.addresses import normal
from feedagg.commands import configuration, evidence, lists, moderation, network, portable, upkeep
from feedagg.commands.directory import CONFIG, Directory, db_option, load
from feedagg.ingest import now_ms


class _Group(click.Group):
    """Shows our errors as the sentences they are."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except MeadowError as error:
            raise click.ClickException(str(error)) from error


@click.group(cls=_Group)
@click.option(
    "--dir",
    "directory",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("feedagg-data"),
    show_default=True,
    help="Where the aggregator keeps its blocks and its database.",
)
@click.option(
    "--config",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The file of settings [DIR/feedagg.toml].",
)
@click.version_option(package_name="meadow-feed")
@click.pass_context
def main(context: click.Context, directory: Path, config: Path | None) -> None:
    """Follow many bees and show them as one feed."""
    context.obj = directory
    context.meta[CONFIG] = config


@main.command()
@click.option(
    "--web", metavar="HOST:PORT", help="Where pages are served [127.0.0.1:8080]; port 0 is a free one."
)
@click.option("--listen", metavar="HOST:PORT", help="Where peers may connect [127.0.0.1:0].")
@db_option
@click.option(
    "--role",
    type=click.Choice(settings.ROLES),
    help="Of several processes on one PostgreSQL: web serves pages, ingest reads bees, jobs writes our own bees [all].",
)
@click.option(
    "--bootstrap",
    metavar="HOST:PORT,...",
    help="Nodes of the DHT to begin with, instead of those of the public network.",
)
@click.option("--no-dht", is_flag=True, help="Do not use the DHT: find peers only by the addresses given.")
@click.option(
    "--dht-node", is_flag=True, help="Store for others in the DHT as soon as this machine is reachable."
)
@click.option("--public-url", metavar="URL", help="Our address as readers see it, behind a proxy.")
@click.option(
    "--peer-addresses",
    type=click.Choice(["auto", "public", "any"]),
    help="Where a stranger may make us dial: auto allows this machine only while --web is on it; any allows "
    "private networks.",
)
@click.option("--log", type=click.Choice(settings.LOGS), help="How the log is written [text].")
@click.option("--json", "is_json", is_flag=True, help="Print one JSON line when it is ready.")
@click.pass_obj
def serve(directory: Path, /, is_json: bool, no_dht: bool, dht_node: bool, **flags: Any) -> None:
    """Follow the bees and serve the pages, until Ctrl-C or SIGTERM."""
    from feedagg import server

    if no_dht and (flags["bootstrap"] is not None or dht_node):
        raise click.UsageError("--no-dht turns off what --bootstrap and --dht-node are about.")
    chosen = load(directory, no_dht=no_dht or None, dht_node=dht_node or None, **flags)
    asyncio.run(server.serve(chosen, is_json=is_json))


@main.command()
@click.argument("key")
@click.option("--peer", metavar="HOST:PORT", help="A peer that holds the bee.")
@db_option
@click.option("--json", "is_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def add(directory: Path, key: str, peer: str | None, db: str | None, is_json: bool) -> None:
    """Follow the bee KEY (hex or z-base-32). A running aggregator picks it up within a second."""
    bee = parse_key(key)
    address = None if peer is None else normal(peer)
    is_new = Directory(directory, db).change(
        lambda connection: operations.add(connection, bee, now_ms(), address), begins=True
    )
    if is_json:
        print(json.dumps({"key": bee.hex(), "id": key_to_id(bee), "new": is_new, "peer": address}))
    else:
        print(f"{'Following' if is_new else 'Already following'} {bee.hex()}")


@main.command(name="list")
@db_option
@click.option("--json", "is_json", is_flag=True, help="Print one JSON object a line.")
@click.pass_obj
def list_(directory: Path, db: str | None, is_json: bool) -> None:
    """The bees that are followed, and how far each is read."""
    for source in Directory(directory, db).read(lambda connection: sources.listing(connection, 1_000_000)):
        if is_json:
            facts = {
                "key": source.key,
                "connected": source.connected,
                "length": source.length,
                "indexed": source.cursor,
                "oldest": source.tail,
                "error": source.error,
                "state": source.state,
                "reason": source.state_reason,
            }
            print(json.dumps(facts))
        else:
            state = "connected" if source.connected else source.error or "waiting"
            if source.state != sources.FOLLOWING:
                state = source.state + (f": {source.state_reason}" if source.state_reason else "")
            print(f"{source.key}  {source.cursor}/{source.length}  {state}")


main.add_command(network.net)
for command in (
    *moderation.COMMANDS,
    *configuration.COMMANDS,
    *evidence.COMMANDS,
    *portable.COMMANDS,
    *lists.COMMANDS,
    *upkeep.COMMANDS,
):
    main.add_command(command)


if __name__ == "__main__":
    main()
