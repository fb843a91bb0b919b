"""The real `hyp` for tests: its commands as processes, daemons that are stopped in the end, a DHT on this machine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.waiting import wait_for

ROOT = Path(__file__).parents[2]
SECONDS = 60


def environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in ("HYP_DIR", "USERPEER_DIR")}
    return {**kept, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}


def hyp(directory: Path, *words: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    """`hyp --dir DIRECTORY ...` as a process of its own; without `stdin` it has an empty one, not a terminal."""
    return subprocess.run(
        [sys.executable, "-m", "userpeer.hyp.cli", "--dir", str(directory), *words],
        input=stdin or "",
        capture_output=True,
        text=True,
        timeout=SECONDS,
        env=environment(),
    )


def said(directory: Path, *words: str, stdin: str | None = None) -> str:
    """What a command that must work prints."""
    done = hyp(directory, *words, stdin=stdin)
    assert done.returncode == 0, (words, done.stdout, done.stderr)
    return done.stdout.removesuffix("\n")


def items(directory: Path, *words: str) -> list[Any]:
    """What it prints with `--json`."""
    return [json.loads(line) for line in said(directory, "--json", *words).splitlines()]


def refused(directory: Path, *words: str, stdin: str | None = None, code: int = 1) -> str:
    """What a command that must not work says; it must end with `code` and print no traceback."""
    done = hyp(directory, *words, stdin=stdin)
    assert done.returncode == code, (words, done.returncode, done.stdout, done.stderr)
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    return done.stderr


@contextmanager
def local_dht(nodes: int = 3) -> Iterator[str]:
    """`userpeer dht`; yields its bootstrap address."""
    command = [sys.executable, "-m", "userpeer", "dht", "--json", "--nodes", str(nodes)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment())
    assert process.stdout is not None
    try:
        yield json.loads(process.stdout.readline())["bootstrap"]
    finally:
        process.terminate()
        process.wait(SECONDS)
        process.stdout.close()


@contextmanager
def daemon(directory: Path, *options: str) -> Iterator[dict[str, Any]]:
    """A running daemon (without a DHT unless `options` name one); yields its status. What is left of it is killed."""
    words = ("daemon", "start", *(options if "--bootstrap" in options else ("--no-dht", *options)))
    (status,) = items(directory, *words)
    try:
        yield status
    finally:
        try:
            hyp(directory, "daemon", "stop")
        finally:
            kill(status["pid"])


def kill(process: int) -> None:
    """Kill a daemon of ours and wait until it is gone."""
    try:
        os.kill(process, signal.SIGKILL)
    except ProcessLookupError:
        return
    wait_for(lambda: not alive(process), "the end of a killed process")


def alive(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"
