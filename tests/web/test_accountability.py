"""Receipts under the aggregator's key, "prove that you cannot delete it", and the ratings behind a score."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from core.errors import DecodingError, InvalidSignature
from core.peer import Peer, check_file
from core.records import format_date, value_hash
from feedagg import decisions, moderation, queries, signed_receipts, sources
from feedagg.aggregator import Aggregator
from feedagg.cli import main
from feedagg.ingest import now_ms
from feedagg.marks import proof_href
from feedagg.server import WEB_URL_FILE
from tests.support.feedagg import aggregator, author, client, site

pytestmark = pytest.mark.anyio

KEY = f"post/{3:016x}"


@pytest.fixture
async def followed(tmp_path: Path) -> AsyncIterator[tuple[Aggregator, Any, Peer]]:
    async with author() as (peer, bee, address), aggregator(tmp_path / "site") as running:
        for n in range(8):
            at = format_date(now_ms() - (50 - n) * 60_000)
            await bee.put(f"post/{n:016x}", {"text": f"Note number {n}.", "createdAt": at})
        await bee.put("post/bad", {"no": "text"})
        await follow(running, bee, address)
        yield running, bee, peer


async def follow(running: Aggregator, bee: Any, address: str) -> None:
    await running.database.write(sources.add, bee.core.key, now_ms(), "command", address)
    async with asyncio.timeout(60):
        while True:
            source = await running.database.read(sources.get, bee.core.key)
            if source is not None and source.cursor == bee.core.length and source.position.complete:
                return
            await asyncio.sleep(0.02)


async def test_a_receipt_can_be_held_against_us(followed: Any, tmp_path: Path) -> None:
    running, bee, _ = followed
    async with client(running) as web:
        answer = await web.get(f"/receipt/{bee.core.key.hex()}")
        assert answer.status_code == 200
        said, by = signed_receipts.check(answer.content)
        assert by == running.peer.public_key.hex()
        assert (said["bee"], said["length"], said["indexedTo"]) == (
            bee.core.key.hex(),
            bee.core.length,
            bee.core.length,
        )
        assert said["tree"] == bee.core.tree_hash().hex()
        assert said["listed"] == {"post": 8}
        assert sum(said["skipped"].values()) == 1
        path = tmp_path / "receipt.json"
        path.write_bytes(answer.content)
        done = CliRunner().invoke(main, ["verify", str(path), "--key", bee.core.key.hex()])
        assert done.exit_code == 0, done.output
        assert running.peer.public_key.hex() in done.output
        signed = answer.json()
        for changed in (
            {**signed, "statement": signed["statement"].replace('"post":8', '"post":9')},
            {**signed, "key": bee.core.key.hex()},
            {**signed, "signature": "00" * 64},
        ):
            with pytest.raises(InvalidSignature):
                signed_receipts.check(json.dumps(changed).encode())
            path.write_text(json.dumps(changed))
            assert CliRunner().invoke(main, ["verify", str(path)]).exit_code == 1
        for wrong in (b"{}", b"[1]", b"{", b'{"statement": "{}", "key": 1, "signature": ""}'):
            with pytest.raises(DecodingError):
                signed_receipts.check(wrong)
        assert (await web.get(f"/receipt/{'00' * 32}")).status_code == 404


async def test_what_is_hidden_here_comes_back_from_its_author(followed: Any) -> None:
    running, bee, peer = followed
    url = proof_href("/prove", bee.core.key, KEY.encode())
    before = await running.database.read(decisions.listing, 100)
    async with client(running) as web:
        assert "Do it now" in (await web.get(url)).text
        html = (await web.post(url)).text
        entry = await bee.get(KEY)
        raw = json.dumps(entry.value, separators=(",", ":")).encode()
        assert html.count(value_hash(raw)) >= 2  # what was here, and what came
        assert "came back from" in html
        assert "None of them is the key of a bee" in html
        assert running.peer.public_key.hex() in html
        assert running.publisher.log.core.key.hex() in html
        # where from is for the operator (decision 14), which the one on this machine is
        (hint,) = await running.database.read(sources.hints_of, bee.core.key)
        assert hint.address in html
        stranger = (await web.post(url, headers={"via": "a proxy"})).text
        assert "came back from the address given" in stranger
        assert hint.address not in stranger
        assert (
            await web.get(url.replace("/prove?", "/prove.json?"), headers={"via": "a"})
        ).status_code == 403
        # nothing of it stayed
        item = await running.database.read(queries.record, bee.core.key, KEY.encode())
        assert item is not None
        assert not item.hidden
        assert await running.database.read(queries.why_hidden, bee.core.key, KEY.encode()) is None
        assert await running.database.read(decisions.listing, 100) == before

        # without the author there is nobody to fetch it from, and that is what it says
        await peer.close()
        said = (await web.get(url.replace("/prove?", "/prove.json?"))).json()
        assert said["hashThere"] is None
        assert not said["holds"]
        assert said["goneWhileHidden"]
        assert [one["error"] for one in said["attempts"]] != [None]
        assert hint.address not in (await web.post(url, headers={"via": "a proxy"})).text


async def test_a_bee_whose_key_we_hold_is_admitted(tmp_path: Path) -> None:
    """The list of secret keys is the store's own: a bee of ours that we follow shows up as one."""
    async with aggregator(tmp_path) as running:
        mine = running.peer.bee(name="a bee of ours")
        await mine.put(KEY, {"text": "Ours.", "createdAt": format_date(now_ms())})
        await running.database.write(sources.add, mine.core.key, now_ms(), "command", None)
        async with asyncio.timeout(60):
            while running.ingest.records_read < 1:
                await asyncio.sleep(0.05)
        async with client(running) as web:
            said = (await web.get(proof_href("/prove.json", mine.core.key, KEY.encode()))).json()
    assert said["holdsKeyOfABee"]
    assert mine.core.key.hex() in {one["key"] for one in said["secretKeys"]}
    assert not said["holds"]


