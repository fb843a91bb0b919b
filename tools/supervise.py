"""Starting programs that print a JSON ready line, watching them, stopping them. Standard library only."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
from collections import deque
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

READY_WITHIN = 40.0
"""Seconds a program may take to its ready line; the first start on a slow disk makes a key and a database."""

STOP_WITHIN = 10.0
"""Seconds a program may take to close its store before it is killed."""

LAST_LINES = 15


class ProgramFailed(Exception):
    """A program ended, or never became ready. The text says which one, how, and its last lines."""


def free_port(host: str, wanted: int) -> int:
    """`wanted` if nothing listens there, else 0: any free one."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, wanted))
        except OSError:
            return 0
    return wanted


class Program:
    """One child process: its ready line, a log file of all it printed, and its end."""

    def __init__(self, name: str, arguments: list[str], log: Path) -> None:
        self.name = name
        self.arguments = arguments
        self.log = log
        self.ready: dict[str, Any] = {}
        self._last: deque[str] = deque(maxlen=LAST_LINES)
        self._process: asyncio.subprocess.Process | None = None
        self._readers: list[asyncio.Task[None]] = []
        self._is_ready = asyncio.Event()

    async def start(self) -> dict[str, Any]:
        """Run it and wait for `{"event": "ready", ...}`; returns that line. Raises ProgramFailed."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self.log.write_text("")
        # A session of its own: Ctrl-C reaches this process alone, which then stops the others in order.
        self._process = await asyncio.create_subprocess_exec(
            *self.arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
            limit=1 << 20,
        )
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self._readers = [
            asyncio.create_task(self._read(self._process.stdout, may_be_ready=True)),
            asyncio.create_task(self._read(self._process.stderr, may_be_ready=False)),
        ]
        ready = asyncio.create_task(self._is_ready.wait())
        ended = asyncio.create_task(self._process.wait())
        try:
            done, _ = await asyncio.wait(
                {ready, ended}, timeout=READY_WITHIN, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            ready.cancel()
            ended.cancel()
        if ready in done:
            return self.ready
        if ended in done:
            raise ProgramFailed(await self._how_it_ended())
        await self.stop()
        raise ProgramFailed(f"{self.name} was not ready after {READY_WITHIN:.0f} seconds.\n{self._tail()}")

    async def ended(self) -> str:
        """Wait until it ends by itself; returns a text that says how, with its last lines."""
        assert self._process is not None
        await self._process.wait()
        return await self._how_it_ended()

    async def stop(self) -> None:
        """Ask it to end and wait; kill it only if it does not. Safe to call twice."""
        process = self._process
        if process is None:
            return
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            try:
                await asyncio.wait_for(process.wait(), STOP_WITHIN)
            except TimeoutError:
                print(
                    f"{self.name} did not stop in {STOP_WITHIN:.0f} seconds and is killed.", file=sys.stderr
                )
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        await asyncio.gather(*self._readers, return_exceptions=True)

    async def _read(self, stream: asyncio.StreamReader, *, may_be_ready: bool) -> None:
        with self.log.open("a", encoding="utf-8") as log:
            async for raw in stream:
                line = raw.decode("utf-8", "replace").rstrip("\n")
                log.write(line + "\n")
                log.flush()
                self._last.append(line)
                if may_be_ready and not self._is_ready.is_set():
                    self._look_for_ready(line)

    def _look_for_ready(self, line: str) -> None:
        try:
            message = json.loads(line)
        except ValueError:
            return
        if isinstance(message, dict) and message.get("event") == "ready":
            self.ready = message
            self._is_ready.set()

    async def _how_it_ended(self) -> str:
        assert self._process is not None
        await asyncio.gather(*self._readers, return_exceptions=True)
        code = self._process.returncode or 0
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        return f"{self.name} {how}.\n{self._tail()}"

    def _tail(self) -> str:
        lines = "\n".join(f"  | {line}" for line in self._last) or "  | (it printed nothing)"
        return f"Its last lines (all of them: {self.log}):\n{lines}"


async def run_until_interrupted(main: Callable[[list[Program]], Awaitable[None]]) -> int:
    """Run `main(programs)`, which starts programs and appends them; then wait for Ctrl-C or the first crash.

    All programs are stopped in reverse order, whatever happens. Returns the exit code for the shell.
    """
    loop = asyncio.get_running_loop()
    interrupted = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, interrupted.set)
    programs: list[Program] = []
    stop_asked = asyncio.create_task(interrupted.wait())
    started = asyncio.ensure_future(main(programs))
    try:
        await asyncio.wait({started, stop_asked}, return_when=asyncio.FIRST_COMPLETED)
        if started.done():
            await started
            endings = [asyncio.create_task(program.ended()) for program in programs]
            await asyncio.wait({stop_asked, *endings}, return_when=asyncio.FIRST_COMPLETED)
            crashes = [ending.result() for ending in endings if ending.done()]
            if crashes and not interrupted.is_set():
                print("\n" + "\n".join(crashes), file=sys.stderr)
                return 1
        print("\nStopping …", flush=True)
        return 0
    except ProgramFailed as failure:
        print(f"\n{failure}", file=sys.stderr)
        return 1
    finally:
        started.cancel()
        for program in reversed(programs):
            await program.stop()


async def run_command(arguments: list[str], timeout: float = 30.0) -> tuple[int, str]:
    """Run a short command to its end; returns its exit code and all it printed."""
    process = await asyncio.create_subprocess_exec(
        *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        output, _ = await asyncio.wait_for(process.communicate(), timeout)
    except TimeoutError:
        process.kill()
        await process.wait()
        return 1, f"no answer after {timeout:.0f} seconds"
    return process.returncode or 0, output.decode("utf-8", "replace").strip()
