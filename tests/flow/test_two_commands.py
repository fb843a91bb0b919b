"""`make run` and `make demo` as a newcomer uses them: addresses, a clean end, no doubling, a crash that is told."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.support.repository import ROOT
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

DEMO_RECORDS = 316  # posts and movies of the two people; profiles are not listed


@contextmanager
def started(tool: str, folder: Path) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """`python -m tools.<tool>` in `folder`, ended by Ctrl-C if it still runs. Its output goes to a file."""
    output = folder / f"{tool}-{time.monotonic_ns()}.out"
    with output.open("w") as sink:
        process = subprocess.Popen(
            [sys.executable, "-m", f"tools.{tool}"],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=sink,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            yield process, output
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                raise


def addresses(process: subprocess.Popen[str], output: Path) -> tuple[str, str]:
    """The addresses of the feed and of one's own peer, once they are printed."""

    def look() -> Any:
        text = output.read_text()
        assert process.poll() is None, text
        return re.search(r"The feed\s+(http://\S+)\s+Your own peer\s+(http://\S+)", text)

    found = wait_for(look, f"the addresses in {output}")
    return found[1], found[2]


def get(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=60) as answer:
        return json.load(answer)


def feed_ids(feed: str) -> list[str]:
    """Every record of the merged feed, page after page."""
    ids: list[str] = []
    url: str | None = f"{feed}feed.json"
    while url:
        page = get(url)
        ids += [item["_meadow"]["bee"] + item["_meadow"]["key"] for item in page["items"]]
        url = page.get("next_url")
    return ids


def whole_feed(feed: str) -> list[str] | None:
    ids = feed_ids(feed)
    return ids if len(ids) >= DEMO_RECORDS else None


def children(pid: int) -> list[int]:
    listed = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True).stdout
    return [int(word) for word in listed.split()]


def test_demo_fills_the_feed_once_however_often_it_runs(tmp_path: Path) -> None:
    seen: list[set[str]] = []
    for _ in range(2):
        with started("demo", tmp_path) as (process, output):
            feed, _own = addresses(process, output)
            ids = wait_for(partial(whole_feed, feed), f"{DEMO_RECORDS} records in the feed")
            assert len(ids) == len(set(ids))
            seen.append(set(ids))
        assert process.returncode == 0, output.read_text()
    assert seen[0] == seen[1]
    assert len(seen[0]) == DEMO_RECORDS
    assert "nothing to add" in output.read_text()


def test_demo_joins_a_running_pair(tmp_path: Path) -> None:
    with started("run", tmp_path) as (process, output):
        feed, own = addresses(process, output)
        with urllib.request.urlopen(own, timeout=60) as page:
            assert page.status == 200
        with started("demo", tmp_path) as (demo, said):
            assert addresses(demo, said) == (feed, own)
            wait_for(lambda: get(f"{feed}health")["bees"]["connected"] == 3, "three connected bees")
            with started("demo", tmp_path) as (third, said_third):
                assert third.wait(60) == 1
            assert "The peer of ines runs already" in said_third.read_text()
        assert demo.returncode == 0
        assert "`make run` goes on" in said.read_text()
        assert get(f"{feed}health")["status"] == "ok"
    assert process.returncode == 0
    assert not (tmp_path / ".meadow/running.json").exists()


def test_a_second_run_says_where_the_first_is_and_leaves_it_alone(tmp_path: Path) -> None:
    with started("run", tmp_path) as (process, output):
        feed, own = addresses(process, output)
        with started("run", tmp_path) as (second, said):
            assert second.wait(60) == 0
        assert "Meadow is running already" in said.read_text()
        assert feed in said.read_text()
        assert own in said.read_text()
        assert (tmp_path / ".meadow/running.json").exists()
        assert get(f"{feed}health")["status"] == "ok"
    # What a killed one left behind stands in nobody's way.
    (tmp_path / ".meadow/running.json").write_text(
        json.dumps({"pid": os.getpid(), "feed": feed, "peer": own, "bootstrap": ""})
    )
    with started("run", tmp_path) as (process, output):
        addresses(process, output)


def test_the_crash_of_one_is_told_and_ends_the_other(tmp_path: Path) -> None:
    with started("run", tmp_path) as (process, output):
        addresses(process, output)
        _, first, second = sorted(children(process.pid))
        os.kill(second, signal.SIGKILL)
        assert process.wait(60) == 1
    text = output.read_text()
    assert "was killed by SIGKILL" in text
    assert "Its last lines" in text
    assert not Path(f"/proc/{first}").exists()
