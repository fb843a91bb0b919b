"""`make bench`: ours and the official Node packages, side by side in one run, and the ratio.

    python -m bench [QUESTION ...] [--rounds N] [--quick] [--json FILE]

Each round runs the two sides one after the other on data of their own, in alternating order, because the speed of a
shared machine drifts. The table shows medians; a ratio above 1 means that ours is faster (or smaller, for memory).
"""

from __future__ import annotations

import argparse
import json
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench import dht, feed, hyp, many_bees, network_udx, pages, peer_pages, swarm

HERE = Path(__file__).resolve().parent
OURS, NODE = "ours", "node"
RUN_SECONDS = 300
ASKED = (
    "Of an aggregator: feed measures ingest, rebuild, append to open page and a key submitted to its newest records; "
    "pages the p95 of every page and search and the storage at a million records, on SQLite and on PostgreSQL; many "
    "the catch-up and the memory of 1,000 live bees."
)

Answer = dict[str, Any]


def command(side: str) -> list[str]:
    """The program of one side."""
    return [sys.executable, "-m", "bench.work"] if side == OURS else ["node", str(HERE / "node" / "work.js")]


def ask(side: str, question: str, directory: Path, *arguments: object) -> Answer:
    """Run one question in a process of its own and return the line it prints."""
    words = [*command(side), question, str(directory), *map(str, arguments)]
    done = subprocess.run(words, cwd=HERE.parent, capture_output=True, text=True, timeout=RUN_SECONDS)
    if done.returncode != 0:
        raise SystemExit(f"{side} failed at {question}:\n{done.stdout}{done.stderr}")
    return dict(json.loads(done.stdout.splitlines()[-1]))


