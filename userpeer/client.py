"""Calls the peer that runs in a directory, over its control socket (`control.py` has the protocol).

Imports nothing of `core` but its errors, so that a command through a running peer starts fast. It serves other
programs too (`userpeer.hyp.client` is the comfortable way for bees):

    async for item in call_running(directory / "control.sock", "bee.ls", {"gte": "post/"}):
        print(item["key"], item["value"])
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from pathlib import Path
from typing import Any

from .call import (
    MAX_ANSWER_BYTES,
    MAX_LINE_BYTES,
    RemoteError,
    encode_line,
    interrupted,
    item_of,
    not_running,
    request_line,
)

__all__ = ["MAX_LINE_BYTES", "Line", "RemoteError", "call_running", "encode_line"]


class Line:
    """One connection to the running peer: a request after the other. Make it with `await Line.open(path)`."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.reusable = True
        """Whether the last request was answered to its end."""

    @property
    def is_open(self) -> bool:
        """Whether the peer has not closed its end."""
        return not (self._reader.at_eof() or self._writer.is_closing())

    @classmethod
    async def open(cls, path: Path) -> Line:
        """Raises `NotRunning` when nobody listens there."""
        try:
            return cls(*await asyncio.open_unix_connection(path, limit=MAX_ANSWER_BYTES))
        except (FileNotFoundError, ConnectionRefusedError):
            raise not_running() from None

    async def call(self, command: str, arguments: Mapping[str, Any]) -> AsyncGenerator[Any, None]:
        """Yields the items of one command. Raises `RemoteError`; its code is `interrupted` when the peer went away."""
        request = request_line(command, arguments)
        self.reusable = False
        try:
            self._writer.write(request)
            await self._writer.drain()
            while True:
                is_item, item = item_of(await self._reader.readline())
                if not is_item:
                    break
                yield item
        except RemoteError as error:
            self.reusable = error.code != "interrupted"
            raise
        except ConnectionError:
            raise interrupted() from None
        self.reusable = True

    def close(self) -> None:
        """Ends the command that runs on it."""
        self.reusable = False
        self._writer.close()


async def call_running(
    path: Path, command: str, arguments: Mapping[str, Any]
) -> AsyncGenerator[dict[str, Any], None]:
    """Have the running peer do a command; yields its items.

    Raises `NotRunning` when nobody listens there, and `RemoteError` with the peer's own sentence.
    """
    line = await Line.open(path)
    try:
        async for item in line.call(command, arguments):
            yield item
    finally:
        line.close()
