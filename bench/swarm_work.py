"""One swarm with many joined topics: python -m bench.swarm_work BOOTSTRAP TOPICS SECONDS IDLE_SECONDS.

For `bench/swarm.py`. `bench/node/swarm.js` is the same in terms of the package.
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import time
from pathlib import Path

from bench.work import memory, say
from core.crypto.hashing import hash32
from core.crypto.keys import key_pair
from core.net.connection import Connection
from core.net.meeting import plain_connection
from core.swarm.network import Network


def resident() -> float:
    """Megabytes now."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1024**2


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


async def main(bootstrap: str, count: int, patience: float, idle: float) -> None:
    pair = key_pair()

    def ignore(_: Connection) -> None:
        """Nobody connects here."""

    network = await Network.open(
        pair,
        lambda meeting: plain_connection(meeting, pair, on_open=ignore, on_close=ignore),
        bootstrap=bootstrap.split(","),
    )
    await network.dht.bootstrapped()
    topics = [hash32(number.to_bytes(4, "big")) for number in range(count)]
    before, open_before = resident(), descriptors()
    start, cpu = time.perf_counter(), time.process_time()
    for topic in topics:
        network.join(topic)
    try:
        async with asyncio.timeout(patience):
            assert await network.driver.flushed()
    except TimeoutError:
        pass
    seconds, busy = time.perf_counter() - start, time.process_time() - cpu
    announced = network.status().announced
    after, open_after = resident(), descriptors()
    cpu = time.process_time()
    await asyncio.sleep(idle)
    idle_share = (time.process_time() - cpu) / idle
    say(
        announced=announced,
        rate=announced / seconds,
        cpu=busy / announced * 1000,
        mb=after - before,
        peak=memory(),
        idle=idle_share * 100,
        sockets=open_after - open_before,
        tasks=len(asyncio.all_tasks()),
    )
    os._exit(0)  # an orderly end would take 10,000 announcements back


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4])))
