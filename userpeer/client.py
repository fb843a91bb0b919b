"""Calls the peer that runs in a directory, over its control socket (`control.py` has the protocol).

Imports nothing of `core` but its errors, so that a command through a running peer starts fast. It serves other
programs too:

    async for item in call_running(directory / "control.sock", "bee.ls", {"gte": "post/"}):
        print(item["key"], item["value"])
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Mapping
from pathlib import Path
from typing import Any

from .errors import NotRunning, UserError

MAX_LINE_BYTES = 1024 * 1024


class RemoteError(UserError):
    """What the running peer answered instead of doing the command."""

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code


async def call_running(
    path: Path, command: str, arguments: Mapping[str, Any]
) -> AsyncGenerator[dict[str, Any], None]:
    """Have the running peer do a command; yields its items.

    Raises `NotRunning` when nobody listens there, and `RemoteError` with the peer's own sentence.
    """
    try:
        reader, writer = await asyncio.open_unix_connection(path, limit=4 * MAX_LINE_BYTES)
    except (FileNotFoundError, ConnectionRefusedError):
        raise NotRunning("The peer of this directory is not running.") from None
    try:
        writer.write(encode_line({"command": command, "arguments": dict(arguments)}))
        await writer.drain()
        while line := await reader.readline():
            answer = json.loads(line)
            if "item" in answer:
                yield answer["item"]
            elif "error" in answer:
                raise RemoteError(answer["error"]["code"], answer["error"]["sentence"])
            else:
                return
        raise RemoteError("interrupted", "The peer stopped before it had answered; run the command again.")
    except ConnectionError as error:
        raise RemoteError("interrupted", "The connection to the running peer broke; run it again.") from error
    finally:
        writer.close()


def encode_line(value: object) -> bytes:
    """One object of the protocol. Plain ASCII, so that no text can bring a line end of its own."""
    return json.dumps(value, ensure_ascii=True, separators=(",", ":")).encode() + b"\n"
