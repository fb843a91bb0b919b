"""Whose socket is at the other end of a loopback connection."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.support.userpeer import skip_if_nobody_is_somebody_else
from userpeer.same_user import is_another_users

NOBODY = 65534
"""Changes to it after everything is imported: it may not even start this Python."""

CONNECT = """
import encodings.idna, os, socket, sys
host, port, user = sys.argv[1:]
if user:
    os.setuid(int(user))
connection = socket.create_connection((host, int(port)))
sys.stdin.read()
"""
FAMILIES = pytest.mark.parametrize(
    ("host", "target"), [("127.0.0.1", "127.0.0.1"), ("127.0.0.1", "::ffff:127.0.0.1"), ("::1", "::1")]
)


@contextmanager
def accepted(
    host: str, target: str, user: int | None = None
) -> Iterator[tuple[socket.socket, subprocess.Popen[str]]]:
    """A connection from another process, which runs as `user`, to `target`; the server's end of it."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, 0), family=family) as server:
        process = subprocess.Popen(
            [sys.executable, "-c", CONNECT, target, str(server.getsockname()[1]), str(user or "")],
            stdin=subprocess.PIPE,
            text=True,
        )
        with process:
            server.settimeout(60)
            connection, _ = server.accept()
            with connection:
                yield connection, process


def judged(connection: socket.socket) -> bool:
    return is_another_users(connection.getpeername()[:2], connection.getsockname()[:2])


@FAMILIES
def test_ones_own(host: str, target: str) -> None:
    with accepted(host, target) as (connection, _):
        assert not judged(connection)


@FAMILIES
def test_another_users(host: str, target: str) -> None:
    skip_if_nobody_is_somebody_else()
    with accepted(host, target, NOBODY) as (connection, _):
        assert judged(connection)


def test_who_asks_and_runs_is_nobody() -> None:
    skip_if_nobody_is_somebody_else()
    with accepted("127.0.0.1", "127.0.0.1") as (connection, process):
        process.communicate(timeout=60)  # it is gone, and with it whoever held the socket
        assert judged(connection)


def test_where_nobody_can_tell() -> None:
    assert not is_another_users(("testclient", 1), ("testserver", 2))
    assert not is_another_users(("127.0.0.1", 1), ("127.0.0.1", 2))  # neither end is there
