"""A Node peer made of the official packages, driven from a test.

`NodePeer` speaks JSON lines with `tests/interop/node/peer.js` (its verbs are listed there). Tests take the `node_peer`
fixture of `tests/conftest.py`, which skips with the reason where Node or its packages are missing, and fails where CI
says they must be there.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

NODE_DIRECTORY = Path(__file__).resolve().parent.parent / "interop" / "node"
ANSWER_SECONDS = 60.0
LINE_LIMIT = 64 * 1024 * 1024


def why_node_is_missing() -> str | None:
    """A sentence, or None when Node and the pinned packages are there."""
    if shutil.which("node") is None:
        return "Node is not installed, so nothing can be tested against the official packages"
    if not (NODE_DIRECTORY / "node_modules" / "hypercore").is_dir():
        return "the official packages are not installed: run `make node-packages`"
    return None


@dataclass
class Steps:
    """How often a test handed over to a Node process and waited for what it did; conftest.py prints it at the end."""

    taken: int = 0


steps = Steps()


class NodeError(Exception):
    """What the official packages answered, in their words."""


class NodePeer:
    """One Node process. `await peer("core.append", core="a", blocks=[...])` asks and waits for the answer."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._ids = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._reader = asyncio.create_task(self._read())

    @classmethod
    async def start(
        cls, script: str = "peer.js", arguments: Sequence[str] = (), before: Sequence[str] = ()
    ) -> NodePeer:
        """`before`: what to put before the command, to run it elsewhere."""
        return await cls.run_program(
            [*before, "node", str(NODE_DIRECTORY / script), *arguments], NODE_DIRECTORY
        )

    @classmethod
    async def run_program(cls, command: Sequence[str], directory: Path) -> NodePeer:
        """Any program that answers lines as `peer.js` does."""
        process = await asyncio.create_subprocess_exec(
            *command,
            cwd=directory,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=LINE_LIMIT,
            env={**os.environ, "NODE_NO_WARNINGS": "1"},
        )
        return cls(process)

    @property
    def pid(self) -> int:
        return self._process.pid

    async def __call__(self, verb: str, **arguments: Any) -> Any:
        steps.taken += 1
        number = next(self._ids)
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        line = json.dumps({"id": number, "do": verb, **arguments}) + "\n"
        assert self._process.stdin is not None
        self._process.stdin.write(line.encode())
        await self._process.stdin.drain()
        return await asyncio.wait_for(answer, ANSWER_SECONDS)

    async def run(self, code: str, **arguments: Any) -> Any:
        """Evaluate a JavaScript function body with `state`, `packages` and `args` in scope."""
        return await self("run", code=code, args=arguments)

    async def _read(self) -> None:
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            message = json.loads(line)
            waiting = self._waiting.pop(message["id"], None)
            if waiting is None or waiting.done():
                continue
            if "error" in message:
                waiting.set_exception(NodeError(message["error"]))
            else:
                waiting.set_result(message["ok"])
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(NodeError("the Node peer ended"))

    def kill(self) -> None:
        """End it as a power cut would."""
        self._process.kill()

    async def close(self) -> None:
        if self._process.returncode is None:
            assert self._process.stdin is not None
            self._process.stdin.close()
            try:
                await asyncio.wait_for(self._process.wait(), 5)
            except TimeoutError:
                self._process.kill()
                await self._process.wait()
        await self._reader

    async def __aenter__(self) -> NodePeer:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
