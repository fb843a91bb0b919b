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

from core.records import Blob, format_date
from feedagg import imaging, media_cores, moderation, pictures, purging, sources
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


@pytest.mark.parametrize("what", ["record", "bee"])
async def test_a_purge_leaves_no_picture_on_the_disk(site: Any, tmp_path: Path, what: str) -> None:
    running, web, ada = site
    bee, other = ada.bee.core.key, "f" * 24 + "-of-another-bee.webp"
    key = await ada.post(await ada.upload(with_exif()))
    await introduce_with_picture(ada, await ada.upload(with_exif()))
    [small] = await sources_of(web, 1)
    for url in (small, await portrait_of(web, ada)):
        assert (await got(web, url)).status_code == 200
    folder = tmp_path / pictures.DIRECTORY
    (folder / other).write_bytes(b"stays")
    assert len(list(folder.iterdir())) == 4
    if what == "record":
        await running.database.write(purging.purge_record, bee, key.encode(), "because", now_ms())
    else:
        await running.database.write(purging.purge_bee, bee, "because", now_ms())
    await running.standing.tick()
    async with asyncio.timeout(60):
        while [path.name for path in folder.iterdir()] != [other]:
            await asyncio.sleep(0.05)
            await running.standing.tick()
    assert (await web.get(small)).status_code == 404
    if what == "record":  # the profile is still there, so its picture is fetched again
        assert (await got(web, await portrait_of(web, ada, "/bees"))).status_code == 200


