"""An aggregator with many bees: memory with 1,000 live and 10,000 registered, the time to catch up, and what one
hostile bee does to the others. Without a reference: nothing else has this feed.

The authors are one process (this file run as a program), the hostile author another, the aggregator a third. Latency is
from an append to its being in `/feed.json`. What the burst does to it is measured in rounds, each of probes while the
aggregator reads the burst and of as many while the hostile bee is paused; a round goes on until something of the burst
was read in it.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
from sqlalchemy import func, select

from core.hyperbee import Hyperbee
from core.peer import Peer
from core.records import format_date
from feedagg import policy, sources
from feedagg.database import Database, database_url
from feedagg.ingest import now_ms
from feedagg.naming import is_by
from feedagg.tables import records

LIVE, REGISTERED = 1_000, 10_000
EACH, NEW, PROBES = 10, 10, 100
HOSTILE_OPERATIONS = 50_000
ROUNDS, PROBES_A_ROUND = 5, 40
PATIENCE_SECONDS = 300.0


async def authors(count: int, written: int) -> None:
    """The process of the authors: reads commands from standard input, answers each with a line.

    `written`: the number of its first record, which is the record's name.
    """
    peer = await Peer.open(None)
    bees = [peer.bee(name=f"bee-{number}") for number in range(count)]

    async def append(bee: Hyperbee, operations: int) -> None:
        nonlocal written
        async with bee.batch() as batch:
            for _ in range(operations):
                written += 1
                text = f"Record {written}, about as long as a post is."
                await batch.put(f"post/{written:016x}", {"text": text, "createdAt": format_date(now_ms())})

    for bee in bees:
        await append(bee, EACH)
    host, port = await peer.listen()
    keys = [bee.core.key.hex() for bee in bees]
    print(json.dumps({"keys": keys, "peer": f"{host}:{port}"}), flush=True)
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
        served = sum(view.blocks_sent for bee in bees for view in bee.core.peers)
        print(json.dumps({"record": f"{written:016x}", "served": served}), flush=True)
    await peer.close()


class Authors:
    """The other process, from this side."""

    def __init__(self, count: int, first: int = 0) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "bench.many_bees", "authors", str(count), str(first)],
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
    with (
        (directory / "log").open("w") as log,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True) as process,
    ):
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


def latency(them: Authors, url: str) -> Latency:
    """From an append to its being in the feed, one after the other."""
    return in_order(probes(them, url, PROBES))


def in_order(times: list[float]) -> Latency:
    times = sorted(times)
    return Latency(statistics.median(times), times[int(len(times) * 0.95) - 1])


def probes(them: Authors, url: str, count: int) -> list[float]:
    """So many appends of different bees, in milliseconds until each is in the feed."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc)
    times = []
    for number in range(count):
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
    return times


def read_of(database: Database, bee: bytes) -> int:
    """How many records of a bee the aggregator has read."""
    with database.reader.connect() as connection:
        query = select(func.count()).select_from(records).where(is_by(bee))
        return connection.execute(query).scalar_one()


