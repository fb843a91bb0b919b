"""`hyp beam`: bytes from one machine to another by a phrase, over a DHT on loopback."""

from __future__ import annotations

import asyncio
import os
import pty
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from core.errors import MeadowError
from core.peer import Beam, Testnet
from tests.support.hyp import environment, local_dht, refused
from tests.support.waiting import eventually
from userpeer.errors import UserError
from userpeer.hyp.phrase import checked_phrase, new_phrase, seed_of

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(240)]

SEED = b"s" * 32


@pytest.fixture
async def net() -> AsyncIterator[Testnet]:
    async with await Testnet.open(3) as net:
        yield net


async def pair(net: Testnet, seed: bytes = SEED) -> tuple[Beam, Beam]:
    found = await asyncio.gather(
        Beam.listen(seed, bootstrap=net.bootstrap), Beam.connect(seed, bootstrap=net.bootstrap)
    )
    return found[0], found[1]


async def everything(beam: Beam) -> bytes:
    data = b""
    while (piece := await beam.read()) is not None:
        data += piece
    return data


async def test_bytes_go_both_ways_and_all_of_them_arrive(net: Testnet) -> None:
    one, two = await pair(net)
    there, back = os.urandom(9_000_000), os.urandom(300_000)

    async def send(beam: Beam, data: bytes) -> None:
        await beam.write(data)
        await beam.end()

    try:
        _, _, got_there, got_back = await asyncio.gather(
            send(one, there), send(two, back), everything(two), everything(one)
        )
        assert (got_there, got_back) == (there, back)
    finally:
        await asyncio.gather(one.close(), two.close())


async def test_a_reader_that_stops_makes_the_writer_wait(net: Testnet) -> None:
    one, two = await pair(net)
    try:
        writing = asyncio.create_task(one.write(b"x" * 20_000_000))
        received = 0
        await eventually(lambda: two._received > 1_000_000)
        for _ in range(20):
            await asyncio.sleep(0.02)
            received = two._received
        assert received <= 4 * 1024 * 1024
        assert not writing.done()
        while received < 20_000_000 and (piece := await two.read()) is not None:
            received = two._taken
            assert piece
        await writing
    finally:
        await asyncio.gather(one.close(), two.close())


async def test_who_does_not_know_the_secret_gets_nothing(net: Testnet) -> None:
    listening = asyncio.create_task(Beam.listen(SEED, bootstrap=net.bootstrap))
    why: list[str] = []
    other = asyncio.create_task(
        Beam.connect(b"t" * 32, bootstrap=net.bootstrap, on_waiting=lambda error: why.append(str(error)))
    )
    await eventually(lambda: why)
    assert not listening.done()
    other.cancel()
    await asyncio.gather(other, return_exceptions=True)
    right = await Beam.connect(SEED, bootstrap=net.bootstrap)
    await asyncio.gather((await listening).close(), right.close())


async def test_a_stranger_who_found_the_key_in_the_dht_is_turned_away(net: Testnet) -> None:
    from core.crypto.keys import key_pair

    listening = asyncio.create_task(Beam.listen(SEED, bootstrap=net.bootstrap))
    stranger = await net.add()
    await asyncio.sleep(0.3)
    with pytest.raises((MeadowError, TimeoutError)):  # it tries again and again; nobody answers it
        await asyncio.wait_for(stranger.connect(key_pair(SEED).public_key), 60)
    assert not listening.done()
    right = await Beam.connect(SEED, bootstrap=net.bootstrap)
    await asyncio.gather((await listening).close(), right.close())


async def test_an_end_that_comes_too_early_is_an_error_on_both_sides(net: Testnet) -> None:
    one, two = await pair(net)
    await one.write(b"only a part")
    await one.close()
    assert await two.read() == b"only a part"
    with pytest.raises(MeadowError, match="before everything"):
        await two.read()
    await two.close()


def test_phrases() -> None:
    assert re.fullmatch(r"([a-z]+ ){3}[a-z]+", new_phrase())
    assert len({new_phrase() for _ in range(50)}) == 50
    assert checked_phrase("  One TWO\tthree ") == "one two three"
    for weak in ("", "one", "one two"):
        with pytest.raises(UserError, match="at least 3 words"):
            checked_phrase(weak)
    assert seed_of("one two three") == seed_of("one two three") != seed_of("one two four")


# --- the command ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def dht() -> Iterator[str]:
    with local_dht() as bootstrap:
        yield bootstrap


def start(directory: Path, dht: str, *words: str, stdin: Path | None = None) -> subprocess.Popen[bytes]:
    command = [
        sys.executable,
        "-m",
        "userpeer.hyp.cli",
        "--dir",
        str(directory),
        "beam",
        "--bootstrap",
        dht,
        *words,
    ]
    source = subprocess.PIPE if stdin is None else stdin.open("rb")
    process = subprocess.Popen(
        command, stdin=source, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()
    )
    if stdin is not None:
        source.close()  # type: ignore[union-attr]
    return process


def test_a_file_goes_over_by_a_phrase_that_was_made_up(dht: str, tmp_path: Path) -> None:
    """Pain of 2021: both ends crashed after the payload, with exit code 1."""
    content = os.urandom(3_000_000)
    (tmp_path / "file").write_bytes(content)
    sender = start(tmp_path, dht, stdin=tmp_path / "file")
    assert sender.stderr is not None
    line = b""
    while b"On the other machine" not in line:
        line = sender.stderr.readline()
        assert line
    phrase = line.decode().rpartition("hyp beam ")[2].split()
    assert len(phrase) == 4
    terminal, shown = (
        pty.openpty()
    )  # a person who reads, and types nothing, need not say that there is no more
    receiver = start(tmp_path, dht, *phrase, stdin=Path(os.ttyname(shown)))
    received, _ = receiver.communicate(timeout=60)
    os.close(terminal)
    os.close(shown)
    _, said = sender.communicate(timeout=60)
    assert received == content
    assert (sender.returncode, receiver.returncode) == (0, 0)
    assert b"Connected with 127.0.0.1" in said


def test_whoever_comes_first_waits_for_the_other(dht: str, tmp_path: Path) -> None:
    first = start(tmp_path, dht, "some", "own", "words")
    assert first.stderr is not None
    assert b"Nobody listens under this phrase yet" in first.stderr.readline()
    second = start(tmp_path, dht, "--listen", "Some own WORDS")
    assert first.stdin is not None
    first.stdin.write(b"from first")
    first.stdin.flush()
    first.stdin.close()
    first.stdin = None  # communicate would close it again
    there, _ = second.communicate(b"from second", timeout=60)
    back, _ = first.communicate(timeout=60)
    assert (first.returncode, second.returncode) == (0, 0)
    assert (there, back) == (b"from first", b"from second")


def test_a_phrase_that_is_too_short_is_refused(tmp_path: Path) -> None:
    assert "at least 3 words" in refused(tmp_path, "beam", "short", code=2)
    assert "--listen waits" in refused(tmp_path, "beam", "--listen", code=2)
