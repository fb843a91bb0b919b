"""How a command reaches the peer that runs: JSON lines over a Unix socket in the peer's directory.

The socket (`control.sock`, mode 0600: whoever can open it is the owner) takes one request a line and answers
in lines, each an object of exactly one of these shapes:

    -> {"command": "bee.ls", "arguments": {"gte": "post/", "limit": 2}}
    <- {"item": {"key": "post/...", "value": {...}, "seq": 7}}        none, one or many
    <- {"done": true}                                                  and the next request may follow
    <- {"error": {"code": "not-found", "sentence": "There is ..."}}    instead of done

The commands and their arguments are the tables in `commands.py` and `hyp/commands.py`. A client that closes the socket
early ends the command; a *live* command has no other end, and nothing may be sent after it. While nobody runs the peer
there is no socket, and a command opens the store itself.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager
from typing import Any

from core.errors import MeadowError

from .call import MAX_LINE_BYTES, encode_line
from .commands import COMMANDS, LIVE
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
            command, arguments = _parse(line)
        except UserError as error:
            writer.write(encode_line(_error(error)))
            continue
        answering = _answer(service, command, arguments, writer)
        if command not in LIVE:
            await answering
        elif not await _while_listened_to(answering, reader):
            return


async def _while_listened_to(answering: Coroutine[Any, Any, None], reader: asyncio.StreamReader) -> bool:
    """Answer until that is done (True) or the client hangs up (False): a live command may be silent for long."""
    tasks = (asyncio.create_task(answering), asyncio.create_task(reader.read(1)))
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        return not tasks[1].done()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _answer(
    service: PeerService, command: str, arguments: Mapping[str, Any], writer: asyncio.StreamWriter
) -> None:
    try:
        async for item in COMMANDS[command](service, arguments):
            writer.write(encode_line({"item": item}))
            await writer.drain()
        last: dict[str, Any] = {"done": True}
    except ConnectionError as error:
        if not isinstance(error, MeadowError):
            raise
        last = _error(error)
    except (MeadowError, OSError) as error:
        last = _error(error)
    except Exception:
        _log.exception("the command %r failed", command)
        sentence = "The running peer failed; its terminal or its log says why."
        last = {"error": {"code": "internal", "sentence": sentence}}
    writer.write(encode_line(last))
    await writer.drain()


def _error(error: Exception) -> dict[str, Any]:
    return {"error": {"code": getattr(error, "code", "error"), "sentence": str(error)}}


def _parse(line: bytes) -> tuple[str, Mapping[str, Any]]:
    """The command and its arguments. Raises `UserError`."""
    try:
        request = json.loads(line)
    except (ValueError, RecursionError):
        raise UserError("The request is not a line of JSON.") from None
    name = request.get("command") if isinstance(request, dict) else None
    arguments = request.get("arguments", {}) if isinstance(request, dict) else None
    if not isinstance(name, str) or name not in COMMANDS or not isinstance(arguments, dict):
        raise UserError(
            f"A request names one of the commands {', '.join(sorted(COMMANDS))}, and its arguments."
        )
    return name, arguments
