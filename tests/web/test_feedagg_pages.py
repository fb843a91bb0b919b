"""Every page and document of the aggregator, without sockets: what they show, refuse and escape."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest

import templates
from core.records import format_date
from feedagg import moderation, sources, store
from feedagg.aggregator import Aggregator
from feedagg.decide import Operation, Position, decide
from feedagg.ingest import now_ms
from tests.support.feedagg import aggregator, client, delete, put

pytestmark = pytest.mark.anyio

BEE = bytes(range(32))
HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>'\"&"


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Aggregator]:
    async with aggregator(tmp_path) as opened:
        yield opened


@pytest.fixture
async def web(running: Aggregator) -> AsyncIterator[httpx2.AsyncClient]:
    async with client(running) as opened:
        yield opened


async def fill(running: Aggregator, operations: list[Operation], bee: bytes = BEE) -> None:
    """Rows of a bee as if it had been read, with nobody to dial."""
    end = max(operation.seq for operation in operations) + 1
    rows = decide(operations, now_ms())

    def change(connection: Any) -> None:
        sources.add(connection, bee, now_ms() + 10**9, "command")
        sources.failed(connection, bee, "Nobody answers there.", now_ms() + 10**9)
        store.write(connection, bee, rows, Position(), Position(0, end, 1), end)

    await running.database.write(change)


def sample(at: int | None = None) -> list[Operation]:
    when = format_date(now_ms() - 5_000 if at is None else at)
    film = {"title": "Heat", "year": 1995, "ids": {"tmdb": 949}}
    long = {"mime": "text/markdown", "text": "# Big\n\n**bold** <b>raw</b> [x](javascript:alert(1))"}
    return [
        put(1, "profile/self", {"name": "Ada", "bio": "Films.", "createdAt": when}),
        put(
            2,
            "post/0000000000000001",
            {"text": "see https://example.org/a.", "more": long, "createdAt": when},
        ),
        put(
            3,
            "movie/0000000000000002",
            {"film": film, "rating": 9, "createdAt": when, "watchedOn": "2026-11-02"},
        ),
        put(4, "post/0000000000000003", {"text": "was here", "createdAt": when}),
        delete(5, "post/0000000000000003"),
        put(6, "odd", {"neither": True}),
    ]


def path(key: str, bee: bytes = BEE) -> str:
    return f"/bee/{bee.hex()}/{key}"


# --- pages ------------------------------------------------------------------------------------------


async def test_an_empty_aggregator_tells_what_to_do_next(web: httpx2.AsyncClient) -> None:
    for url, words in (("/", "Add the first bee"), ("/bees", "No bees yet"), ("/submit", "Follow this bee")):
        answer = await web.get(url)
        assert answer.status_code == 200
        assert words in answer.text


async def test_the_feed_shows_posts_and_movies_of_their_author(
    running: Aggregator, web: httpx2.AsyncClient
) -> None:
    await fill(running, sample())
    text = (await web.get("/")).text
    assert text.count("<article") == 2
    assert "Ada" in text
    assert 'aria-label="4.5 of 5 stars"' in text
    assert '<a href="https://example.org/a" rel="nofollow ugc noopener">example.org/a</a>.' in text
    assert "Read on" in text
    assert "was here" not in text


async def test_an_htmx_request_gets_the_block_alone(running: Aggregator, web: httpx2.AsyncClient) -> None:
    await fill(running, sample())
    part = (await web.get("/", headers={"HX-Request": "true"})).text
    assert "<article" in part
    assert "<html" not in part
    bee = (await web.get(f"/bee/{BEE.hex()}", headers={"HX-Request": "true"})).text
    assert 'id="receipt" hx-swap-oob="innerHTML"' in bee


async def test_older_and_newer_pages_join_without_a_gap(running: Aggregator, web: httpx2.AsyncClient) -> None:
    start = now_ms() - 10_000
    await fill(
        running,
        [put(n, f"post/{n:016x}", {"text": f"n{n}.", "createdAt": format_date(start)}) for n in range(1, 81)],
    )
    url, seen = "/", []
    while url:
        text = (await web.get(url)).text
        seen += re.findall(r"\bn(\d+)\.", text)
        found = re.search(r'rel="next" href="([^"]+)"', text)
        url = "/" + found.group(1) if found else ""
    assert seen == [str(n) for n in range(80, 0, -1)]
    found = re.search(r'rel="prev" href="([^"]+)"', text)
    assert found is not None
    assert re.findall(r"\bn(\d+)\.", (await web.get("/" + found.group(1))).text) == [
        str(n) for n in range(50, 20, -1)
    ]


async def test_a_bee_and_its_receipt(running: Aggregator, web: httpx2.AsyncClient) -> None:
    await fill(running, sample())
    answer = await web.get(f"/bee/{BEE.hex()}")
    for words in (
        "Ada",
        "Films.",
        "7 blocks",
        "everything",
        "1 movie, 1 post",
        "1 profile",
        "unknown-kind",
        "Next try",
    ):
        assert words in answer.text, words
    assert "Nobody answers there." in answer.text


async def test_a_key_in_z_base_32_leads_to_the_same_page(
    running: Aggregator, web: httpx2.AsyncClient
) -> None:
    from core.peer import key_to_id

    await fill(running, sample())
    answer = await web.get(f"/bee/{key_to_id(BEE)}")
    assert answer.status_code == 308
    assert answer.headers["location"] == f"/bee/{BEE.hex()}"


async def test_a_permalink_shows_the_long_form_cleaned(running: Aggregator, web: httpx2.AsyncClient) -> None:
    await fill(running, sample())
    text = (await web.get(path("post/0000000000000001"))).text
    assert "<strong>bold</strong>" in text
    assert "<h2>Big</h2>" in text
    assert "<b>" not in text
    assert "javascript:" not in text.replace("[x](javascript:alert(1))", "")
    assert "block 2 of their own log" in text


@pytest.mark.parametrize(
    ("key", "status", "words"),
    [
        ("post/0000000000000003", 410, "Its author removed this record"),
        ("odd", 404, "does not know this kind"),
        ("profile/self", 404, "neither a post nor a movie"),
        ("post/000000000000ffff", 404, "to its first operation"),
    ],
)
async def test_what_is_not_shown_says_why(
    running: Aggregator, web: httpx2.AsyncClient, key: str, status: int, words: str
) -> None:
    await fill(running, sample())
    answer = await web.get(path(key))
    assert answer.status_code == status
    assert words in answer.text


async def test_a_bee_that_nobody_follows(web: httpx2.AsyncClient) -> None:
    for url in (f"/bee/{BEE.hex()}", path("post/0000000000000001")):
        answer = await web.get(url)
        assert answer.status_code == 404
        assert "not followed here" in answer.text


async def test_a_film_and_its_average(running: Aggregator, web: httpx2.AsyncClient) -> None:
    await fill(running, sample())
    other = bytes(range(1, 33))
    value = {"title": "Heat", "year": 1995, "rating": 4}
    await fill(running, [put(1, "ck1", value)], other)
    text = (await web.get("/film/t:heat:1995")).text
    assert '<strong class="number">3.2</strong> of 5' in text
    assert "from 2 people" in text
    assert text.count("<article") == 2
    assert (await web.get("/film/tmdb:1")).status_code == 404


async def test_all_addresses_in_pages_lead_somewhere(running: Aggregator, web: httpx2.AsyncClient) -> None:
    awkward = [
        "a/../b",
        "with space & ?#%",
        "ünïcode/ключ",
        "~home",
        "trailing/",
        "back\\slash",
        "a//b",
        "nul\x00",
    ]
    extra = [put(10 + n, key, {"text": f"awkward {n}"}) for n, key in enumerate(awkward)]
    await fill(running, sample() + extra)
    seen, todo = set(), ["/"]
    while todo:
        url = todo.pop()
        answer = await web.get(url)
        assert answer.status_code == 200, url
        if "text/html" not in answer.headers["content-type"]:
            continue
        for link in Links.of(answer.text):
            target = link if not link.startswith("?") else urlsplit(url).path + link
            # These rows were put here without a log, and a proof needs its blocks.
            if target.startswith("/") and not target.startswith("/proof?") and target not in seen:
                seen.add(target)
                todo.append(target)
    own = [url for url in seen if url.startswith(f"/bee/{BEE.hex()}") and url != f"/bee/{BEE.hex()}"]
    shown = {word for url in own for word in re.findall(r"awkward \d", (await web.get(url)).text)}
    assert len(shown) == len(awkward)
    assert len(own) == len(awkward) + 2


class Links(HTMLParser):
    """The href and src of every element of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value for name, value in attrs if name in ("href", "src") and value]

    @classmethod
    def of(cls, text: str) -> list[str]:
        parser = cls()
        parser.feed(text)
        return parser.found


