"""Keys sealed by a passphrase: sealed, started in each way there is, and nowhere to be read."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import pty
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from threading import Thread

import pytest

from core.errors import StorageError
from core.storage import LmdbStorage
from core.storage.journal import Journal
from tests.support.hyp import hyp
from tests.support.userpeer import command, json_lines, running, served_app
from tests.support.waiting import wait_for
from userpeer.call import RemoteError, call
from userpeer.drafts import PostDraft
from userpeer.errors import NotRunning
from userpeer.service import open_service
from userpeer.settings import Settings
from userpeer.unlocking import ENVIRONMENT

pytestmark = pytest.mark.anyio

PASSPHRASE = "Zwölf Bienen im Klee"


def secret_of(directory: Path) -> bytes:
    async def read() -> bytes:
        async with open_service(Settings(directory)) as service:
            return service.peer.store.primary_key

    return asyncio.run(read())


def files_with(directory: Path, *secrets: bytes) -> list[Path]:
    files = [path for path in directory.rglob("*") if path.is_file()]
    return [path for path in files if any(secret in path.read_bytes() for secret in secrets)]


@pytest.fixture
def sealed(tmp_path: Path) -> Path:
    """A peer that wrote a post and was sealed; the file with its passphrase lies beside it."""
    directory, file = tmp_path / "peer", tmp_path / "passphrase"
    file.write_text(f"{PASSPHRASE}\n", encoding="utf-8")
    assert command(directory, "post", "before it was sealed").returncode == 0
    done = command(directory, "seal", "--new-passphrase-file", str(file), "--json")
    assert json_lines(done) == [{"sealed": True}]
    return directory


def test_every_way_to_give_it(sealed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = str(tmp_path / "passphrase")
    refused = command(sealed, "key")
    assert refused.returncode == 1
    assert "sealed by a passphrase" in refused.stderr
    assert ENVIRONMENT in refused.stderr

    monkeypatch.setenv(ENVIRONMENT, "not these words")
    wrong = command(sealed, "key")
    assert wrong.returncode == 1
    assert "not the passphrase" in wrong.stderr
    monkeypatch.setenv(ENVIRONMENT, PASSPHRASE)
    assert command(sealed, "post", "from the environment").returncode == 0

    with running(sealed, "--passphrase-file", file) as (process, ready):
        # A command goes through the peer that runs, and needs no passphrase.
        posts = json_lines(command(sealed, "bee", "ls", "--gte", "post/", "--lt", "post0"))
        assert {post["value"]["text"] for post in posts} == {"before it was sealed", "from the environment"}
        assert PASSPHRASE.encode() not in Path(f"/proc/{process.pid}/cmdline").read_bytes()
        monkeypatch.setenv(ENVIRONMENT, "not these words")
        wrong = command(sealed, "unseal")
        assert wrong.returncode == 1
        assert "not the passphrase" in wrong.stderr
        key = ready["key"]

    done = command(sealed, "unseal", "--passphrase-file", file)
    assert done.returncode == 0, done.stderr
    assert command(sealed, "key").stdout.strip() == key


def test_a_peer_that_runs_and_is_written_to_is_sealed_and_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sealed, sealed anew and killed while programs write: nothing that was acknowledged is lost, nothing lies open."""
    directory, file = tmp_path / "peer", tmp_path / "passphrase"
    file.write_text(f"{PASSPHRASE}\n", encoding="utf-8")
    assert command(directory, "post", "the first").returncode == 0
    secret = secret_of(directory)
    acknowledged: list[str] = []
    with running(directory) as (process, _):

        def write() -> None:
            with suppress(NotRunning, RemoteError):  # it was killed
                while True:
                    text = f"number {len(acknowledged)}"
                    list(call(directory / "control.sock", "post", {"text": text}))
                    acknowledged.append(text)

        writer = Thread(target=write)
        writer.start()
        wait_for(lambda: len(acknowledged) > 5, "the first posts")
        done = command(directory, "seal", "--new-passphrase-file", str(file))
        assert done.returncode == 0, done.stderr
        assert files_with(directory, secret, PASSPHRASE.encode()) == []
        monkeypatch.setenv(ENVIRONMENT, PASSPHRASE)
        assert command(directory, "unseal").returncode == 0
        assert files_with(directory, secret) != []
        assert command(directory, "seal", "--new-passphrase-file", str(file)).returncode == 0
        before = len(acknowledged)
        wait_for(lambda: len(acknowledged) > before + 5, "more posts")
        process.kill()
        writer.join()
    refused = command(directory, "key")
    assert "sealed by a passphrase" in refused.stderr
    monkeypatch.setenv(ENVIRONMENT, PASSPHRASE)
    posts = json_lines(command(directory, "bee", "ls", "--gte", "post/", "--lt", "post0"))
    assert {*acknowledged, "the first"} <= {post["value"]["text"] for post in posts}
    assert files_with(directory, secret, PASSPHRASE.encode()) == []


