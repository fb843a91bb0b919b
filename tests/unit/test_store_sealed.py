"""A store whose keys are sealed by a passphrase: what lies in its files, and what a kill leaves."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from core.corestore import Corestore
from core.crypto.vault import Cost, open_secret, seal_secret, spellings
from core.errors import StorageCorrupt, StorageError, StoreSealed, WrongPassphrase
from core.storage import LmdbStorage

pytestmark = pytest.mark.anyio

CHEAP = Cost(1, 64)
WORDS = "four words are best"


async def write(directory: Path, blocks: int = 300) -> tuple[list[bytes], bytes]:
    """A store with two writable logs; its secrets, and the key of the first log."""
    async with Corestore(directory) as store:
        one, two = store.get(name="one"), store.namespace("more").get(name="two")
        await one.append([b"block %d" % number for number in range(blocks)])
        await two.append([b"other"])
        pairs = [store.create_key_pair("one"), store.namespace("more").create_key_pair("two")]
        # The first half of a secret key is the seed; the second is public.
        return [store.primary_key, *(pair.secret_key[:32] for pair in pairs)], one.key


def found_in(directory: Path, secrets: list[bytes]) -> list[str]:
    """The files in which one of the secrets can be read."""
    files = [path for path in directory.rglob("*") if path.is_file()]
    return [path.name for path in files if any(secret in path.read_bytes() for secret in secrets)]


async def test_sealed_and_opened_again(tmp_path: Path) -> None:
    secrets, key = await write(tmp_path)
    assert set(found_in(tmp_path, secrets)) >= {"data.mdb"}
    async with Corestore(tmp_path) as store:
        assert not store.is_sealed
        store.seal(WORDS, CHEAP)
        assert store.is_sealed
        assert found_in(tmp_path, secrets) == []
        await store.get(name="one").append([b"written while sealed"])
        await store.get(name="three").append([b"a new log"])
        secrets.append(store.create_key_pair("three").secret_key[:32])
    assert found_in(tmp_path, secrets) == []
    assert {path.stat().st_mode & 0o777 for path in tmp_path.glob("data.mdb")} == {0o600}
    assert not (tmp_path / "rewriting").exists()

    with pytest.raises(StoreSealed, match="none was given"):
        Corestore(tmp_path)
    with pytest.raises(WrongPassphrase):
        Corestore(tmp_path, passphrase="not these words")
    async with Corestore(tmp_path, passphrase=WORDS) as store:
        assert store.primary_key == secrets[0]
        one = store.get(name="one")
        assert one.key == key
        assert one.writable
        assert one.length == 301
        assert await one.get(299) == b"block 299"
        assert len(list(store.signed_here())) == 3
        await one.append([b"and again"])

        store.seal("another passphrase", CHEAP)
    with pytest.raises(WrongPassphrase):
        Corestore(tmp_path, passphrase=WORDS)
    assert found_in(tmp_path, secrets) == []

    async with Corestore(tmp_path, passphrase="another passphrase") as store:
        store.seal(None)
    async with Corestore(tmp_path) as store:
        assert not store.is_sealed
        one = store.get(name="one")
        assert one.length == 302
        assert one.writable
        assert store.get(name="three").writable


async def test_a_copy_is_as_sealed(tmp_path: Path) -> None:
    secrets, _ = await write(tmp_path / "store")
    (tmp_path / "copy").mkdir()
    async with Corestore(tmp_path / "store") as store:
        store.seal(WORDS, CHEAP)
        await store.copy(tmp_path / "copy")
    assert found_in(tmp_path, secrets) == []
    async with Corestore(tmp_path / "copy", passphrase=WORDS) as store:
        assert store.primary_key == secrets[0]


async def test_a_failed_rewrite_is_done_at_the_next_opening(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secrets, key = await write(tmp_path)

    def fail(_: object) -> None:
        raise StorageError("the disk is full")

    async with Corestore(tmp_path) as store:
        with monkeypatch.context() as patched:
            patched.setattr(LmdbStorage, "rewrite", fail)
            with pytest.raises(StorageError, match="the disk is full"):
                store.seal(WORDS, CHEAP)
        await store.get(name="one").append([b"goes on"])
    assert found_in(tmp_path, secrets) != []
    async with Corestore(tmp_path, passphrase=WORDS) as store:
        assert found_in(tmp_path, secrets) == []
        assert store.get(name="one").length == 301
        assert store.get(name="one").key == key


KILLED = """
import os, signal, sys
from core.corestore import Corestore
from core.crypto.vault import Cost

left = int(sys.argv[2])

def trace(frame, event, argument):
    global left
    if event == "line" and frame.f_code.co_filename.endswith(("sealed.py", "environment.py", "lmdb.py", "journal.py")):
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
    return trace

store = Corestore(sys.argv[1], passphrase=sys.argv[3] or None)
sys.settrace(trace)
store.seal(sys.argv[4] or None, Cost(1, 64))
sys.settrace(None)
print(left)
"""


async def killed_at(directory: Path, line: int, before: str, after: str) -> int | None:
    """Seal in another process that kills itself before the given line; None, or how many lines were left."""
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(directory), str(line), before, after],
        capture_output=True,
        text=True,
        timeout=120,
    )
    if done.returncode == -signal.SIGKILL:
        return None
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


@pytest.mark.parametrize(("before", "after"), [("", WORDS), (WORDS, "")], ids=["seal", "unseal"])
async def test_a_kill_at_any_moment_leaves_one_or_the_other(tmp_path: Path, before: str, after: str) -> None:
    secrets, key = await write(tmp_path / "origin", 5)
    if before:
        async with Corestore(tmp_path / "origin") as store:
            store.seal(before, CHEAP)
    many = 1_000_000
    shutil.copytree(tmp_path / "origin", tmp_path / "whole")
    left = await killed_at(tmp_path / "whole", many, before, after)
    assert left is not None
    lines = many - left
    states = set()
    for number in range(12):
        directory = tmp_path / f"killed-{number}"
        shutil.copytree(tmp_path / "origin", directory)
        assert await killed_at(directory, 1 + number * (lines - 1) // 11, before, after) is None
        try:
            store = Corestore(directory)
        except StoreSealed:
            store = Corestore(directory, passphrase=WORDS)
            assert found_in(directory, secrets) == []
        async with store:
            states.add(store.is_sealed)
            one = store.get(name="one")
            assert (one.key, one.length, one.writable) == (key, 5, True)
            await one.append([b"and goes on"])
        shutil.rmtree(directory)
    assert states == {True, False}


def test_damaged() -> None:
    sealed = seal_secret(bytes(32), WORDS, CHEAP)
    assert open_secret(sealed, WORDS) == bytes(32)
    for damaged in (b"", sealed[:20], b"\x09" + sealed[1:], sealed[:1] + b"\xff" * 8 + sealed[9:]):
        with pytest.raises(StorageCorrupt):
            open_secret(damaged, WORDS)
    with pytest.raises(WrongPassphrase):
        open_secret(sealed[:-1] + bytes([sealed[-1] ^ 1]), WORDS)


def test_an_accent_is_one_character_or_two_and_one_passphrase() -> None:
    composed, apart = "caf\u00e9 au lait", "cafe\u0301 au lait"
    cheap = Cost(1, 8)
    assert open_secret(seal_secret(b"key", apart, cheap), composed) == b"key"
    assert open_secret(seal_secret(b"key", composed, cheap), apart) == b"key"
    with pytest.raises(WrongPassphrase):
        open_secret(seal_secret(b"key", composed, cheap), "cafe au lait")
    assert spellings("plain words") == ["plain words"]
