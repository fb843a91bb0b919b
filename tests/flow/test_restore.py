"""A backup, and what a restored peer does before it may write: it finds the highest head that anyone holds."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from core.peer import Peer
from tests.support.hyp import hyp
from tests.support.userpeer import command, json_lines, served_app
from tests.support.waiting import eventually
from tests.web.test_userpeer_writing import photo
from userpeer.backup import Backup, key_from_words, seal, unseal, words_of
from userpeer.client import call_running
from userpeer.commands import COMMANDS
from userpeer.drafts import PostDraft
from userpeer.errors import UserError
from userpeer.restore_into import restore
from userpeer.restoring import NotYetRestored
from userpeer.service import PeerService, open_service
from userpeer.settings import Settings

pytestmark = pytest.mark.anyio

PASSPHRASE = "four words are best"


@asynccontextmanager
async def opened(directory: Path) -> AsyncIterator[PeerService]:
    settings = Settings(directory, undo_seconds=0, settle_seconds=0.3)
    async with open_service(settings, reads=True) as service:
        yield service


async def replica_of(service: PeerService) -> Peer:
    """Another peer that holds the whole bee and its media."""
    peer = await Peer.open(None)
    await peer.connect(*await service.peer.listen())
    cores = [service.key]
    meta = await service.bee.get("meta/self")
    if meta and meta.value.get("blobs"):
        cores.append(meta.value["blobs"])
    for key in cores:
        core = peer.core(key=bytes.fromhex(key))
        await core.update(wait=True, timeout=60)
        await core.download(start=0, end=core.length).done(timeout=60)
    return peer


async def write(service: PeerService, start: int, end: int) -> None:
    for number in range(start, end):
        await service.publisher.post(PostDraft(text=f"number {number}"))


async def done(service: PeerService, command: str, **arguments: object) -> None:
    async for _ in COMMANDS[command](service, arguments):
        pass


async def texts(service: PeerService) -> list[str]:
    return [entry.value["text"] async for entry in service.bee.range(gte="post/", lt="post0")]


async def test_an_old_backup_against_a_replica_that_is_ahead(tmp_path: Path) -> None:
    async with opened(tmp_path / "old") as service:
        await write(service, 0, 5)
        old = await service.backup()
        await write(service, 5, 20)
        head = service.bee.core.length
        replica = await replica_of(service)
    try:
        await restore(Settings(tmp_path / "new"), unseal(seal(old, PASSPHRASE), PASSPHRASE))
        async with opened(tmp_path / "new") as service:
            assert service.key == old.bee
            with pytest.raises(NotYetRestored, match="Nobody who has your records"):
                await eventually(lambda: "Nobody" in (service.restoring.sentence or ""))
                await service.publisher.post(PostDraft(text="too early"))
            assert service.bee.core.length == 0
            await service.peer.connect(*await replica.listen())
            await eventually(lambda: service.restoring.is_over)
            assert service.bee.core.length == head
            await service.publisher.post(PostDraft(text="after all"))
            assert await texts(service) == [*(f"number {number}" for number in range(20)), "after all"]
            # The replica takes what is written now: it goes on from its own head, so there is no fork.
            core = replica.core(key=bytes.fromhex(service.key))
            await eventually(lambda: core.length == head + 1)
            assert core.fork == 0
        async with opened(tmp_path / "new") as service:
            assert service.restoring.is_over
            assert len(await texts(service)) == 21
    finally:
        await replica.close()


async def test_a_replica_that_is_behind_the_backup_is_not_enough(tmp_path: Path) -> None:
    async with opened(tmp_path / "old") as service:
        await write(service, 0, 3)
        behind = await replica_of(service)
        for connection in behind.connections:
            connection.close()
        await eventually(lambda: not service.peer.connections)
        await write(service, 3, 9)
        backup = await service.backup()
    try:
        await restore(Settings(tmp_path / "new"), backup)
        async with opened(tmp_path / "new") as service:
            await service.peer.connect(*await behind.listen())
            await eventually(lambda: "your backup knows of 11" in (service.restoring.sentence or ""))
            with pytest.raises(NotYetRestored):
                await service.publisher.post(PostDraft(text="no"))
            with pytest.raises(UserError, match="Your backup knows of records"):
                await service.restoring.nobody_has_it()
    finally:
        await behind.close()


async def test_the_longer_of_two_replicas_wins_whoever_answers_first(tmp_path: Path) -> None:
    async with opened(tmp_path / "old") as service:
        await write(service, 0, 3)
        short = await replica_of(service)
        for connection in short.connections:
            connection.close()
        await write(service, 3, 8)
        long = await replica_of(service)
        backup, head = replace(await service.backup(), length=0, tree_hash=""), service.bee.core.length
    try:
        await restore(Settings(tmp_path / "new"), backup)
        settings = Settings(tmp_path / "new", settle_seconds=2.0)
        async with open_service(settings, reads=True) as service:
            await service.peer.connect(*await short.listen())
            await eventually(lambda: service.bee.core.length >= 4)
            assert not service.restoring.is_over
            await service.peer.connect(*await long.listen())
            await eventually(lambda: service.restoring.is_over)
            assert service.bee.core.length == head
    finally:
        await short.close()
        await long.close()


async def test_another_history_than_the_backups_is_never_written_on(tmp_path: Path) -> None:
    async with opened(tmp_path / "old") as service:
        await write(service, 0, 4)
        backup = await service.backup()
        replica = await replica_of(service)
    try:
        await restore(Settings(tmp_path / "new"), replace(backup, tree_hash="ab" * 32))
        async with opened(tmp_path / "new") as service:
            await service.peer.connect(*await replica.listen())
            await eventually(lambda: "another history" in (service.restoring.sentence or ""))
            with pytest.raises(NotYetRestored):
                await service.publisher.put("post/x", {"text": "no"})
    finally:
        await replica.close()


async def test_images_come_back_too_and_the_next_one_is_appended_after_them(tmp_path: Path) -> None:
    files = {"image1": ("p.jpg", photo(800, 600), "image/jpeg")}
    async with served_app(tmp_path / "old") as (service, _, client):
        await client.post("/posts", data={"text": "with an image"}, files=files)
        backup = await service.backup()
        replica = await replica_of(service)
        media_length = service.media.length
    assert backup.media_length == media_length > 0
    try:
        await restore(Settings(tmp_path / "new"), backup)
        async with opened(tmp_path / "new") as service:
            await service.peer.connect(*await replica.listen())
            await eventually(lambda: service.restoring.is_over)
            image = await service.media.add(photo(800, 600), "another")
            assert image.blob.block_offset == media_length
    finally:
        await replica.close()


async def test_words_alone_and_nothing_ever_published(tmp_path: Path) -> None:
    async with opened(tmp_path / "old") as service:
        words = words_of(service.peer.store.primary_key)
        key = service.key
    assert len(words.split()) == 24
    await restore(Settings(tmp_path / "new"), Backup(key_from_words(words.upper()), ""))
    async with served_app(tmp_path / "new") as (service, _, client):
        assert service.key == key
        page = (await client.get("/")).text
        assert "Restored from a backup." in page
        refused = await client.post("/posts", data={"text": "my words"})
        assert refused.status_code == 409
        await client.post("/restoring/nobody-has-it")
        assert (await client.post("/posts", data={"text": "my words"})).status_code == 303
        assert "Restored from a backup." not in (await client.get("/")).text


async def test_what_waited_for_the_records_is_signed_as_soon_as_they_are_here(tmp_path: Path) -> None:
    """Found in part, changed on the page, killed, changed again: all of it is signed once everything is found."""
    async with opened(tmp_path / "old") as service:
        written = [await service.publisher.post(PostDraft(text=text)) for text in ("one", "two", "three")]
        behind = await replica_of(service)
        for connection in behind.connections:
            connection.close()
        await eventually(lambda: not service.peer.connections)
        await write(service, 0, 3)
        backup, ahead = await service.backup(), await replica_of(service)
    await restore(Settings(tmp_path / "new"), backup)
    one, two, three = written

    async def edit(client: Any, key: str, seq: int, text: str) -> None:
        answer = await client.post("/edit", data={"key": key, "seen": str(seq), "text": text})
        assert answer.headers["location"] == "/?did=waiting"

    try:
        async with served_app(tmp_path / "new", undo_seconds=0.2, settle_seconds=0.3) as (service, _, client):
            await service.peer.connect(*await behind.listen())
            await eventually(lambda: "your backup knows of" in (service.restoring.sentence or ""))
            await edit(client, one.key, one.seq, "one, in the first run")
            refused = await client.post("/posts", data={"text": "words that are kept"})
            assert refused.status_code == 409
            assert service.drafts.get("post").values["text"] == "words that are kept"  # type: ignore[union-attr]
        async with served_app(tmp_path / "new", undo_seconds=0.2, settle_seconds=0.3) as (service, _, client):
            await eventually(lambda: len(service.waiting.all()) == 1)
            await service.peer.connect(*await behind.listen())
            await eventually(lambda: "your backup knows of" in (service.restoring.sentence or ""))
            await edit(client, two.key, two.seq, "two, in the second")
            await client.post("/delete", data={"key": three.key})
            first = service.waiting.all()[0]
            early = await client.post("/waiting/sign", data={"id": str(first.id)})
            assert early.status_code == 409
            assert "as soon as your records are found" in (await client.get("/")).text
            assert len(service.waiting.all()) == 3
            await service.peer.connect(*await ahead.listen())
            await eventually(lambda: service.restoring.is_over)
            await eventually(lambda: service.waiting.all() == [])
            assert service.waiting.failed == []
            expected = {"one, in the first run", "two, in the second", "number 0", "number 1", "number 2"}
            assert set(await texts(service)) == expected
            core = ahead.core(key=bytes.fromhex(service.key))
            await eventually(lambda: core.length == service.bee.core.length)
            assert core.fork == 0
    finally:
        await behind.close()
        await ahead.close()


async def test_a_named_bee_of_a_restored_peer_is_another_bee(tmp_path: Path) -> None:
    async with opened(tmp_path / "old") as service:
        await done(service, "hyp.create", name="films")
        await done(service, "hyp.put", bee="films", key="ran", value=1985)
        backup, old = await service.backup(), service.bees.look("films").key
    await restore(Settings(tmp_path / "new"), backup)
    for _ in range(2):  # and it stays so from one start to the next
        async with opened(tmp_path / "new") as service:
            if service.bees.own("films") is None:
                await done(service, "hyp.create", name="films")
            await done(service, "hyp.put", bee="films", key="ran", value=1985)
            new = service.bees.look("films")
            assert new.key != old
            assert len([item async for item in COMMANDS["hyp.ls"](service, {"bee": "films"})]) == 1
            assert not service.bees.look(old.hex()).bee.writable


@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        ("hyp.put", {"key": "a", "value": 1}),
        ("hyp.put", {"key": "a", "value": 1, "ifSeq": 0}),
        ("hyp.put", {"key": "a", "value": 1, "sub": ["x"]}),
        ("hyp.del", {"key": "a"}),
        ("hyp.batch", {"operations": [{"type": "put", "key": "a", "value": 1}]}),
    ],
)
async def test_no_program_writes_to_the_personal_bee_before_it_is_found(
    tmp_path: Path, command: str, arguments: dict[str, object]
) -> None:
    async with opened(tmp_path / "old") as service:
        await write(service, 0, 2)
        backup = await service.backup()
    await restore(Settings(tmp_path / "new"), backup)
    async with opened(tmp_path / "new") as service:
        with pytest.raises(NotYetRestored):
            await done(service, command, bee="main", **arguments)
        assert service.bee.core.length == 0


async def test_the_daemon_looks_for_the_records_too(tmp_path: Path) -> None:
    async with opened(tmp_path / "old") as service:
        await write(service, 0, 3)
        backup, head = await service.backup(), service.bee.core.length
        replica = await replica_of(service)
    await restore(Settings(tmp_path / "new"), backup)
    program = (
        "import asyncio, sys; from pathlib import Path; from userpeer.hyp.daemon import run; "
        "from userpeer.settings import Address, Settings; "
        "settings = Settings(Path(sys.argv[1]), listen=Address('127.0.0.1', 0), settle_seconds=0.3); "
        "asyncio.run(run(settings))"
    )
    daemon = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, str(tmp_path / "new"), stdout=asyncio.subprocess.PIPE
    )

    async def put() -> list[dict[str, Any]]:
        arguments = {"bee": "main", "key": "a", "value": 1}
        return [item async for item in call_running(tmp_path / "new" / "control.sock", "hyp.put", arguments)]

    async def is_put() -> bool:
        try:
            return bool(await put())
        except UserError as error:
            assert error.code == "not-yet-restored"
            return False

    try:
        assert daemon.stdout is not None
        host, _, port = json.loads(await daemon.stdout.readline())["listen"].rpartition(":")
        with pytest.raises(UserError, match="writes nothing before it has found"):
            await put()
        said = await asyncio.to_thread(hyp, tmp_path / "new", "daemon", "status")
        assert "not written to before what it held is found" in said.stdout
        await replica.connect(host, int(port))
        await eventually(is_put)
        said = await asyncio.to_thread(hyp, tmp_path / "new", "daemon", "status")
        assert "Restored" not in said.stdout
        core = replica.core(key=bytes.fromhex(backup.bee))
        await eventually(lambda: core.length == head + 1)
        assert core.fork == 0
    finally:
        daemon.terminate()
        await daemon.wait()
        await replica.close()


def test_what_is_wrong_with_words_is_said() -> None:
    good = words_of(bytes(range(32))).split()
    with pytest.raises(UserError, match="There must be 24 words; these are 23"):
        key_from_words(" ".join(good[:23]))
    with pytest.raises(UserError, match="Word 3, 'flowerz', is not one of the list"):
        key_from_words(" ".join([*good[:2], "flowerz", *good[3:]]))
    with pytest.raises(UserError, match="do not belong together"):
        key_from_words(" ".join([good[1], good[0], *good[2:]]))
    assert key_from_words("\n".join(good)) == bytes(range(32))


def test_an_accent_typed_on_another_system_opens_the_backup(monkeypatch: pytest.MonkeyPatch) -> None:
    backup = Backup(bytes(range(32)), "ab" * 32)
    composed, apart = "caf\u00e9 au lait", "cafe\u0301 au lait"
    sealed = seal(backup, apart)
    assert unseal(sealed, composed).primary_key == unseal(sealed, apart).primary_key == backup.primary_key
    # One that an earlier version sealed by just what was typed.
    monkeypatch.setattr("userpeer.backup.spellings", lambda passphrase: [passphrase])
    earlier = seal(backup, apart)
    with pytest.raises(UserError, match="not the passphrase"):
        unseal(earlier, composed)
    monkeypatch.undo()
    assert unseal(earlier, composed).primary_key == backup.primary_key


def test_a_sealed_backup_opens_with_its_passphrase_alone() -> None:
    backup = Backup(bytes(range(32)), "ab" * 32, 7, 0, "cd" * 32, 3, ("https://a.example",), 12.5)
    sealed = seal(backup, PASSPHRASE)
    assert bytes(range(32)).hex().encode() not in sealed
    assert unseal(sealed, PASSPHRASE) == backup
    with pytest.raises(UserError, match="not the passphrase"):
        unseal(sealed, PASSPHRASE + "!")
    outside = json.loads(sealed)
    for change, sentence in (
        ({"v": 2}, "version 2"),
        ({"meadow": "else"}, "not a backup"),
        ({"sealed": outside["sealed"][:-8] + "AAAAAAA="}, "not the passphrase"),
        ({"kdf": {**outside["kdf"], "memory": 1 << 40}}, "refuses"),
        ({"kdf": {**outside["kdf"], "name": "none"}}, "version"),
    ):
        with pytest.raises(UserError, match=sentence):
            unseal(json.dumps({**outside, **change}).encode(), PASSPHRASE)
    with pytest.raises(UserError, match="not a backup"):
        unseal(b"\x00\x01", PASSPHRASE)


def test_the_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("USERPEER_PASSPHRASE", PASSPHRASE)
    old, new, file = tmp_path / "old", tmp_path / "new", tmp_path / "backup.json"
    (posted,) = json_lines(command(old, "--json", "post", "hello"))
    (made,) = json_lines(command(old, "--json", "backup", str(file)))
    assert file.stat().st_mode & 0o777 == 0o600
    again = command(old, "backup", str(file))
    assert again.returncode == 1
    assert "not overwritten" in again.stderr
    (restored,) = json_lines(command(new, "--json", "restore", str(file)))
    assert restored["key"] == made["key"]
    refused = command(new, "post", "too early")
    assert refused.returncode == 1
    assert "writes nothing before it has found" in refused.stderr
    assert "Your backup knows of records" in command(new, "nobody-has-it").stderr
    over = command(old, "restore", str(file))
    assert over.returncode == 1
    assert "is not touched" in over.stderr
    (entry,) = json_lines(command(old, "bee", "get", posted["key"]))
    assert entry["value"]["text"] == "hello"
    monkeypatch.setenv("USERPEER_PASSPHRASE", "short")
    assert "at least 8 characters" in command(old, "backup", str(tmp_path / "other")).stderr
    words = json_lines(command(old, "--json", "words"))[0]["words"]
    (from_words,) = json_lines(command(tmp_path / "third", "--json", "restore", "--words", stdin=words))
    assert from_words["key"] == made["key"]
    assert "1. " in command(old, "words").stdout
    assert command(old, "restore").returncode == 2


async def test_the_page_gives_the_file_and_never_the_secret(tmp_path: Path) -> None:
    async with served_app(tmp_path) as (service, _, client):
        await service.publisher.post(PostDraft(text="x"))
        wrong = await client.post("/backup", data={"passphrase": PASSPHRASE, "again": "other"})
        assert wrong.status_code == 422
        assert "The two passphrases differ" in wrong.text
        answer = await client.post("/backup", data={"passphrase": PASSPHRASE, "again": PASSPHRASE})
        assert answer.headers["content-disposition"].startswith('attachment; filename="meadow-backup-')
        assert unseal(answer.content, PASSPHRASE).bee == service.key
        secret = service.peer.store.primary_key
        for path in ("/", "/key", "/bee", "/network"):
            page = (await client.get(path)).text
            assert secret.hex() not in page
            assert words_of(secret) not in page