async def test_prove_refuses_what_it_cannot_show(followed: Any) -> None:
    running, bee, _ = followed
    await running.database.write(moderation.hide, bee.core.key, KEY.encode(), "why", now_ms())
    async with client(running) as web:
        for method in (web.get, web.post):
            assert (await method(proof_href("/prove", bee.core.key, KEY.encode()))).status_code == 451
            assert (await method(proof_href("/prove", bee.core.key, b"post/none"))).status_code == 404
            assert (await method("/prove?bee=zz&key=a")).status_code == 400
        for _ in range(8):
            last = await web.post("/prove?bee=zz&key=a")
        assert last.status_code == 429
        assert int(last.headers["retry-after"]) > 0


async def test_the_command_asks_the_running_aggregator(tmp_path: Path) -> None:
    async with author() as (_, bee, address), site(tmp_path / "site", no_dht=True) as (running, url):
        await bee.put(KEY, {"text": "Hello.", "createdAt": format_date(now_ms())})
        await follow(running, bee, address)
        (tmp_path / "site" / WEB_URL_FILE).write_text(url + "/")
        arguments = ["--dir", str(tmp_path / "site"), "prove", bee.core.key.hex(), KEY]
        done = await asyncio.to_thread(CliRunner().invoke, main, arguments)
        assert done.exit_code == 0, done.output
        assert "gave the block" in done.output
        assert "None of them is a bee's." in done.output
        done = await asyncio.to_thread(CliRunner().invoke, main, [*arguments[:-1], "post/none"])
        assert done.exit_code == 1
        assert "no such record" in done.output


async def test_a_score_is_made_of_signed_ratings(tmp_path: Path) -> None:
    ratings = [9, 4, 7]
    async with aggregator(tmp_path) as running:
        peers = []
        for n, rating in enumerate(ratings):
            peer = await Peer.open(None)
            peers.append(peer)
            bee = peer.bee(name="main")
            for older in (1, rating):  # only the newest of a bee counts
                at = format_date(now_ms() - 10_000 + older)
                movie = {"film": {"title": "Ran", "year": 1985}, "rating": older, "createdAt": at}
                await bee.put(f"movie/{n:08x}{older:08x}", movie)
            await follow(running, bee, "%s:%d" % await peer.listen())  # noqa: UP031
        async with client(running) as web:
            html = (await web.get("/film/t:ran:1985")).text
            assert 'data-recompute="/proofs/film/t:ran:1985"' in html
            said = (await web.get("/proofs/film/t:ran:1985")).json()
        for peer in peers:
            await peer.close()
    found = [check_file(base64.b64decode(file)) for file in said["proofs"]]
    given = [json.loads(one.versions[0].value or b"")["rating"] for one in found]
    assert sorted(given) == sorted(ratings)
    assert len({one.key for one in found}) == 3
    assert said["average"] == sum(ratings) / 3
    assert (said["people"], said["missing"]) == (3, 0)
