"""Requests and records made to hurt: refused in a sentence or shown as harmless text, never a server error."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from core.errors import BadArgument, StorageError
from feedagg import sources
from feedagg.addresses import check_name, normal
from feedagg.aggregator import Aggregator
from feedagg.database import database_url
from feedagg.ingest import now_ms
from feedagg.settings import Settings
from tests.support.feedagg import aggregator, author, client
from tests.support.userpeer import served_app
from tests.support.waiting import eventually
from tests.web.test_feedagg_follow import follow, indexed, post

pytestmark = pytest.mark.anyio

SCRIPT = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>"


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[tuple[Aggregator, httpx2.AsyncClient]]:
    async with aggregator(tmp_path) as running, client(running) as browser:
        yield running, browser


@pytest.mark.parametrize(
    "host",
    [
        "[2002:7f00:1::1]",  # 127.0.0.1 by 6to4
        "[2002:c0a8:101::1]",  # 192.168.1.1 by 6to4
        "[fec0::1]",
        "[fe80::1]",
        "[fd00::1]",
        "[::ffff:10.0.0.1]",
        "[::ffff:7f00:1]",
        "[::7f00:1]",
        "[64:ff9b::7f00:1]",
        "[::]",
        "0.0.0.0",
        "100.64.0.1",
        "169.254.169.254",
        "224.0.0.1",
        "255.255.255.255",
        "2130706433",  # 127.0.0.1 in decimal, hexadecimal, octal and with parts left out
        "0x7f000001",
        "0x7f.0.0.1",
        "0177.0.0.1",
        "017700000001",
        "127.1",
        "0",
        "0xa9fea9fe",  # 169.254.169.254
        "localhost.",
        "db.localhost",
        "[::1%lo]",
        "[64:ff9b:1::a00:1]",
        "[2001:0:7f00:1::]",  # Teredo
    ],
)
def test_no_spelling_of_an_inner_address_is_dialled(host: str, tmp_path: Path) -> None:
    settings = Settings(dir=tmp_path, web="0.0.0.0:8640")
    with pytest.raises(BadArgument, match="not dialled"):
        check_name(normal(f"{host}:49737"), settings)


@pytest.mark.parametrize("spelling", ["2130706433", "0x7f.1", "0177.0.0.1", "127.1", "inside.example"])
@pytest.mark.parametrize("is_allowed", [False, True])
async def test_nothing_inside_is_knocked_at_unless_the_operator_allows_it(
    spelling: str, is_allowed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A listener on this machine counts who knocks: by every spelling, and by a name that resolves to it."""
    knocks = 0

    async def knocked(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal knocks
        knocks += 1
        writer.close()

    loop = asyncio.get_running_loop()
    really = loop.getaddrinfo

    async def names(host: Any, *more: Any, **options: Any) -> Any:
        return await really("127.0.0.1" if host == "inside.example" else host, *more, **options)

    monkeypatch.setattr(loop, "getaddrinfo", names)
    listener = await asyncio.start_server(knocked, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    allowed = "any" if is_allowed else "public"
    async with listener, aggregator(tmp_path, peer_addresses=allowed) as running, client(running) as browser:
        key = bytes([7]) * 32
        sent = {"key": key.hex(), "peer": f"{spelling}:{port}"}
        answer = await browser.post("/submit", json=sent)
        if answer.status_code == 202:
            await eventually(lambda: _was_tried(running, key))
        else:
            assert "is not dialled" in answer.json()["error"]
        assert (knocks > 0) == is_allowed


async def _was_tried(running: Aggregator, key: bytes) -> bool:
    source = await running.database.read(sources.get, key)
    return source is not None and source.error is not None


@pytest.mark.parametrize(
    "peer", ["a\0b:80", "a b:80", "\ud800:80", "<script>:80", "http://a.example:80", "a:" + "9" * 5_000]
)
async def test_a_peer_that_is_no_address_gets_a_sentence_and_spoils_no_bee(
    site: tuple[Aggregator, httpx2.AsyncClient], peer: str
) -> None:
    running, browser = site
    async with author() as (_, bee, address):
        await bee.put("post/0000000000000001", post("found all the same"))
        key = bee.core.key
        body = json.dumps({"key": key.hex(), "peer": peer})
        answer = await browser.post("/submit", content=body, headers={"content-type": "application/json"})
        assert answer.status_code == 400
        assert (answer.json()["field"], "is no address" in answer.json()["error"]) == ("peer", True)
        # One that an older version let in harms its own try alone.
        await running.database.write(sources.add, key, now_ms(), "web", "a\0b:80")
        await follow(running, bee, address)
        await eventually(lambda: indexed(running, bee))


@pytest.mark.parametrize(
    "url", ["nosuch://x:secret@host/db", "nonsense", "", "postgresql://x:secret@host:port/db"]
)
def test_a_url_of_no_database_gets_a_sentence_without_its_password(url: str, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="not the URL of a database") as caught:
        database_url(tmp_path, url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "body", ["[" * 16_000, '{"key":' * 2_000, '{"key":"\\ud800"}', '{"key":1e999}', "\0"]
)
async def test_json_made_to_hurt_gets_a_sentence(
    site: tuple[Aggregator, httpx2.AsyncClient], body: str
) -> None:
    _, browser = site
    answer = await browser.post("/submit", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 400
    assert answer.json()["error"]


@pytest.mark.parametrize("origin", ["http://[", "http://[::1", "null", "http://evil.example", "\xff"])
async def test_an_origin_that_is_none_is_another_site(
    site: tuple[Aggregator, httpx2.AsyncClient], origin: str, tmp_path: Path
) -> None:
    _, browser = site
    headers = [(b"origin", origin.encode("latin-1"))]
    assert (await browser.post("/submit", content=b"", headers=headers)).status_code == 403
    async with served_app(tmp_path / "peer") as (_, _, own):
        assert (await own.post("/posts", content=b"text=x", headers=headers)).status_code == 403


@pytest.mark.parametrize("length", ["9" * 5_000, "\xb2", "1e9", "-1"])
async def test_a_length_that_is_none_is_no_server_error(
    site: tuple[Aggregator, httpx2.AsyncClient], length: str, tmp_path: Path
) -> None:
    _, browser = site
    headers = [(b"content-length", length.encode("latin-1"))]
    assert 400 <= (await browser.post("/submit", content=b"", headers=headers)).status_code < 500
    async with served_app(tmp_path / "peer") as (_, _, own):
        assert (await own.post("/posts", content=b"", headers=headers)).status_code < 500


async def test_a_place_in_the_stream_that_is_none_is_a_gap(
    site: tuple[Aggregator, httpx2.AsyncClient],
) -> None:
    live = site[0].live
    run = live.last_id.partition("-")[0]
    for after in (f"{run}-{'9' * 5_000}", f"{run}-\u0663", "x", "", "-"):
        events = live.events(after)
        assert (await anext(events)).name == "gap"
        await events.aclose()


HOSTILE: dict[str, Any] = {
    "post/0000000000000001": post(SCRIPT),
    "post/0000000000000002": {**post("a link"), "url": "javascript:alert(1)", "tags": [SCRIPT]},
    "post/0000000000000003": post("nul \0 half \ud800 left \u202egnorw\u202c"),
    "post/0000000000000004": {**post("deep"), "more": None},
    "post/../../etc/passwd": post("a path"),
    "post/\0": post("a key with a nul"),
    "movie/" + "x" * 60_000: {"title": SCRIPT, "year": 1979, "poster": "data:text/html,<script>1</script>"},
    "movie/0000000000000005": {"title": SCRIPT, "year": -1, "rating": 1e308, "review": SCRIPT},
    "movie/0000000000000006": {"title": "\ud800", "director": [SCRIPT] * 5_000},
    "profile": {
        "name": SCRIPT,
        "bio": SCRIPT,
        "url": "javascript:alert(1)",
        "avatar": "data:image/svg+xml,<svg/>",
    },
    "": {"title": SCRIPT},
}


async def test_records_made_to_hurt_are_harmless_text_and_stop_nothing(tmp_path: Path) -> None:
    async with author() as (peer, bee, address), aggregator(tmp_path) as running, client(running) as browser:
        for key, value in HOSTILE.items():
            await bee.put(key, value)
        raw = peer.bee(name="main", key_encoding="binary", value_encoding="binary")
        await raw.put(b"post/0000000000000007", b'{"text":' + b"[" * 200_000)
        await raw.put(b"post/\xff\xfe", b"\xff\xfe")
        await raw.put(b"movie/000000000000000a", b'{"title":"long year","year":1' + b"0" * 5_000 + b"}")
        await raw.put(b"movie/0000000000000008", json.dumps({"title": "big", "review": "x" * 2**20}).encode())
        await bee.put("post/0000000000000009", post("and the honest one"))
        length = bee.core.length
        await follow(running, bee, address)
        await eventually(lambda: indexed(running, bee))
        key = bee.core.key.hex()
        seen = []
        for path in ("/", f"/bee/{key}", "/bees", "/feed.json"):
            answer = await browser.get(path)
            assert answer.status_code == 200, path
            seen.append(answer.text)
            if path != "/feed.json":
                assert "<script>alert" not in answer.text
                assert "<img src=x" not in answer.text
                assert 'href="javascript:' not in answer.text
                assert 'src="data:' not in answer.text
                assert "script-src 'self'" in answer.headers["content-security-policy"]
        assert "and the honest one" in seen[0]
        assert bee.core.length == length
