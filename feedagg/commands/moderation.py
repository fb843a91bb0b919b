"""`accept`, `refuse`, `pause`, `trust`, `policy`; `hide`, `unhide`; `decisions`."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import click

from core.peer import parse_key
from feedagg import decisions, operations, policy, reports, sources
from feedagg.commands.directory import Directory, db_option, json_option
from feedagg.ingest import now_ms
from feedagg.operations import Target

_reason = click.option("--reason", help="Shown to the author and to everybody else.")


@click.command()
@click.argument("bee")
@_reason
@db_option
@click.pass_obj
def accept(directory: Path, bee: str, reason: str | None, db: str | None) -> None:
    """Follow a BEE that waits for approval, is paused or was refused."""
    which = parse_key(bee)
    changed = Directory(directory, db).change(
        lambda connection: operations.accept(connection, now_ms(), Target(which, None, reason))
    )
    print(f"Following {which.hex()}" if changed else f"Already following {which.hex()}")


@click.command()
@click.argument("bee")
@click.option("--reason", required=True, help="Shown to the author and to everybody else.")
@db_option
@click.pass_obj
def refuse(directory: Path, bee: str, reason: str, db: str | None) -> None:
    """Follow a BEE no more and take it off the pages. Its copy here stays until it is purged."""
    which = parse_key(bee)
    changed = Directory(directory, db).change(
        lambda connection: operations.refuse(connection, now_ms(), Target(which, None, reason)), begins=True
    )
    print(f"Refused {which.hex()}" if changed else f"{which.hex()} is refused already, for this reason.")


@click.command()
@click.argument("bee")
@_reason
@db_option
@click.pass_obj
def pause(directory: Path, bee: str, reason: str | None, db: str | None) -> None:
    """Stop reading a BEE; what is here of it stays on the pages. `accept` goes on."""
    which = parse_key(bee)
    changed = Directory(directory, db).change(
        lambda connection: policy.pause(connection, which, now_ms(), reason)
    )
    print(f"Paused {which.hex()}" if changed else f"{which.hex()} is paused already.")


@click.command()
@click.argument("bee")
@click.option("--off", is_flag=True, help="Bind it by the quota of new bees again.")
@_reason
@db_option
@click.pass_obj
def trust(directory: Path, bee: str, off: bool, reason: str | None, db: str | None) -> None:
    """Free a BEE from the quota of new ones."""
    which = parse_key(bee)
    changed = Directory(directory, db).change(
        lambda connection: policy.trust(connection, which, now_ms(), reason, is_trusted=not off)
    )
    print(f"{which.hex()} is {'bound by' if off else 'free from'} the quota{'' if changed else ' already'}.")


@click.command(name="policy")
@click.argument("value", required=False, metavar="[VALUE]", type=click.Choice(list(policy.POLICIES)))
@db_option
@click.pass_obj
def policy_(directory: Path, value: str | None, db: str | None) -> None:
    """Who may submit bees: open, approval (they wait until you accept them) or closed. Without a VALUE: print what is
    in force, and who waits.
    """
    here = Directory(directory, db)
    if value is not None:
        here.change(lambda connection: policy.choose(connection, now_ms(), value), begins=True)
    in_force = here.read(policy.policy)
    print(f"{in_force}: {policy.POLICIES[in_force]}")
    waiting = here.read(lambda connection: sources.of_state(connection, sources.PENDING, 1000))
    for source in waiting:
        print(f"waits for approval: {source.key}")


@click.command()
@click.argument("bee")
@click.argument("key")
@click.option("--reason", required=True, help="Shown to readers in place of the record.")
@db_option
@click.pass_obj
def hide(directory: Path, bee: str, key: str, reason: str, db: str | None) -> None:
    """Take the record KEY of a BEE off the pages. The author's bee is not touched."""
    which = parse_key(bee)
    is_here = Directory(directory, db).change(
        lambda connection: reports.uphold(connection, which, key.encode(), reason, now_ms())
    )
    print(f"Hidden: {key}" if is_here else f"Noted: {key} is not here yet and will be hidden when it comes.")


@click.command()
@click.argument("bee")
@click.argument("key")
@_reason
@db_option
@click.pass_obj
def unhide(directory: Path, bee: str, key: str, reason: str | None, db: str | None) -> None:
    """Show a hidden record again."""
    which = parse_key(bee)
    was_hidden = Directory(directory, db).change(
        lambda connection: operations.unhide(connection, now_ms(), Target(which, key.encode(), reason))
    )
    print(f"Shown again: {key}" if was_hidden else f"{key} was not hidden.")


@click.command(name="decisions")
@click.option(
    "--limit", type=click.IntRange(1), default=50, show_default=True, help="How many, newest first."
)
@db_option
@json_option
@click.pass_obj
def decisions_(directory: Path, limit: int, db: str | None, is_json: bool) -> None:
    """What was decided here, newest first."""
    for one in Directory(directory, db).read(lambda connection: decisions.listing(connection, limit)):
        bee = None if one.bee is None else one.bee.hex()
        key = None if one.key is None else one.key.decode(errors="replace")
        if is_json:
            facts = {"id": one.id, "at": one.at, "by": one.by, "action": one.action, "bee": bee, "key": key}
            print(json.dumps(facts | {"reason": one.reason}))
        else:
            at = datetime.fromtimestamp(one.at / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
            print("  ".join(part for part in (at, one.action, bee, key, one.reason) if part))


COMMANDS = (accept, refuse, pause, trust, policy_, hide, unhide, decisions_)
