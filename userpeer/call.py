"""The lines of the control socket (`control.py` has the protocol), and a call that blocks until it is answered.

Imports neither asyncio nor `core` beyond its errors: a command that only asks the running peer starts in an instant.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from .errors import NotRunning, UserError

MAX_LINE_BYTES = 16 * 1024 * 1024
"""One request, and with it one batch. A block may have 15 MiB, so every value fits."""

MAX_ANSWER_BYTES = 4 * MAX_LINE_BYTES


class RemoteError(UserError):
    """What the running peer answered instead of doing the command."""

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code


def encode_line(value: object) -> bytes:
    """One object of the protocol. Plain ASCII, so that no text can bring a line end of its own."""
    return json.dumps(value, ensure_ascii=True, separators=(",", ":")).encode() + b"\n"


def request_line(command: str, arguments: Mapping[str, Any]) -> bytes:
    """A request. Raises `UserError` when it is longer than the peer reads."""
    line = encode_line({"command": command, "arguments": dict(arguments)})
    if len(line) > MAX_LINE_BYTES:
        limit = MAX_LINE_BYTES // 1024**2
        raise UserError(
            f"This is {len(line):,} bytes in one request; the limit is {limit} MiB. Send it in parts."
        )
    return line


def not_running() -> NotRunning:
    return NotRunning("The peer of this directory is not running.")


def interrupted() -> RemoteError:
    return RemoteError("interrupted", "The peer stopped before it had answered; run the command again.")


def item_of(line: bytes) -> tuple[bool, Any]:
    """(True, item), or (False, None) at the end of the answer. Raises `RemoteError` with the peer's own sentence."""
    if not line.endswith(b"\n"):
        raise interrupted()
    answer = json.loads(line)
    if "item" in answer:
        return True, answer["item"]
    if "error" in answer:
        raise RemoteError(answer["error"]["code"], answer["error"]["sentence"])
    return False, None


def call(path: Path, command: str, arguments: Mapping[str, Any]) -> Iterator[Any]:
    """Have the running peer do a command; yields its items.

    Raises `NotRunning` when nobody listens there, and `RemoteError` with the peer's own sentence.
    """
    request = request_line(command, arguments)
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with connection:
        try:
            connection.connect(str(path))
        except (FileNotFoundError, ConnectionRefusedError):
            raise not_running() from None
        try:
            connection.sendall(request)
            with connection.makefile("rb") as answers:
                while True:
                    is_item, item = item_of(answers.readline(MAX_ANSWER_BYTES))
                    if not is_item:
                        return
                    yield item
        except ConnectionError:
            raise interrupted() from None
