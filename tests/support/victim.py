"""A storing node with a server behind it, in a process of its own, that tells what it has cost so far.

python -m tests.support.victim BOOTSTRAP        (one JSON line for each line on standard input; ends with it)
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
import time
from types import TracebackType
from typing import Any

from core.crypto.keys import key_pair
from core.net.hyperdht import HyperDht
from tests.support.hyperdht import serve_echo
from tests.support.repository import ROOT

SERVER = key_pair(b"a server that strangers attack..")


def resident_kib() -> int:
    with open("/proc/self/statm") as pages:
        return int(pages.read().split()[1]) * resource.getpagesize() // 1024


async def main(bootstrap: str) -> None:
    loop = asyncio.get_running_loop()
    node = await HyperDht.open(
        host="127.0.0.1", ports=(0,), bootstrap=bootstrap.split(","), ephemeral=False, firewalled=False
    )
    await node.bootstrapped()
    failures = 0

    def failed(_: object, context: dict[str, Any]) -> None:
        nonlocal failures
        failures += 1
        print(context, file=sys.stderr)

    loop.set_exception_handler(failed)
    echo = await serve_echo(node, SERVER)
    (server,) = node.servers
    storing = node.world.storing
    while True:
        await asyncio.sleep(0)
        report = {
            "address": node.server_address,
            "client_address": node.client_address,
            "id": None if node.machine.id is None else node.machine.id.hex(),
            "resident_kib": resident_kib(),
            "cpu_seconds": time.process_time(),
            "failures": failures,
            "tasks": len(asyncio.all_tasks()),
            "sockets": len(node.sockets) + len(node.hubs),
            "streams": len(node.streams.streams),
            "handshakes": len(server._handshakes),
            "requests": len(node.machine.requests),
            "table": len(node.machine.table),
            "records": storing.topics._count,
            "forwards": len(node.world.router._forwards),
            "values": len(storing.mutables) + len(storing.immutables),
            "echoed": echo.echoed,
        }
        print(json.dumps(report), flush=True)
        if not await loop.run_in_executor(None, sys.stdin.readline):
            break
    await node.close()


class Victim:
    """That process, from outside: `async with await Victim.start(bootstrap) as victim`."""

    def __init__(self, process: asyncio.subprocess.Process, report: dict[str, Any]) -> None:
        self._process = process
        self.address = (str(report["address"][0]), int(report["address"][1]))
        self.client_address = (str(report["client_address"][0]), int(report["client_address"][1]))

    @classmethod
    async def start(cls, bootstrap: list[str]) -> Victim:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.support.victim",
            ",".join(bootstrap),
            cwd=ROOT,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        assert process.stdout is not None
        return cls(process, json.loads(await process.stdout.readline()))

    async def report(self) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(b"\n")
        return dict(json.loads(await self._process.stdout.readline()))

    async def __aenter__(self) -> Victim:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            await asyncio.wait_for(self._process.wait(), 30)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
