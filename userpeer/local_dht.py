"""`userpeer dht`: a whole DHT on this machine, for trying things out without telling anybody."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from typing import Any

from core.peer import Testnet


async def run_local_dht(port: int, nodes: int, announce: Callable[[dict[str, Any]], None]) -> None:
    """Run until SIGINT or SIGTERM; `announce` gets one `ready` event. Raises `OSError` without sockets."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with await Testnet.open(nodes, ports=(port, 0)) as net:
        announce({"event": "ready", "bootstrap": ",".join(net.bootstrap), "nodes": nodes})
        await stop.wait()
