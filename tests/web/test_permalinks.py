"""What pages hand out as addresses gives the same records after a restart, after news, and after a rebuild."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpx2
import pytest
from click.testing import CliRunner

from core.records import format_date
from feedagg import sources
from feedagg.aggregator import Aggregator
from feedagg.cli import main
from feedagg.ingest import now_ms
from tests.support.feedagg import aggregator, author, client
from tests.web.test_feedagg_pages import Links

pytestmark = pytest.mark.anyio

POSTS = 40
START = now_ms() - 10_000_000
LISTS = ("/?", "/bee/", "/tag/", "/film/", "/thread/", "/search?", "/feed.", "/feeds/", "/proof?")
PARTS = (
    "/film/",
    "/tag/all?before=",
    "/thread/",
    "/proof?",
    "/feeds/atom/bee/",
    "/?before=",
    "/search?q=note&before=",
)
RECORD = re.compile(r"/bee/[0-9a-f]{64}/(?:post|movie)/[0-9a-f]{16}")


async def write(bee: Any) -> None:
    """Posts enough for two pages, a film, a tag and a conversation."""
    for n in range(POSTS):
        value = {"text": f"Note {n}.", "createdAt": format_date(START + n * 1000), "tags": ["all"]}
        await bee.put(f"post/{n:016x}", value)
    root = {"bee": bee.core.key.hex(), "key": f"post/{3:016x}", "seq": 4, "hash": "00" * 32}
    at = {"createdAt": format_date(START + 500_000)}
    await bee.put(f"post/{900:016x}", {"text": "An answer.", "reply": {"root": root, "parent": root}, **at})
    await bee.put(f"movie/{1:016x}", {"film": {"title": "Ran", "year": 1985}, "rating": 9, **at})


async def read(running: Aggregator, bee: Any, address: str) -> None:
    """Follow a bee until it is read to its first record."""
    await running.database.write(sources.add, bee.core.key, now_ms(), "command", address)
    async with asyncio.timeout(60):
        while True:
            source = await running.database.read(sources.get, bee.core.key)
            if source is not None and source.cursor >= bee.core.length and source.position.complete:
                return
            await asyncio.sleep(0.02)


async def look(web: httpx2.AsyncClient, url: str) -> tuple[list[str], list[str]]:
    """The records that an address gives, in order, and the addresses on its page."""
    answer = await web.get(url, follow_redirects=True)
    assert answer.status_code == 200, url
    if answer.headers["content-type"].startswith("text/html"):
        cards = re.findall(r'<article[^>]* id="([^"]+)"', answer.text)
        return cards, [urljoin(answer.url.raw_path.decode(), link) for link in Links.of(answer.text)]
    return list(dict.fromkeys(RECORD.findall(answer.text))), []


async def walk(web: httpx2.AsyncClient) -> dict[str, list[str]]:
    """Every list that the pages lead to, every page of each, and some of the records; what each of them gives."""
    found: dict[str, list[str]] = {}
    todo = ["/", "/?sort=arrival", "/search?q=note"]
    while todo:
        url = todo.pop()
        if url in found or not (url == "/" or url.startswith(LISTS)):
            continue
        of_record = re.search(r"post(?:/|%2F)0{13}(\w{3})", url)
        if of_record is not None and of_record[1] not in ("003", "01f", "384"):
            continue
        found[url], links = await look(web, url)
        todo += links
    return found


def hears_of_news(url: str) -> bool:
    """Whether an address means "the newest of all": such a page changes, as it should."""
    path = urlsplit(url).path
    merged = path == "/" or path.startswith("/feed.") or path.endswith("/search")
    return (merged and "before=" not in url) or "after=" in url


async def test_addresses_outlive_a_restart_news_and_a_rebuild(tmp_path: Path) -> None:
    async with author() as (_, bee, address), aggregator(tmp_path) as running, client(running) as web:
        await write(bee)
        await read(running, bee, address)
        given = await walk(web)
    assert all(any(part in url for url in given) for part in PARTS), sorted(given)
    assert max(map(len, given.values())) == 30

    async def assert_same(running: Aggregator, is_lasting: Any) -> None:
        async with client(running) as web:
            for url, before in given.items():
                if is_lasting(url):
                    assert (await look(web, url))[0] == before, url

    async with aggregator(tmp_path) as running:  # its author is away
        await assert_same(running, lambda url: True)
    rebuilt = await asyncio.to_thread(CliRunner().invoke, main, ["--dir", str(tmp_path), "rebuild"])
    assert rebuilt.exit_code == 0, rebuilt.output
    async with author() as (_, other, address), aggregator(tmp_path) as running:
        for n in range(5):
            value = {"text": f"Note of another {n}.", "createdAt": format_date(START + 900_000 + n)}
            await other.put(f"post/{n:016x}", value)
        await read(running, other, address)
        await assert_same(running, lambda url: not hears_of_news(url))
        async with client(running) as web:
            assert (await look(web, "/"))[0] != given["/"]
