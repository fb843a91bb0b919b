"""One bee or one submitter that asks for far too much: bounded and counted, while the others' records come and keep
their places.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx2
import pytest
from sqlalchemy import Connection

from core.hyperbee.node import encode_block, encode_header
from core.records import format_date
from feedagg import policy, queries, sources
from feedagg.ingest import now_ms
from tests.support.feedagg import aggregator, author, client, put
from tests.support.waiting import eventually
from tests.web.test_feedagg_follow import follow, indexed, post, texts
from tests.web.test_feedagg_reading import BEE, OTHER, STRANGER, fill

pytestmark = pytest.mark.anyio

BURST = 50_000


async def test_a_burst_of_fifty_thousand_waits_and_the_others_records_come(tmp_path: Path) -> None:
    async with (
        author() as (peer, honest, address),
        aggregator(tmp_path, operations_per_second=10_000) as running,
        client(running) as web,
    ):
        flood = peer.core(name="flood")
        value = b'{"text":"flood","createdAt":"2026-01-01T00:00:00Z"}'
        await flood.append(
            [encode_header(), *(encode_block(b"", b"post/%016x" % n, value) for n in range(BURST))]
        )
        key = flood.key.hex()
        assert (await web.post("/submit", json={"key": key, "peer": address})).status_code == 202
        await eventually(lambda: flood.key in running.ingest.waiting)
        await honest.put("post/0000000000000001", post("an honest word"))
        await follow(running, honest, address)
        await eventually(lambda: indexed(running, honest))
        assert any("an honest word" in text for text in await texts(running))
        source = await running.database.read(sources.get, flood.key)
        assert source is not None
        assert (
            0 < source.hour_operations <= 2 * running.settings.operations_per_hour
        )  # an hour may turn meanwhile
        assert (
            running.ingest.records_read <= source.hour_operations + running.settings.operations_per_hour + 1
        )
        await eventually(lambda: _says(web, f"/bee/{key}", "is used up"))
        assert "feedagg_ingest_postponed_total 0" not in (await web.get("/metrics")).text


async def _says(web: httpx2.AsyncClient, path: str, words: str) -> bool:
    return words in (await web.get(path)).text


async def test_ten_thousand_keys_of_one_address_stop_at_the_limit(tmp_path: Path) -> None:
    """Past the limit on requests (here: none to speak of) stands the one on bees; the next address is served."""
    limits = {"submit_burst": 1_000_000, "max_per_submitter": 50, "connect_seconds": 0.1}
    async with aggregator(tmp_path, **limits) as running:
        who = [running.token.stands_for(address) for address in ("192.0.2.1", "192.0.2.2")]

        def many(connection: Connection) -> tuple[int, set[str]]:
            taken, refusals = 0, set()
            for n in range(10_000):
                try:
                    given(connection, n.to_bytes(32, "big"), who[0])
                    taken += 1
                except policy.Refusal as refusal:
                    refusals.add(str(refusal))
            return taken, refusals

        def given(connection: Connection, key: bytes, submitter: str) -> None:
            settings = running.settings
            policy.submit(
                connection, key, now_ms(), None, submitter,
                max_sources=settings.max_sources, max_per_submitter=settings.max_per_submitter,
            )  # fmt: skip

        taken, refusals = await running.database.write(many)
        assert taken == 50
        assert [words.partition(",")[0] for words in refusals] == ["This address has given 50 bees already"]
        assert await running.database.read(sources.submitted_by, who[0]) == 50
        await running.database.write(lambda connection: given(connection, b"\xff" * 32, who[1]))
        assert await running.database.read(sources.submitted_by, who[1]) == 1


async def test_a_thousand_requests_at_once_end_in_a_sentence(tmp_path: Path) -> None:
    async with aggregator(tmp_path, submit_burst=5, submit_per_hour=1) as running, client(running) as web:
        asks_json = {"accept": "application/json"}
        sent = [web.post("/submit", json={"key": f"{n:064x}"}, headers=asks_json) for n in range(1_000)]
        answers = await asyncio.gather(*sent)
        assert sum(answer.status_code == 202 for answer in answers) == 5
        refused = [answer for answer in answers if answer.status_code == 429]
        assert len(refused) == 995
        assert all("try again in" in answer.json()["error"] for answer in refused)
        assert (await running.database.read(sources.counts))["followed"] == 5
        assert (await web.get("/")).status_code == 200


async def test_dates_of_the_far_future_and_past_push_nobody_off_the_top(tmp_path: Path) -> None:
    async with aggregator(tmp_path) as running, client(running) as web:
        dates = [
            "9999-12-31T23:59:59Z",
            "+275760-09-13T00:00:00.000Z",
            9e15,
            2**63,
            1e308,
            -1,
            "0000-01-01",
            "1066",
            {},
            "",
            None,
        ]
        await fill(
            running,
            [
                put(n, f"post/{n:016x}", {"text": f"odd {n}.", "createdAt": at})
                for n, at in enumerate(dates, 1)
            ],
        )
        later = format_date(now_ms() + 60_000)  # a clock that runs a little ahead
        await asyncio.sleep(0.002)
        await fill(
            running, [put(1, "post/0000000000000001", {"text": "just written", "createdAt": later})], OTHER
        )
        items = (await running.database.read(queries.feed)).items
        assert b"just written" in (items[0].value or b"")
        assert len(items) >= len(dates)  # flagged, not dropped
        assert all(item.sort_at <= now_ms() for item in items)
        for path in ("/", "/?sort=arrival", "/feed.json", "/feed.rss", "/search?q=odd", f"/bee/{BEE.hex()}"):
            assert (await web.get(path)).status_code == 200, path
        found = {(item.value or b"").decode(): item.date_flag for item in items}
        assert sum(flag is not None for flag in found.values()) >= len(dates) - 1


async def test_a_title_that_collides_moves_no_score_but_by_one_vote(tmp_path: Path) -> None:
    """Titles that fold to one slug are one film by design. However often a bee writes them it has one vote, and a
    record that names another number is no vote for this one, whatever its title.
    """
    async with aggregator(tmp_path) as running, client(running) as web:
        at = "2026-01-01T00:00:00Z"

        def rated(n: int, title: str, rating: int, **more: object) -> object:
            film = {"title": title, "year": 1985, **more}
            return put(n, f"movie/{n:016x}", {"film": film, "rating": rating, "createdAt": at})

        await fill(running, [rated(1, "Ran", 10, ids={"tmdb": 11645})], OTHER)
        await fill(running, [rated(1, "Ran", 10)], STRANGER)
        spellings = ["RAN", "ran!", "  Ran ", "Rán", "R\u0301an".replace("\u0301", ""), "-ran-", "<ran>"]
        await fill(running, [rated(n, title, 1) for n, title in enumerate(spellings * 30, 1)])
        await fill(running, [rated(999, "Ran", 1, ids={"tmdb": 1})], bytes(range(9, 41)))
        # The flood of 210 is one vote among those of the title, and the other number's stays with the other number.
        for name, score, people in (("tmdb:11645", "3.5", 3), ("t:ran:1985", "2.8", 4)):
            page = (await web.get(f"/film/{name}")).text
            assert f'<strong class="number">{score}</strong>' in page, name
            assert f"{people} people" in page, name
