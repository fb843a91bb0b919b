"""Who may import whom: the contracts of pyproject.toml, and the doors by which applications enter core."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.repository import ROOT, python_files

DOORS = {"core", "core.peer", "core.records", "core.hyperbee", "core.errors"}


def imported(file: Path) -> Iterator[tuple[int, str]]:
    """Every absolutely imported module, as far as the text of one file says."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            for alias in node.names:
                # `from core import peer` names the door in its second half.
                yield node.lineno, f"core.{alias.name}" if node.module == "core" else node.module


def test_the_import_contracts_hold() -> None:
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=50)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]


def is_door(module: str) -> bool:
    return module in DOORS or module.startswith(("core.records.", "core.hyperbee."))


def test_applications_enter_core_by_its_doors_only() -> None:
    files = python_files("userpeer", "feedagg", "tools")
    wrong = [
        f"{file.relative_to(ROOT)}:{line} imports {module}"
        for file in files
        for line, module in imported(file)
        if module.split(".")[0] == "core" and not is_door(module)
    ]
    assert files
    assert not wrong, "\n".join(wrong)


def test_core_imports_itself_relatively_so_that_one_rename_carves_it_out() -> None:
    wrong = [
        f"{file.relative_to(ROOT)}:{line} imports {module}"
        for file in python_files("core")
        for line, module in imported(file)
        if module.split(".")[0] == "core"
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    ("source", "modules"),
    [
        ("import core.crypto.keys", ["core.crypto.keys"]),
        ("from core import peer, hypercore", ["core.peer", "core.hypercore"]),
        ("from core.records import Post", ["core.records"]),
        ("def f():\n    from core.net import tcp", ["core.net"]),
        ("from . import core", []),
    ],
)
def test_the_check_itself_sees_imports(source: str, modules: list[str], tmp_path: Path) -> None:
    file = tmp_path / "module.py"
    file.write_text(source)
    assert [module for _, module in imported(file)] == modules


def test_the_table_of_rooms_has_every_room() -> None:
    """Every place of the layers contract has its line in docs/architecture.md, and no line a room that is gone."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    rooms = {room.strip("() ") for layer in layers for room in layer.split("|")}
    page = (ROOT / "docs/architecture.md").read_text()
    table = page.partition("## Rooms of `core`")[2].partition("\n## ")[0]
    lines = [line for line in table.splitlines() if line.startswith("| `")]
    named = {name for line in lines for name in re.findall(r"`([a-z_]+)(?:/|\.py)`", line.split("|")[1])}
    assert named == rooms
