"""Images of posts: fetched from the author's media core alone, made small, and served from here."""

from __future__ import annotations

import asyncio
import io
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from PIL import Image

from core.records import format_date
from feedagg import moderation, pictures, sources
from feedagg.aggregator import Aggregator
from feedagg.ingest import now_ms
from tests.support.feedagg import aggregator, author, client
from tests.unit.test_feedagg_pictures import bomb, with_exif

pytestmark = pytest.mark.anyio

BLOCK = 64 * 1024


class Author:
    """A bee and its media core."""

    def __init__(self, peer: Any, bee: Any, address: str) -> None:
        self.peer, self.bee, self.address = peer, bee, address
        self.media = peer.core(name="media")
        self.posts = 0

    async def introduce(self) -> None:
        blobs = self.media.key.hex()
        await self.bee.put(
            "meta/self", {"schema": "meadow", "v": 1, "blobs": blobs, "createdAt": format_date(now_ms())}
        )

    async def upload(self, data: bytes, block: int = BLOCK) -> dict[str, int]:
        blocks = [data[at : at + block] for at in range(0, len(data), block)]
        blob = {
            "blockOffset": self.media.length, "blockLength": len(blocks),
            "byteOffset": self.media.byte_length, "byteLength": len(data),
        }  # fmt: skip
        await self.media.append(blocks)
        return blob

    async def post(self, *blobs: dict[str, int], alt: str = "A meadow", **more: Any) -> str:
        self.posts += 1
        key = f"post/{self.posts:016x}"
        media = [{"blob": blob, "alt": alt, "w": 2000, "h": 1000} for blob in blobs]
        await self.bee.put(key, {"text": "look", "media": media, "createdAt": format_date(now_ms()), **more})
        return key


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[tuple[Aggregator, httpx2.AsyncClient, Author]]:
    async with author() as (peer, bee, address), aggregator(tmp_path) as running, client(running) as web:
        ada = Author(peer, bee, address)
        await ada.introduce()
        await running.database.write(sources.add, bee.core.key, now_ms(), "command", address)
        yield running, web, ada


async def sources_of(web: httpx2.AsyncClient, count: int, path: str = "/") -> list[str]:
    """The addresses of the images on a page, once there are so many."""
    async with asyncio.timeout(60):
        while True:
            found = re.findall(r'<img src="([^"]+)"', (await web.get(path)).text)
            if len(found) >= count:
                return found
            await asyncio.sleep(0.05)


