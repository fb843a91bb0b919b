"""docs/tutorial.md does what it says: its blocks are run in their order, and what they print is compared."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import skip_or_fail
from tests.support.hyp import ROOT, environment, hyp
from tests.support.node import NODE_DIRECTORY, why_node_is_missing
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.interop, pytest.mark.timeout(300)]

TUTORIAL = ROOT / "docs/tutorial.md"
PORT = "49999"
DONE = "__done__"
ANYTHING = "…"


@dataclass
class Block:
    """One fenced block: its language, its lines, and whether it goes on while the rest is run."""

    language: str
    text: str
    background: bool

    def commands(self) -> Iterator[tuple[str, str]]:
        """Each command with what it prints."""
        for part in re.split(r"^\$ ", self.text, flags=re.MULTILINE)[1:]:
            command, _, output = part.partition("\n")
            yield command, output.rstrip("\n")


def blocks() -> list[Block]:
    found = re.findall(r"^(<!-- background -->\n)?```(\w+)\n(.*?)^```$", TUTORIAL.read_text(), re.M | re.S)
    return [Block(language, text, bool(background)) for background, language, text in found]


def matches(expected: str, printed: str) -> bool:
    return bool(re.fullmatch(".*".join(map(re.escape, expected.split(ANYTHING))), printed.strip(), re.S))


class Shell:
    """A bash in which the commands are typed, so that variables live from one to the next."""

    def __init__(self, folder: Path, port: str) -> None:
        self._folder, self._port = folder, port
        tools = folder / "bin"
        tools.mkdir()
        python = f'exec "{sys.executable}"'
        scripts = {
            "hyp": f'{python} -m userpeer.hyp.cli "$@"',
            "userpeer": f'{python} -m userpeer "$@"',
            "python": f'{python} "$@"',
            "npm": "echo installed",  # what it would bring is pinned in this repository
        }
        for name, script in scripts.items():
            (tools / name).write_text(f"#!/bin/sh\n{script}\n")
            (tools / name).chmod(0o755)
        path = f"{tools}{os.pathsep}{os.environ['PATH']}"
        self.environment = {**environment(), "PATH": path, "NODE_PATH": str(NODE_DIRECTORY / "node_modules")}
        self._bash = self._start(subprocess.PIPE)
        self._background: list[subprocess.Popen[str]] = []
        self._variables = ""

    def _start(self, output: int) -> subprocess.Popen[str]:
        return subprocess.Popen(
            ["bash"],
            cwd=self._folder,
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, command: str) -> str:
        """What it prints, on both streams."""
        assert self._bash.stdin is not None
        assert self._bash.stdout is not None
        self._bash.stdin.write(f"{self._here(command)}\necho; echo {DONE}\n")
        self._bash.stdin.flush()
        printed = ""
        while not printed.endswith(f"\n{DONE}\n") and printed != f"{DONE}\n":
            line = self._bash.stdout.readline()
            assert line, f"the shell ended at {command!r}: {printed}"
            printed += line
        if name := re.match(r"([A-Z]+)=", command):  # background commands may want it
            value = self.run(f'echo "${name[1]}"').strip()
            self._variables += f"{name[1]}={value}\n"
        return printed.removesuffix(f"{DONE}\n")

    def leave(self, command: str, output: str) -> None:
        """Run it in the background; wait until it has printed what it should."""
        process = self._start(subprocess.PIPE)
        self._background.append(process)
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(f"{self._variables}exec {self._here(command)}\n")
        process.stdin.close()
        process.stdin = None
        for expected in output.splitlines():
            printed = process.stdout.readline()
            assert matches(self._here(expected), printed), (command, expected, printed)

    def _here(self, text: str) -> str:
        return text.replace(PORT, self._port)

    def close(self) -> None:
        for process in self._background:
            process.terminate()
        for process in self._background:
            process.communicate(timeout=30)
        self._bash.communicate(timeout=30)


def free_port() -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def test_the_tutorial_prints_what_it_says(tmp_path: Path) -> None:
    skip_or_fail(why_node_is_missing())
    shell = Shell(tmp_path, free_port())
    try:
        for block in blocks():
            if block.language == "js":
                (tmp_path / "movies.js").write_text(block.text)
            elif block.language == "python":
                (tmp_path / "films.py").write_text(block.text)
            elif block.background:
                ((command, output),) = block.commands()
                shell.leave(command, output)
            else:
                for command, output in block.commands():
                    printed = shell.run(command)
                    assert matches(output, printed), f"$ {command}\n{printed}\n--- expected:\n{output}"
    finally:
        for name in ("one", "two", "three"):
            hyp(tmp_path / name, "daemon", "stop")
        shell.close()
    wait_for(lambda: not list(tmp_path.glob("*/control.sock")), "the daemons to end")


def test_the_node_program_is_as_short_as_it_says() -> None:
    (program,) = [block.text for block in blocks() if block.language == "js"]
    code = [line for line in program.splitlines() if line.strip() and not line.startswith("//")]
    assert len(code) <= 30


def test_the_versions_in_the_tutorial_are_those_that_are_tested() -> None:
    pinned = (NODE_DIRECTORY / "package.json").read_text()
    for name, version in re.findall(r"(\w+)@([\d.]+)", TUTORIAL.read_text()):
        assert f'"{name}": "{version}"' in pinned


@pytest.mark.parametrize(
    ("expected", "printed", "same"),
    [
        ("a", "a\n", True),
        ("a", "b", False),
        ("a …", "a b\nc", True),
        ("", "x", False),
        ("…", "", True),
        ("a\nb", "a\n\nb", False),
    ],
)
def test_the_comparison_itself_can_fail(expected: str, printed: str, same: bool) -> None:
    assert matches(expected, printed) is same
