"""Proofs on the site: files, the page without JavaScript, the marks on cards, and what is not proved and why."""

from __future__ import annotations

import asyncio
import base64
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from core.errors import RemoteProtocolError
from core.peer import Kind, Peer, check_file
from core.records import format_date
from feedagg import alarms, moderation, sources
from feedagg.aggregator import Aggregator
from feedagg.cli import main
from feedagg.ingest import now_ms
from feedagg.marks import proof_href
from tests.support.feedagg import aggregator, author, client

pytestmark = pytest.mark.anyio

KEY = f"post/{7:016x}"


@pytest.fixture
async def followed(tmp_path: Path) -> AsyncIterator[tuple[Aggregator, Any]]:
    """An aggregator that read one bee of thirty posts to its end."""
    async with author() as (_, bee, address), aggregator(tmp_path / "site") as running:
        for n in range(30):
            at = format_date(now_ms() - (50 - n) * 60_000)
            await bee.put(f"post/{n:016x}", {"text": f"Note number {n}.", "createdAt": at})
        await running.database.write(sources.add, bee.core.key, now_ms(), "command", address)
        await read_to_the_end(running, bee)
        yield running, bee


async def read_to_the_end(running: Aggregator, bee: Any) -> None:
    async with asyncio.timeout(60):
        while True:
            source = await running.database.read(sources.get, bee.core.key)
            if (
                source is not None
                and source.cursor == bee.core.length == source.length
                and source.position.complete
            ):
                return
            await asyncio.sleep(0.02)


async def test_a_record_proves_itself(followed: Any, tmp_path: Path) -> None:
    running, bee = followed
    async with client(running) as web:
        answer = await web.get(proof_href("/proof/record", bee.core.key, KEY.encode()))
        assert answer.status_code == 200
        assert 400 < len(answer.content) < 1_300
        assert "attachment" in answer.headers["content-disposition"]
        found = check_file(answer.content)
        entry = await bee.get(KEY)
        assert (found.kind, found.key, found.versions[0].seq) == (Kind.RECORD, bee.core.key, entry.seq)
        lookup = check_file((await web.get(proof_href("/proof/lookup", bee.core.key, KEY.encode()))).content)
        assert (lookup.length, lookup.versions[0].seq) == (bee.core.length, entry.seq)

        path = tmp_path / "a.meadow-proof"
        path.write_bytes(answer.content)
        done = CliRunner().invoke(main, ["verify", str(path)])
        assert done.exit_code == 0
        assert "Note number 7." in done.output
        done = CliRunner().invoke(main, ["verify", str(path), "--json", "--key", bee.core.key.hex()])
        assert json.loads(done.output)["versions"][0]["seq"] == entry.seq
        assert CliRunner().invoke(main, ["verify", str(path), "--key", "00" * 32]).exit_code == 1
        spoiled = bytearray(answer.content)
        spoiled[-90] ^= 1
        path.write_bytes(spoiled)
        with pytest.raises(RemoteProtocolError):
            check_file(bytes(spoiled))
        done = CliRunner().invoke(main, ["verify", str(path)])
        assert done.exit_code == 1
        assert "proves nothing" in done.output


async def test_the_page_says_the_same_without_javascript(followed: Any) -> None:
    running, bee = followed
    async with client(running) as web:
        html = (await web.get(proof_href("/proof", bee.core.key, KEY.encode()))).text
        assert html.count("Note number 7.</blockquote>") == 2  # the block, and what the key maps to
        assert "Authentic" in html
        assert "Current" in html
        assert "data-proof=" in html
        assert (await web.get("/proof")).status_code == 200
        card = (await web.get("/")).text
        assert "Current</a>" in card
        assert "checked" in card


async def test_a_mark_says_no_more_than_is_known(followed: Any) -> None:
    running, _ = followed

    def behind(connection: Any) -> None:
        connection.execute(sources.sources.update().values(length=sources.sources.c.length + 5))

    await running.database.write(behind)
    async with client(running) as web:
        html = (await web.get("/")).text
        assert "Authentic</a>" in html
        assert "Current</a>" not in html

        def unknown(connection: Any) -> None:
            connection.execute(sources.sources.update().values(cursor=0, tail=0))

        await running.database.write(unknown)
        assert "Indexed</a>" in (await web.get("/")).text


