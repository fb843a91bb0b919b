"""Long posts, images, drafts that outlive a crash, and changes that can be undone before they are signed."""

from __future__ import annotations

import asyncio
import io
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from PIL import Image

from core.peer import Peer
from core.records import Post
from tests.support.userpeer import served_app
from tests.support.waiting import eventually
from userpeer.drafts import PostDraft
from userpeer.imaging import prepare

pytestmark = pytest.mark.anyio


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Any]:
    async with served_app(tmp_path) as (service, _, client):
        yield service, client


@pytest.fixture
async def patient(tmp_path: Path) -> AsyncIterator[Any]:
    """A page on which changes wait until somebody says otherwise."""
    async with served_app(tmp_path, undo_seconds=500) as (service, _, client):
        yield service, client


def photo(width: int = 3000, height: int = 1500, *, place: str = "N 52.5, E 13.4") -> bytes:
    """A JPEG as a phone makes it: with a place in its EXIF, lying on its side."""
    out = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6  # turn it by 90 degrees to see it upright
    exif[0x010E] = place
    Image.effect_noise((width, height), 80).convert("RGB").save(out, "JPEG", exif=exif)
    return out.getvalue()


async def test_an_image_is_made_fit_to_publish_and_served_by_range(site: Any) -> None:
    service, client = site
    files = {"image1": ("p.jpg", photo(), "image/jpeg")}
    answer = await client.post("/posts", data={"text": "look", "alt1": "grey noise"}, files=files)
    assert answer.status_code == 303
    (item,) = (await service.reader.feed()).items
    (image,) = item.record.media
    assert image.alt == "grey noise"
    assert (image.width, image.height) == (1024, 2048)
    meta = await service.bee.get("meta/self")
    assert bytes.fromhex(meta.value["blobs"]) == service.peer.core(name="media").key
    page = (await client.get("/")).text
    (address,) = re.findall(r'<img class="image" src="([^"]+)" alt="grey noise"', page)
    whole = await client.get(address)
    assert whole.headers["content-type"] == "image/jpeg"
    assert b"E 13.4" not in whole.content
    with Image.open(io.BytesIO(whole.content)) as opened:
        assert opened.size == (1024, 2048)
        assert len(opened.getexif()) == 0
    part = await client.get(address, headers={"range": "bytes=100-199"})
    assert (part.status_code, part.content) == (206, whole.content[100:200])
    assert part.headers["content-range"] == f"bytes 100-199/{len(whole.content)}"
    tail = await client.get(address, headers={"range": "bytes=-10"})
    assert tail.content == whole.content[-10:]
    assert (await client.get(address, headers={"range": "bytes=999999999-"})).status_code == 416


async def test_an_image_of_somebody_else_comes_from_their_media_core(tmp_path: Path) -> None:
    async with (
        served_app(tmp_path / "a") as (author, _, writing),
        served_app(tmp_path / "b") as (reader, _, reading),
    ):
        files = {"image1": ("p.png", photo(), "image/jpeg")}
        await writing.post("/posts", data={"text": "shared", "alt1": "noise"}, files=files)
        await reader.peer.connect(*await author.peer.listen())
        await reading.post("/follow", data={"key": author.key})
        await eventually(lambda: reader.library.of_bee(author.key).items)
        page = (await reading.get("/timeline")).text
        (address,) = re.findall(r'<img class="image" src="([^"]+)"', page)
        answer = await reading.get(address)
        assert answer.status_code == 200
        assert answer.content == (await writing.get(address)).content
        wrong = address.rpartition("/")[0] + "/77"
        assert (await reading.get(wrong)).status_code == 404
        # The network pages call each log by what it is.
        assert "Your images" in (await writing.get("/network")).text
        held = await reader.bees.create("films")
        page = (await reading.get("/network")).text
        for words in ("Your bee<", "Your bee “films”", f'href="/b/{author.key}"', "Somebody’s images"):
            assert words in page
        assert "Your images" not in page
        assert held.key.hex()[:8] in page


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"not an image", "This file is not an image"),
        (b"GIF89a" + b"\x00" * 20, "image"),
        (photo()[:2000], "cannot be read"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "This file is not an image"),
    ],
)
async def test_what_is_no_image_is_refused_and_the_words_are_kept(
    site: Any, data: bytes, sentence: str
) -> None:
    service, client = site
    files = {"image1": ("x", data, "image/jpeg")}
    answer = await client.post("/posts", data={"text": "my words"}, files=files)
    assert answer.status_code == 422
    assert sentence in answer.text
    assert "my words</textarea>" in answer.text
    assert (await service.reader.feed()).items == ()


def test_a_bomb_is_refused_before_it_is_decoded() -> None:
    out = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(out, "PNG")
    assert len(out.getvalue()) < 200_000
    with pytest.raises(ValueError, match="the limit is 60 million"):
        prepare(out.getvalue())


