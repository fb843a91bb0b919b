"""Our side of every benchmark: `python -m bench.work QUESTION DIRECTORY [ARGUMENTS]`. Prints one JSON line.

The twin of `bench/node/work.js`: the same questions, the same arguments, the same checks that the work was really done.
"""

from __future__ import annotations

import asyncio
import gc
import json
import resource
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

from bench import records
from core.hyperbee import Hyperbee
from core.peer import Peer, settle_garbage_collector


def say(**answer: Any) -> None:
    print(json.dumps(answer), flush=True)


def memory() -> float:
    """Peak resident megabytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


async def timed(count: int, work: Callable[[], Awaitable[None]]) -> None:
    gc.collect()
    start = time.perf_counter()
    await work()
    seconds = time.perf_counter() - start
    say(seconds=seconds, count=count, rate=count / seconds, mb=memory())


async def puts(directory: str, count: int) -> None:
    bee = (await Peer.open(directory)).bee(name="bench")

    pairs = records.pairs(count)

    async def work() -> None:
        for key, value in pairs:
            await bee.put(key, value)

    await timed(count, work)


async def batches(directory: str, count: int, size: int) -> None:
    bee = (await Peer.open(directory)).bee(name="bench")

    pairs = records.pairs(count)

    async def work() -> None:
        for at in range(0, count, size):
            async with bee.batch() as batch:
                for key, value in pairs[at : at + size]:
                    await batch.put(key, value)

    await timed(count, work)


async def scan(directory: str, count: int) -> None:
    bee = (await Peer.open(directory)).bee(name="bench")

    async def work() -> None:
        seen = 0
        async for entry in bee.range():
            seen += entry.value["rating"] > 0
        assert seen == count, f"scanned {seen} of {count}"

    await timed(count, work)


async def gets(directory: str, count: int, upto: int) -> None:
    bee = (await Peer.open(directory)).bee(name="bench")

    async def work() -> None:
        for number in records.shuffled(count, upto):
            assert await bee.get(records.key(number)) is not None

    await timed(count, work)


async def pages(directory: str, count: int, upto: int) -> None:
    bee = (await Peer.open(directory)).bee(name="bench")

    async def work() -> None:
        for number in records.shuffled(count, upto - 50):
            seen = 0
            async for _ in bee.range(lt=records.key(number + 50), reverse=True, limit=50):
                seen += 1
            assert seen == 50, f"a page of {seen}"

    await timed(count, work)


async def appends(directory: str, count: int, size: int) -> None:
    core = (await Peer.open(directory)).core(name="raw")

    blocks = [records.block(number) for number in range(count)]

    async def work() -> None:
        for at in range(0, count, size):
            await core.append(blocks[at : at + size])

    await timed(count, work)


async def serve(directory: str, name: str) -> None:
    peer = await Peer.open(directory)
    core = peer.core(name=name)
    _, port = await peer.listen()
    say(port=port, key=core.key.hex(), length=core.length)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    say(mb=memory())
    await peer.close()


async def download(directory: str, port: int, key: str) -> None:
    peer = await Peer.open(directory)
    core = peer.core(key=key)
    start = time.perf_counter()
    await peer.connect("127.0.0.1", port)
    await core.update(wait=True)
    await core.download(start=0, end=core.length).done()
    seconds = time.perf_counter() - start
    assert core.contiguous_length == core.length > 0, "not everything came"
    say(seconds=seconds, count=core.length, rate=core.length / seconds, mb=memory())


async def coldpage(directory: str, port: int, key: str) -> None:
    peer = await Peer.open(directory)
    bee = Hyperbee(peer.core(key=key), key_encoding="utf-8", value_encoding="json")
    start = time.perf_counter()
    await peer.connect("127.0.0.1", port)
    await bee.update(wait=True)
    seen = 0
    async for _ in bee.range(reverse=True, limit=50):
        seen += 1
    seconds = time.perf_counter() - start
    assert seen == 50, f"a page of {seen}"
    blocks = sum(remote.blocks_received for remote in bee.core.peers)
    say(seconds=seconds, count=1, rate=1 / seconds, blocks=blocks, mb=memory())


QUESTIONS = {
    work.__name__: work for work in (puts, batches, scan, gets, pages, appends, serve, download, coldpage)
}

if __name__ == "__main__":
    question, directory, *arguments = sys.argv[1:]
    settle_garbage_collector()  # as `userpeer run` and `feedagg serve` do
    asyncio.run(
        QUESTIONS[question](directory, *(int(word) if word.isdecimal() else word for word in arguments))  # type: ignore[operator]
    )
