"""The repository as a thing to look at: its root and its own files."""

from __future__ import annotations

import subprocess
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@cache
def own_files() -> tuple[Path, ...]:
    """Every file that is tracked, or new and not ignored. Skips where this is no git checkout."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    try:
        listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, timeout=30).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this is not a git checkout, so it is not known which files are its own")
    names = (name for name in listed.decode().split("\0") if name)
    return tuple(path for path in map(ROOT.joinpath, names) if path.is_file())


def python_files(*rooms: str) -> list[Path]:
    """Our Python files inside the top-level folders `rooms`."""
    return [path for path in own_files() if path.suffix == ".py" and path.relative_to(ROOT).parts[0] in rooms]