async def test_what_is_removed_or_hidden_is_not_proved(followed: Any) -> None:
    running, bee = followed
    key, gone = bee.core.key, f"post/{8:016x}"
    await running.database.write(moderation.hide, key, KEY.encode(), "spam", now_ms())
    await bee.delete(gone)
    await read_to_the_end(running, bee)
    async with client(running) as web:
        for name in ("record", "lookup"):
            answer = await web.get(proof_href(f"/proof/{name}", key, KEY.encode()))
            assert answer.status_code == 451
            assert b"Note number 7" not in answer.content
        assert (await web.get(proof_href("/proof/record", key, gone.encode()))).status_code == 410
        absent = check_file((await web.get(proof_href("/proof/lookup", key, gone.encode()))).content)
        assert absent.is_absent
        assert absent.length == bee.core.length


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/proof/nothing?bee=00&key=x", 404), ("/proof/record", 400), ("/proof/record?bee=xyz&key=a", 400),
        (f"/proof/record?bee={'00' * 32}&key=a", 404), ("/proof?bee=&key=a", 400),
        (f"/proof?bee={'00' * 32}&key=", 400),
        (f"/proof/lookup?bee={'00' * 32}&key=%ff%00", 404),
    ],
)  # fmt: skip
async def test_wrong_questions_get_a_sentence(tmp_path: Path, path: str, status: int) -> None:
    async with aggregator(tmp_path) as running, client(running) as web:
        answer = await web.get(path, headers={"accept": "application/json"})
        assert answer.status_code == status
        assert answer.json()["error"].endswith(".")


async def test_a_removed_record_is_gone_by_proof(followed: Any) -> None:
    running, bee = followed
    gone = f"post/{8:016x}"
    await bee.delete(gone)
    await read_to_the_end(running, bee)
    async with client(running) as web:
        for key, status in ((gone, 410), ("post/never", 404)):
            answer = await web.get(f"/bee/{bee.core.key.hex()}/{key}")
            assert answer.status_code == status
            [data] = re.findall(r'data-proof="([^"]+)"', answer.text)
            found = check_file(base64.b64decode(data))
            assert found.is_absent
            assert (found.key, found.subject, found.length) == (bee.core.key, key.encode(), bee.core.length)
            as_json = await web.get(
                f"/bee/{bee.core.key.hex()}/{key}", headers={"accept": "application/json"}
            )
            assert check_file((await web.get(as_json.json()["proof"])).content) == found


async def test_a_hidden_record_is_hidden_by_proof(followed: Any) -> None:
    running, bee = followed
    async with client(running) as web:
        before = check_file((await web.get(proof_href("/proof/hidden", bee.core.key, KEY.encode()))).content)
        assert before.is_absent
        await running.database.write(
            moderation.hide, bee.core.key, KEY.encode(), "It is an advert.", now_ms()
        )
        await running.publisher.caught_up()
        answer = await web.get(f"/bee/{bee.core.key.hex()}/{KEY}")
        assert answer.status_code == 451
        [data] = re.findall(r'data-proof="([^"]+)"', answer.text)
        found = check_file(base64.b64decode(data))
        assert found.key == running.publisher.log.core.key
        assert found.subject.decode() == f"hidden/{bee.core.key.hex()}/{KEY}"
        assert found.versions[0].value is not None
        assert json.loads(found.versions[0].value)["reason"] == "It is an advert."


