"""Submitting a key: by form, as JSON and on the command line; what is refused says so and how to mend it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from click.testing import CliRunner

from core.errors import BadArgument, PeerUnreachable
from core.peer import key_to_id
from feedagg import sources
from feedagg.addresses import check_name, normal, resolve
from feedagg.aggregator import Aggregator
from feedagg.cli import main
from feedagg.settings import Settings
from feedagg.web import RateLimit
from tests.support.feedagg import aggregator, author, client
from tests.support.repository import ROOT

pytestmark = pytest.mark.anyio
BEE = bytes(range(32))
CLOSED = "127.0.0.1:1"


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Aggregator]:
    async with aggregator(tmp_path, submit_burst=20, submit_per_hour=1) as opened:
        yield opened


@pytest.fixture
async def web(running: Aggregator) -> AsyncIterator[httpx2.AsyncClient]:
    async with client(running) as opened:
        yield opened


JSON = {"accept": "application/json"}


@pytest.mark.parametrize("spell", [bytes.hex, key_to_id, lambda key: f"  pear://{key_to_id(key)}/x "])
async def test_a_form_leads_to_the_page_of_the_bee(
    web: httpx2.AsyncClient, running: Aggregator, spell: Any
) -> None:
    answer = await web.post("/submit", data={"key": spell(BEE), "peer": CLOSED})
    assert answer.status_code == 303
    assert answer.headers["location"] == f"/bee/{BEE.hex()}"
    page = (await web.get(answer.headers["location"])).text
    assert "Nobody answers at 127.0.0.1:1 (Connection refused)." in page
    assert "Next try" in page
    source = await running.database.read(sources.get, BEE)
    assert source is not None
    assert (source.added_by, source.attempts) == ("web", 1)


async def test_json_answers_what_became_of_it(web: httpx2.AsyncClient) -> None:
    async with author() as (_, bee, address):
        await bee.put("post/0000000000000001", {"text": "hi"})
        answer = await web.post("/submit", json={"key": bee.core.key.hex(), "peer": address})
        assert answer.status_code == 202
        body = answer.json()
        assert (body["state"], body["length"], body["key"]) == ("following", 2, bee.core.key.hex())
    answer = await web.post("/submit", json={"key": BEE.hex(), "peer": CLOSED}, headers=JSON)
    assert answer.status_code == 202
    assert answer.json()["state"] == "unreachable"
    assert "Nobody answers at 127.0.0.1:1" in answer.json()["message"]


@pytest.mark.parametrize(
    ("sent", "field", "words"),
    [
        ({}, "key", "Paste the key"),
        ({"key": "hello"}, "key", "not the key of a bee"),
        ({"key": "g" * 64}, "key", "hexadecimal"),
        ({"key": "0" * 63}, "key", "63 characters"),
        ({"key": BEE.hex(), "peer": "nonsense"}, "peer", "host:port"),
        ({"key": BEE.hex(), "peer": "127.0.0.1:99999"}, "peer", "host:port"),
        ({"key": BEE.hex(), "peer": "127.0.0.1:0"}, "peer", "port 0"),
        ({"key": BEE.hex(), "peer": "10.0.0.1:80"}, "peer", "private network"),
        ({"key": BEE.hex(), "peer": "169.254.169.254:80"}, "peer", "private network"),
        ({"key": BEE.hex(), "peer": "[::ffff:192.168.0.1]:80"}, "peer", "private network"),
        ({"key": 5}, "key", "must be texts"),
    ],
)
async def test_what_is_refused_says_so_as_page_and_as_json(
    web: httpx2.AsyncClient, running: Aggregator, sent: dict[str, Any], field: str, words: str
) -> None:
    answer = await web.post("/submit", json=sent, headers=JSON)
    assert answer.status_code == 400
    assert answer.json()["field"] == field
    assert words in answer.json()["error"]
    if all(isinstance(value, str) for value in sent.values()):
        page = await web.post("/submit", data=sent)
        assert page.status_code == 400
        assert words.replace("'", "&#39;") in page.text
        assert f'id="f-{field}-error"' in page.text
        assert sent.get("key", "") in page.text  # what was typed is still there
    assert await running.database.read(sources.listing, 10) == []


async def test_nonsense_instead_of_a_request_is_a_sentence(web: httpx2.AsyncClient) -> None:
    for body in (b"{", b"[]", b"\xff\xff", b"null"):
        answer = await web.post("/submit", content=body, headers={"content-type": "application/json"} | JSON)
        assert answer.status_code == 400, body
        assert answer.json()["error"]


async def test_too_many_submissions_are_slowed_down(web: httpx2.AsyncClient) -> None:
    answers = [await web.post("/submit", json={"key": "x"}, headers=JSON) for _ in range(21)]
    assert [answer.status_code for answer in answers] == [400] * 20 + [429]
    assert int(answers[-1].headers["retry-after"]) >= 1
    assert "try again in" in answers[-1].json()["error"]
    assert (
        "try again in" in (await web.post("/submit", json={"key": "x"})).json()["error"]
    )  # who sends JSON gets it
    assert "<h1" in (await web.post("/submit", data={"key": "x"})).text


async def test_a_full_aggregator_refuses_new_bees_and_keeps_the_old(tmp_path: Path) -> None:
    async with aggregator(tmp_path, max_sources=1) as running, client(running) as web:
        assert (await web.post("/submit", json={"key": BEE.hex()}, headers=JSON)).status_code == 202
        assert (await web.post("/submit", json={"key": "1" * 64}, headers=JSON)).status_code == 503
        assert (await web.post("/submit", json={"key": BEE.hex()}, headers=JSON)).status_code == 202


# --- addresses that strangers may name --------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "peer_addresses", "web", "allowed"),
    [
        ("127.0.0.1:5", "auto", "127.0.0.1:8080", True),
        ("127.0.0.1:5", "auto", "0.0.0.0:8080", False),
        ("[::1]:5", "auto", "0.0.0.0:8080", False),
        ("127.0.0.1:5", "public", "127.0.0.1:8080", False),
        ("127.0.0.1:5", "any", "0.0.0.0:8080", True),
        ("192.168.1.2:5", "auto", "127.0.0.1:8080", False),
        ("192.168.1.2:5", "any", "0.0.0.0:8080", True),
        ("100.64.0.1:5", "auto", "127.0.0.1:8080", False),
        ("[fd00::1]:5", "auto", "127.0.0.1:8080", False),
        ("[fe80::1]:5", "auto", "127.0.0.1:8080", False),
        ("0.0.0.0:5", "any", "127.0.0.1:8080", False),
        ("224.0.0.1:5", "auto", "127.0.0.1:8080", False),
        ("8.8.8.8:5", "auto", "0.0.0.0:8080", True),
        ("[2606:4700::1]:5", "public", "0.0.0.0:8080", True),
    ],
)
async def test_which_addresses_are_dialled(
    address: str, peer_addresses: str, web: str, allowed: bool
) -> None:
    settings = Settings(dir=Path("."), web=web, peer_addresses=peer_addresses)
    assert normal(address) == address
    if allowed:
        check_name(address, settings)
        host, port = await resolve(address, settings, trusted=False)
        assert (host.strip("[]") in address, port) == (True, 5)
    else:
        with pytest.raises(BadArgument, match="is not dialled"):
            check_name(address, settings)
        with pytest.raises(BadArgument, match="is not dialled"):
            await resolve(address, settings, trusted=False)
        assert (await resolve(address, settings, trusted=True))[1] == 5  # the operator may


async def test_a_name_is_resolved_once_and_what_was_checked_is_dialled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def rebinding(*_: object, **__: object) -> list[Any]:
        return [
            (2, 1, 6, "", ("127.0.0.1", 5)),
            (2, 1, 6, "", ("192.0.2.1", 5)),
            (2, 1, 6, "", ("8.8.8.8", 5)),
        ]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", rebinding)
    settings = Settings(dir=Path("."), web="0.0.0.0:80")
    assert await resolve("rebind.example:5", settings, trusted=False) == ("8.8.8.8", 5)


async def test_a_name_that_does_not_exist_is_said_to() -> None:
    with pytest.raises(PeerUnreachable, match=r"no host called nowhere\.invalid"):
        await resolve("nowhere.invalid:5", Settings(dir=Path(".")), trusted=False)


def test_a_bucket_of_submissions_refills() -> None:
    limit = RateLimit(burst=2, per_hour=3600)
    assert [limit.take("a", 0.0), limit.take("a", 0.0)] == [0.0, 0.0]
    assert limit.take("a", 0.0) == pytest.approx(1.0)
    assert limit.take("b", 0.0) == 0.0
    assert limit.take("a", 1.0) == 0.0
    assert limit.take("a", 1.5) == pytest.approx(0.5)


# --- the command line -------------------------------------------------------------------------------


def test_add_works_while_nothing_runs(tmp_path: Path) -> None:
    run = CliRunner()
    first = run.invoke(
        main, ["--dir", str(tmp_path), "add", key_to_id(BEE), "--peer", "127.0.0.1:5", "--json"]
    )
    assert first.exit_code == 0, first.output
    assert json.loads(first.output) == {
        "key": BEE.hex(),
        "id": key_to_id(BEE),
        "new": True,
        "peer": "127.0.0.1:5",
    }
    again = run.invoke(main, ["--dir", str(tmp_path), "add", BEE.hex()])
    assert "Already following" in again.output
    listed = run.invoke(main, ["--dir", str(tmp_path), "list", "--json"])
    assert json.loads(listed.output)["key"] == BEE.hex()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["add", "hello"], "a key is 52"),
        (["add", BEE.hex(), "--peer", "x"], "host:port"),
        (["serve", "--web", "nowhere"], "host:port"),
        (["--no-such"], "No such option"),
    ],
)
def test_a_wrong_command_is_a_sentence_and_a_code(tmp_path: Path, arguments: list[str], words: str) -> None:
    result = CliRunner().invoke(main, ["--dir", str(tmp_path), *arguments])
    assert result.exit_code != 0
    assert words in result.output
    assert "Traceback" not in result.output


async def test_the_server_says_when_it_is_ready_takes_an_addition_and_stops_cleanly(tmp_path: Path) -> None:
    async with author() as (_, bee, address):
        await bee.put("post/0000000000000001", {"text": "hello from the author"})
        server = await start(tmp_path)
        try:
            assert server.stdout is not None
            ready = json.loads(await asyncio.wait_for(server.stdout.readline(), 60))
            assert (ready["event"], len(ready["key"])) == ("ready", 64)
            async with httpx2.AsyncClient(base_url=ready["web"]) as web:
                await command(tmp_path, "add", bee.core.key.hex(), "--peer", address)
                async with asyncio.timeout(60):
                    while "hello from the author" not in (await web.get("/")).text:
                        await asyncio.sleep(0.05)
                second = await start(tmp_path)  # one directory, one server
                assert await asyncio.wait_for(second.wait(), 60) == 1
                await command(
                    tmp_path, "hide", bee.core.key.hex(), "post/0000000000000001", "--reason", "test"
                )
                assert "hello from the author" not in (await web.get("/")).text
                async with web.stream(
                    "GET", "/live", timeout=60
                ) as stream:  # an open page does not hold it up
                    server.send_signal(signal.SIGTERM)
                    async for _ in stream.aiter_bytes():
                        pass
            assert await asyncio.wait_for(server.wait(), 60) == 0
        finally:
            if server.returncode is None:
                server.kill()
                await server.wait()


async def start(directory: Path) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "feedagg", "--dir", str(directory), "serve", "--web", "127.0.0.1:0", "--no-dht", "--json",
        cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL, env=dict(os.environ),
    )  # fmt: skip


async def command(directory: Path, *arguments: str) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "feedagg",
        "--dir",
        str(directory),
        *arguments,
        cwd=ROOT,
        stdout=asyncio.subprocess.DEVNULL,
    )
    assert await asyncio.wait_for(process.wait(), 60) == 0
