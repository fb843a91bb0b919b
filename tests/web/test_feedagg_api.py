"""The JSON API: what it gives and does, and that the document about it is true (fuzzed with schemathesis)."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode

from feedagg import policy, sources
from feedagg.aggregator import Aggregator
from feedagg.rest.schemas import COMPONENTS
from feedagg.rest.table import ENDPOINTS, PREFIX
from feedagg.web import RateLimit
from tests.support.feedagg import aggregator, client, put, site
from tests.web.test_feedagg_pages import BEE, fill, sample

pytestmark = pytest.mark.anyio

KEY = b"post/0000000000000001"
FUZZED = 20


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Aggregator]:
    async with aggregator(tmp_path) as opened:
        await fill(opened, sample())
        yield opened


@pytest.fixture
async def web(running: Aggregator) -> AsyncIterator[httpx2.AsyncClient]:
    async with client(running) as opened:
        yield opened


def signed(running: Aggregator) -> dict[str, str]:
    return {"authorization": f"Bearer {running.token.reveal()}"}


async def get(web: httpx2.AsyncClient, path: str, **params: Any) -> Any:
    answer = await web.get(PREFIX + path, params=params)
    assert answer.status_code == 200, answer.text
    assert answer.headers["access-control-allow-origin"] == "*"
    return answer.json()


# --- reading ------------------------------------------------------------------------------------


async def test_the_feed_comes_in_pages_that_lose_nothing(
    running: Aggregator, web: httpx2.AsyncClient
) -> None:
    bee = bytes([5]) * 32
    times = [f"2026-01-01T00:00:{n:02}Z" for n in range(25)]
    posts = [put(n + 1, f"post/{n:016x}", {"text": f"n {n}", "createdAt": at}) for n, at in enumerate(times)]
    await fill(running, posts, bee)
    seen, before = [], None
    while True:
        page = await get(web, f"/bees/{bee.hex()}/records", limit=4, **({"before": before} if before else {}))
        seen += [item["value"]["text"] for item in page["items"]]
        before = page["next"]
        if before is None:
            break
    assert seen == [f"n {n}" for n in reversed(range(25))]
    assert len((await get(web, "/feed", limit=100))["items"]) == 27


async def test_a_film_is_paged_as_it_is_asked(running: Aggregator, web: httpx2.AsyncClient) -> None:
    film = {"film": {"title": "Often", "year": 1999}, "createdAt": "2026-01-01T00:00:00Z"}
    await fill(running, [put(n, f"movie/{n:016x}", film) for n in range(1, 8)], bytes([5]) * 32)
    seen, before = [], None
    while True:
        page = await get(web, "/films/t:often:1999", limit=3, **({"before": before} if before else {}))
        seen.append([item["block"] for item in page["items"]])
        before = page["next"]
        if before is None:
            break
    assert seen == [[7, 6, 5], [4, 3, 2], [1]]


async def test_a_record_a_film_a_tag_a_search_and_a_bee(web: httpx2.AsyncClient) -> None:
    one = await get(web, f"/bees/{BEE.hex()}/records/{KEY.hex()}")
    assert (one["key"], one["block"], one["author"]["name"]) == (KEY.decode(), 2, "Ada")
    film = await get(web, "/films/tmdb:949")
    assert (film["title"], film["average"], film["people"]) == ("Heat", 9, 1)
    assert len((await get(web, "/search", q="Heat"))["items"]) == 1
    assert (await get(web, "/tags/nothing"))["items"] == []
    bee = await get(web, f"/bees/{BEE.hex()}")
    assert bee["listed"] == {"movie": 1, "post": 1}
    assert bee["bee"]["name"] == "Ada"
    assert [one["key"] for one in (await get(web, "/bees", state="following"))["items"]] == [BEE.hex()]
    assert (await get(web, "/policy"))["policy"] == "open"
    assert (await get(web, "/limits")) == (await web.get("/limits.json")).json()


@pytest.mark.parametrize(
    ("path", "status", "sentence"),
    [
        ("/feed?limit=0", 400, "limit is 1 at least and 100 at most"),
        ("/feed?limit=ten", 400, "limit is a whole number"),
        ("/feed?before=AAAA", 400, "before does not look like"),
        ("/feed?order=size", 400, "order is one of: date, arrival"),
        ("/search", 400, "q is missing"),
        ("/bees/zz", 400, "bee does not look like"),
        (f"/bees/{'00' * 32}", 404, "not known here"),
        (f"/bees/{BEE.hex()}/records/00", 404, "no such post"),
        ("/films/tmdb:1", 404, "says anything about this film"),
        ("/nothing", 404, "no such address in the API"),
    ],
)
async def test_what_cannot_be_answered_says_why(
    web: httpx2.AsyncClient, path: str, status: int, sentence: str
) -> None:
    answer = await web.get(PREFIX + path)
    assert answer.status_code == status
    assert sentence in answer.json()["error"]


# --- writing ------------------------------------------------------------------------------------


async def test_the_operator_decides_over_the_api(running: Aggregator, web: httpx2.AsyncClient) -> None:
    async def post(path: str, status: int = 200, **body: str) -> Any:
        answer = await web.post(PREFIX + path, json=body, headers=signed(running))
        assert answer.status_code == status, answer.text
        return answer.json()

    record = {"bee": BEE.hex(), "keyHex": KEY.hex()}
    assert (await post("/records/hide", **record, reason="off topic"))["changed"]
    hidden = await web.get(f"{PREFIX}/bees/{BEE.hex()}/records/{KEY.hex()}")
    assert hidden.status_code == 451
    assert "off topic" in hidden.json()["error"]
    assert (await post("/records/unhide", **record))["changed"]
    assert not (await post("/records/unhide", **record))["changed"]
    assert (await post(f"/bees/{BEE.hex()}/pause"))["message"] == "The bee is paused."
    assert (await post(f"/bees/{BEE.hex()}/accept"))["changed"]
    assert "reason is missing" in (await post(f"/bees/{BEE.hex()}/refuse", status=400))["error"]
    assert (await post(f"/bees/{'00' * 32}/purge", status=404, reason="gone"))["error"]
    assert (await post("/bees", bee="11" * 32))["changed"]
    changed = await web.put(f"{PREFIX}/policy", json={"policy": "closed"}, headers=signed(running))
    assert changed.json()["changed"]
    assert await running.database.read(policy.policy) == "closed"
    actions = [one["action"] for one in (await get(web, "/decisions"))["items"]]
    assert actions == ["policy", "accepted", "resumed", "paused", "unhidden", "hidden"]
    page = await get(web, "/decisions", limit=2, bee=BEE.hex())
    assert len(page["items"]) == 2
    assert len((await get(web, "/decisions", bee=BEE.hex(), before=page["next"]))["items"]) == 2


async def test_without_the_token_nothing_changes(running: Aggregator, web: httpx2.AsyncClient) -> None:
    for endpoint in ENDPOINTS:
        if not endpoint.secured:
            continue
        path = PREFIX + endpoint.path.replace("{bee}", BEE.hex())
        for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": "Basic eDp5"}):
            answer = await web.request(endpoint.method, path, json={"reason": "x"}, headers=headers)
            assert answer.status_code in (401, 429), endpoint.name
    answer = await web.post(f"{PREFIX}/bees/{BEE.hex()}/pause", json={}, headers=signed(running))
    assert answer.status_code == 429  # one who guesses waits, even with the right token in the end
    source = await running.database.read(sources.get, BEE)
    assert source is not None
    assert source.state == sources.FOLLOWING


@pytest.mark.parametrize(
    ("body", "type_", "status"),
    [
        (b"{", "application/json", 400),
        (b"[]", "application/json", 400),
        (b"[" * 5000, "application/json", 400),
        (b'{"reason": "x", "more": 1}', "application/json", 400),
        (b'{"reason": ["x"]}', "application/json", 400),
        (b'{"reason": "\\ud800 \\u0000"}', "application/json", 200),
        (b"reason=x", "application/x-www-form-urlencoded", 415),
        (b'{"reason": "' + b"x" * 20_000 + b'"}', "application/json", 413),
    ],
)
async def test_any_body_is_taken_or_refused_in_words(
    running: Aggregator, web: httpx2.AsyncClient, body: bytes, type_: str, status: int
) -> None:
    headers = signed(running) | {"content-type": type_}
    answer = await web.post(f"{PREFIX}/bees/{BEE.hex()}/pause", content=body, headers=headers)
    assert answer.status_code == status, answer.text
    assert status == 200 or answer.json()["error"]


# --- the document -------------------------------------------------------------------------------


async def test_the_document_and_the_page_name_every_endpoint(web: httpx2.AsyncClient) -> None:
    document = (await web.get("/openapi.json")).json()
    page = (await web.get("/api")).text
    assert document["openapi"].startswith("3.1")
    described = {(method.upper(), path) for path, item in document["paths"].items() for method in item}
    assert described == {(each.method, PREFIX + each.path) for each in ENDPOINTS}
    for each in ENDPOINTS:
        assert f"{PREFIX}{each.path}" in page
        assert each.answer in COMPONENTS
    assert len({each.name for each in ENDPOINTS}) == len(ENDPOINTS)


def _fuzz(url: str, token: str) -> dict[str, int]:
    """Call every endpoint with what fits its description and with what does not; how many answers had each status."""
    schema = schemathesis.openapi.from_url(f"{url}/openapi.json")
    statuses: Counter[int] = Counter()

    def fuzz(operation: Any, mode: GenerationMode) -> None:
        @settings(max_examples=FUZZED, deadline=None, database=None, derandomize=True, phases=[Phase.generate],
                  suppress_health_check=list(HealthCheck))  # fmt: skip
        @given(case=operation.as_strategy(generation_mode=mode))
        def call(case: Any) -> None:
            response = case.call(headers={"Authorization": f"Bearer {token}"}, timeout=60)
            statuses[response.status_code] += 1
            case.validate_response(response)  # status, content type, schema, headers, what must be refused

        call()

    for result in schema.get_all_operations():
        for mode in GenerationMode:
            try:
                fuzz(result.ok(), mode)
            except Unsatisfiable:
                # An endpoint without parameters and body: there is nothing to get wrong.
                assert mode == GenerationMode.NEGATIVE
    return statuses


@pytest.mark.timeout(240)
async def test_the_document_holds_under_fuzzing(tmp_path: Path) -> None:
    async with site(tmp_path, no_dht=True) as (running, url):
        await fill(running, sample())
        running.wrong_tokens = RateLimit(10**9, 10**9)  # the fuzzer guesses, and should go on guessing
        statuses = await asyncio.to_thread(_fuzz, url, running.token.reveal())
        assert statuses[200] > len(ENDPOINTS) * 5
        assert statuses[400] > len(ENDPOINTS) * 5