@contextmanager
def serving(side: str, directory: Path, name: str) -> Iterator[Answer]:
    """A server process of one side; gives its {port, key, length}, and its memory after it ended."""
    words = [*command(side), "serve", str(directory), name]
    process = subprocess.Popen(
        words,
        cwd=HERE.parent,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdin is not None
    ready: Answer = json.loads(process.stdout.readline())
    try:
        yield ready
    finally:
        process.stdin.close()
        process.wait(30)


@dataclass
class Line:
    """One row of the table: the figures of both sides over the rounds."""

    title: str
    unit: str
    figures: dict[str, list[Answer]] = field(default_factory=dict)
    lower_is_better: bool = False

    def add(self, column: str, answer: Answer) -> None:
        self.figures.setdefault(column, []).append(answer)

    def median(self, column: str, key: str) -> float:
        return statistics.median(answer[key] for answer in self.figures[column])


class Bench:
    """Directories prepared once, and the rounds."""

    def __init__(self, root: Path, rounds: int, scale: float) -> None:
        self.root = root
        self.rounds = rounds
        self.scale = scale
        self.records = int(100_000 * scale)
        self.singles = int(3_000 * scale) or 100
        self._fresh = 0

    def fresh(self) -> Path:
        self._fresh += 1
        return self.root / f"store-{self._fresh}"

    def prepared(self, side: str, name: str) -> Path:
        """A store of `side` that holds the bee (`bench`) or the raw log (`raw`) of `self.records` records."""
        directory = self.root / f"{side}-{name}"
        if not directory.exists():
            if name == "bench":
                ask(side, "batches", directory, self.records, 4096)
            else:
                ask(side, "appends", directory, self.records, 1000)
        return directory

    def each_round(self, line: Line, sides: dict[str, Callable[[], Answer]]) -> Line:
        order = list(sides)
        for round_number in range(self.rounds):
            for side in order if round_number % 2 == 0 else reversed(order):
                line.add(side, sides[side]())
        return line

    # --- the questions --------------------------------------------------------------------------

    def puts(self) -> Iterator[Line]:
        yield self.each_round(
            Line("single puts, each awaited", "puts/s"),
            {side: lambda side=side: ask(side, "puts", self.fresh(), self.singles) for side in (OURS, NODE)},  # type: ignore[misc]
        )

    def batches(self) -> Iterator[Line]:
        yield self.each_round(
            Line(f"batches of 4,096 up to {self.records:,} records", "puts/s"),
            {
                side: lambda side=side: ask(side, "batches", self.fresh(), self.records, 4096)
                for side in (OURS, NODE)
            },  # type: ignore[misc]
        )

    def reads(self) -> Iterator[Line]:
        for title, unit, question, arguments in (
            ("full scan", "entries/s", "scan", (self.records,)),
            ("random gets", "gets/s", "gets", (min(10_000, self.records), self.records)),
            ("page of 50 in reverse", "pages/s", "pages", (300, self.records)),
        ):
            yield self.each_round(
                Line(title, unit),
                {
                    side: lambda side=side, q=question, a=arguments: ask(
                        side, q, self.prepared(side, "bench"), *a
                    )  # type: ignore[misc]
                    for side in (OURS, NODE)
                },
            )

    def appends(self) -> Iterator[Line]:
        yield self.each_round(
            Line("raw appends, batches of 1,000", "blocks/s"),
            {
                side: lambda side=side: ask(side, "appends", self.fresh(), self.records, 1000)
                for side in (OURS, NODE)
            },  # type: ignore[misc]
        )

    def replicate(self) -> Iterator[Line]:
        line = Line(f"replication of {self.records:,} blocks (reader from server)", "blocks/s")

        def run(reader: str, server: str) -> Answer:
            with serving(server, self.prepared(server, "raw"), "raw") as ready:
                return ask(reader, "download", self.fresh(), ready["port"], ready["key"])

        pairs = [(OURS, OURS), (OURS, NODE), (NODE, OURS), (NODE, NODE)]
        yield self.each_round(line, {f"{r} from {s}": lambda r=r, s=s: run(r, s) for r, s in pairs})  # type: ignore[misc]

    def coldpage(self) -> Iterator[Line]:
        line = Line("cold sparse page: newest 50 of a bee never seen", "pages/s")

        def run(reader: str, server: str) -> Answer:
            with serving(server, self.prepared(server, "bench"), "bench") as ready:
                return ask(reader, "coldpage", self.fresh(), ready["port"], ready["key"])

        pairs = [(OURS, OURS), (OURS, NODE), (NODE, NODE)]
        yield self.each_round(line, {f"{r} from {s}": lambda r=r, s=s: run(r, s) for r, s in pairs})  # type: ignore[misc]


def show(line: Line) -> dict[str, Any]:
    """Print one row a column, with the ratio to the all-Node one."""
    reference = next(column for column in line.figures if column.replace(NODE, "").strip() in ("", "from"))
    base, base_mb = line.median(reference, "rate"), line.median(reference, "mb")
    print(f"\n{line.title}  [{line.unit}]")
    rows = {}
    for column, answers in line.figures.items():
        rate, mb = line.median(column, "rate"), line.median(column, "mb")
        rates = sorted(answer["rate"] for answer in answers)
        blocks = (
            f"  {statistics.median(a['blocks'] for a in answers):.0f} blocks"
            if "blocks" in answers[0]
            else ""
        )
        print(
            f"  {column:<16}{rate:>12,.0f}  ({rates[0]:,.0f} to {rates[-1]:,.0f})   speed {rate / base:5.2f}x"
            f"   {mb:6.0f} MB  memory {mb / base_mb:4.2f}x{blocks}"
        )
        rows[column] = {"rate": rate, "ratio": rate / base, "mb": mb, "rates": rates}
    return {"title": line.title, "unit": line.unit, "rows": rows}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__, epilog=ASKED)
    names = ["puts", "batches", "reads", "appends", "replicate", "coldpage"]
    parser.add_argument(
        "questions",
        nargs="*",
        choices=[*names, "udx", "dht", "swarm", "feed", "hyp", "pages", "peer", "many", []],
        help="which (default: all but pages, peer and many, which first fill a store, with up to a million records)",
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="a tenth of the records, one round")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    options = parser.parse_args()
    if shutil.which("node") is None:
        raise SystemExit(
            "the benchmarks compare with the official packages: install Node, then `make node-packages`"
        )
    with tempfile.TemporaryDirectory(prefix="meadow-bench-") as root:
        bench = Bench(Path(root), 1 if options.quick else options.rounds, 0.1 if options.quick else 1.0)
        print(f"{platform.machine()}, Python {platform.python_version()}, medians of {bench.rounds} rounds")
        chosen = options.questions or [*names, "udx", "dht", "swarm", "feed", "hyp"]
        results = [show(line) for name in chosen if name in names for line in getattr(bench, name)()]
        if "udx" in chosen:
            results += network_udx.run(bench.rounds, bench.scale)
        if "dht" in chosen:
            results += dht.run(bench.rounds, bench.scale)
        if "swarm" in chosen:
            results += swarm.run(bench.rounds, bench.scale)
        if "feed" in chosen:
            results += feed.run(Path(root), bench.rounds, bench.scale)
        if "hyp" in chosen:
            results += hyp.run(Path(root), bench.rounds, bench.scale)
        if "pages" in chosen:
            results += pages.run(Path(root), bench.scale)
        if "peer" in chosen:
            results += peer_pages.run(Path(root), bench.scale)
        if "many" in chosen:
            results += many_bees.run(Path(root), bench.scale)
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
