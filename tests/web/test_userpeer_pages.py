"""Every page with JavaScript off: forms answer 303, errors keep what was typed, htmx gets one block."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx2
import pytest

from core.records import Post, Watch
from tests.support.userpeer import served_app
from userpeer.drafts import MovieDraft, PostDraft
from userpeer.service import PeerService

pytestmark = pytest.mark.anyio

PAGES = [
    *(
        "/",
        "/?write=movie",
        "/profile",
        "/key",
        "/network",
        "/aggregators",
        "/bee",
        "/timeline",
        "/following",
    ),
    *(
        "/search",
        "/diary",
        "/diary/undated",
        "/diary/2026",
        "/watchlist",
        "/lists",
        "/drafts",
        "/import",
        "/sharing",
    ),
]
HTMX = {"hx-request": "true"}


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[tuple[PeerService, httpx2.AsyncClient]]:
    async with served_app(tmp_path) as (service, _, client):
        yield service, client


async def newest(service: PeerService) -> Any:
    return (await service.reader.feed()).items[0]


def record_url(name: str, key: str) -> str:
    return f"/{name}?key={quote(key, safe='')}"


@pytest.mark.parametrize("path", PAGES)
async def test_each_page_of_a_new_peer(site: Any, path: str) -> None:
    _, client = site
    answer = await client.get(path)
    assert answer.status_code == 200
    page = answer.text
    assert page.startswith("<!doctype html>")
    assert page.count("<h1") >= (0 if path.startswith("/?") or path == "/" else 1)
    assert not re.search(r"<script(?![^>]* src=)", page)
    assert not re.search(r"<style| style=| on[a-z]+=", page)
    assert "unsafe" not in answer.headers["content-security-policy"]


async def test_the_first_page_tells_a_newcomer_the_next_steps(site: Any) -> None:
    _, client = site
    page = (await client.get("/")).text
    for words in ("Write something above", "Say who you are", "Give your key to an aggregator"):
        assert words in page


async def test_a_post_is_published_and_shown(site: Any) -> None:
    service, client = site
    answer = await client.post(
        "/posts", data={"text": "Hello <b>meadow</b>\r\nhttps://a.example", "tags": "x"}
    )
    assert (answer.status_code, answer.headers["location"]) == (303, "/?did=posted")
    item = await newest(service)
    assert isinstance(item.record, Post)
    assert item.record.text == "Hello <b>meadow</b>\nhttps://a.example"
    page = (await client.get("/?did=posted")).text
    assert "Posted. It is signed" in page
    assert "Hello &lt;b&gt;meadow&lt;/b&gt;" in page
    assert '<a href="https://a.example" rel="nofollow' in page
    assert (await service.bee.get("meta/self")).value["schema"] == "meadow"


async def test_a_film_is_published_and_shown(site: Any) -> None:
    service, client = site
    form = {"title": "Dune", "year": "2021", "rating": "9", "review": "Sand.", "spoiler": "1", "liked": "1"}
    answer = await client.post("/movies", data=form)
    assert answer.headers["location"] == "/?did=published&write=movie"
    record = (await newest(service)).record
    assert isinstance(record, Watch)
    assert (record.film.title, record.rating, record.liked, record.rewatch) == ("Dune", 9, True, False)
    page = (await client.get("/")).text
    assert "Dune" in page
    assert "4.5 of 5 stars" in page
    assert "Contains spoilers" in page


@pytest.mark.parametrize(
    ("path", "form", "sentence", "kept"),
    [
        ("/posts", {"text": "", "tags": "my tags"}, "The text is empty", "my tags"),
        ("/posts", {"text": "é" * 1501}, "3,002 bytes; the limit is 3,000", "é" * 1501),
        ("/movies", {"title": "", "review": "Kept & safe"}, "The title is empty", "Kept &amp; safe"),
        ("/movies", {"title": "Dune", "year": "soon"}, "The year must be a whole number", "soon"),
        ("/profile", {"name": "", "bio": "I keep bees"}, "The name is empty", "I keep bees"),
        ("/profile", {"name": "Ada", "website": "a.example"}, "The website must be an address", "a.example"),
        ("/aggregators", {"url": "not a url at all"}, "not the address of an aggregator", "not a url at all"),
        ("/aggregators", {"url": "http://127.0.0.1:1"}, "could not be reached", "http://127.0.0.1:1"),
    ],
)
async def test_what_cannot_be_taken_gets_a_sentence_and_is_kept(
    site: Any, path: str, form: dict[str, str], sentence: str, kept: str
) -> None:
    service, client = site
    for headers in ({}, HTMX):
        answer = await client.post(path, data=form, headers=headers)
        assert answer.status_code in (422, 502)
        assert sentence in answer.text
        assert kept in answer.text
        assert 'aria-invalid="true"' in answer.text
        assert answer.text.startswith("<!doctype") is (headers == {})
    assert service.bee.core.length == 0


async def test_htmx_gets_one_block_of_the_same_template(site: Any) -> None:
    _, client = site
    answer = await client.post("/posts", data={"text": "live"}, headers=HTMX)
    assert answer.status_code == 200
    assert "<html" not in answer.text
    assert answer.text.lstrip().startswith('<div id="home"')
    assert "Posted. It is signed" in answer.text
    assert answer.headers["vary"] == "HX-Request"
    whole = (await client.get("/")).text
    block = (await client.get("/", headers=HTMX)).text
    assert block.strip() in whole


async def test_an_edit_keeps_what_was_there_before(site: Any) -> None:
    service, client = site
    written = await service.publisher.post(PostDraft(text="frist"))
    form = await client.get(record_url("edit", written.key))
    assert "frist" in form.text
    assert f'name="seen" value="{written.seq}"' in form.text
    answer = await client.post("/edit", data={"key": written.key, "seen": str(written.seq), "text": "first"})
    assert answer.status_code == 303
    page = (await client.get(answer.headers["location"])).text
    assert "Saved." in page
    assert "first" in page
    assert "frist" in page
    assert "Edited" in page
    entry = await service.bee.get(written.key)
    assert entry.value["createdAt"] == written.value["createdAt"]
    assert entry.value["updatedAt"] >= written.value["createdAt"]


async def test_an_unticked_box_takes_the_mark_away(site: Any) -> None:
    service, client = site
    written = await service.publisher.movie(MovieDraft(title="Dune", liked=True, review="x", spoiler=True))
    form = {"key": written.key, "seen": str(written.seq), "title": "Dune", "review": "x"}
    assert (await client.post("/edit", data=form)).status_code == 303
    value = (await service.bee.get(written.key)).value
    assert "liked" not in value
    assert value["review"] == {"text": "x"}


async def test_two_edits_of_one_version_do_not_overwrite_each_other(site: Any) -> None:
    service, client = site
    written = await service.publisher.post(PostDraft(text="one"))
    await service.publisher.edit(written.key, PostDraft(text="two"))
    form = {"key": written.key, "seen": str(written.seq), "text": "three"}
    answer = await client.post("/edit", data=form)
    assert answer.status_code == 409
    assert "changed elsewhere" in answer.text
    assert "three" in answer.text
    assert (await service.bee.get(written.key)).value["text"] == "two"
    seen = re.search(r'name="seen" value="(\d+)"', answer.text)
    assert seen is not None
    assert (await client.post("/edit", data={**form, "seen": seen[1]})).status_code == 303
    assert (await service.bee.get(written.key)).value["text"] == "three"


async def test_a_delete_says_what_it_can_and_can_be_undone(site: Any) -> None:
    service, client = site
    written = await service.publisher.post(PostDraft(text="oops"))
    asked = (await client.get(record_url("delete", written.key))).text
    assert "can still prove that the record existed" in asked
    assert (await service.bee.get(written.key)) is not None
    answer = await client.post("/delete", data={"key": written.key})
    assert answer.headers["location"] == f"/?did=deleted&undo={written.seq}"
    assert (await service.bee.get(written.key)) is None
    page = (await client.get(answer.headers["location"])).text
    assert "Put it back" in page
    gone = (await client.get(record_url("record", written.key))).text
    assert "This record was deleted" in gone
    assert "oops" in gone
    back = await client.post("/restore", data={"seq": str(written.seq)})
    assert back.status_code == 303
    assert (await service.bee.get(written.key)).value == written.value
    history = (await client.get(record_url("record", written.key))).text
    assert history.count("Deleted") == 1
    assert "First version" in history


@pytest.mark.parametrize(
    ("method", "path", "data", "status"),
    [
        ("GET", "/nowhere", None, 404),
        ("GET", "/record?key=post/none", None, 404),
        ("GET", "/edit?key=none", None, 404),
        ("GET", "/delete", None, 404),
        ("POST", "/delete", {"key": "none"}, 404),
        ("POST", "/restore", {"seq": "999"}, 404),
        ("POST", "/restore", {"seq": "-1"}, 404),
        ("POST", "/restore", {}, 404),
        ("GET", "/posts", None, 405),
        ("GET", "/edit?key=meta%2Fself", None, 422),
    ],
)
async def test_what_is_not_there_gets_a_page_that_says_so(
    site: Any, method: str, path: str, data: Any, status: int
) -> None:
    service, client = site
    await service.publisher.post(PostDraft(text="something"))
    answer = await client.request(method, path, data=data)
    assert answer.status_code == status
    assert answer.text.startswith("<!doctype html>")
    assert 'href="/"' in answer.text


async def test_pages_are_keysets_that_stay_put(site: Any) -> None:
    service, client = site
    for number in range(65):
        draft = PostDraft(text=f"post number {number:03d}.")
        await (service.publisher.post(draft) if number % 3 else service.publisher.movie(
            MovieDraft(title=f"film number {number:03d}.")
        ))  # fmt: skip
    seen: list[str] = []
    path = "/"
    while path:
        page = (await client.get(path)).text
        seen += re.findall(r"number (\d{3})\.", page)
        await service.publisher.post(PostDraft(text="written meanwhile"))
        older = re.search(r'rel="next" href="([^"]+)"', page)
        path = older[1].replace("&amp;", "&") if older else ""
    assert [int(number) for number in seen] == list(range(64, -1, -1))
    films = (await client.get("/?kind=movie")).text
    assert len(re.findall(r"film number \d{3}", films)) == 22
    assert "post number" not in films


async def test_the_profile(site: Any) -> None:
    service, client = site
    form = {"name": "Ada & Co", "bio": "Engines.", "website": "https://example.org"}
    assert (await client.post("/profile", data=form)).headers["location"] == "/profile?did=saved"
    page = (await client.get("/profile?did=saved")).text
    assert 'value="Ada &amp; Co"' in page
    assert "Saved." in page
    await client.post("/profile", data={**form, "bio": ""})
    value = (await service.bee.get("profile/self")).value
    assert "bio" not in value
    assert value["updatedAt"] >= value["createdAt"]


async def test_the_key_page_shows_the_public_half_only(site: Any) -> None:
    service, client = site
    await service.publisher.post(PostDraft(text="x"))
    secrets = [service.peer.store.primary_key.hex(), service.bee.core.key_pair.secret_key.hex()]
    for path in [*PAGES, "/health"]:
        page = (await client.get(path)).text
        assert service.key in page or service.key[:8] in page
        for secret in secrets:
            assert secret not in page
            assert secret[:64] not in page
    page = (await client.get("/key")).text
    assert service.id in page
    assert "<svg" in page


async def test_the_bee_page_says_how_feeds_read_each_entry(site: Any) -> None:
    service, client = site
    await service.publisher.put("a", {"title": "By hand"})
    await service.publisher.put("b", {"nothing": "known"})
    await service.publisher.put("c\x00d", [1])
    page = (await client.get("/bee")).text
    assert "By hand" in page
    assert "neither a title nor a text" in page
    assert "a record is a JSON object" in page
    for key in ("a", "b", "c\x00d"):
        assert (await client.get(record_url("record", key))).status_code == 200


async def test_health(site: Any) -> None:
    service, client = site
    answer = (await client.get("/health")).json()
    assert answer == {"status": "ok", "key": service.key, "length": 0, "listen": None, "connections": 0}


async def test_a_form_of_another_site_changes_nothing(site: Any) -> None:
    service, client = site
    answer = await client.post("/posts", data={"text": "x"}, headers={"origin": "https://evil.example"})
    assert answer.status_code == 403
    assert service.bee.core.length == 0


async def test_a_body_without_a_length_is_bounded_too(site: Any) -> None:
    _, client = site

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b"text=" + b"x" * 65_536

    answer = await client.post(
        "/posts", content=endless(), headers={"content-type": "application/x-www-form-urlencoded"}
    )
    assert answer.status_code == 413


async def test_static_files_may_be_kept(site: Any) -> None:
    _, client = site
    page = (await client.get("/")).text
    for address in re.findall(r'(?:href|src)="(/static/[^"]+)"', page):
        answer = await client.get(address)
        assert answer.status_code == 200
