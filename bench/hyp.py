"""`hyp` beside what the workshop of 2021 took: the daemon, each command, calls through it, and two machines.

The software of 2021 does not start on today's Node without mending, so its figures are not measured here again: they
are those of a run on a machine of the same kind (two cores, noisy; medians). Starting an empty Node process took 87 ms
in that run; the first row has the same of this one, so that the two can be compared.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from core.peer import Testnet
from userpeer.hyp.client import Bee, Hyp

# name -> milliseconds of 2021; None where nothing like it was there
THEN: dict[str, float | None] = {
    "an empty process of Node": 87,
    "daemon start, new directory": 968,
    "daemon start, old directory": 968,
    "daemon start, processor time": None,
    "daemon status": 321,
    "daemon stop": 2290,
    "create bee": 328,
    "bee put": 367,
    "bee get": 417,
    "info KEY": 441,
    "seed KEY": 478,
    "bee ls, 100 entries": 560,
    "bee ls, 1,000 entries": 985,
    "bee ls, 10,000 entries": 6849,
    "a put through the daemon, 10,000 entries": 0.87,
    "a get through the daemon, 10,000 entries": 0.72,
    "10,000 puts, each awaited": 10_000 / 1_216 * 1000,
    "10,000 puts in one batch": 10_000 / 33_526 * 1000,
    "added here, seen there (10 entries)": 6.6,
    "get of one key of 10,000, nothing there before": None,
    "10,000 entries read there, nothing there before": 6_349,
}

# Python keeps what it compiled, unless somebody forbids it; the first start here compiles and is not counted.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def run(root: Path, rounds: int, scale: float) -> list[dict[str, Any]]:
    """Print the table and return its rows."""
    return asyncio.run(_run(root, max(3, rounds), max(1_000, int(10_000 * scale))))


def hyp(directory: Path, *words: str, stdin: str = "") -> str:
    """A command as a process, as a person would start it."""
    command = [str(Path(sys.executable).with_name("hyp")), "--dir", str(directory), *words]
    return subprocess.run(
        command, input=stdin, capture_output=True, text=True, check=True, env=ENVIRONMENT
    ).stdout


def timed(times: int, work: Callable[[int], Any]) -> float:
    """The median in milliseconds."""
    figures = []
    for number in range(times):
        began = time.perf_counter()
        work(number)
        figures.append(1000 * (time.perf_counter() - began))
    return statistics.median(figures)


async def timed_calls(times: int, work: Callable[[int], Awaitable[Any]]) -> float:
    figures = []
    for number in range(times):
        began = time.perf_counter()
        await work(number)
        figures.append(1000 * (time.perf_counter() - began))
    return statistics.median(figures)


async def _run(root: Path, rounds: int, many: int) -> list[dict[str, Any]]:
    now: dict[str, float] = {}
    one, two = root / "hyp-one", root / "hyp-two"
    async with await Testnet.open(3) as net:
        start = ("daemon", "start", "--bootstrap", net.bootstrap[0])
        await asyncio.to_thread(_commands, now, root, one, start, rounds, many)
        try:
            async with Hyp(one) as here:
                await _calls(now, here, many)
                await asyncio.to_thread(hyp, two, *start)
                async with Hyp(two) as there:
                    await _two_machines(now, here, there, many)
            memory = [
                _memory(await asyncio.to_thread(hyp, each, "--json", "daemon", "status"))
                for each in (one, two)
            ]
        finally:
            for each in (one, two):
                await asyncio.to_thread(hyp, each, "daemon", "stop")
    print(
        f"\nhyp, beside the workshop of 2021  [milliseconds, medians; {many:,} entries where 10,000 are named]"
    )
    rows = {}
    for name, then in THEN.items():
        if name in now:
            ratio = "" if then is None else f"  then {then:9,.2f}   {then / now[name]:6.1f}x"
            print(f"  {name:<52}{now[name]:>10,.2f}{ratio}")
            rows[name] = {"ms": now[name], "then": then}
    print(
        f"  memory after all that: {memory[0]:.0f} MB and {memory[1]:.0f} MB   then 155 MB and 99 MB, and the app's 67"
    )
    return [{"title": "hyp", "unit": "ms", "rows": rows, "memory": memory}]


def _commands(
    now: dict[str, float], root: Path, one: Path, start: tuple[str, ...], rounds: int, many: int
) -> None:
    """What a person types, process by process."""
    now["an empty process of Node"] = timed(rounds, lambda _: subprocess.run(["node", "-e", "0"], check=True))

    def fresh(number: int) -> None:
        hyp(root / f"hyp-new-{number}", *start)

    fresh(rounds)
    hyp(root / f"hyp-new-{rounds}", "daemon", "stop")

    now["daemon start, new directory"] = timed(rounds, fresh)
    now["daemon start, processor time"] = statistics.median(
        _processor_ms(root / f"hyp-new-{number}") for number in range(rounds)
    )
    now["daemon stop"] = timed(rounds, lambda number: hyp(root / f"hyp-new-{number}", "daemon", "stop"))
    old = []
    hyp(one, *start)
    for _ in range(rounds):
        hyp(one, "daemon", "stop")
        old.append(timed(1, lambda _: hyp(one, *start)))
    now["daemon start, old directory"] = statistics.median(old)
    times = 2 * rounds + 1
    now["daemon status"] = timed(times, lambda _: hyp(one, "daemon", "status"))
    now["create bee"] = timed(times, lambda number: hyp(one, "create", "bee", f"made-{number}"))
    now["bee put"] = timed(times, lambda number: hyp(one, "bee", "put", f"made-0/{number}", '{"a": 1}'))
    now["bee get"] = timed(times, lambda _: hyp(one, "bee", "get", "made-0/0"))
    now["info KEY"] = timed(times, lambda _: hyp(one, "info", "made-0"))
    now["seed KEY"] = timed(times, lambda number: hyp(one, "seed", f"{number:064x}"))
    for number in range(times):
        hyp(one, "unseed", f"{number:064x}")
    for count in (100, 1_000, many):
        name = f"list-{count}"
        hyp(one, "create", "bee", name)
        hyp(one, "bee", "batch", name, stdin="\n".join(json.dumps(_movie(number)) for number in range(count)))
        label = "10,000" if count == many else f"{count:,}"
        now[f"bee ls, {label} entries"] = timed(rounds, lambda _, name=name: hyp(one, "bee", "ls", name))


async def _calls(now: dict[str, float], here: Hyp, many: int) -> None:
    """What a program does through the daemon."""
    bee = here.bee(f"list-{many}")
    now["a put through the daemon, 10,000 entries"] = await timed_calls(
        200, lambda n: bee.put(f"n/{n}", {"a": n})
    )
    now["a get through the daemon, 10,000 entries"] = await timed_calls(200, lambda n: bee.get(f"n/{n}"))
    single, batch = await here.create("single"), await here.create("batch")

    async def puts() -> None:
        for number in range(many):
            await single.put(**_movie(number))

    now["10,000 puts, each awaited"] = await timed_calls(1, lambda _: puts())
    movies = [_movie(number) for number in range(many)]
    now["10,000 puts in one batch"] = await timed_calls(1, lambda _: batch.batch(movies))


async def _two_machines(now: dict[str, float], here: Hyp, there: Hyp, many: int) -> None:
    """What a second machine sees, by the key alone."""
    ten = await here.create("ten")
    await ten.batch([_movie(number) for number in range(10)])
    other = there.bee(ten.name).with_timeout(60)
    assert [entry async for entry in other.range()]
    changes = other.watch()
    following = asyncio.ensure_future(anext(changes))
    await asyncio.sleep(0.5)
    delays = []
    for number in range(20):
        await ten.put(f"seen-{number}", number)
        began = time.perf_counter()
        change = await following
        assert change.value == number
        delays.append(1000 * (time.perf_counter() - began))
        following = asyncio.ensure_future(anext(changes))
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)
    now["added here, seen there (10 entries)"] = statistics.median(delays)
    whole = await here.create("whole")
    await whole.batch([_movie(number) for number in range(many)])
    theirs = there.bee(whole.name).with_timeout(60)
    now["get of one key of 10,000, nothing there before"] = await timed_calls(
        1, lambda _: theirs.get(_movie(many // 2)["key"])
    )
    now["10,000 entries read there, nothing there before"] = await timed_calls(
        1, lambda _: _count(theirs, many)
    )


async def _count(bee: Bee, expected: int) -> None:
    count = 0
    async for _ in bee.range():
        count += 1
    assert count == expected, count


def _movie(number: int) -> dict[str, Any]:
    """About 100 bytes with its key, as in the workshop."""
    value = {
        "title": f"Movie number {number}",
        "year": 1900 + number % 120,
        "genre": "drama",
        "rating": number % 10,
    }
    return {"key": f"c{number:08x}kq3", "value": value}


def _processor_ms(directory: Path) -> float:
    """What the daemon of a directory used of a processor until now: what else runs does not count. From Linux."""
    status = json.loads(hyp(directory, "--json", "daemon", "status"))
    fields = Path(f"/proc/{status['pid']}/stat").read_text().rpartition(")")[2].split()
    return 1000 * (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _memory(status: str) -> float:
    """The resident megabytes of a daemon, from Linux."""
    path = Path(f"/proc/{json.loads(status)['pid']}/status")
    found = re.search(r"VmRSS:\s+(\d+) kB", path.read_text() if os.path.exists(path) else "")
    return int(found[1]) / 1000 if found else float("nan")
