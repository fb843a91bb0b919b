"""docs/operating.md lists every command, option and setting there is, and none that is not."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator

import click
import pytest

import feedagg.cli
import userpeer.cli
import userpeer.hyp.cli
from feedagg.settings import Settings
from tests.support.repository import ROOT

PAGE = (ROOT / "docs/operating.md").read_text(encoding="utf-8")
USERPEER, _, REST = PAGE.partition("## Many bees")
HYP, _, FEEDAGG = REST.partition("## An aggregator")


def root_command(module: object) -> click.Group:
    """The click group behind a module's `main`."""
    groups = [value for value in vars(module).values() if isinstance(value, click.Group)]
    named = [group for group in groups if not any(group in other.commands.values() for other in groups)]
    assert len(named) == 1
    return named[0]


def commands(group: click.Group, before: str = "") -> Iterator[tuple[str, click.Command]]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, f"{before}{name} ")
        else:
            yield f"{before}{name}", command


def options(command: click.Command) -> set[str]:
    return {
        name
        for parameter in command.params
        if isinstance(parameter, click.Option)
        for name in (*parameter.opts, *parameter.secondary_opts)
        if name.startswith("--")
    }


CASES = [
    (module, part)
    for module, part in ((userpeer.cli, USERPEER), (userpeer.hyp.cli, HYP), (feedagg.cli, FEEDAGG))
]


@pytest.mark.parametrize(("module", "part"), CASES, ids=["userpeer", "hyp", "feedagg"])
def test_every_command_and_option_is_on_the_page(module: object, part: str) -> None:
    group = root_command(module)
    missing = [option for option in options(group) if f"`{option}" not in part and f"{option} " not in part]
    for name, command in commands(group):
        if not re.search(rf"`{re.escape(name)}[` ]", part):
            missing.append(name)
        missing += [f"{name} {option}" for option in options(command) if f"`{option}`" not in part]
    assert not set(missing) - {"--version"}, missing


@pytest.mark.parametrize(("module", "part"), CASES, ids=["userpeer", "hyp", "feedagg"])
def test_the_page_names_no_option_that_does_not_exist(module: object, part: str) -> None:
    group = root_command(module)
    known = options(group).union(*(options(command) for _, command in commands(group)))
    assert set(re.findall(r"`(--[a-z-]+)`", part)) <= known | {"--help", "--version"}


def test_every_setting_of_the_aggregator_is_in_its_table_with_its_default() -> None:
    table = FEEDAGG.split("| setting | default |")[1].split("\n\n")[0]
    rows = dict(re.findall(r"^\| `([a-z_]+)` \| ([^|]*) \|", table, re.MULTILINE))
    fields = {field.name: field.default for field in dataclasses.fields(Settings) if field.metadata}
    assert set(rows) == set(fields)
    for name, default in fields.items():
        shown = rows[name].strip().strip("`").replace(",", "")
        if isinstance(default, bool):
            assert shown == ("yes" if default else "no"), name
        elif isinstance(default, float):
            assert float(shown) == default, name
        elif default is not None:
            assert shown == str(default), name
