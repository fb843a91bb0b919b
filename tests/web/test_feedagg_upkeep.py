"""Rebuild, check, purge, backup and restore, and lists of bees: on both databases, by the commands."""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy import Connection, delete, func, select, update

from core.peer import Peer
from feedagg import decisions, feed_hash, moderation, policy, queries, rebuild, sources
from feedagg.aggregator import Aggregator
from feedagg.cli import main
from feedagg.database import Database, database_url
from feedagg.ingest import now_ms
from feedagg.tables import feed_changes, records
from tests.support.feedagg import ENGINES, aggregator, author, scratch_url, site

pytestmark = pytest.mark.anyio

MOVIE = "movie/0000000000000001"


@pytest.fixture(params=ENGINES)
def url(request: pytest.FixtureRequest) -> Iterator[str | None]:
    with scratch_url(request.param) as given:
        yield given


def run(directory: Path, url: str | None, *words: str, status: int = 0, given: str | None = None) -> str:
    database = [] if url is None or words[0] in ("settings",) else ["--db", url]
    result = CliRunner().invoke(main, ["--dir", str(directory), *words, *database], input=given)
    assert result.exit_code == status, result.output + repr(result.exception)
    return result.output


async def followed(directory: Path, url: str | None, posts: int = 30) -> tuple[bytes, bytes]:
    """An aggregator that read one bee and is stopped: (the bee's key, the feed hash)."""
    async with author() as (_, bee, address), aggregator(directory, db=url, no_dht=True) as running:
        await bee.put("profile/self", {"name": "Ada"})
        for n in range(posts):
            await bee.put(
                f"post/{n:016x}", {"text": f"number {n}", "createdAt": f"2026-01-01T00:00:{n % 60:02}Z"}
            )
        await bee.put("post/no-date", {"text": "undated"})
        await bee.put(f"post/{1:016x}", {"text": "edited", "createdAt": "2026-01-01T00:00:01Z"})
        await bee.delete(f"post/{2:016x}")
        film = {"film": {"title": "Heat", "year": 1995}, "createdAt": "2026-01-01T00:00:00Z", "rating": 9}
        await bee.put(MOVIE, film)
        await bee.put("post/bad", {"text": 5})
        key = bee.core.key
        await running.database.write(policy.add, key, now_ms(), address)
        await read_to(running, key, bee.core.length)
        await running.database.write(moderation.hide, key, f"post/{3:016x}".encode(), "spam", now_ms())
        return key, await running.database.read(feed_hash.of_database)


async def read_to(running: Aggregator, key: bytes, length: int) -> None:
    while True:
        source = await running.database.read(sources.get, key)
        if source is not None and source.cursor >= length and source.position.complete:
            return
        await running.contact.tick()
        await running.contact.outcome(key, 0.1)


def opened(directory: Path, url: str | None) -> Database:
    return Database(database_url(directory, url))


def rows(database: Database) -> list[dict[str, Any]]:
    def read(connection: Connection) -> list[dict[str, Any]]:
        found = connection.execute(select(records).order_by(records.c.id)).mappings()
        return [dict(row) for row in found]

    return database.read_now(read)


def notes_of(database: Database) -> int:
    """How many notes wait for the feed's own bee."""
    count = select(func.count()).select_from(feed_changes)
    return int(database.read_now(lambda connection: connection.execute(count).scalar_one()))


async def in_thread(*arguments: Any, **more: Any) -> str:
    """A command, which has an event loop of its own."""
    return await asyncio.to_thread(run, *arguments, **more)


async def test_a_rebuild_gives_the_same_rows_and_the_same_feed_hash(tmp_path: Path, url: str | None) -> None:
    _, before = await followed(tmp_path, url)
    database = opened(tmp_path, url)
    try:
        old = rows(database)
        notes = notes_of(database)
        out = await in_thread(tmp_path, url, "rebuild")
        assert f"feed hash {before.hex()} as before" in out
        assert "0 of them had changed" in out
        assert rows(database) == old  # numbers, moments of arrival and all
        left = notes_of(database)
        assert left == notes  # the feed's bee hears of nothing
        assert len(database.read_now(queries.film, "t:heat:1995").page.items) == 1
        assert "Everything is as it should be" in await in_thread(tmp_path, url, "check")
    finally:
        database.dispose()


async def test_a_check_says_whose_blocks_are_damaged_and_what_brings_them_back(tmp_path: Path) -> None:
    key, _ = await followed(tmp_path, None)
    async with aggregator(tmp_path, no_dht=True) as running:
        await (
            running.publisher.caught_up()
        )  # the record stands in the author's block and in one of our merged feed
    stored = tmp_path / "store" / "data.mdb"
    stored.write_bytes(stored.read_bytes().replace(b"number 7", b"number 8"))
    found = await in_thread(tmp_path, None, "check", status=1)
    assert re.search(key.hex() + ": block [0-9]+: it is not what its author signed", found)
    assert re.search(r"[0-9a-f]{64} \(this aggregator's own\): block [0-9]+: it is not what", found)
    assert "come back only with a backup" in found
    assert "Blocks first" in found


