"""`docs/architecture.md` is a map of what is there: every room is on it, and every name on it exists."""

from __future__ import annotations

import re

import pytest

from tests.support.repository import ROOT

PAGE = (ROOT / "docs/architecture.md").read_text("utf-8")


def named(package: str) -> set[str]:
    """The files and folders in the first column of the tables about a package."""
    head = "## Rooms of `core`" if package == "core" else f"| `{package}/` |"
    table = PAGE[PAGE.index(head) :]
    rows = re.findall(r"^\|([^|]+)\|", table[: table.index("\n\n", table.index("|---"))], re.MULTILINE)
    return set(re.findall(r"`([a-z_]+(?:\.py|/))`", " ".join(rows))) - {f"{package}/"}


@pytest.mark.parametrize("package", ["core", "userpeer", "feedagg"])
def test_every_room_is_on_the_map_and_every_name_on_it_exists(package: str) -> None:
    rooms = {f"{file.parent.name}/" for file in (ROOT / package).glob("*/*.py")}
    known_by_name = {"pages/"}  # the sentence above the tables has it, for both applications
    assert rooms - known_by_name <= named(package)
    missing = [name for name in named(package) if not (ROOT / package / name).exists()]
    assert not missing


def test_the_files_that_readme_and_docs_link_to_exist() -> None:
    wrong = [
        f"{page.relative_to(ROOT)}: {target}"
        for page in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]
        for target in re.findall(r"\]\(([^)#\s]+)", page.read_text("utf-8"))
        if not target.startswith(("http://", "https://")) and not (page.parent / target).exists()
    ]
    assert not wrong, "\n".join(wrong)


def test_the_tests_that_the_docs_name_exist() -> None:
    wrong = []
    for page in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]:
        for file, test in re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", page.read_text("utf-8")):
            path = ROOT / file
            if not path.exists() or (test and f"def {test}(" not in path.read_text("utf-8")):
                wrong.append(f"{page.relative_to(ROOT)}: {file} {test}")
    assert not wrong, "\n".join(wrong)
