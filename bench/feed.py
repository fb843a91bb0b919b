"""How fast the aggregator takes in verified records, and how long a post takes from the author's hand to an open page;
how long a reader who submits a key waits for the newest records of that bee.

There is no reference for these: the figures are absolute, with the aims of the project beside them. All run the
real programs in processes of their own.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import resource
import sqlite3
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2

from bench import records
from core.peer import Peer
from feedagg.decide import FIRST_LOOK
from userpeer.client import call_running

PEERS = 20
ROOT = Path(__file__).resolve().parent.parent
FREE = "127.0.0.1:0"


async def authors(count: int) -> None:
    """Be `PEERS` peers with `count` records each; print their keys and addresses, serve until stdin ends."""
    peers = []
    for number in range(PEERS):
        peer = await Peer.open(None)
        bee = peer.bee(name="main")
        async with bee.batch() as batch:
            for record in range(number * count, (number + 1) * count):
                await batch.put(records.key(record), records.value(record))
        host, port = await peer.listen()
        peers.append(peer)
        print(json.dumps({"key": bee.core.key.hex(), "address": f"{host}:{port}"}), flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


@contextmanager
def program(*words: str, lines: int = 1) -> Iterator[tuple[subprocess.Popen[str], list[dict[str, Any]]]]:
    """A Python program of ours and the first JSON lines it prints; ended at the end."""
    process = subprocess.Popen(
        [sys.executable, "-m", *words], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdin is not None
    try:
        yield process, [json.loads(process.stdout.readline()) for _ in range(lines)]
    finally:
        process.terminate()
        process.stdin.close()
        process.wait(30)


def ingest(directory: Path, count: int) -> dict[str, float]:
    """Records a second from `PEERS` peers with `count` records each into the rows of the merged feed."""
    home = str(directory / "aggregator")
    total = PEERS * count
    with program("bench.feed", "authors", str(count), lines=PEERS) as (_, sources):
        for source in sources:
            words = ["feedagg", "--dir", home, "add", source["key"], "--peer", source["address"]]
            subprocess.run([sys.executable, "-m", *words], cwd=ROOT, check=True, capture_output=True)
        with program(
            "feedagg", "--dir", home, "serve", "--web", FREE, "--listen", FREE, "--no-dht", "--json"
        ) as (
            server,
            _,
        ):
            start = time.perf_counter()
            with sqlite3.connect(f"file:{home}/feedagg.sqlite?mode=ro", uri=True) as database:
                while (done := database.execute("SELECT count(*) FROM records").fetchone()[0]) < total:
                    if time.perf_counter() - start > 120:
                        raise SystemExit(f"only {done} of {total} records came within two minutes")
                    time.sleep(0.05)
            seconds = time.perf_counter() - start
            mb = peak_megabytes(server.pid)
    again = upkeep(home, "rebuild", r"([\d,]+) rows in ([\d.]+) seconds")
    return {"seconds": seconds, "count": total, "rate": total / seconds, "mb": mb, "rebuild": again}


def upkeep(home: str, command: str, said: str) -> float:
    """Rows a second of a command on a directory at rest, as it says itself: without the start of the program."""
    words = [sys.executable, "-m", "feedagg", "--dir", home, command]
    out = subprocess.run(words, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    found = re.search(said, out)
    assert found is not None, out
    assert "as before" in out, out
    return float(found[1].replace(",", "")) / float(found[2])


async def latency(directory: Path, count: int) -> dict[str, float]:
    """Milliseconds from "post" said to a running peer until the record is in an open page's event stream."""
    peer, aggregator = str(directory / "peer"), str(directory / "aggregator")
    options = ("--web", FREE, "--listen", FREE, "--no-dht", "--json")
    with (
        program("userpeer", "--dir", peer, "run", *options) as (_, [author]),
        program("feedagg", "--dir", aggregator, "serve", *options) as (_, [site]),
    ):
        words = ["feedagg", "--dir", aggregator, "add", author["key"], "--peer", author["listen"]]
        subprocess.run([sys.executable, "-m", *words], cwd=ROOT, check=True, capture_output=True)
        control = Path(peer) / "control.sock"
        await say(control, "the first post")
        address = urlsplit(site["web"])
        deadline = time.monotonic() + 20
        while "the first post" not in await page(address.hostname, address.port):
            if time.monotonic() > deadline:
                raise SystemExit("the first post did not reach the page within 20 seconds")
            await asyncio.sleep(0.05)
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        writer.write(f"GET /live HTTP/1.1\r\nHost: {address.netloc}\r\n\r\n".encode())
        await reader.readuntil(b"\r\n\r\n")
        times = []
        for number in range(count):
            text = f"marker-{number}-{os.urandom(4).hex()}"
            start = time.perf_counter()
            await say(control, text)
            seen = b""
            while text.encode() not in seen:
                seen += await asyncio.wait_for(reader.read(65536), 10)
            times.append((time.perf_counter() - start) * 1000)
            await asyncio.sleep(0.02)
        writer.close()
    times.sort()
    return {
        "p50": statistics.median(times),
        "p95": times[int(len(times) * 0.95)],
        "max": times[-1],
        "count": count,
    }


