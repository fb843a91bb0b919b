"""A bee written by thirty lines of Node, with the official packages and no idea of our records, is a feed of movies."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from tests.conftest import skip_or_fail
from tests.support.feedagg import aggregator, client, titles
from tests.support.node import NODE_DIRECTORY, why_node_is_missing

pytestmark = [pytest.mark.anyio, pytest.mark.interop]

SCRIPT = NODE_DIRECTORY / "workshop.js"


async def test_a_bee_of_the_workshop_shows_as_movies_and_live(tmp_path: Path) -> None:
    skip_or_fail(why_node_is_missing())
    code = [line for line in SCRIPT.read_text().splitlines() if line and not line.startswith("//")]
    assert len(code) <= 30
    node = await asyncio.create_subprocess_exec(
        "node",
        str(SCRIPT),
        str(tmp_path / "node"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert node.stdin is not None
        assert node.stdout is not None
        told = json.loads(await asyncio.wait_for(node.stdout.readline(), 60))
        async with aggregator(tmp_path / "feed") as running, client(running) as web:
            sent = {"key": told["key"], "peer": f"127.0.0.1:{told['port']}"}
            answer = await web.post("/submit", json=sent)
            assert answer.json()["state"] == "following"
            await titles(web, {"Alien", "Brazil", "The Third Man"})
            node.stdin.write(b"Stalker\n")
            await titles(web, {"Alien", "Brazil", "The Third Man", "Stalker"})
            film = (await web.get("/film/t:the-third-man:")).text
            assert "The Third Man" in film
            assert film.count('class="card card-movie"') == 1
            feed = (await web.get("/feed.json")).json()
            assert {item["_meadow"]["kind"] for item in feed["items"]} == {"movie"}
    finally:
        node.kill()
        await node.wait()
