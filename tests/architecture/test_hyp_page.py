"""docs/hyp.md: what the tools of 2021 offered and where they hurt, each beside commands and tests that exist."""

from __future__ import annotations

import ast
import re
from functools import cache

import pytest

import userpeer.hyp.cli
from tests.architecture.test_operating_page import commands, options
from tests.support.repository import ROOT

PAGE = (ROOT / "docs/hyp.md").read_text(encoding="utf-8")
FEATURES = "## What 2021 had, and where it is now"
PAINS = "## What a newcomer stumbled over in 2021"


def rows(heading: str) -> dict[int, list[str]]:
    """Number -> the other cells, of the table below a heading."""
    section = PAGE.partition(heading)[2].partition("\n## ")[0]
    lines = [line.strip("|").split(" | ") for line in section.splitlines() if re.match(r"\| \d+ \|", line)]
    return {int(cells[0]): cells[1:] for cells in lines}


@cache
def functions(file: str) -> frozenset[str]:
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    found = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return frozenset(node.name for node in found)


@pytest.mark.parametrize(("heading", "count"), [(FEATURES, 28), (PAINS, 20)], ids=["features", "pains"])
def test_each_row_names_tests_that_exist(heading: str, count: int) -> None:
    table = rows(heading)
    assert list(table) == list(range(1, count + 1))
    for number, cells in table.items():
        named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", cells[-1])
        assert named, f"row {number} names no test"
        for file, function in named:
            assert (ROOT / file).exists(), f"row {number}: there is no {file}"
            assert not function or function in functions(file), f"row {number}: {file} has no {function}"
            assert not function or function.startswith("test_")


def test_each_command_and_option_of_the_features_exists() -> None:
    known = dict(commands(userpeer.hyp.cli.cli))
    all_options = {option for command in known.values() for option in options(command)}
    seen = set()
    for number, cells in rows(FEATURES).items():
        for code in re.findall(r"`([^`]+)`", cells[1]):
            if code.startswith("hyp ") and "..." not in code:
                meant = {name for name in known if f"{code[4:]} ".startswith(f"{name} ")}
                assert meant, f"row {number}: there is no command {code}"
                seen |= meant
            for option in re.findall(r"--[a-z-]+", code):
                assert option in all_options, f"row {number}: no command of hyp has {option}"
    assert len(seen) >= 12


def test_each_call_of_the_python_client_is_there() -> None:
    from userpeer.hyp.client import Bee, Hyp

    calls = re.findall(r"`(hyp|bee)\.(\w+)\(", PAGE)
    assert len(calls) > 12
    for what, name in calls:
        assert callable(getattr(Hyp if what == "hyp" else Bee, name, None)), f"{what}.{name}"


def test_each_socket_command_of_the_page_is_there_and_the_other_way_round() -> None:
    from userpeer.hyp.commands import HYP_COMMANDS

    listed = PAGE.partition("\nCommands: ")[2].partition(". An item")[0]
    assert set(re.findall(r"`([\w.]+)`", listed)) == set(HYP_COMMANDS)
