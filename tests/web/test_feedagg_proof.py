"""Proofs on the site: files, the page without JavaScript, the marks on cards, and what is not proved and why."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from core.errors import RemoteProtocolError
from core.peer import Kind, check_file
from core.records import format_date
from feedagg import moderation, sources
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
    async with asyncio.timeout(30):
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
        assert html.count("Note number 7.") == 2  # the block, and what the key maps to
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
            connection.execute(sources.sources.update().values(length=0))

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
