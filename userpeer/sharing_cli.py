"""`userpeer seed`, `unseed` and `sharing`: keeping other people's bees alive, with or without a running peer."""

from __future__ import annotations

import click

from .terminal import Context, items, json_option, print_item


@click.command()
@click.argument("bee", metavar="KEY")
@json_option
@click.pass_obj
def seed(obj: Context, bee: str) -> None:
    """Keep somebody's bee alive: fetch all of it and be found as one who has it, also after a restart."""
    for item in items(obj, "hyp.seed", {"bee": bee}):
        print_item(obj, item, f"Seeding {item['url']}")


@click.command()
@click.argument("bee", metavar="KEY")
@click.option("--clear", is_flag=True, help="Also forget the blocks that are here.")
@json_option
@click.pass_obj
def unseed(obj: Context, bee: str, clear: bool) -> None:
    """End that; what is here stays readable for you."""
    for item in items(obj, "hyp.unseed", {"bee": bee, "clear": clear}):
        print_item(obj, item, f"No longer seeding {item['url']}")


@click.command()
@json_option
@click.pass_obj
def sharing(obj: Context) -> None:
    """List all that is shared, how much of it is here, and who took how much since the peer was started."""
    from .hyp.report import bee_report

    for item in items(obj, "hyp.info", {}):
        print_item(obj, item, bee_report(item, is_long=True))
