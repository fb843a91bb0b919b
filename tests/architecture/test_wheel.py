"""The wheel as a stranger gets it: built here, installed into an empty environment, each command run."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

from tests.conftest import skip_or_fail
from tests.support.repository import ROOT, own_files

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

CLEAN = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "VIRTUAL_ENV"}}


def run(command: list[str], cwd: Path, timeout: float = 60) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=cwd, env=CLEAN, capture_output=True, text=True, timeout=timeout)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(ROOT)]
    done = run(command, ROOT, 120)
    assert done.returncode == 0, done.stdout + done.stderr
    return next(out.glob("meadow_feed-*-py3-none-any.whl"))


def test_the_wheel_holds_the_four_packages_and_all_their_files(wheel: Path) -> None:
    inside = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    packages = {"core", "feedagg", "userpeer", "templates"}
    expected = {str(path.relative_to(ROOT)) for path in own_files()}
    assert inside == {name for name in expected if name.split("/")[0] in packages}
    assert "templates/static/htmx-bundle.js" in inside
    assert any(name.startswith("feedagg/migrations/") for name in inside)


def test_the_wheel_runs_in_an_empty_environment(wheel: Path, tmp_path: Path) -> None:
    python = tmp_path / "venv/bin/python"
    venv.create(tmp_path / "venv", with_pip=True)
    pip = [str(python), "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    lock = str(ROOT / "requirements/runtime.txt")
    done = run([*pip, "--require-hashes", "--only-binary", ":all:", "-r", lock], tmp_path, 300)
    if done.returncode and "hash" not in done.stderr.lower():
        skip_or_fail(f"the locked packages cannot be fetched here: {done.stderr.strip()[-300:]}")
    assert done.returncode == 0, done.stderr
    done = run([*pip, "--no-deps", str(wheel)], tmp_path)
    assert done.returncode == 0, done.stderr
    checked = run([str(python), "-m", "pip", "check"], tmp_path)
    assert checked.returncode == 0, checked.stdout

    for command in ("userpeer", "hyp", "feedagg"):
        helped = run([str(python.with_name(command)), "--help"], tmp_path)
        assert helped.returncode == 0, helped.stderr
        assert helped.stdout.startswith("Usage:")
    shown = run([str(python.with_name("userpeer")), "--dir", str(tmp_path / "peer"), "key"], tmp_path)
    assert shown.returncode == 0, shown.stderr
    page = "import templates; print(templates.environment().list_templates())"
    listed = run([str(python), "-c", page], tmp_path)
    assert "shared/base.html" in listed.stdout, listed.stderr
