"""From an author's bee to the rows: first contact, live, edits, removals, truncation, hiding, nothing written back."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from core.errors import SessionNotWritable
from core.peer import Peer
from core.records import format_date
from feedagg import moderation, queries, sources
from feedagg.aggregator import Aggregator
from feedagg.ingest import now_ms
from tests.support.feedagg import ENGINES, aggregator, author, client, scratch_url
from tests.support.waiting import eventually

pytestmark = pytest.mark.anyio


def post(text: str) -> dict[str, str]:
    return {"text": text, "createdAt": format_date(now_ms() - 1000)}


async def follow(running: Aggregator, bee: Any, address: str) -> None:
    await running.database.write(sources.add, bee.core.key, now_ms(), "command", address)
    await running.contact.tick()


async def texts(running: Aggregator) -> set[str]:
    page = await running.database.read(lambda connection: queries.feed(connection, size=1000))
    return {(item.value or b"").decode() for item in page.items}


async def indexed(running: Aggregator, bee: Any) -> bool:
    source = await running.database.read(sources.get, bee.core.key)
    return source is not None and source.position.complete and source.cursor == bee.core.length


@pytest.mark.parametrize(
    "engine", [pytest.param(e, marks=[pytest.mark.postgres] * (e != "sqlite")) for e in ENGINES]
)
async def test_a_bee_is_read_newest_first_then_whole_then_live(tmp_path: Path, engine: str) -> None:
    with scratch_url(engine) as url:
        async with author() as (_, bee, address), aggregator(tmp_path, db=url) as running:
            async with bee.batch() as batch:
                for n in range(700):
                    await batch.put(f"post/{n:016x}", post(f"number {n}"))
            await follow(running, bee, address)
            await eventually(lambda: indexed(running, bee))
            assert len(await texts(running)) == 700
            await bee.put("post/00000000000003e8", post("live"))
            await bee.delete("post/0000000000000000")
            await eventually(lambda: indexed(running, bee))
            found = await texts(running)
            assert len(found) == 700
            assert any("live" in text for text in found)
            assert not any('"number 0"' in text for text in found)


async def test_the_newest_twenty_are_there_before_the_rest_is_fetched(tmp_path: Path) -> None:
    async with author() as (_, bee, address), aggregator(tmp_path, backfill_per_second=1) as running:
        async with bee.batch() as batch:
            for n in range(2000):
                await batch.put(f"post/{n:016x}", post(f"number {n}"))
        await follow(running, bee, address)
        found = await eventually(lambda: texts(running))
        assert len(found) == 20
        assert any('"number 1999"' in text for text in found)
        core = running.ingest.followed[bee.core.key].bee.core
        (peer,) = core.peers
        assert peer.blocks_received <= 24  # what the reference reader needs for the newest 20 by tail


async def test_an_aggregator_that_was_away_catches_up_without_loss_or_double(tmp_path: Path) -> None:
    async with author() as (_, bee, address):
        for n in range(30):
            await bee.put(f"post/{n:016x}", post(f"number {n}"))
        async with aggregator(tmp_path) as running:
            await follow(running, bee, address)
            await eventually(lambda: indexed(running, bee))
        for n in range(30, 60):
            await bee.put(f"post/{n:016x}", post(f"number {n}"))
        async with aggregator(tmp_path) as running:
            await eventually(lambda: indexed(running, bee))
            assert len(await texts(running)) == 60


async def test_a_peer_that_comes_back_is_found_again(tmp_path: Path) -> None:
    peer = await Peer.open(tmp_path / "author")
    bee = peer.bee(name="main")
    await bee.put("post/0000000000000001", post("before"))
    host, port = await peer.listen()
    key = bee.core.key
    async with aggregator(tmp_path / "feed") as running:
        await follow(running, bee, f"{host}:{port}")
        await eventually(lambda: texts(running))
        await peer.close()

        async def is_offline() -> bool:
            source = await running.database.read(sources.get, key)
            return source is not None and not source.connected and source.error is not None

        await eventually(is_offline)
        source = await running.database.read(sources.get, key)
        assert source is not None
        assert f"{host}:{port}" in (source.error or "")
        assert source.next_at > now_ms()

        peer = await Peer.open(tmp_path / "author")
        bee = peer.bee(name="main")
        await peer.listen(host, port)
        await bee.put("post/0000000000000002", post("after"))
        await eventually(lambda: _has(running, "after"))
        await peer.close()


async def test_a_peer_may_bring_its_bee_to_us(tmp_path: Path) -> None:
    """No address is known; the author's peer connects to the aggregator instead."""
    async with author() as (peer, bee, _), aggregator(tmp_path) as running:
        await bee.put("post/0000000000000001", post("brought"))
        await running.database.write(sources.add, bee.core.key, now_ms(), "web")
        await running.contact.tick()
        host, port = await running.peer.listen()
        await peer.connect(host, port)
        await eventually(lambda: _has(running, "brought"))


async def _has(running: Aggregator, text: str) -> bool:
    return any(text in found for found in await texts(running))


# --- a log that is rewritten ------------------------------------------------------------------------