def test_a_clear_image_stays_clear() -> None:
    out = io.BytesIO()
    Image.new("RGBA", (64, 32), (255, 0, 0, 10)).save(out, "PNG")
    data, facts = prepare(out.getvalue())
    assert facts == {"w": 64, "h": 32, "mime": "image/webp"}
    with Image.open(io.BytesIO(data)) as opened:
        assert opened.mode == "RGBA"


async def test_a_long_post_is_markdown_that_can_run_nothing(site: Any) -> None:
    service, client = site
    more = "# Title\n\n*words* <script>alert(1)</script> [x](javascript:alert(1))\n\n![i](https://a.example/i.png)"
    await client.post("/posts", data={"text": "short", "more": more, "lang": "en"})
    (item,) = (await service.reader.feed()).items
    assert isinstance(item.record, Post)
    assert item.record.more.text == more
    page = (await client.get("/")).text
    assert "<em>words</em>" in page
    assert "<h2>Title</h2>" in page
    assert "<script>alert" not in page
    assert 'href="javascript:' not in page
    assert "a.example/i.png" not in re.findall(r"<img[^>]*>", page)
    edit = await client.get(f"/edit?key={quote(item.key, safe='')}")
    assert "# Title" in edit.text
    await client.post("/edit", data={"key": item.key, "seen": str(item.seq), "text": "short", "more": ""})
    assert (await service.reader.feed()).items[0].record.more is None
    wrong = await client.post("/posts", data={"text": "x", "more": "y" * 60_001})
    assert "The long text is 60,001 bytes" in wrong.text


async def test_what_is_typed_outlives_a_crash(tmp_path: Path) -> None:
    async with served_app(tmp_path) as (_, _, client):
        kept = await client.post("/draft", data={"slot": "post", "text": "half a thou", "tags": "x"})
        assert kept.status_code == 204
        await client.post("/draft", data={"slot": "nonsense", "text": "not kept"})
        # No orderly end: the file is there already.
        assert json.loads((tmp_path / "drafts.json").read_text())[0]["values"]["text"] == "half a thou"
    async with served_app(tmp_path) as (service, _, client):
        page = (await client.get("/")).text
        assert "half a thou</textarea>" in page
        assert "you had not published this" in page
        assert "half a thou" in (await client.get("/drafts")).text
        await client.post("/posts", data={"text": "half a thought no more"})
        assert "half a thou</textarea>" not in (await client.get("/")).text
        assert service.drafts.all() == []
        await client.post("/draft", data={"slot": "movie", "title": "Du"})
        assert 'value="Du"' in (await client.get("/?write=movie")).text
        await client.post("/drafts/discard", data={"slot": "movie"})
        assert 'value="Du"' not in (await client.get("/?write=movie")).text
        assert "No drafts" in (await client.get("/drafts")).text


async def test_a_delete_waits_and_can_be_undone(patient: Any) -> None:
    service, client = patient
    written = await service.publisher.post(PostDraft(text="keep me?"))
    answer = await client.post("/delete", data={"key": written.key})
    assert answer.headers["location"] == "/?did=waiting"
    length = service.bee.core.length
    page = (await client.get("/?did=waiting")).text
    assert "you can still undo it" in page
    assert "“keep me?”" in page
    (pending,) = service.waiting.all()
    again = await client.post("/waiting/undo", data={"id": str(pending.id)})
    assert again.headers["location"] == "/?did=undone"
    assert service.bee.core.length == length
    assert (await service.bee.get(written.key)) is not None
    assert (await client.post("/waiting/undo", data={"id": str(pending.id)})).headers["location"] == "/"
    await client.post("/delete", data={"key": written.key})
    (pending,) = service.waiting.all()
    await client.post("/waiting/sign", data={"id": str(pending.id)})
    assert (await service.bee.get(written.key)) is None


async def test_an_undone_edit_becomes_a_draft_again(patient: Any) -> None:
    service, client = patient
    written = await service.publisher.post(PostDraft(text="before"))
    fields = {"key": written.key, "seen": str(written.seq), "text": "after"}
    wrong = await client.post("/edit", data={**fields, "text": ""})
    assert wrong.status_code == 422  # what is wrong is said at once
    await client.post("/edit", data=fields)
    assert (await service.bee.get(written.key)).value["text"] == "before"
    (pending,) = service.waiting.all()
    await client.post("/waiting/undo", data={"id": str(pending.id)})
    page = (await client.get(f"/edit?key={quote(written.key, safe='')}")).text
    assert "after</textarea>" in page


async def test_what_waits_is_signed_when_its_time_comes(tmp_path: Path) -> None:
    async with served_app(tmp_path, undo_seconds=0.2) as (service, _, client):
        written = await service.publisher.post(PostDraft(text="before"))
        await client.post("/edit", data={"key": written.key, "seen": str(written.seq), "text": "after"})

        async def signed() -> bool:
            return (await service.bee.get(written.key)).value["text"] == "after"

        await eventually(signed)
        await eventually(lambda: service.waiting.all() == [])