async def test_an_image_is_shown_small_and_large_and_says_nothing_of_its_camera(site: Any) -> None:
    running, web, ada = site
    noise = with_exif() + bytes(3 * BLOCK)  # what stands behind the image is not part of it for any decoder
    await ada.upload(b"x" * BLOCK * 3)
    await ada.post(await ada.upload(noise), alt="A <meadow>")
    [small] = await sources_of(web, 1)
    page = (await web.get("/")).text
    assert 'alt="A &lt;meadow&gt;"' in page
    large = re.search(r'<a href="(/image/[^"]+)"', page)
    assert large is not None
    for url, side in ((small, 640), (large.group(1), 1600)):
        answer = await web.get(url)
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"] == "image/webp"
        assert b"telltale" not in answer.content
        with Image.open(io.BytesIO(answer.content)) as opened:
            assert opened.size == (side // 2, side)
    # Only its own blocks were fetched, and none of them is kept.
    core = running.peer.core(key=ada.media.key)
    assert not any(core.has(index) for index in range(ada.media.length))
    item = (await web.get("/feed.json")).json()["items"][0]
    assert item["image"] == "http://localhost:8080" + large.group(1)
    assert f'<img src="http://localhost:8080{small}"' in item["content_html"]


async def test_a_picture_that_was_made_outlives_its_author_and_a_restart(site: Any, tmp_path: Path) -> None:
    running, web, ada = site
    await ada.post(await ada.upload(with_exif()))
    [small] = await sources_of(web, 1)
    made = (await web.get(small)).content
    await ada.peer.close()
    assert (await web.get(small)).content == made
    again = pictures.Pictures(running.database, running.peer, running.ingest, running.settings)
    running.pictures, before = again, running.pictures
    assert (await web.get(small)).content == made
    await before.close()


async def test_hidden_and_removed_pictures_are_gone(site: Any) -> None:
    running, web, ada = site
    keys = [await ada.post(await ada.upload(with_exif())) for _ in range(2)]
    urls = await sources_of(web, 2)
    for url in urls:
        assert (await web.get(url)).status_code == 200
    await running.database.write(moderation.hide, ada.bee.core.key, keys[0].encode(), "because", now_ms())
    await ada.bee.delete(keys[1])
    async with asyncio.timeout(60):
        while (await web.get(urls[0])).status_code != 404 or (await web.get(urls[1])).status_code != 404:
            await asyncio.sleep(0.05)


async def test_an_image_that_is_none_or_lies_is_refused_with_a_reason(site: Any) -> None:
    _, web, ada = site
    good = await ada.upload(with_exif())
    wrong = [
        (await ada.upload(b"<script>alert(1)</script>"), 415, "no image"),
        (await ada.upload(bomb(90_000)), 415, "pixels"),
        ({**good, "byteLength": good["byteLength"] - 1}, 404, "disagree"),
        ({**good, "byteLength": good["byteLength"] + 1}, 404, "disagree"),
        ({**good, "byteLength": 10**9}, 413, "larger than"),
        ({**good, "byteLength": 0}, 413, "empty"),
        ({**good, "blockLength": 10**7}, 413, "larger than"),
    ]
    for blob, _, _ in reversed(wrong):
        await ada.post(blob)
    for url, (_, status, words) in zip(await sources_of(web, len(wrong)), wrong, strict=True):
        answer = await web.get(url)
        assert (answer.status_code, words in answer.text) == (status, True), answer.text
        assert answer.headers["content-type"].startswith("text/plain")


async def test_an_author_who_is_away_costs_one_try(site: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    running, web, ada = site
    monkeypatch.setattr(pictures, "FETCH_SECONDS", 0.5)
    blob = await ada.upload(with_exif())
    await ada.post({**blob, "blockOffset": blob["blockOffset"] + 10_000})
    [url] = await sources_of(web, 1)
    tries = []
    fetch = running.pictures._fetch

    async def counted(*arguments: Any) -> bytes:
        tries.append(arguments)
        return bytes(await fetch(*arguments))

    monkeypatch.setattr(running.pictures, "_fetch", counted)
    answers = await asyncio.gather(*(web.get(url) for _ in range(5)))
    answers.append(await web.get(url))
    assert {answer.status_code for answer in answers} == {504}
    assert answers[0].headers["retry-after"] == "60"
    assert len(tries) == 1


async def test_no_address_but_that_of_a_record_gives_an_image(site: Any) -> None:
    _, web, ada = site
    key = await ada.post(await ada.upload(with_exif()))
    await sources_of(web, 1)
    bee = ada.bee.core.key.hex()
    for path in (
        f"{bee}/0/641/{key}",
        f"{bee}/1/640/{key}",
        f"{bee}/0/640/post/none",
        f"{'ab' * 32}/0/640/{key}",
        f"{bee}/0/640/meta/self",
    ):
        assert (await web.get(f"/image/{path}")).status_code == 404, path


async def test_an_operator_may_show_no_images(tmp_path: Path) -> None:
    async with (
        author() as (peer, bee, address),
        aggregator(tmp_path, image_cache_mb=0) as running,
        client(running) as web,
    ):
        ada = Author(peer, bee, address)
        await ada.introduce()
        await running.database.write(sources.add, bee.core.key, now_ms(), "command", address)
        await ada.post(await ada.upload(with_exif()))
        [url] = await sources_of(web, 1)
        assert (await web.get(url)).status_code == 404
