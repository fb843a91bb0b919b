"""`userpeer seed`, `unseed` and `sharing`: keeping other people's bees alive; `aggregators`: what they say about one's
own. With or without a running peer.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import Any

import click

from .terminal import Context, items, json_option, print_item, remark


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


@click.command()
@json_option
@click.pass_obj
def aggregators(obj: Context) -> None:
    """Ask every aggregator that was given your key what it has shown of your bee, and what not and why.

    Each answers with a receipt under its own signature, which is checked and laid beside your log. Exit code 1 when one
    of them did not answer.
    """
    asked = silent = 0
    for item in items(obj, "aggregators", {}):
        asked += 1
        silent += item["problem"] is not None
        print_item(obj, item, _said(item))
    if not asked and not obj.as_json:
        remark("Nobody has your key yet. `userpeer submit URL` gives it to an aggregator.")
    if silent:
        sys.exit(1)


def _said(item: dict[str, Any]) -> str:
    out = [item["url"]]
    if item["problem"] is not None:
        out.append(f"  {item['problem']}")
    if item["says"] is not None:
        receipt = item["says"]["receipt"]
        out.append(f"  Said {_when(receipt['at'])}, signed by {receipt['by']}:")
        out += [
            f"  {line['what'] + ':':<8} {line['here']:>9,} in your log, {line['there']:,} there"
            for line in item["says"]["beside"]
        ]
        for one in item["says"]["findings"]:
            when = f" {_when(one['moment'])}." if one["moment"] else ""
            out.append(f"  {_MARKS[one['mark']]} {one['sentence']}{when}")
    return "\n".join(out)


_MARKS = {"ok": "+", "info": "-", "warn": "!", "bad": "!!"}


def _when(moment: int) -> str:
    return f"{datetime.fromtimestamp(moment / 1000, UTC):%Y-%m-%d %H:%M} UTC"
