"""The program in the README does what it says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import core
from core.peer import Testnet
from tests.support.repository import ROOT

pytestmark = pytest.mark.anyio


async def test_the_library_as_the_readme_shows_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (program,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    names: dict[str, object] = {}
    exec(compile(program, "README.md", "exec"), names)
    async with await Testnet.open(4) as net:
        await names["main"](tmp_path, net.bootstrap)  # type: ignore[operator]
    assert capsys.readouterr().out.splitlines() == ["2 stalker {'year': 1979}", "world"]


def test_the_names_that_programs_begin_with() -> None:
    assert [getattr(core, name).__name__ for name in core.__all__] == core.__all__
    assert not hasattr(core, "Hyperdrive")
