"""An aggregator with many bees: memory with 1,000 live and 10,000 registered, the time to catch up, and what one
hostile bee does to the others. Without a reference: nothing else has this feed.

    python -m bench many [--quick]

The authors are one process, the aggregator another. Latency is from an append to its being in `/feed.json`.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import func, select

from core.hyperbee import Hyperbee
from core.peer import Peer
from core.records import format_date
from feedagg import policy, sources
from feedagg.database import Database, database_url
from feedagg.ingest import now_ms
from feedagg.tables import records

LIVE, REGISTERED = 1_000, 10_000
EACH, NEW, PROBES = 10, 10, 100
HOSTILE_OPERATIONS = 50_000
PATIENCE_SECONDS = 300.0


async def authors(count: int) -> None:
    """The process of the authors: reads commands from standard input, answers each with a line."""
    peer = await Peer.open(None)
    bees = [peer.bee(name=f"bee-{number}") for number in range(count)]
    hostile = peer.bee(name="hostile")
    written = 0

    async def append(bee: Hyperbee, operations: int) -> None:
        nonlocal written
        async with bee.batch() as batch:
            for _ in range(operations):
                written += 1
                text = f"Record {written}, about as long as a post is."
                await batch.put(f"post/{written:016x}", {"text": text, "createdAt": format_date(now_ms())})

    for bee in bees:
        await append(bee, EACH)
    await hostile.put("profile", {"name": "harmless so far"})
    host, port = await peer.listen()
    keys = [bee.core.key.hex() for bee in bees]
    print(json.dumps({"keys": keys, "hostile": hostile.core.key.hex(), "peer": f"{host}:{port}"}), flush=True)
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    while line := (await reader.readline()).split():
        if line[0] == b"all":
            for bee in bees:
                await append(bee, int(line[1]))
        elif line[0] == b"one":
            await append(bees[int(line[1]) % count], 1)
        elif line[0] == b"burst":
            await append(hostile, int(line[1]))
        served = sum(view.blocks_sent for bee in bees for view in bee.core.peers)
        print(json.dumps({"record": f"{written:016x}", "served": served}), flush=True)
    await peer.close()


class Authors:
    """The other process, from this side."""

    def __init__(self, count: int) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "bench.many_bees", "authors", str(count)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.ready: dict[str, Any] = json.loads(self.process.stdout.readline())

    def do(self, command: str) -> dict[str, Any]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        return dict(json.loads(self.process.stdout.readline()))

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(30)


@contextmanager
def aggregator(directory: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`feedagg serve` in `directory`, and its address."""
    command = [sys.executable, "-m", "feedagg", "--dir", str(directory), "serve", "--web", "127.0.0.1:0"]
    command += ["--no-dht", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process, json.loads(process.stdout.readline())["web"]
        finally:
            process.terminate()


def resident_mb(process: subprocess.Popen[str]) -> float:
    """Memory of a process."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


def shown(database: Database, expected: int) -> float:
    """Wait until so many records are shown; the seconds it took."""
    begun = time.perf_counter()
    query = select(func.count()).select_from(records).where(records.c.status == 0)
    there = 0
    while time.perf_counter() - begun < PATIENCE_SECONDS:
        with database.reader.connect() as connection:
            there = connection.execute(query).scalar_one()
        if there >= expected:
            return time.perf_counter() - begun
        time.sleep(0.1)
    raise SystemExit(f"{there:,} of {expected:,} records after {PATIENCE_SECONDS:.0f} s")


@dataclass(frozen=True)
class Latency:
    """Milliseconds."""

    p50: float
    p95: float

    def __str__(self) -> str:
        return f"p50 {self.p50:.0f} ms, p95 {self.p95:.0f} ms"


def latency(them: Authors, url: str) -> Latency:
    """From an append to its being in the feed, one after the other."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc)
    times = []
    for number in range(PROBES):
        begun = time.perf_counter()
        record = them.do(f"one {number * 7}")["record"]
        while True:
            connection.request("GET", "/feed.json?limit=10")
            if record in connection.getresponse().read().decode():
                break
            if time.perf_counter() - begun > PATIENCE_SECONDS:
                raise SystemExit(f"an append was not in the feed after {PATIENCE_SECONDS:.0f} s")
            time.sleep(0.005)
        times.append((time.perf_counter() - begun) * 1000)
        time.sleep(0.02)
    times.sort()
    return Latency(statistics.median(times), times[int(len(times) * 0.95) - 1])


def run(live: int, registered: int) -> None:
    """Print the figures."""
    with tempfile.TemporaryDirectory(prefix="meadow-bench-") as place:
        directory = Path(place) / "site"
        directory.mkdir()
        them = Authors(live)
        database = Database(database_url(directory, None))
        now, address = now_ms(), them.ready["peer"]

        def add(connection: Any) -> None:
            for key in them.ready["keys"]:
                policy.add(connection, bytes.fromhex(key), now, address)
            for number in range(registered - live):  # nobody has these; they are tried again ever more seldom
                sources.add(connection, number.to_bytes(4, "big") * 8, now, "command")

        database.write_now(add)
        try:
            with aggregator(directory) as (process, url):
                took = shown(database, live * EACH)
                print(f"  first contact with {live:,} bees of {EACH} records: {took:.1f} s", flush=True)
            them.do(f"all {NEW}")
            before = them.do("nothing")["served"]
            with aggregator(directory) as (process, url):
                took = shown(database, live * (EACH + NEW))
                blocks = (them.do("nothing")["served"] - before) / live
                print(f"  catch-up, {NEW} new records in each: {took:.1f} s (at most 60 asked)")
                print(f"  blocks a bee for it: {blocks:.1f} (at most 20 asked)")
                quiet = latency(them, url)
                memory = f"{resident_mb(process):.0f} MB (at most 512 asked)"
                print(f"  memory, {live:,} live and {registered:,} registered: {memory}")
                print(f"  append to feed: {quiet}", flush=True)
                key = bytes.fromhex(them.ready["hostile"])
                database.write_now(lambda connection: policy.add(connection, key, now_ms(), address))
                time.sleep(3)
                them.do(f"burst {HOSTILE_OPERATIONS}")
                loud = latency(them, url)
                print(f"  the same while one bee appends {HOSTILE_OPERATIONS:,} at once: {loud}")
                print(f"  ratio: {loud.p50 / quiet.p50:.2f}x, {loud.p95 / quiet.p95:.2f}x (1.1x asked)")
        finally:
            them.close()
            database.dispose()


def main(quick: bool = False) -> None:
    """The whole, or a tenth of it."""
    os.environ.setdefault("FEEDAGG_TRIES_AT_ONCE", "64")
    print("Many bees, one aggregator:")
    run(LIVE // 10, REGISTERED // 10) if quick else run(LIVE, REGISTERED)


if __name__ == "__main__":
    if sys.argv[1:2] == ["authors"]:
        asyncio.run(authors(int(sys.argv[2])))
    else:
        main("--quick" in sys.argv)
