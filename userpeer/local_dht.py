"""`userpeer dht`: a whole DHT on this machine, for trying things out without telling anybody."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from typing import Any

from core.errors import PeerUnreachable
from core.peer import Testnet


async def run_local_dht(port: int, nodes: int, announce: Callable[[dict[str, Any]], None]) -> None:
    """Run until SIGINT or SIGTERM; `announce` gets one `ready` event. Raises `PeerUnreachable` without sockets."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    try:
        net = await Testnet.open(nodes, ports=(port,))
    except OSError as error:
        where = f"UDP port {port}" if port else "A UDP port"
        raise PeerUnreachable(
            f"{where} cannot be opened: {error.strerror or error}. Choose another with --port; 0 is a free one."
        ) from error
    async with net:
        announce({"event": "ready", "bootstrap": ",".join(net.bootstrap), "nodes": nodes})
        await stop.wait()
