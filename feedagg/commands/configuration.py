"""`settings` and `admin-token`: what is set, and the key to the admin pages."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click

from feedagg import operator_token, settings
from feedagg.commands.directory import json_option, load


@click.command(name="settings")
@json_option
@click.pass_obj
def settings_(directory: Path, is_json: bool) -> None:
    """Print every setting, its value, and where that came from."""
    lines = settings.table(load(directory))
    if is_json:
        print(json.dumps([asdict(line) for line in lines], indent=2))
        return
    name_width = max(len(line.name) for line in lines)
    value_width = max(len(line.value) for line in lines)
    for line in lines:
        print(f"{line.name:<{name_width}}  {line.value:<{value_width}}  {line.origin}")


@click.command(name="admin-token")
@click.pass_obj
def admin_token(directory: Path) -> None:
    """Print the token that opens the admin pages and the API's writing half. Whoever has it runs this site."""
    print(operator_token.load(directory).reveal())


COMMANDS = (settings_, admin_token)
