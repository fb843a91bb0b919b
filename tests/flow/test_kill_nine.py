"""`kill -9` of the two programs at random moments: nothing acknowledged is missing, nothing is doubled.

The moments come from a seed that is printed on failure (`MEADOW_KILL_SEED` repeats it). Each program is killed
`KILLS` times on one and the same directory.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from core.peer import Peer
from feedagg.database import Database, database_url
from feedagg.decide import Status
from feedagg.publisher import Publisher
from tests.support.userpeer import running
from userpeer.client import RemoteError, call_running
from userpeer.errors import NotRunning

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.timeout(400)]

KILLS = 20
SEED = int(os.environ.get("MEADOW_KILL_SEED", "0")) or random.randrange(1, 2**32)


async def write_until_killed(control: Path, acknowledged: dict[str, str], numbers: list[int]) -> None:
    """Post through the running peer, remembering what it acknowledged, until it is gone."""
    while True:
        text = f"number {numbers[0]}"
        numbers[0] += 1
        try:
            async for item in call_running(control, "post", {"text": text}):
                acknowledged[item["key"]] = text
        except (RemoteError, NotRunning, OSError):
            return


async def test_a_writing_peer_keeps_every_acknowledged_post(tmp_path: Path) -> None:
    chance = random.Random(SEED)
    directory = tmp_path / "peer"
    acknowledged: dict[str, str] = {}
    numbers = [0]
    for _ in range(KILLS):
        with running(directory) as (process, _ready):
            writers = asyncio.gather(
                *(write_until_killed(directory / "control.sock", acknowledged, numbers) for _ in range(3))
            )
            await asyncio.sleep(chance.uniform(0.02, 0.4))
            process.send_signal(signal.SIGKILL)
            process.wait(60)
            await writers

    peer = await Peer.open(directory / "store")
    bee = peer.bee(name="main")
    stored = {entry.key: entry.value["text"] async for entry in bee.range(gte="post/", lt="post0")}
    written = [entry async for entry in bee.history() if entry.key.startswith("post/")]
    await peer.close()
    missing = {key: text for key, text in acknowledged.items() if stored.get(key) != text}
    assert not missing, f"seed {SEED}: {len(missing)} of {len(acknowledged)} acknowledged posts are missing"
    assert len(stored) == len(set(stored.values())) == len(written), (
        f"seed {SEED}: something was written twice"
    )
    assert len(stored) - len(acknowledged) <= 3 * KILLS, f"seed {SEED}: posts that nobody wrote"
    assert len(acknowledged) > KILLS, f"seed {SEED}: only {len(acknowledged)} posts; the test tests nothing"


async def test_an_ingesting_aggregator_shows_every_record_once(tmp_path: Path) -> None:
    chance = random.Random(SEED)
    author = await Peer.open(None)
    bee = author.bee(name="main")
    host, port = await author.listen()
    stop = asyncio.Event()
    written: list[str] = []

    async def write() -> None:
        """Records in bursts, edits and deletions among them, as fast as the aggregator may take them."""
        while not stop.is_set():
            async with bee.batch() as batch:
                for _ in range(50):
                    key = f"post/{time.time_ns() // 1_000_000:012x}{len(written) % 65536:04x}"
                    await batch.put(
                        key, {"text": f"record {len(written)}", "createdAt": int(time.time() * 1000)}
                    )
                    written.append(key)
                if len(written) > 200:
                    await batch.delete(chance.choice(written))
                    await batch.put(
                        chance.choice(written), {"text": "edited", "createdAt": int(time.time() * 1000)}
                    )
            await asyncio.sleep(0.05)

    directory = tmp_path / "aggregator"
    aggregator("add", directory, bee.core.key.hex(), "--peer", f"{host}:{port}")
    writing = asyncio.create_task(write())
    for _ in range(KILLS):
        process = serve(directory)
        await asyncio.sleep(chance.uniform(0.1, 1.0))
        process.send_signal(signal.SIGKILL)
        process.wait(60)
    stop.set()
    await writing
    expected = {entry.key: entry.value["text"] async for entry in bee.range(gte="post/", lt="post0")}

    process = serve(directory)
    try:
        shown: dict[str, str] = {}
        for _ in range(300):
            await asyncio.sleep(0.2)
            shown = shown_posts(directory)
            if shown == expected:
                break
    finally:
        process.terminate()
        process.wait(60)
    await author.close()
    assert len(expected) > 1000, "the test tests nothing"
    missing, extra = expected.keys() - shown.keys(), shown.keys() - expected.keys()
    assert shown == expected, f"seed {SEED}: {len(missing)} missing, {len(extra)} too many, or an old text"
    await check_what_was_published(directory, set(expected))


async def check_what_was_published(directory: Path, keys: set[str]) -> None:
    """The aggregator's own bees after all those kills: the feed is the feed, and every block was read once."""
    peer, database = await Peer.open(directory / "store"), Database(database_url(directory, None))
    try:
        publisher = Publisher(database, peer, None, "Meadow")  # type: ignore[arg-type]  # nothing is read here
        await publisher.caught_up()
        items = [entry.key async for entry in publisher.feed.range(gte=b"item/", lt=b"item0")]
        assert len(items) == len(keys), (
            f"seed {SEED}: the feed's bee holds {len(items)} of {len(keys)} records"
        )
        assert {item.split(b"/", 3)[3].decode() for item in items} == keys
        said = [json.loads(entry.value) async for entry in publisher.log.range(gte=b"read/", lt=b"read0")]
        stretches = sorted((entry["from"], entry["to"]) for entry in said)
        assert stretches[0][0] == 1
        for before, after in itertools.pairwise(stretches):
            assert before[1] == after[0], f"seed {SEED}: {before} and {after} do not join"
    finally:
        await database.close()
        await peer.close()


def aggregator(command: str, directory: Path, *arguments: str) -> None:
    subprocess.run(
        [sys.executable, "-m", "feedagg", "--dir", str(directory), command, *arguments],
        check=True,
        capture_output=True,
        timeout=30,
    )


def serve(directory: Path) -> subprocess.Popen[bytes]:
    """`feedagg serve`, up once it prints its ready line."""
    options = ["--web", "127.0.0.1:0", "--listen", "127.0.0.1:0", "--no-dht", "--json"]
    process = subprocess.Popen(
        [sys.executable, "-m", "feedagg", "--dir", str(directory), "serve", *options], stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdout.readline(), "feedagg ended before it was ready"
    return process


def shown_posts(directory: Path) -> dict[str, str]:
    """Key and text of the posts that are shown, straight from the database."""
    with sqlite3.connect(f"file:{directory / 'feedagg.sqlite'}?mode=ro", uri=True) as database:
        rows = database.execute("SELECT key, value FROM records WHERE status = ?", (int(Status.SHOWN),))
        return {bytes(key).decode(): json.loads(value)["text"] for key, value in rows}