# --- safety -----------------------------------------------------------------------------------------


async def test_markup_in_every_field_stays_text(running: Aggregator, web: httpx2.AsyncClient) -> None:
    h = HOSTILE
    when = format_date(now_ms() - 1000)
    film = {"title": h, "year": 1995}
    await fill(
        running,
        [
            put(
                1,
                "profile/self",
                {"name": h[:64], "bio": h, "website": "https://e.org/?" + h.replace(" ", "")},
            ),
            put(
                2,
                "post/0000000000000001",
                {"text": h, "cw": h, "tags": [h[:64]], "film": film, "createdAt": when},
            ),
            put(
                3,
                "post/0000000000000002",
                {"text": h, "more": {"mime": "text/markdown", "text": h}, "createdAt": when},
            ),
            put(
                4,
                "post/0000000000000003",
                {"text": h, "more": {"mime": "x/" + h[:50], "text": h}, "createdAt": when},
            ),
            put(
                5,
                "movie/0000000000000001",
                {"film": film, "review": {"text": h}, "src": h[:32], "createdAt": when},
            ),
            put(6, h, {"title": h}),
        ],
    )
    urls = [
        "/",
        "/bees",
        f"/bee/{BEE.hex()}",
        "/submit?key=" + h,
        *(path(f"post/000000000000000{n}") for n in (1, 2, 3)),
    ]
    for url in urls:
        answer = await web.get(url)
        tags = Tags.of(answer.text)
        assert not any("onerror" in attributes for _, attributes in tags), url
        scripts = [attributes.get("src", "") for tag, attributes in tags if tag == "script"]
        assert scripts
        assert all((source or "").startswith("/static/") for source in scripts), url
        assert not [tag for tag, attributes in tags if tag == "img"], url


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    @classmethod
    def of(cls, text: str) -> list[tuple[str, dict[str, str | None]]]:
        parser = cls()
        parser.feed(text)
        return parser.found


