"""Finding and meeting: connections by key, lookups, and from a cold start to the first block, ours beside Node's.

Every end is a process of its own, and so is the testnet they live in; ours run on a testnet of ours, Node's on
Node's. All nodes are on loopback and take themselves to be behind a firewall.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
OURS, NODE = "ours", "node"
SMALL_TESTNET = 10
LARGE_TESTNET = 64
KEYS = 100
SECONDS = 120
# Node compiles as fast as it reads; Python keeps what it compiled, unless somebody forbids it.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}

Answer = dict[str, Any]


def words(side: str, role: str, *arguments: object) -> list[str]:
    program = (
        [sys.executable, "-m", "bench.dht_work"] if side == OURS else ["node", str(HERE / "node" / "dht.js")]
    )
    return [*program, role, *map(str, arguments)]


@contextmanager
def living(side: str, role: str, *arguments: object) -> Iterator[Answer]:
    """A process that says one line when it is ready and lives until the end of the block."""
    process = subprocess.Popen(
        words(side, role, *arguments),
        cwd=HERE.parent,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield {**json.loads(process.stdout.readline()), "pid": process.pid}
    finally:
        process.stdin.close()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def ask(side: str, role: str, *arguments: object) -> Answer:
    """What one process measured, and the `wall` seconds from its start to its answer."""
    start = time.perf_counter()
    done = subprocess.run(
        words(side, role, *arguments),
        cwd=HERE.parent,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        env=ENVIRONMENT,
    )
    wall = time.perf_counter() - start
    if done.returncode != 0 or not done.stdout:
        raise SystemExit(f"{side} failed at {role}:\n{done.stdout}{done.stderr}")
    return {**json.loads(done.stdout.splitlines()[-1]), "wall": wall}


def processor_seconds(*others: Answer) -> float:
    """Spent so far by these processes."""
    ticks = 0
    for other in others:
        fields = Path(f"/proc/{other['pid']}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


# --- the questions ------------------------------------------------------------------------------------


def connections(side: str, parallel: int, again: int) -> Answer:
    with (
        living(side, "testnet", SMALL_TESTNET) as net,
        living(side, "serve", net["bootstrap"], KEYS) as server,
    ):
        before = processor_seconds(net, server)
        answer = ask(side, "connect", net["bootstrap"], ",".join(server["keys"]), again, parallel)
        spent = answer["cpu"] + processor_seconds(net, server) - before
    return {**answer, "processor": spent / answer["count"] * 1000}


def lookups(side: str, count: int) -> Answer:
    with living(side, "testnet", LARGE_TESTNET) as net:
        before = processor_seconds(net)
        answer = ask(side, "lookup", net["bootstrap"], count)
        spent = answer["cpu"] + processor_seconds(net) - before
    times = statistics.median(answer["times"])
    return {"ms": times, "mb": answer["mb"], "processor": spent / answer["count"] * 1000}


def cold_start(side: str) -> Answer:
    with living(side, "testnet", SMALL_TESTNET) as net, living(side, "author", net["bootstrap"]) as author:
        answer = ask(side, "cold", net["bootstrap"], author["key"])
    return {"wall": answer["wall"] * 1000, "ms": answer["seconds"] * 1000, "mb": answer["mb"]}


# --- the table ----------------------------------------------------------------------------------------


def compare(rounds: int, question: Callable[[str], Answer]) -> dict[str, list[Answer]]:
    """Both sides in turn, the order alternating from round to round."""
    answers: dict[str, list[Answer]] = {OURS: [], NODE: []}
    for number in range(rounds):
        for side in (OURS, NODE) if number % 2 == 0 else (NODE, OURS):
            answers[side].append(question(side))
    return answers


def show(
    title: str, unit: str, key: str, answers: dict[str, list[Answer]], *, lower_is_better: bool
) -> Answer:
    """One row a side, with the ratio to Node's; above 1 ours is faster."""
    print(f"\n{title}  [{unit}]")
    medians = {side: statistics.median(answer[key] for answer in answers[side]) for side in answers}
    rows = {}
    for side, measured in answers.items():
        figures = sorted(answer[key] for answer in measured)
        ratio = medians[NODE] / medians[side] if lower_is_better else medians[side] / medians[NODE]
        mb = statistics.median(answer["mb"] for answer in measured)
        print(
            f"  {side:<16}{medians[side]:>12,.2f}  ({figures[0]:,.2f} to {figures[-1]:,.2f})"
            f"   speed {ratio:5.2f}x   {mb:6.0f} MB"
        )
        rows[side] = {key: medians[side], "ratio": ratio, "mb": mb, "all": figures}
    return {"title": title, "unit": unit, "rows": rows}


def run(rounds: int, scale: float) -> list[Answer]:
    """All questions, printed; returns the figures."""
    results = []
    again, count = int(300 * scale) or 30, int(200 * scale) or 20
    for parallel in (1, 8):
        answers = compare(rounds, lambda side, parallel=parallel: connections(side, parallel, again))  # type: ignore[misc]
        how = "one after another" if parallel == 1 else f"{parallel} at a time"
        for key, which in (
            ("first", f"to {KEYS} keys never seen"),
            ("again", "to a key connected to before"),
        ):
            results.append(
                show(f"connections by key, {which}, {how}", "/s", key, answers, lower_is_better=False)
            )
        title = f"processor time of all processes for each of these, {how}"
        results.append(show(title, "ms", "processor", answers, lower_is_better=True))
    answers = compare(rounds, lambda side: lookups(side, count))
    results.append(
        show(f"lookup on a testnet of {LARGE_TESTNET} nodes", "ms", "ms", answers, lower_is_better=True)
    )
    title = "processor time of all processes for each of these lookups"
    results.append(show(title, "ms", "processor", answers, lower_is_better=True))
    answers = compare(rounds, cold_start)
    for key, title in (
        ("wall", "from the start of the process to the last block of a bee, by its key alone"),
        ("ms", "the same from the opening of the node on"),
    ):
        results.append(show(title, "ms", key, answers, lower_is_better=True))
    return results
