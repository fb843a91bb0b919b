"""A personal peer for tests: its application in this process, or the real program in another."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from click.testing import CliRunner
from starlette.applications import Starlette

from userpeer import same_user
from userpeer.app import create_app
from userpeer.cli import cli
from userpeer.service import PeerService, open_service
from userpeer.settings import Address, Settings

WEB = Address("127.0.0.1", 8641)


def skip_if_nobody_is_somebody_else() -> None:
    """Skip a test that must be another user, in CI too: a machine where that cannot be is no fault of ours."""
    if os.geteuid():
        pytest.skip("only root can be somebody else")
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as end,
    ):
        try:
            known = same_user._owner(end.getsockname(), server.getsockname())
        except (OSError, AttributeError):
            known = None
    if not known:
        pytest.skip("this kernel does not tell whose a socket is")


@asynccontextmanager
async def served_app(
    directory: Path, *, undo_seconds: float = 0.0, settle_seconds: float = 10.0
) -> AsyncIterator[tuple[PeerService, Starlette, httpx2.AsyncClient]]:
    """The opened peer in `directory`, its application, and a browser-like client that follows no redirects."""
    settings = Settings(directory, undo_seconds=undo_seconds, settle_seconds=settle_seconds)
    async with open_service(settings, reads=True) as service:
        app = create_app(service, web=WEB)
        transport = httpx2.ASGITransport(app)
        async with httpx2.AsyncClient(transport=transport, base_url=f"http://{WEB}") as client:
            yield service, app, client


def command(directory: Path, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """`userpeer --dir DIRECTORY ...` in this process, which is what makes many of them bearable."""
    done = CliRunner().invoke(cli, ["--dir", str(directory), *arguments], input=stdin)
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return subprocess.CompletedProcess(arguments, done.exit_code, done.stdout, done.stderr)


def program(directory: Path, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """`userpeer --dir DIRECTORY ...` as a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "userpeer", "--dir", str(directory), *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=120,
        env=_environment(),
    )


def json_lines(completed: subprocess.CompletedProcess[str]) -> list[Any]:
    """What it printed, line by line; its errors if it failed."""
    assert completed.returncode == 0, completed.stderr
    return [json.loads(line) for line in completed.stdout.splitlines()]


@contextmanager
def running(
    directory: Path, *arguments: str, listen: str | None = "127.0.0.1:0", network: bool = False
) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    """`userpeer run` on free ports; yields the process and its ready event, and stops it at the end."""
    options = ["--web", "127.0.0.1:0", "--undo-seconds", "0", "--json", *arguments]
    if not network:
        options.append("--no-dht")
    if listen is not None:
        options += ["--listen", listen]
    process = subprocess.Popen(
        [sys.executable, "-m", "userpeer", "--dir", str(directory), "run", *options],
        stdout=subprocess.PIPE,
        text=True,
        env=_environment(),
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, f"userpeer run ended with {process.wait(60)} before it was ready"
        yield process, json.loads(line)
    finally:
        if process.poll() is None:
            process.terminate()
        process.wait(60)
        if process.stdout is not None:
            process.stdout.close()


def _environment() -> dict[str, str]:
    root = Path(__file__).parents[2]
    return {**os.environ, "PYTHONPATH": str(root), "PYTHONUNBUFFERED": "1"}