async def test_a_rebuild_mends_what_a_check_finds(tmp_path: Path, url: str | None) -> None:
    key, before = await followed(tmp_path, url)
    database = opened(tmp_path, url)

    def spoil(connection: Any) -> None:
        here = records.c.bee == key
        first = f"post/{5:016x}".encode()
        connection.execute(
            update(records).where(here, records.c.key == first).values(value=b'{"text":"forged"}')
        )
        connection.execute(delete(records).where(here, records.c.key == MOVIE.encode()))
        moved = (
            connection.execute(select(records).where(here, records.c.key == b"post/no-date")).mappings().one()
        )
        invented = {**moved, "id": moved["id"] + 1000, "key": b"post/invented"}
        connection.execute(records.insert().values(invented))
        hidden = f"post/{3:016x}".encode()
        connection.execute(update(records).where(here, records.c.key == hidden).values(hidden=False))

    try:
        database.write_now(spoil)
        assert database.read_now(feed_hash.of_database) != before
        found = await in_thread(tmp_path, url, "check", status=1)
        for words in (
            "value not as in the block",
            f"{MOVIE}: it is missing",
            "invented: no block says so",
            "hide list says",
        ):
            assert words in found
        assert "4 things are wrong" in found
        await in_thread(tmp_path, url, "rebuild")
        assert "Everything is as it should be" in await in_thread(tmp_path, url, "check")
        # All but the lost moment at which the film came: that is in no block.
        assert len(database.read_now(queries.feed).items) == 30
    finally:
        database.dispose()


async def test_a_check_finds_a_block_that_its_author_did_not_sign(tmp_path: Path) -> None:
    key, _ = await followed(tmp_path, None)
    peer = await Peer.open(tmp_path / "store")
    log = peer.core(key=key).log
    from core.hypercore.layout import BLOCK, pack_u64

    at = log._prefix + BLOCK + pack_u64(7)
    value = log._storage.get(at)
    log._storage.put(at, value[:-1] + bytes([value[-1] ^ 1]))
    log.commit.touch()
    await peer.close()
    out = await in_thread(tmp_path, None, "check", status=1)
    assert f"{key.hex()}: block 7: it is not what its author signed" in out


async def test_a_rebuild_leaves_what_was_purged_and_what_has_no_block(
    tmp_path: Path, url: str | None
) -> None:
    key, _ = await followed(tmp_path, url)
    record = f"post/{4:016x}"
    said = await in_thread(tmp_path, url, "purge", key.hex(), record, "--reason", "asked to", "--yes")
    assert "1 blocks and 0 pictures dropped" in said
    database = opened(tmp_path, url)
    try:
        before = rows(database)
        out = await in_thread(tmp_path, url, "rebuild")
        assert "1 blocks are not here" in out
        assert rows(database) == before
        assert "Everything is as it should be" in await in_thread(tmp_path, url, "check")
        gone = await in_thread(tmp_path, url, "purge", key.hex(), "--reason", "asked to", given="y\n")
        assert "rows dropped, and the bee is refused" in gone
        assert rows(database) == []
        actions = [one.action for one in database.read_now(decisions.listing, 10)]
        assert actions[:2] == ["purged", "refused"]
    finally:
        database.dispose()
    peer = await Peer.open(tmp_path / "store")
    assert peer.store.drop(key) == 0
    await peer.close()


async def test_a_killed_rebuild_has_lost_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, before = await followed(tmp_path, None)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(rebuild._Work, "end", killed)
    result = await asyncio.to_thread(CliRunner().invoke, main, ["--dir", str(tmp_path), "rebuild"])
    assert result.exit_code != 0
    monkeypatch.undo()
    database = opened(tmp_path, None)
    assert database.read_now(feed_hash.of_database) == before
    database.dispose()


# --- backup and restore -------------------------------------------------------------------------


async def test_a_backup_of_a_running_aggregator_comes_back_elsewhere(tmp_path: Path, url: str | None) -> None:
    home, file, there = tmp_path / "home", tmp_path / "all.tar", tmp_path / "there"
    async with author() as (_, bee, address), site(home, db=url, no_dht=True) as (running, web):
        for n in range(40):
            await bee.put(f"post/{n:016x}", {"text": f"number {n}", "createdAt": "2026-01-01T00:00:00Z"})
        key = bee.core.key
        await running.database.write(policy.add, key, now_ms(), address)
        await read_to(running, key, 41)
        await running.database.write(moderation.hide, key, f"post/{1:016x}".encode(), "spam", now_ms())
        (home / "web-url").write_text(f"{web}/\n")
        writing = asyncio.create_task(keep_writing(bee))
        out = await in_thread(home, url, "backup", str(file))
        writing.cancel()
        assert "Written" in out
        token = running.token.reveal()
        own = running.publisher.log.core.key
    assert file.stat().st_mode & 0o777 == 0o600
    await in_thread(there, None, "restore", str(file))  # PostgreSQL or SQLite, into SQLite
    database = opened(there, None)
    restored = database.read_now(everything)
    assert len(restored) >= 40
    assert database.read_now(queries.why_hidden, key, f"post/{1:016x}".encode()) == "spam"
    database.dispose()
    assert "Everything is as it should be" in await in_thread(there, None, "check")
    async with aggregator(there, no_dht=True) as again:
        assert again.token.reveal() == token
        # The store was copied after the rows and may hold more blocks, which are read now; what was restored stands.
        assert await again.database.read(everything) >= restored
        assert again.publisher.log.core.key == own
        assert again.publisher.log.core.fork > 0  # an honest rewind, not a second history
        source = await again.database.read(sources.get, key)
        assert source is not None
        assert source.cursor >= 41