async def test_a_truncation_takes_back_edits_removals_and_posts(tmp_path: Path) -> None:
    async with author() as (_, bee, address), aggregator(tmp_path) as running:
        await bee.put("post/0000000000000001", post("first words"))
        await bee.put("post/0000000000000002", post("stays"))
        kept = bee.core.length
        await bee.put("post/0000000000000001", post("edited words"))
        await bee.delete("post/0000000000000002")
        await bee.put("post/0000000000000003", post("regretted"))
        await follow(running, bee, address)
        await eventually(lambda: indexed(running, bee))
        assert {await _has(running, text) for text in ("edited words", "regretted")} == {True}
        await bee.core.truncate(kept)
        await bee.put("post/0000000000000004", post("another way"))
        await eventually(lambda: _has(running, "another way"))
        found = " ".join(sorted(await texts(running)))
        assert "first words" in found
        assert "stays" in found
        assert "edited" not in found
        assert "regretted" not in found
        source = await running.database.read(sources.get, bee.core.key)
        assert source is not None
        assert (source.fork, source.cursor, source.length) == (1, bee.core.length, bee.core.length)


async def test_a_truncation_while_nobody_looked_is_noticed_at_the_next_start(tmp_path: Path) -> None:
    async with author() as (_, bee, address):
        for n in range(1, 41):
            await bee.put(f"post/{n:016x}", post(f"number {n}."))
        async with aggregator(tmp_path) as running:
            await follow(running, bee, address)
            await eventually(lambda: indexed(running, bee))
        await bee.core.truncate(11)
        await bee.put("post/0000000000000063", post("new branch"))
        async with aggregator(tmp_path) as running:
            await eventually(lambda: _has(running, "new branch"))
            await eventually(lambda: indexed(running, bee))
            assert len(await texts(running)) == 11


# --- nobody but the author writes --------------------------------------------------------------------


async def test_the_aggregator_cannot_write_to_a_bee_that_it_follows(tmp_path: Path) -> None:
    async with author() as (_, bee, address), aggregator(tmp_path) as running, client(running) as web:
        await bee.put("post/0000000000000001", post("mine"))
        await follow(running, bee, address)
        await eventually(lambda: texts(running))
        before = (bee.core.length, bee.core.tree_hash())
        theirs = running.ingest.followed[bee.core.key].bee
        assert not theirs.writable
        with pytest.raises(SessionNotWritable):
            await theirs.put(b"post/0000000000000001", b"{}")
        with pytest.raises(SessionNotWritable):
            await theirs.delete(b"post/0000000000000001")
        with pytest.raises(SessionNotWritable):
            await theirs.core.append(b"block")
        with pytest.raises(SessionNotWritable):
            await theirs.core.truncate(0)
        path = f"/bee/{bee.core.key.hex()}/post/0000000000000001"
        for method in ("POST", "PUT", "PATCH", "DELETE"):
            answer = await web.request(method, path, json={"text": "theirs"})
            assert answer.status_code == 405, method
        await asyncio.sleep(0.1)
        assert (bee.core.length, bee.core.tree_hash()) == before


async def test_hiding_a_record_leaves_the_bee_as_it_was(tmp_path: Path) -> None:
    key = "post/0000000000000001"
    async with author() as (_, bee, address), aggregator(tmp_path) as running, client(running) as web:
        await bee.put(key, post("unwelcome here"))
        await follow(running, bee, address)
        await eventually(lambda: _has(running, "unwelcome"))
        before = (bee.core.length, bee.core.tree_hash())
        await running.database.write(moderation.hide, bee.core.key, key.encode(), "off topic", now_ms())
        assert not await _has(running, "unwelcome")
        answer = await web.get(f"/bee/{bee.core.key.hex()}/{key}")
        assert answer.status_code == 451
        assert "off topic" in answer.text
        assert "unwelcome" not in answer.text
        assert (bee.core.length, bee.core.tree_hash()) == before
        entry = await bee.get(key)
        assert entry is not None
        assert entry.value["text"] == "unwelcome here"
        await running.database.write(moderation.unhide, bee.core.key, key.encode(), now_ms())
        assert await _has(running, "unwelcome")


# --- strangers ---------------------------------------------------------------------------------------


async def test_a_core_that_is_no_bee_harms_nothing(tmp_path: Path) -> None:
    async with author() as (peer, bee, address), aggregator(tmp_path) as running, client(running) as web:
        core = peer.core(name="noise")
        await core.append([b"header", b"\xff\xff\xff", b"", bytes(100_000)])
        await bee.put("post/0000000000000001", post("fine"))
        await running.database.write(sources.add, core.key, now_ms(), "command", address)
        await follow(running, bee, address)
        await eventually(lambda: _has(running, "fine"))

        async def is_read() -> bool:
            source = await running.database.read(sources.get, core.key)
            return source is not None and source.cursor == 4

        await eventually(is_read)
        tally = await running.database.read(queries.tally, core.key)
        assert sum(tally.skipped.values()) == 3
        assert "no operation of a bee" in (await web.get(f"/bee/{core.key.hex()}")).text


async def test_a_peer_that_does_not_have_the_bee_is_said_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("feedagg.contact.NOBODY_HAS_IT_SECONDS", 0.3)
    async with author() as (_, _, address), aggregator(tmp_path) as running:
        other = bytes(range(32))
        await running.database.write(sources.add, other, now_ms(), "command", address)
        await running.contact.tick()
        await running.contact.outcome(other, 5)
        source = await running.database.read(sources.get, other)
        assert source is not None
        assert "does not offer this bee" in (source.error or "")