def hostile(
    directory: Path, database: Database, them: Authors, url: str, *, is_trusted: bool
) -> tuple[Latency, Latency, int]:
    """Latency with the hostile bee paused, and while its burst is read; how much of it was read meanwhile.

    It is given as a stranger's is, so the limits for new bees bind it (some 500 records every ten seconds; that of
    an hour is set aside in `run`); with
    `is_trusted` the operator has freed it from them, and a part of the burst comes in each round.
    """
    one, loud, quiet, read = Authors(1, first=1 << (49 if is_trusted else 48)), [], [], 0
    bee = bytes.fromhex(one.ready["keys"][0])
    address = f"/api/v1/bees/{bee.hex()}"
    token = {"Authorization": f"Bearer {(directory / 'admin-token').read_text().strip()}"}
    with httpx2.Client(base_url=url, timeout=60) as web:

        def say(address: str, body: dict[str, str]) -> None:
            web.post(address, headers=token, json=body).raise_for_status()

        try:
            say("/submit", {"key": bee.hex(), "peer": one.ready["peer"]})
            if is_trusted:
                database.write_now(policy.trust, bee, is_trusted=True)
            else:
                one.do(f"all {HOSTILE_OPERATIONS}")
            for number in range(ROUNDS + 1):
                if is_trusted:
                    say(f"{address}/pause", {"reason": "a measurement"})
                    one.do(f"all {HOSTILE_OPERATIONS // (ROUNDS + 1)}")
                    say(f"{address}/accept", {})
                before, times, begun = read_of(database, bee), [], time.perf_counter()
                while len(times) < PROBES_A_ROUND or read <= before:
                    times += probes(them, url, PROBES_A_ROUND // 2)
                    read = read_of(database, bee)
                    if time.perf_counter() - begun > PATIENCE_SECONDS:
                        raise SystemExit(f"nothing of the burst was read in {PATIENCE_SECONDS:.0f} s")
                say(f"{address}/pause", {"reason": "a measurement"})
                still = probes(them, url, len(times))
                say(f"{address}/accept", {})
                if number:  # the first round warms both
                    loud += times
                    quiet += still
        finally:
            one.close()
    return in_order(quiet), in_order(loud), read


def run(root: Path, scale: float) -> list[dict[str, Any]]:
    """The figures, printed and returned; `scale` as in `bench.__main__`."""
    os.environ.setdefault("FEEDAGG_TRIES_AT_ONCE", "64")
    os.environ.setdefault("FEEDAGG_MAX_SOURCES", "20000")  # room for the hostile ones
    # The rounds take some minutes: the hour's 2,500 would be used up in the middle, and nothing left to measure.
    os.environ.setdefault("FEEDAGG_OPERATIONS_PER_HOUR", "20000")
    live, registered = int(LIVE * scale), int(REGISTERED * scale)
    directory = root / "many-bees"
    directory.mkdir()
    them = Authors(live)
    database = Database(database_url(directory, None))
    now, address = now_ms(), them.ready["peer"]
    results: list[dict[str, Any]] = []

    def figure(what: str, value: float, unit: str, aim: float | None = None) -> None:
        missed = aim is not None and value > aim
        asked = "" if aim is None else f"  (aim {aim:g}{': not reached' if missed else ''})"
        print(f"  {what:<58}{value:9.2f} {unit}{asked}", flush=True)
        results.append({"title": f"many bees: {what}", "unit": unit, "value": value, "aim": aim})

    def add(connection: Any) -> None:
        for key in them.ready["keys"]:
            policy.add(connection, bytes.fromhex(key), now, address)
        for number in range(registered - live):  # nobody has these; they are tried again ever more seldom
            sources.add(connection, number.to_bytes(4, "big") * 8, now, "command")

    print(f"\nan aggregator with {registered:,} bees, {live:,} of them live")
    database.write_now(add)
    try:
        with aggregator(directory):
            figure(f"first contact, {EACH} records each", shown(database, live * EACH), "s")
        them.do(f"all {NEW}")
        before = them.do("nothing")["served"]
        with aggregator(directory) as (process, url):
            figure(
                f"catch-up after a restart, {NEW} new records each",
                shown(database, live * (EACH + NEW)),
                "s",
                60,
            )
            figure("blocks taken from a bee for it", (them.do("nothing")["served"] - before) / live, "", 20)
            quiet = latency(them, url)
            figure("memory", resident_mb(process), "MB", 512)
            figure("append to feed, p50", quiet.p50, "ms")
            figure("append to feed, p95", quiet.p95, "ms", 300)
            # All 9,000 that nobody has were added at once and are new: what is submitted now would wait its turn.
            begun = time.perf_counter()
            while database.read_now(sources.counts)["unreachable"] < registered - live:
                if time.perf_counter() - begun > PATIENCE_SECONDS:
                    raise SystemExit(f"not all that nobody has were tried in {PATIENCE_SECONDS:.0f} s")
                time.sleep(1)
            for is_trusted in (False, True):
                still, loud, read = hostile(directory, database, them, url, is_trusted=is_trusted)
                who = "a bee without limits" if is_trusted else "a new bee"
                figure(
                    f"p50 while {who} brings {HOSTILE_OPERATIONS:,}, to p50", loud.p50 / still.p50, "x", 1.1
                )
                figure(
                    f"p95 while {who} brings {HOSTILE_OPERATIONS:,}, to p95", loud.p95 / still.p95, "x", 1.1
                )
                figure(f"records of {who} that were read meanwhile", read, "")
    finally:
        them.close()
        database.dispose()
    return results


if __name__ == "__main__":
    asyncio.run(authors(int(sys.argv[2]), int(sys.argv[3])))