def everything(connection: Connection) -> set[tuple[Any, ...]]:
    query = select(records.c.bee, records.c.key, records.c.seq, records.c.value, records.c.hidden)
    return {tuple(row) for row in connection.execute(query)}


async def keep_writing(bee: Any) -> None:
    for n in range(10_000):
        await bee.put(f"post/x{n:015x}", {"text": f"more {n}", "createdAt": "2026-01-01T00:00:00Z"})
        await asyncio.sleep(0.002)


async def test_into_postgres_and_on_from_there(tmp_path: Path) -> None:
    key, before = await followed(tmp_path / "home", None)
    file = tmp_path / "all.tar"
    await in_thread(tmp_path / "home", None, "backup", str(file))
    with scratch_url("postgres") as url:
        await in_thread(tmp_path / "there", url, "restore", str(file))
        database = opened(tmp_path / "there", url)
        try:
            assert database.read_now(feed_hash.of_database) == before
            database.write_now(policy.pause, key, now_ms())  # a new number for the new row
        finally:
            database.dispose()


async def test_a_bad_backup_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    home, file = tmp_path / "home", tmp_path / "all.tar"
    await followed(home, None, posts=3)
    await in_thread(home, None, "backup", str(file))
    assert "is there already" in await in_thread(home, None, "restore", str(file), status=1)
    whole = file.read_bytes()
    at = whole.index(b"number 0".hex().encode())
    for damaged in (whole[: len(whole) // 2], whole[:at] + b"00" + whole[at + 2 :], b"not a tar", b""):
        file.write_bytes(damaged)
        out = await in_thread(tmp_path / "new", None, "restore", str(file), status=1)
        assert "no whole backup" in out or "is damaged" in out
        assert sorted(os.listdir(tmp_path / "new")) == []


async def test_a_backup_needs_the_token(tmp_path: Path) -> None:
    import httpx2

    async with site(tmp_path, no_dht=True) as (_, web), httpx2.AsyncClient() as client:
        assert (await client.post(f"{web}/admin/backup")).status_code == 401
        wrong = await client.post(f"{web}/admin/backup", headers={"authorization": "Bearer x"})
        assert wrong.status_code == 401
        assert not [name for name in os.listdir(tmp_path) if name.startswith(".backup")]


# --- lists of bees ------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["json", "opml"])
def test_a_list_goes_out_and_comes_in(tmp_path: Path, form: str) -> None:
    first, second = "11" * 32, "22" * 32
    run(tmp_path / "a", None, "add", first, "--peer", "127.0.0.1:4000")
    run(tmp_path / "a", None, "add", second)
    run(tmp_path / "a", None, "refuse", second, "--reason", "spam")
    text = run(tmp_path / "a", None, "bees", "export", "--format", form, "--all")
    taken = run(tmp_path / "b", None, "bees", "import", given=text)
    assert ("2 bees" if form == "json" else "1 bees") in taken
    listed = [json.loads(line) for line in run(tmp_path / "b", None, "list", "--json").splitlines()]
    assert {one["key"]: one["state"] for one in listed} == (
        {first: "following", second: "refused"} if form == "json" else {first: "following"}
    )
    database = opened(tmp_path / "b", None)
    assert [hint.address for hint in database.read_now(sources.hints_of, bytes.fromhex(first))] == [
        "127.0.0.1:4000"
    ]
    database.dispose()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{", "neither JSON nor OPML"),
        ("{}", 'has no "bees"'),
        ('["zz"]', "Bee 1 of the list"),
        ('[{"key": "' + "11" * 32 + '", "peers": ["nowhere"]}]', "is no address"),
        ("<opml>", "is not OPML"),
        ("<opml><body><outline text='x'/></body></opml>", "no bee in this OPML"),
        ('<!DOCTYPE opml [<!ENTITY a "b">]><opml/>', "no DOCTYPE"),
        ("[" * 100_000, "neither JSON nor OPML"),
    ],
)
def test_a_bad_list_is_refused_whole(tmp_path: Path, text: str, sentence: str) -> None:
    run(tmp_path, None, "policy", "open")
    assert sentence in run(tmp_path, None, "bees", "import", given=text, status=1)
    assert run(tmp_path, None, "list") == ""