async def test_the_page_seals_changes_and_opens(tmp_path: Path) -> None:
    new = "another passphrase"
    async with served_app(tmp_path) as (service, app, client):
        secret = service.peer.store.primary_key
        await service.publisher.post(PostDraft(text="hello"))
        service.peer.store.commit()

        async def said(path: str, **fields: str) -> str:
            answer = await client.post(path, data=fields, follow_redirects=True)
            assert PASSPHRASE not in answer.text
            assert new not in answer.text
            return answer.text

        assert "at least 8 characters" in await said("/key/seal", new="short", repeated="short")
        assert "one line" in await said("/key/seal", new="two\nlines of it", repeated="two\nlines of it")
        assert "passphrases differ" in await said("/key/seal", new=PASSPHRASE, repeated=new)
        assert not service.sealing.is_sealed
        assert "is sealed. The next start" in await said("/key/seal", new=PASSPHRASE, repeated=PASSPHRASE)
        assert files_with(tmp_path, secret, PASSPHRASE.encode()) == []
        await service.publisher.post(PostDraft(text="it goes on"))
        # A page left open does not change the seal of somebody who knows the passphrase.
        assert "not the passphrase" in await said("/key/seal", new=new, repeated=new)
        assert "not the passphrase" in await said("/key/seal", current=new, new=new, repeated=new)
        assert "not the passphrase" in await said("/key/unseal")
        changed = await said("/key/seal", current=PASSPHRASE, new=new, repeated=new)
        assert "the old one opens nothing" in changed
        assert "not the passphrase" in await said("/key/unseal", opening=PASSPHRASE)
        app.state.is_private = False  # as when the page listens to other machines
        page = await client.get("/key")
        assert "/key/unseal" not in page.text
        assert "would cross the network in clear" in page.text
        assert "would cross the network in clear" in await said("/key/unseal", opening=new)
        assert service.sealing.is_sealed
        app.state.is_private = True
        assert "not sealed any more" in await said("/key/unseal", opening=new)
    assert await asyncio.to_thread(secret_of, tmp_path) == secret


async def test_a_disk_that_is_full_leaves_it_sealed_or_open_and_says_which(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: object) -> None:
        raise StorageError("the disk is full")

    def broken(_: object, __: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    async with served_app(tmp_path) as (service, _, client):
        with monkeypatch.context() as patched:
            patched.setattr(LmdbStorage, "rewrite", fail)
            answer = await client.post("/key/seal", data={"new": PASSPHRASE, "repeated": PASSPHRASE})
            assert "sealed by the new passphrase, but" in answer.text
        assert service.sealing.is_sealed
        with monkeypatch.context() as patched:
            patched.setattr(Journal, "append", broken)
            fields = {"current": PASSPHRASE, "new": "another passphrase", "repeated": "another passphrase"}
            assert "The keys are sealed by the new" not in (await client.post("/key/seal", data=fields)).text
        assert await service.peer.store.opens_with(PASSPHRASE)


def test_the_terminal_and_a_descriptor(sealed: Path, tmp_path: Path) -> None:
    arguments = [sys.executable, "-m", "userpeer", "--dir", str(sealed), "key"]
    child, terminal = pty.fork()
    if child == 0:
        os.execv(sys.executable, arguments)
    said = b""
    while b"Passphrase of the keys" not in said:
        said += os.read(terminal, 4096)
    os.write(terminal, f"{PASSPHRASE}\n".encode())
    try:
        while piece := os.read(terminal, 4096):
            said += piece
    except OSError:  # the other side is gone
        pass
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0, said
    os.close(terminal)
    assert PASSPHRASE.encode() not in said
    key = said.split()[-1].decode()
    assert len(key) == 64

    with (tmp_path / "passphrase").open("rb") as file:
        process = subprocess.Popen(
            [
                *arguments[:-1],
                "run",
                "--web",
                "127.0.0.1:0",
                "--no-dht",
                "--json",
                "--passphrase-fd",
                str(file.fileno()),
            ],
            stdout=subprocess.PIPE,
            pass_fds=[file.fileno()],
        )
        assert process.stdout is not None
        with process.stdout:
            assert json.loads(process.stdout.readline())["key"] == key
            process.terminate()
            assert process.wait(60) == 0


def test_the_daemon(sealed: Path, tmp_path: Path) -> None:
    file = str(tmp_path / "passphrase")
    refused = hyp(sealed, "daemon", "start", "--no-dht")
    assert refused.returncode == 1
    assert "sealed by a passphrase" in refused.stderr
    started = hyp(sealed, "daemon", "start", "--no-dht", "--passphrase-file", file)
    assert started.returncode == 0, started.stderr
    try:
        about = json.loads(hyp(sealed, "--json", "daemon", "status").stdout)
        assert hyp(sealed, "create", "bee", "made-while-sealed").returncode == 0
        for what in ("cmdline", "environ"):
            assert PASSPHRASE.encode() not in Path(f"/proc/{about['pid']}/{what}").read_bytes()
    finally:
        assert hyp(sealed, "daemon", "stop").returncode == 0
    assert files_with(sealed, PASSPHRASE.encode()) == []
    assert {path.stat().st_mode & 0o077 for path in (sealed / "store").iterdir()} == {0}


def test_nothing_of_the_keys_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory, file = tmp_path / "peer", tmp_path / "passphrase"
    assert command(directory, "post", "hello").returncode == 0
    secret = secret_of(directory)
    assert files_with(directory, secret) != []
    file.write_text("short\n")
    short = command(directory, "seal", "--new-passphrase-file", str(file))
    assert short.returncode == 1
    assert "at least 8" in short.stderr
    file.write_text(f"{PASSPHRASE}\n", encoding="utf-8")
    assert command(directory, "seal", "--new-passphrase-file", str(file)).returncode == 0
    assert files_with(directory, secret, PASSPHRASE.encode()) == []
    # Another passphrase instead of it.
    (tmp_path / "new").write_text("another passphrase\n")
    monkeypatch.setenv(ENVIRONMENT, PASSPHRASE)
    assert command(directory, "seal", "--new-passphrase-file", str(tmp_path / "new")).returncode == 0
    assert files_with(directory, secret) == []
    done = command(directory, "unseal", "--passphrase-file", str(tmp_path / "new"))
    assert done.returncode == 0
    assert secret_of(directory) == secret