async def test_who_waits_for_a_picture_that_is_purged_is_told(
    site: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    running, web, ada = site
    begun = asyncio.Event()

    async def endless(*arguments: Any) -> bytes:
        begun.set()
        await asyncio.Event().wait()
        return b""

    monkeypatch.setattr(running.pictures.media, "fetch", endless)
    await ada.post(await ada.upload(with_exif()))
    [small] = await sources_of(web, 1)
    asking = asyncio.create_task(web.get(small))
    await begun.wait()
    assert await running.pictures.drop(ada.bee.core.key) == 0
    answer = await asking
    assert (answer.status_code, "purged" in answer.text) == (404, True)


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
    monkeypatch.setattr(media_cores, "FETCH_SECONDS", 0.5)
    blob = await ada.upload(with_exif())
    await ada.post({**blob, "blockOffset": blob["blockOffset"] + 10_000})
    [url] = await sources_of(web, 1)
    tries = []
    fetch = running.pictures.media.fetch

    async def counted(*arguments: Any) -> bytes:
        tries.append(arguments)
        return bytes(await fetch(*arguments))

    monkeypatch.setattr(running.pictures.media, "fetch", counted)
    answers = await asyncio.gather(*(web.get(url) for _ in range(5)))
    answers.append(await web.get(url))
    assert {answer.status_code for answer in answers} == {504}
    assert answers[0].headers["retry-after"] == "60"
    assert len(tries) == 1


async def called_media_core(site: Any, core: Any) -> None:
    """A second bee calls `core` its media core, and its one image is all of it; somebody looks at that image."""
    running, web, _ = site
    async with author() as (peer, bee, address):
        mallory = Author(peer, bee, address)
        mallory.media = core
        await mallory.introduce()
        await mallory.post(
            {"blockOffset": 0, "blockLength": core.length, "byteOffset": 0, "byteLength": core.byte_length}
        )
        await running.database.write(sources.add, bee.core.key, now_ms(), "command", address)
        [url] = await sources_of(web, 1)
        answer = await web.get(url)
        assert (answer.status_code, "no image" in answer.text) == (415, True), answer.text
        await running.pictures.media.settle()


async def test_a_bee_that_is_called_a_media_core_keeps_its_blocks(site: Any) -> None:
    running, web, ada = site
    await ada.post()
    async with asyncio.timeout(60):
        while "look" not in (await web.get("/")).text:
            await asyncio.sleep(0.05)
    core = running.peer.core(key=ada.bee.core.key)
    assert core.has(1, core.length)
    await called_media_core(site, core)
    assert core.has(1, core.length)


async def test_what_the_aggregator_itself_writes_keeps_its_blocks(site: Any) -> None:
    running, _, _ = site
    core = running.publisher.log.core
    assert core.length
    length = core.length
    await called_media_core(site, core)
    assert core.has(0, length)


async def portrait_of(web: httpx2.AsyncClient, ada: Author, path: str = "/") -> str:
    """The address of the picture beside an author's name, once it is there."""
    async with asyncio.timeout(60):
        while True:
            found = re.search(r'<img class="avatar" src="([^"]+)" alt=""', (await web.get(path)).text)
            if found is not None:
                return found[1]
            await asyncio.sleep(0.05)


async def got(web: httpx2.AsyncClient, url: str) -> httpx2.Response:
    """The answer, once the picture is not being fetched any more."""
    async with asyncio.timeout(60):
        while (answer := await web.get(url)).status_code == 503:
            await asyncio.sleep(0.05)
    return answer


async def introduce_with_picture(ada: Author, avatar: Any) -> None:
    await ada.bee.put("profile/self", {"name": "Ada", "avatar": avatar, "createdAt": format_date(now_ms())})


async def test_the_picture_of_an_author_stands_beside_their_name(site: Any) -> None:
    running, web, ada = site
    bee = ada.bee.core.key
    await ada.post()
    await introduce_with_picture(ada, await ada.upload(with_exif()))
    url = await portrait_of(web, ada)
    assert url.startswith(f"/portrait/{bee.hex()}?v=")
    for path in (f"/bee/{bee.hex()}", "/bees", f"/bee/{bee.hex()}/post/{1:016x}"):
        assert await portrait_of(web, ada, path) == url
    answer = await got(web, url)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "image/webp"
    assert b"telltale" not in answer.content
    with Image.open(io.BytesIO(answer.content)) as opened:
        assert opened.size == (imaging.MARK, imaging.MARK)
    core = running.peer.core(key=ada.media.key)
    await running.pictures.media.settle()
    assert not any(core.has(index) for index in range(ada.media.length))
    [item] = (await web.get("/feed.json")).json()["items"]
    assert item["authors"][0]["avatar"] == "http://localhost:8080" + url
    # Another picture has another address; the profile hidden or the bee refused, there is none.
    await introduce_with_picture(ada, await ada.upload(with_exif() + b" "))
    async with asyncio.timeout(60):
        while await portrait_of(web, ada) == url:
            await asyncio.sleep(0.05)
    await running.database.write(moderation.hide, bee, b"profile/self", "because", now_ms())
    assert 'class="avatar"' not in (await web.get("/")).text
    assert (await web.get(url)).status_code == 404
    await running.database.write(moderation.unhide, bee, b"profile/self", now_ms(), "again")
    assert (await got(web, url)).status_code == 200
    await running.database.write(sources.stand, bee, now_ms(), sources.REFUSED, "because")
    assert (await web.get(url)).status_code == 404


@pytest.mark.parametrize("avatar", ["javascript:alert(1)", {"url": "https://e.example/a.png"}])
async def test_a_picture_of_an_author_is_a_blob_and_nothing_else(site: Any, avatar: Any) -> None:
    _, web, ada = site
    await introduce_with_picture(ada, avatar)
    await ada.post()
    bee = ada.bee.core.key.hex()
    async with asyncio.timeout(60):
        while "look" not in (page := (await web.get("/")).text):
            await asyncio.sleep(0.05)
    assert 'class="avatar"' not in page
    assert "alert(1)" not in page
    assert "e.example" not in page
    assert re.search(rf'<a class="card-mark" href="/bee/{bee}"[^>]*>\s*<svg class="hexmark"', page)
    assert (await web.get(f"/portrait/{bee}")).status_code == 404


async def test_the_picture_of_an_author_is_held_to_the_limits_of_images(site: Any) -> None:
    _, web, ada = site
    await ada.post()
    good = await ada.upload(with_exif())
    for avatar, status, words in (
        ({**good, "byteLength": 10**9}, 413, "larger than"),
        ({**good, "blockLength": 10**7}, 413, "larger than"),
        ({**good, "byteLength": good["byteLength"] - 1}, 404, "disagree"),
        (await ada.upload(bomb(90_000)), 415, "pixels"),
        (await ada.upload(b"<svg onload=alert(1)>"), 415, "no image"),
    ):
        await introduce_with_picture(ada, avatar)
        version = pictures.version(Blob(*avatar.values()))
        async with asyncio.timeout(60):
            while version not in (url := await portrait_of(web, ada)):
                await asyncio.sleep(0.05)
        answer = await got(web, url)
        assert (answer.status_code, words in answer.text) == (status, True), answer.text


async def test_nobody_waits_long_for_the_picture_of_an_author_who_is_away(
    site: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    running, web, ada = site
    monkeypatch.setattr(pictures, "PATIENCE_SECONDS", 0.05)
    go_on = asyncio.Event()
    fetch = running.pictures.media.fetch

    async def slow(*arguments: Any) -> bytes:
        await go_on.wait()
        return bytes(await fetch(*arguments))

    monkeypatch.setattr(running.pictures.media, "fetch", slow)
    await ada.post()
    await introduce_with_picture(ada, await ada.upload(with_exif()))
    url = await portrait_of(web, ada)
    answer = await web.get(url)
    assert (answer.status_code, answer.headers["cache-control"]) == (503, "no-store")
    go_on.set()
    assert (await got(web, url)).status_code == 200


async def test_pictures_of_authors_who_are_away_hold_up_no_image(
    site: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    running, web, ada = site
    monkeypatch.setattr(pictures, "PATIENCE_SECONDS", 0.0)
    fetch = running.pictures.media.fetch

    async def slow(bee: bytes, blob: Blob) -> bytes:
        if blob.byte_length < 1000:
            await asyncio.Event().wait()
        return bytes(await fetch(bee, blob))

    monkeypatch.setattr(running.pictures.media, "fetch", slow)
    for n in range(pictures.AT_ONCE + pictures.WAITING + 5):
        with pytest.raises(media_cores.NoPicture) as refused:
            await running.pictures.get_soon(bytes(32), Blob(0, 1, 0, n + 1), imaging.MARK)
        assert refused.value.status == 503
        await asyncio.sleep(0)
    await ada.post(await ada.upload(with_exif()))
    [small] = await sources_of(web, 1)
    assert (await web.get(small)).status_code == 200


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
