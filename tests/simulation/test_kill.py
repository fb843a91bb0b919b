"""kill -9 at random moments: what a writing process acknowledged is there, and what is there is whole."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from core.corestore import Corestore
from core.hypercore import Hypercore
from core.hypercore.signatures import verify_signature

pytestmark = pytest.mark.anyio

# Three logs of one store, appended to, truncated and cleared concurrently. Each line that is printed is a promise:
# "append <log> <fork> <length>" after the append returned, "truncate ..." likewise.
WRITER = """
import asyncio, random, sys
from core.corestore import Corestore

def block(log, fork, index):
    return (b"%d/%d/%d " % (log, fork, index)) * (1 + index % 40)

async def write(store, log, chance):
    core = store.get(name=str(log))
    while True:
        if core.length > 50 and chance.random() < 0.03:
            await core.truncate(core.length - chance.randrange(1, 20))
            print("truncate", log, core.fork, core.length, flush=True)
        if chance.random() < 0.05:
            await core.set_user_data("seen", b"%d" % core.length)
        start, fork = core.length, core.fork
        count = chance.choice([1, 1, 1, 7, 100])
        await core.append([block(log, fork, index) for index in range(start, start + count)])
        print("append", log, core.fork, core.length, flush=True)

async def main():
    chance = random.Random(int(sys.argv[2]))
    store = Corestore(sys.argv[1])
    print("ready", flush=True)
    await asyncio.gather(*(write(store, log, chance) for log in range(3)))

asyncio.run(main())
"""


def write_until_killed(directory: Path, seed: int, seconds: float) -> dict[int, tuple[int, int]]:
    """Run the writer, kill it, and return the last promise about each log: (fork, length)."""
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(directory), str(seed)], stdout=subprocess.PIPE, text=True
    )
    assert writer.stdout is not None
    assert writer.stdout.readline() == "ready\n"
    time.sleep(seconds)
    writer.send_signal(signal.SIGKILL)
    # Not `communicate`: it would read past what `readline` has buffered.
    with writer.stdout:
        rest = writer.stdout.read()
    writer.wait(60)
    promises: dict[int, tuple[int, int]] = {}
    for line in rest.splitlines(keepends=True):
        if line.endswith("\n"):
            _, log, fork, length = line.split()
            promises[int(log)] = int(fork), int(length)
    return promises


def check(core: Hypercore, name: int, promise: tuple[int, int]) -> None:
    fork, length = promise
    # One write of each log may have been committed without having been acknowledged yet.
    assert (core.fork, core.length) >= (fork, length)
    assert core.contiguous_length == core.length
    assert core.manifest is not None
    assert verify_signature(
        core.manifest, core.key, core.log.roots, core.length, core.fork, core.log.signature
    )
    for index in range(core.length):
        block = core.block_if_local(index)
        assert block is not None
        text = block.split(b" ")[0].split(b"/")
        assert (int(text[0]), int(text[2])) == (name, index)
        assert block == (b"/".join(text) + b" ") * (1 + index % 40)
        assert core.log.node(2 * index) is not None
    assert not core.has(core.length)
    assert core.block_if_local(core.length) is None


async def test_what_was_acknowledged_survives_kill_9(tmp_path: Path) -> None:
    chance = random.Random(20)
    # The longer ones live through checkpoints, by size and (of what a round before left) at the start.
    for round_number, seconds in enumerate(
        [0.05, 0.1, 1.0, 0.02, *(chance.uniform(0.05, 0.5) for _ in range(4))]
    ):
        promises = write_until_killed(tmp_path, round_number, seconds)
        assert promises, "the writer was killed before it acknowledged anything"
        async with Corestore(tmp_path) as store:
            for name, promise in promises.items():
                check(store.get(name=str(name)), name, promise)
