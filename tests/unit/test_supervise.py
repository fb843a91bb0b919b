"""The supervisor of `make run`: ready lines, crashes with their last lines, a clean stop."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from pathlib import Path

import pytest

from tools.supervise import Program, ProgramFailed, free_port, run_command, run_until_interrupted

pytestmark = pytest.mark.anyio

SERVES = """
import json, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: (print("closing"), sys.exit(0)))
print("starting")
print(json.dumps({"event": "ready", "web": "http://127.0.0.1:1/"}))
while True:
    time.sleep(0.05)
"""
CRASHES_LATER = SERVES.replace(
    "while True:\n    time.sleep(0.05)", "print('about to fail', file=sys.stderr)\nraise SystemExit(3)"
)


def program(folder: Path, source: str, name: str = "The program") -> Program:
    return Program(name, [sys.executable, "-c", source], folder / f"{name}.log")


async def test_a_program_is_ready_and_is_stopped(tmp_path: Path) -> None:
    one = program(tmp_path, SERVES)
    assert (await one.start())["web"] == "http://127.0.0.1:1/"
    await one.stop()
    await one.stop()
    assert one.log.read_text().splitlines()[-1] == "closing"


async def test_a_program_that_ends_before_it_is_ready_says_why(tmp_path: Path) -> None:
    one = program(
        tmp_path, "import sys; print('the store is locked by process 7', file=sys.stderr); sys.exit(2)"
    )
    with pytest.raises(ProgramFailed, match=r"(?s)ended with exit code 2.*locked by process 7"):
        await one.start()


async def test_a_crash_stops_the_others_and_shows_the_last_lines(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good, bad = program(tmp_path, SERVES, "Good"), program(tmp_path, CRASHES_LATER, "Bad")

    async def both(programs: list[Program]) -> None:
        for each in (good, bad):
            programs.append(each)
            await each.start()

    assert await run_until_interrupted(both) == 1
    said = capsys.readouterr().err
    assert "Bad ended with exit code 3" in said
    assert "about to fail" in said
    assert good.log.read_text().splitlines()[-1] == "closing"


async def test_an_interrupt_stops_all_and_is_no_failure(tmp_path: Path) -> None:
    one = program(tmp_path, SERVES)

    async def start(programs: list[Program]) -> None:
        programs.append(one)
        await one.start()
        asyncio.get_running_loop().call_later(0.05, os.kill, os.getpid(), signal.SIGINT)

    assert await run_until_interrupted(start) == 0
    assert one.log.read_text().splitlines()[-1] == "closing"


async def test_a_killed_program_is_named_with_its_signal(tmp_path: Path) -> None:
    one = program(tmp_path, SERVES.replace("while True:", "import os; os.kill(os.getpid(), 9)\nwhile True:"))
    await one.start()
    assert "The program was killed by SIGKILL" in await one.ended()


def test_a_taken_port_gives_way_to_a_free_one() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert free_port("127.0.0.1", port) == 0
    assert free_port("127.0.0.1", port) == port


async def test_a_command_that_hangs_is_given_up() -> None:
    assert await run_command([sys.executable, "-c", "print('hello')"]) == (0, "hello")
    code, said = await run_command([sys.executable, "-c", "import time; time.sleep(60)"], timeout=0.3)
    assert code == 1
    assert "no answer" in said