async def test_an_edit_leaves_both_versions_to_see(followed: Any) -> None:
    running, bee = followed
    first = await bee.get(KEY)
    edited = {**first.value, "text": "Note seven, mended.", "updatedAt": format_date(now_ms())}
    await bee.put(KEY, edited)
    await read_to_the_end(running, bee)
    async with client(running) as web:
        found = check_file((await web.get(proof_href("/proof/history", bee.core.key, KEY.encode()))).content)
        assert [version.seq for version in found.versions] == [bee.core.length - 1, first.seq]
        html = (await web.get(proof_href("/proof", bee.core.key, KEY.encode()) + "&about=history")).text
        assert "Note seven, mended." in html
        assert "Note number 7." in html
        page = (await web.get(f"/bee/{bee.core.key.hex()}/{KEY}")).text
        assert "about=history" in page


async def test_our_log_bounds_when_a_block_existed(followed: Any) -> None:
    running, bee = followed
    await running.publisher.caught_up()
    for n in range(3):
        await bee.put(f"post/later{n}", {"text": "Later.", "createdAt": format_date(now_ms())})
        await read_to_the_end(running, bee)
        await running.publisher.caught_up()
    async with client(running) as web:
        record = check_file((await web.get(proof_href("/proof/witness", bee.core.key, KEY.encode()))).content)
        entry = check_file(
            (await web.get(proof_href("/proof/witness-entry", bee.core.key, KEY.encode()))).content
        )
        assert entry.key == running.publisher.log.core.key
        assert entry.versions[0].value is not None
        said = json.loads(entry.versions[0].value)
        assert (said["tree"], said["length"]) == (record.at_hash.hex(), record.at_length)
        assert record.at_length < record.length
        assert said["at"] <= now_ms()


async def test_two_histories_raise_an_alarm(tmp_path: Path) -> None:
    """One key pair on two machines: the aggregator keeps the evidence, says so, and anybody can check it."""
    peers = [await Peer.open(None, primary_key=bytes(range(32))) for _ in range(2)]
    bees = [peer.bee(name="main") for peer in peers]
    try:
        for n, bee in enumerate(bees):
            await bee.put("post/1", {"text": "the same", "createdAt": "2026-01-01T00:00:00Z"})
            await bee.put("post/2", {"text": f"different {n}", "createdAt": "2026-01-01T00:00:00Z"})
        await bees[1].put("post/3", {"text": "one more", "createdAt": "2026-01-01T00:00:00Z"})
        addresses = [f"{host}:{port}" for host, port in [await peer.listen() for peer in peers]]
        key = bees[0].core.key
        async with aggregator(tmp_path) as running, client(running) as web:
            await running.database.write(sources.add, key, now_ms(), "command", addresses[0])
            await read_to_the_end(running, bees[0])
            assert (await web.get(f"/proof/conflict?bee={key.hex()}")).status_code == 404
            async with asyncio.timeout(60):
                while "Current</a>" not in (await web.get("/")).text:
                    await asyncio.sleep(0.05)
            host, port = addresses[1].rsplit(":", 1)
            await running.peer.connect(host, int(port))
            async with asyncio.timeout(60):
                while await running.database.read(alarms.of, key) is None:
                    await asyncio.sleep(0.05)
            found = check_file((await web.get(f"/proof/conflict?bee={key.hex()}")).content)
            assert (found.kind, found.key, found.at_length) == (Kind.CONFLICT, key, 3)
            html = (await web.get(f"/bee/{key.hex()}")).text
            assert "signed two different histories of 3 blocks" in html
            assert f"/proof/conflict?bee={key.hex()}" in html
            # What its key maps to depends on the history: nothing of it is called current, and no peer is waited for.
            assert "Authentic</a>" in html
            assert "Current</a>" not in html
            assert "Nothing more of this bee is read" in html
            assert "Next try" not in html
            html = (await web.get(f"/proof?about=conflict&bee={key.hex()}")).text
            assert "data-proof=" in html
            assert "Two histories" in (await web.get("/decisions")).text
            await running.publisher.caught_up()
            said = [
                entry.value async for entry in running.publisher.log.range(gte=b"decision/", lt=b"decision0")
            ]
            assert any(json.loads(one)["action"] == "alarmed" for one in said)
    finally:
        for peer in peers:
            await peer.close()
