"""UDX beside udx-native: one stream between two processes on loopback, through a relay that loses packets.

    python -m bench udx

Every pair goes over the same ways: straight, and through `tests/support/lossy_relay.py`, which counts on the wire what
each sender sent again. The speed of a shared machine drifts, so megabytes for each second of the processor of each end
stand beside those for each second of the clock.
"""

from __future__ import annotations

import itertools
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from tests.support.lossy_relay import lossy_relay
from tests.support.udx_end import content_hash

ROOT = Path(__file__).resolve().parent.parent
NODE_SCRIPT = ROOT / "tests" / "interop" / "node" / "udx.js"
OURS, NATIVE = "ours", "native"
PAIRS = [(OURS, OURS), (OURS, NATIVE), (NATIVE, OURS), (NATIVE, NATIVE)]
MEGABYTE = 1e6
SEED = 20_261_125

Answer = dict[str, Any]


class End:
    """A process with one end of a stream; `end("verb", ...)` asks it and waits for the answer."""

    def __init__(self, side: str) -> None:
        command = (
            [sys.executable, "-m", "tests.support.udx_end"] if side == OURS else ["node", str(NODE_SCRIPT)]
        )
        self.process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._numbers = itertools.count()
        self._answers: dict[int, Answer] = {}

    def ask(self, verb: str, **arguments: object) -> int:
        number = next(self._numbers)
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"id": number, "do": verb, "name": "a", **arguments}) + "\n")
        self.process.stdin.flush()
        return number

    def answer(self, number: int) -> Any:
        assert self.process.stdout is not None
        while number not in self._answers:
            line = self.process.stdout.readline()
            if not line:
                raise SystemExit("an end of the UDX benchmark died")
            answer = json.loads(line)
            self._answers[answer["id"]] = answer
        answer = self._answers.pop(number)
        if "error" in answer:
            raise SystemExit(f"an end of the UDX benchmark failed: {answer['error']}")
        return answer["ok"]

    def __call__(self, verb: str, **arguments: object) -> Any:
        return self.answer(self.ask(verb, **arguments))


@contextmanager
def started(side: str) -> Iterator[End]:
    """An end that is gone afterwards."""
    end = End(side)
    try:
        yield end
    finally:
        end.process.kill()
        end.process.wait()


@dataclass
class Run:
    """One transfer."""

    speed: float
    """Megabytes a second, from the first byte that arrived to the last."""
    sender_speed: float
    receiver_speed: float
    """Megabytes for each second of its processor."""
    again: float
    """Packets sent again for each megabyte."""


@cache
def expected_hash(size: int) -> str:
    return content_hash("udx", size)


def transfer(sender: str, receiver: str, megabytes: int, loss: float | None) -> Run:
    """One stream of `megabytes`; without `loss` there is no relay in between."""
    with ExitStack() as stack:
        source, sink = (stack.enter_context(started(side)) for side in (sender, receiver))
        source_port, sink_port = (end("bind", socket="s")["port"] for end in (source, sink))
        source_to, sink_to = sink_port, source_port
        relay = None
        if loss is not None:
            relay = stack.enter_context(lossy_relay(loss, SEED))
            relay.join(("127.0.0.1", source_port), ("127.0.0.1", sink_port))
            source_to, sink_to = relay.ports
        source("stream", local=1)
        sink("stream", local=2)
        source("connect", socket="s", remote=2, port=source_to)
        sink("connect", socket="s", remote=1, port=sink_to)
        before = source("stats")["cpu"]
        arrived = sink.ask("received")
        size = int(megabytes * MEGABYTE)
        source("send", seed="udx", bytes=size)
        answer = sink.answer(arrived)
        assert answer["hash"] == expected_hash(size), "other bytes arrived than were sent"
        stats = source("stats")
        again = stats["retransmits"] if relay is None else relay.stop()[0].retransmissions
        return Run(
            size / MEGABYTE / answer["seconds"],
            size / MEGABYTE / (stats["cpu"] - before),
            size / MEGABYTE / max(answer["cpu"], 1e-9),
            again / megabytes,
        )


