"""10,000 joined topics in one process: memory, processor time and pace of the announces, ours beside hyperswarm's.

Both live in the same kind of DHT, of official nodes. The package announces some ten topics a second, however many are
joined, so neither side is given longer than `PATIENCE`; what each got done by then is part of the answer.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from typing import Any

from bench.dht import ENVIRONMENT, HERE, NODE, OURS, SMALL_TESTNET, Answer, compare, living

TOPICS = 10_000
PATIENCE = 60.0
IDLE = 5.0

FIGURES = (
    ("mb", "MB more than before", True),
    ("cpu", "ms of processor time for each announced topic", True),
    ("rate", "topics announced a second", False),
    ("idle", "% of a core in the seconds after that", True),
    ("sockets", "sockets more than before", True),
)


def joined(side: str, topics: int, patience: float) -> Answer:
    program = (
        [sys.executable, "-m", "bench.swarm_work"]
        if side == OURS
        else ["node", "--expose-gc", str(HERE / "node" / "swarm.js")]
    )
    with living(NODE, "testnet", SMALL_TESTNET) as net:
        done = subprocess.run(
            [*program, net["bootstrap"], str(topics), str(patience), str(IDLE)],
            cwd=HERE.parent,
            capture_output=True,
            text=True,
            timeout=10 * patience,
            env=ENVIRONMENT,
        )
    if done.returncode != 0 or not done.stdout:
        raise SystemExit(f"{side} failed at joining topics:\n{done.stdout}{done.stderr}")
    return dict(json.loads(done.stdout.splitlines()[-1]))


def run(rounds: int, scale: float) -> list[dict[str, Any]]:
    """The question, printed; returns the figures. One round takes two minutes, so there is one."""
    topics, patience = int(TOPICS * scale), max(10.0, PATIENCE * scale)
    answers = compare(min(rounds, 1), lambda side: joined(side, topics, patience))
    print(f"\n{topics:,} joined topics in one process, after {patience:.0f} s or all announces")
    medians = {
        side: {key: statistics.median(one[key] for one in all_of) for key, _, _ in FIGURES}
        for side, all_of in answers.items()
    }
    for side, all_of in answers.items():
        print(f"  {side:<8}{all_of[0]['announced']:>8,} announced")
        for key, words, lower_is_better in FIGURES:
            mine, theirs = medians[side][key], medians[NODE][key]
            ratio = (theirs / mine if lower_is_better else mine / theirs) if mine and theirs else 1.0
            print(f"  {'':<8}{mine:>12,.2f}  {words}   {ratio:.2f}x")
    return [{"title": f"{topics} joined topics", "rows": medians}]
