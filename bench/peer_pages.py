"""One's own page with much behind it: 100,000 own records and 200 followed bees. No reference: nothing else has it.

Prints the start to the first page, the memory of the process, and of every page the p95 as asked for over HTTP, and the
processor time that the peer, a process of its own, spent on it (which says more on a busy machine).
"""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import quote, urlsplit

from core.peer import Peer
from userpeer.service import open_service
from userpeer.settings import Settings

OWN, BEES, THEIRS, ROUNDS = 100_000, 200, 100, 40
LIMIT_MS, START_LIMIT, MEMORY_LIMIT_MB = 50.0, 1.0, 150.0


async def prepare(directory: Path, own: int, bees: int) -> str:
    """A peer with `own` records that follows `bees` others; returns the key of one of its posts."""
    other = await Peer.open(None)
    async with open_service(Settings(directory), reads=True) as service:
        fresh = []
        for number in range(own):
            when = f"20{20 + number % 6}-{number % 12 + 1:02d}-{number % 28 + 1:02d}"
            if number % 2:
                film = {"title": f"Film {number % 5000}", "year": 1950 + number % 70, "kind": "movie"}
                value = {"film": film, "watchedOn": when, "rating": number % 10 + 1, "tags": ["seen"]}
                fresh.append(("movie", value))
            else:
                text = f"Post number {number} about bees, meadow {number % 97} and river {number % 31}."
                fresh.append(("post", {"text": text, "tags": ["garden"]}))
        for start in range(0, own, 4000):
            await service.publisher.publish_many(fresh[start : start + 4000], [])
        keys = []
        for number in range(bees):
            bee = other.bee(name=f"bee-{number}")
            async with bee.batch() as batch:
                await batch.put("profile/self", {"name": f"Person {number}"})
                for post in range(THEIRS):
                    at = f"2026-{post % 11 + 1:02d}-{number % 28 + 1:02d}T{post % 24:02d}:00:00.000Z"
                    await batch.put(
                        f"post/{post:016x}", {"text": f"{number} says {post} of the meadow", "createdAt": at}
                    )
            keys.append(bee.core.key.hex())
        await service.peer.connect(*await other.listen())
        for key in keys:
            await service.follow(key)
        own_bee = service.follows.get(service.key)
        assert own_bee is not None
        await own_bee.settled()
        for _ in range(600):
            if all((bee := service.follows.get(key)) and bee.known.read >= THEIRS for key in keys):
                break
            await asyncio.sleep(0.1)
        page = service.library.of_bee(service.key, kind="post")
        key = page.items[0].key
    await other.close()
    return key


def measure(directory: Path, key: str) -> list[tuple[str, float, float, str, float]]:
    """(what, value, limit, unit), for the start, the memory and the p95 of each page."""
    begun = time.perf_counter()
    command = [
        sys.executable,
        "-m",
        "userpeer",
        "--dir",
        str(directory),
        "run",
        "--web",
        "127.0.0.1:0",
        "--no-dht",
        "--json",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            ready = json.loads(process.stdout.readline())
            host = urlsplit(ready["web"]).netloc
            connection = http.client.HTTPConnection(host)

            def get(path: str) -> float:
                start = time.perf_counter()
                connection.request("GET", path)
                answer = connection.getresponse()
                answer.read()
                assert answer.status == 200, (path, answer.status)
                return (time.perf_counter() - start) * 1000

            def spent() -> float:
                fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
                return (int(fields[11]) + int(fields[12])) * 1000 / os.sysconf("SC_CLK_TCK")

            get("/")
            rows = [
                ("start to the first page", time.perf_counter() - begun, START_LIMIT, "s", spent() / 1000)
            ]
            pages = {
                "my feed": "/",
                "timeline": "/timeline",
                "timeline, films": "/timeline?kind=movie",
                "a person": f"/b/{ready['key']}",
                "thread": f"/thread?bee={ready['key']}&key={quote(key, safe='')}",
                "record and history": f"/record?key={quote(key, safe='')}",
                "search, rare": "/search?q=4242",
                "search, common": "/search?q=meadow",
                "search, two words": "/search?q=river+bees",
                "following": "/following",
                "diary": "/diary",
                "a year in review": "/diary/2025",
                "undated": "/diary/undated",
                "bee": "/bee",
                "network": "/network",
                "watchlist": "/watchlist",
            }
            for name, path in pages.items():
                get(path)
                before = spent()
                times = sorted(get(path) for _ in range(ROUNDS))
                used = (spent() - before) / ROUNDS
                rows.append((f"{name}, p95", times[int(len(times) * 0.95) - 1], LIMIT_MS, "ms", used))
            status = Path(f"/proc/{process.pid}/status").read_text()
            resident = int(status.split("VmRSS:")[1].split()[0]) / 1024
            rows.insert(1, ("memory after all pages", resident, MEMORY_LIMIT_MB, "MB", 0.0))
            return rows
        finally:
            process.terminate()


def run(root: Path, scale: float) -> list[dict[str, object]]:
    """`python -m bench peer`: print every figure beside its aim, and give them back."""
    own, bees = int(OWN * scale), int(BEES * scale)
    place = root / "peer"
    place.mkdir()
    key = asyncio.run(prepare(place, own, bees))
    print(f"\n{own:,} own records, {bees} followed bees of {THEIRS} records")
    results: list[dict[str, object]] = []
    for name, value, limit, unit, used in measure(place, key):
        reached = "" if value <= limit else ": not reached"
        print(f"  {name:<28} {value:8.2f} {unit:<3} (aim {limit:g}{reached}; processor {used:.2f} {unit})")
        results.append({"title": name, "unit": unit, "value": value, "aim": limit, "processor": used})
    return results