async def test_what_waits_is_signed_after_a_crash_and_once(tmp_path: Path) -> None:
    async with served_app(tmp_path, undo_seconds=500) as (service, _, client):
        written = await service.publisher.post(PostDraft(text="before"))
        await client.post("/edit", data={"key": written.key, "seen": str(written.seq), "text": "after"})
        left_behind = (tmp_path / "pending.json").read_bytes()
        (pending,) = service.waiting.all()
        service.waiting.undo(pending.id)
    (tmp_path / "pending.json").write_bytes(left_behind)  # as a killed process leaves it
    async with served_app(tmp_path, undo_seconds=500) as (service, _, client):
        assert (await service.bee.get(written.key)).value["text"] == "after"
        assert json.loads((tmp_path / "pending.json").read_text()) == []
        length = service.bee.core.length
    async with served_app(tmp_path, undo_seconds=500) as (service, _, client):
        assert service.bee.core.length == length


async def test_stopping_signs_what_waits(tmp_path: Path) -> None:
    async with served_app(tmp_path, undo_seconds=500) as (service, _, client):
        written = await service.publisher.post(PostDraft(text="bye"))
        await client.post("/delete", data={"key": written.key})
    async with served_app(tmp_path) as (service, _, client):
        assert await service.bee.get(written.key) is None


async def test_a_change_made_elsewhere_meanwhile_wins_and_nothing_is_lost(patient: Any) -> None:
    service, client = patient
    written = await service.publisher.post(PostDraft(text="before"))
    await client.post("/edit", data={"key": written.key, "seen": str(written.seq), "text": "mine"})
    await service.publisher.edit(written.key, PostDraft(text="from the command line"))
    (pending,) = service.waiting.all()
    await client.post("/waiting/sign", data={"id": str(pending.id)})
    page = (await client.get("/")).text
    assert "was not made" in page
    assert service.drafts.get(f"edit:{written.key}").values["text"] == "mine"
    assert (await service.bee.get(written.key)).value["text"] == "from the command line"
    await client.post("/waiting/dismiss")
    assert "was not made" not in (await client.get("/")).text


async def test_only_forms_with_files_may_be_large(site: Any) -> None:
    _, client = site
    headers = {"content-length": str(3_000_000), "content-type": "application/x-www-form-urlencoded"}
    assert (await client.post("/posts", content=b"x" * 3_000_000, headers=headers)).status_code == 413
    files = {"image1": ("x", b"\x00" * 3_000_000, "image/jpeg")}
    assert (await client.post("/posts", data={"text": "x"}, files=files)).status_code == 422
    assert (await client.post("/profile", data={"name": "x"}, files=files)).status_code == 422
    assert (await client.post("/follow", data={"key": "x"}, files=files)).status_code == 413


async def test_a_media_core_is_read_sparsely(tmp_path: Path) -> None:
    async with served_app(tmp_path) as (service, _, client):
        for number in range(3):
            files = {"image1": ("p.jpg", photo(2400 + number), "image/jpeg")}
            await client.post("/posts", data={"text": f"image {number}"}, files=files)
        newest = (await service.reader.feed()).items[0].record.media[0]
        reader = await Peer.open(None)
        try:
            await reader.connect(*await service.peer.listen())
            core = reader.core(key=service.peer.core(name="media").key)
            blob = newest.blob
            blocks = [
                await asyncio.wait_for(core.get(blob.block_offset + index), 60)
                for index in range(blob.block_length)
            ]
            assert len(b"".join(blocks)) == blob.byte_length
            assert not core.has(0)
        finally:
            await reader.close()


async def test_a_picture_in_the_profile(site: Any) -> None:
    service, client = site
    files = {"image1": ("me.jpg", photo(), "image/jpeg")}
    wrong = await client.post("/profile", data={"name": ""}, files=files)
    assert wrong.status_code == 422
    assert service.media.length == 0
    broken = await client.post(
        "/profile", data={"name": "Ada"}, files={"image1": ("me.jpg", b"no image", "image/jpeg")}
    )
    assert broken.status_code == 422
    assert "This file is not an image" in broken.text
    assert 'value="Ada"' in broken.text
    assert (await client.post("/profile", data={"name": "Ada"}, files=files)).status_code == 303
    await service.follows.follow(service.key).settled()
    for path, alt in (("/profile", "Your picture"), (f"/b/{service.key}", "Picture of Ada")):
        page = (await client.get(path)).text
        (address,) = re.findall(rf'<img class="avatar" src="([^"]+)" alt="{alt}"', page)
        shown = await client.get(address)
        with Image.open(io.BytesIO(shown.content)) as opened:
            assert opened.size == (256, 512)
            assert len(opened.getexif()) == 0
    # Saving the words leaves the picture; only asking for it takes it out.
    await client.post("/profile", data={"name": "Ada L."})
    assert (await service.reader.profile()).avatar is not None
    await client.post("/profile", data={"name": "Ada L.", "no_avatar": "1"})
    assert (await service.reader.profile()).avatar is None
    assert 'class="avatar"' not in (await client.get("/profile")).text