def contact(directory: Path, count: int) -> dict[str, float]:
    """Milliseconds from a key submitted, for a bee of `count` records, until its page shows the newest `FIRST_LOOK`."""
    home, options = str(directory), ("--web", FREE, "--listen", FREE, "--no-dht", "--json")
    times = []
    with (
        program("bench.feed", "authors", str(count), lines=PEERS) as (_, sources),
        program("feedagg", "--dir", home, "serve", *options) as (_, [site]),
        httpx2.Client(base_url=site["web"], timeout=60) as web,
    ):
        for number, source in enumerate(sources):
            newest = f"/{records.key((number + 1) * count - 1)}"
            start = time.perf_counter()
            web.post("/submit", json={"key": source["key"], "peer": source["address"]}).raise_for_status()
            while True:
                answer = web.get(f"/feeds/json/bee/{source['key']}")
                shown = answer.json()["items"] if answer.status_code == 200 else []
                if len(shown) >= FIRST_LOOK and shown[0]["url"].endswith(newest):
                    break
                if time.perf_counter() - start > 60:
                    raise SystemExit("the newest records did not reach the page within a minute")
                time.sleep(0.01)
            times.append((time.perf_counter() - start) * 1000)
    times.sort()
    return {"p50": statistics.median(times), "p95": times[int(len(times) * 0.95)], "max": times[-1]}


async def say(control: Path, text: str) -> None:
    async for _ in call_running(control, "post", {"text": text}):
        pass


async def page(host: str | None, port: int | None) -> str:
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(f"GET /feed.json HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n".encode())
    text = (await reader.read()).decode()
    writer.close()
    return text


def peak_megabytes(pid: int) -> float:
    """Peak resident memory of a running process, from the kernel (Linux); of our own children elsewhere."""
    status = Path(f"/proc/{pid}/status")
    if status.exists():
        [line] = [line for line in status.read_text().splitlines() if line.startswith("VmHWM")]
        return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024


def run(directory: Path, rounds: int, scale: float) -> list[dict[str, Any]]:
    """Every question, printed; returns the figures."""
    rates = [ingest(directory / f"ingest-{number}", int(2_000 * scale) or 100) for number in range(rounds)]
    rate, mb = statistics.median(r["rate"] for r in rates), statistics.median(r["mb"] for r in rates)
    count = rates[0]["count"]
    print(f"\ningest: {count:,} verified records from {PEERS} peers into the merged feed  [records/s]")
    print(f"  ours            {rate:>12,.0f}   (aim 5,000)   {mb:6.0f} MB")
    rebuilt = statistics.median(r["rebuild"] for r in rates)
    print("\nrebuild: the same rows derived again from the stored blocks  [records/s]")
    print(f"  ours            {rebuilt:>12,.0f}   (aim 10,000)")
    found = asyncio.run(latency(directory / "latency", int(200 * scale) or 20))
    print(f"\nappend to open page, {found['count']} posts  [ms]")
    print(
        f"  ours            p50 {found['p50']:.0f}   p95 {found['p95']:.0f}   max {found['max']:.0f}   (aim p95 300)"
    )
    length = int(5_000 * scale)
    met = contact(directory / "contact", length)
    print(f"\nkey submitted to the newest records on the page, {PEERS} bees of {length:,} records  [ms]")
    print(
        f"  ours            p50 {met['p50']:.0f}   p95 {met['p95']:.0f}   max {met['max']:.0f}   (aim 1,000)"
    )
    return [
        {"title": "ingest", "rate": rate, "mb": mb},
        {"title": "rebuild", "rate": rebuilt},
        {"title": "append to open page", **found},
        {"title": "key submitted to newest records", **met},
    ]


if __name__ == "__main__":
    if sys.argv[1:2] == ["authors"]:
        asyncio.run(authors(int(sys.argv[2])))
