"""How a command reaches the peer that runs: JSON lines over a Unix socket in the peer's directory.

The socket (`control.sock`, mode 0600: whoever can open it is the owner) takes one request a line and answers
in lines, each an object of exactly one of these shapes:

    -> {"command": "bee.ls", "arguments": {"gte": "post/", "limit": 2}}
    <- {"item": {"key": "post/...", "value": {...}, "seq": 7}}        none, one or many
    <- {"done": true}                                                  and the next request may follow
    <- {"error": {"code": "not-found", "sentence": "There is ..."}}    instead of done

The commands and their arguments are the table in `commands.py`. A client that closes the socket early ends
the command. While nobody runs the peer there is no socket, and a command opens the store itself.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from core.errors import MeadowError

from .client import MAX_LINE_BYTES, encode_line
from .commands import COMMANDS
from .errors import UserError
from .service import PeerService

_log = logging.getLogger(__name__)


@asynccontextmanager
async def serve_control(service: PeerService) -> AsyncIterator[None]:
    """Answer commands until the block ends. The store's lock guarantees that no other peer uses the path."""
    path = service.settings.control_socket
    path.unlink(missing_ok=True)  # left by a peer that was killed
    open_writers: set[asyncio.StreamWriter] = set()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        open_writers.add(writer)
        try:
            await _answer_lines(service, reader, writer)
        except (ConnectionError, asyncio.LimitOverrunError, ValueError):
            pass  # the client went away, or sent a line that is no request's length
        finally:
            open_writers.discard(writer)
            writer.close()

    mask = os.umask(0o177)  # the socket is born closed to others
    try:
        server = await asyncio.start_unix_server(answer, path, limit=MAX_LINE_BYTES)
    finally:
        os.umask(mask)
    try:
        yield
    finally:
        server.close()
        for writer in list(open_writers):
            writer.close()
        path.unlink(missing_ok=True)


async def _answer_lines(
    service: PeerService, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    while line := await reader.readline():
        try:
            async for item in _run(service, line):
                writer.write(encode_line({"item": item}))
                await writer.drain()
            last: dict[str, Any] = {"done": True}
        except ConnectionError:
            raise
        except (MeadowError, OSError) as error:
            last = {"error": {"code": getattr(error, "code", "error"), "sentence": str(error)}}
        except Exception:
            _log.exception("the command %r failed", line[:200])
            last = {
                "error": {"code": "internal", "sentence": "The running peer failed; its terminal says why."}
            }
        writer.write(encode_line(last))
        await writer.drain()


async def _run(service: PeerService, line: bytes) -> AsyncIterator[dict[str, Any]]:
    try:
        request = json.loads(line)
    except (ValueError, RecursionError):
        raise UserError("The request is not a line of JSON.") from None
    name = request.get("command") if isinstance(request, dict) else None
    command = COMMANDS.get(name) if isinstance(name, str) else None
    arguments = request.get("arguments", {}) if command is not None else None
    if command is None or not isinstance(arguments, dict):
        raise UserError(
            f"A request names one of the commands {', '.join(sorted(COMMANDS))}, and its arguments."
        )
    async for item in command(service, arguments):
        yield item