def crowd(sender: str, receiver: str, streams: int, megabytes: int) -> Run:
    """`megabytes` over so many streams at once between one socket and another; speed from the first ask to the last
    end. Every one is compared."""
    with ExitStack() as stack:
        source, sink = (stack.enter_context(started(side)) for side in (sender, receiver))
        source_port, sink_port = (end("bind", socket="s")["port"] for end in (source, sink))
        names = [str(number) for number in range(streams)]
        for number, name in enumerate(names):
            source("stream", name=name, local=number)
            sink("stream", name=name, local=streams + number)
            source("connect", name=name, socket="s", remote=streams + number, port=sink_port)
            sink("connect", name=name, socket="s", remote=number, port=source_port)
        size = int(megabytes * MEGABYTE) // streams
        before = [end("stats", name="0")["cpu"] for end in (source, sink)]
        began = time.perf_counter()
        arriving = [sink.ask("received", name=name) for name in names]
        sending = [source.ask("send", name=name, seed=name, bytes=size) for name in names]
        answers = [sink.answer(number) for number in arriving]
        seconds = time.perf_counter() - began
        for number in sending:
            source.answer(number)
        for name, answer in zip(names, answers, strict=True):
            assert answer["hash"] == content_hash(name, size), "other bytes arrived than were sent"
        sent_by, received_by = (
            end("stats", name="0")["cpu"] - cpu for end, cpu in zip((source, sink), before, strict=True)
        )
        again = sum(source("stats", name=name)["retransmits"] for name in names)
        moved = size * streams / MEGABYTE
        return Run(moved / seconds, moved / sent_by, moved / received_by, again / moved)


def compare(title: str, rounds: int, megabytes: int, one: Callable[[str, str], Run]) -> Answer:
    """`one` for all pairs in turn, `rounds` times; print a row for each with its ratio to native alone."""
    runs: dict[tuple[str, str], list[Run]] = {pair: [] for pair in PAIRS}
    for number in range(rounds):
        for pair in PAIRS if number % 2 == 0 else reversed(PAIRS):
            runs[pair].append(one(*pair))

    def median(pair: tuple[str, str], figure: Callable[[Run], float]) -> float:
        return statistics.median(map(figure, runs[pair]))

    print(f"\n{title}, {megabytes} MB  [MB/s]")
    rows = {}
    base = median((NATIVE, NATIVE), lambda run: run.speed)
    for pair in PAIRS:
        speed = median(pair, lambda run: run.speed)
        speeds = sorted(run.speed for run in runs[pair])
        sending = median(pair, lambda run: run.sender_speed)
        receiving = median(pair, lambda run: run.receiver_speed)
        again = median(pair, lambda run: run.again)
        name = f"{pair[0]} to {pair[1]}"
        print(
            f"  {name:<18}{speed:8.1f}  ({speeds[0]:.1f} to {speeds[-1]:.1f})   speed {speed / base:5.2f}x"
            f"   MB a processor second: {sending:6.1f} sending, {receiving:6.1f} receiving"
            f"   sent again a MB: {again:6.1f}"
        )
        rows[name] = {
            "rate": speed,
            "ratio": speed / base,
            "rates": speeds,
            "sending": sending,
            "receiving": receiving,
            "again": again,
        }
    return {"title": title, "unit": "MB/s", "rows": rows}


def run(rounds: int, scale: float) -> list[Answer]:
    """Every line of UDX; `scale` shrinks the transfers."""
    megabytes = max(int(64 * scale), 8)

    def one_stream(title: str, size: int, loss: float | None) -> Answer:
        return compare(f"UDX, one stream, {title}", rounds, size, lambda *pair: transfer(*pair, size, loss))

    def at_once(streams: int) -> Answer:
        size = megabytes // 2
        return compare(
            f"UDX, {streams} streams at once", rounds, size, lambda *pair: crowd(*pair, streams, size)
        )

    return [
        one_stream("clean", megabytes, None),
        one_stream("1 % loss", megabytes, 0.01),
        one_stream("3 % loss", megabytes // 2, 0.03),
        at_once(100),
        at_once(1000),
    ]