async def test_every_answer_carries_the_headers(running: Aggregator, web: httpx2.AsyncClient) -> None:
    await fill(running, sample())
    for url in ("/", "/nothing", "/feed.json", "/health", "/static/meadow.css"):
        headers = (await web.get(url)).headers
        assert headers["content-security-policy"] == templates.CONTENT_SECURITY_POLICY
        assert headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    "headers", [{"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Origin": "null"}]
)
async def test_a_form_of_another_site_is_refused(web: httpx2.AsyncClient, headers: dict[str, str]) -> None:
    answer = await web.post("/submit", data={"key": BEE.hex()}, headers=headers)
    assert answer.status_code == 403


async def test_pages_on_loopback_answer_to_its_own_names_alone(
    tmp_path: Path, web: httpx2.AsyncClient
) -> None:
    for host, status in (
        ("127.0.0.1:8080", 200),
        ("[::1]:8080", 200),
        ("rebound.example:8080", 421),
        ("[", 421),
    ):
        assert (await web.get("/health", headers={"host": host})).status_code == status, host
    async with aggregator(tmp_path / "public", web="0.0.0.0:80") as public, client(public) as everybody:
        assert (await everybody.get("/health", headers={"host": "meadow.example"})).status_code == 200


async def test_a_body_that_is_too_large_is_refused(web: httpx2.AsyncClient) -> None:
    assert (await web.post("/submit", data={"key": "x" * 100_000})).status_code == 413

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b"key=" + b"x" * 10_000

    answer = await web.post(
        "/submit", content=endless(), headers={"content-type": "application/x-www-form-urlencoded"}
    )
    assert answer.status_code == 400


# --- documents --------------------------------------------------------------------------------------


async def test_the_json_feed_is_one(running: Aggregator, web: httpx2.AsyncClient) -> None:
    await fill(running, sample())
    answer = await web.get("/feed.json?limit=1")
    assert answer.headers["content-type"] == "application/feed+json"
    feed = answer.json()
    check_json_feed(feed)
    assert feed["items"][0]["_meadow"]["bee"] == BEE.hex()
    second = (await web.get(feed["next_url"])).json()
    check_json_feed(second)
    titles = [item.get("title") for item in feed["items"] + second["items"]]
    assert sorted(titles, key=str) == ["Heat (1995)", None]


def check_json_feed(feed: dict[str, Any]) -> None:
    """What JSON Feed 1.1 asks for: required members, types, absolute URLs, RFC 3339 dates, unique ids."""
    assert feed["version"] == "https://jsonfeed.org/version/1.1"
    assert isinstance(feed["title"], str)
    for name in ("home_page_url", "feed_url", "next_url"):
        assert name not in feed or urlsplit(feed[name]).netloc
    assert isinstance(feed["items"], list)
    assert len({item["id"] for item in feed["items"]}) == len(feed["items"])
    for item in feed["items"]:
        assert isinstance(item["id"], str)
        assert urlsplit(item["url"]).netloc
        assert isinstance(item.get("content_text", item.get("content_html")), str)
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", item["date_published"])
        assert all(author["name"] and urlsplit(author["url"]).netloc for author in item["authors"])
        extensions = [name for name in item if name.startswith("_")]
        assert extensions == ["_meadow"]


async def test_health_and_limits(running: Aggregator, web: httpx2.AsyncClient) -> None:
    await fill(running, sample())
    health = (await web.get("/health")).json()
    assert health["status"] == "ok"
    assert health["bees"] == {"followed": 1, "connected": 0, "unreachable": 1}
    limits = (await web.get("/limits.json")).json()
    about = (await web.get("/about")).text
    for name, value in limits.items():
        assert f"{value:,}".replace(",", "\u202f") in about, name


async def test_errors_come_as_json_to_those_who_ask(running: Aggregator, web: httpx2.AsyncClient) -> None:
    await fill(running, sample())
    await running.database.write(moderation.hide, BEE, b"odd", "because", now_ms())
    for url, status in (("/nothing", 404), (path("post/0000000000000003"), 410), (path("odd"), 451)):
        answer = await web.get(url, headers={"accept": "application/json"})
        assert answer.status_code == status
        assert json.loads(answer.text)["error"]
