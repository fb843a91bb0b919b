"""A Node program with the official Hyperbee follows an aggregator's log and its feed with nothing but their keys."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection

from core.peer import encode_file
from core.records import format_date, value_hash
from feedagg import alarms, decisions, moderation, policy, purging, reports, sources
from feedagg.decisions import Action, Decision
from feedagg.ingest import now_ms
from tests.conftest import skip_or_fail
from tests.support.evidence import conflict
from tests.support.feedagg import aggregator, author, client
from tests.support.node import NODE_DIRECTORY, why_node_is_missing

pytestmark = [pytest.mark.anyio, pytest.mark.interop]

LINE_SECONDS = 40


@asynccontextmanager
async def follower(*arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        "node", "follow.js", *arguments, cwd=NODE_DIRECTORY,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, limit=2**24,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        await process.wait()


async def line(process: asyncio.subprocess.Process) -> Any:
    assert process.stdout is not None
    return json.loads(await asyncio.wait_for(process.stdout.readline(), LINE_SECONDS))


async def test_node_follows_both_bees_with_a_key(tmp_path: Path) -> None:
    skip_or_fail(why_node_is_missing())
    async with author() as (_, bee, address), aggregator(tmp_path) as running:
        for n in range(40):
            at = format_date(now_ms() - (50 - n) * 60_000)
            await bee.put(f"post/{n:016x}", {"text": f"Note {n} ✿", "createdAt": at})
        await bee.put("post/broken", {"no": "text"})
        await bee.delete(f"post/{3:016x}")
        await running.database.write(sources.add, bee.core.key, now_ms(), "command", address)
        hidden = f"post/{5:016x}".encode()
        await running.database.write(moderation.hide, bee.core.key, hidden, "A reason.", now_ms())
        async with asyncio.timeout(LINE_SECONDS):
            while running.ingest.records_read < 41:
                await asyncio.sleep(0.02)
        evidence = encode_file(await conflict())
        await running.database.write(decide_everything, bee.core.key, evidence, now_ms())
        await running.publisher.caught_up()
        decided = await running.database.read(decisions.listing, 100)
        assert {decision.action for decision in decided} == set(Action)

        async with client(running) as web:
            html = (await web.get("/about")).text
        keys = re.findall(r'<code class="key">([0-9a-f]{64})</code>', html[html.index('id="own-bees"') :])[:2]
        assert keys == [running.publisher.log.core.key.hex(), running.publisher.feed.core.key.hex()]

        host, port = await running.peer.listen()
        async with follower(host, str(port), *keys) as node:
            first = await line(node)
            check_the_log(first["log"], bee, hidden.decode(), decided)
            await check_the_feed(first["feed"], bee, hidden.decode())
            # and what happens from now on
            await bee.put("post/later", {"text": "Later.", "createdAt": format_date(now_ms())})
            heard: list[Any] = []
            while not (
                any(one["name"] == "feed" and one["key"].endswith("/post/later") for one in heard)
                and any(one["name"] == "log" and one["key"].startswith("read/") for one in heard)
            ):
                heard.append(await line(node))
            await running.database.write(
                moderation.hide, bee.core.key, b"post/later", "Later hidden.", now_ms()
            )
            while not any(one["type"] == "del" and one["key"].endswith("/post/later") for one in heard):
                heard.append(await line(node))


def decide_everything(connection: Connection, bee: bytes, evidence: bytes, now: int) -> None:
    """Every kind of decision there is, each in the way it comes about."""
    key, reported, other = f"post/{6:016x}".encode(), f"post/{7:016x}".encode(), bytes(32)
    policy.choose(connection, now, policy.CLOSED)
    policy.add(connection, other, now)
    policy.pause(connection, other, now, "For now.")
    policy.accept(connection, other, now)
    policy.trust(connection, other, now, "Too much at once.", is_trusted=False)
    policy.trust(connection, other, now, is_trusted=True)
    policy.refuse(connection, other, now, "Not here.")
    purging.purge_bee(connection, other, "At its author's wish.", now)
    reports.report(connection, bee, reported, "spam", "", "192.0.2.1", now)
    reports.dismiss(connection, bee, reported, "It is none.", now)
    moderation.hide(connection, bee, key, "Too early.", now)
    reports.appeal(connection, bee, key, "It is not.", now)
    reports.deny(connection, bee, key, "It is.", now)
    reports.appeal(connection, bee, key, "Look again.", now)
    reports.grant(connection, bee, key, "It is not.", now)
    alarms.raise_alarm(connection, bytes([1] * 32), evidence, now)


def check_the_log(said: list[Any], bee: Any, hidden: str, wanted: list[Decision]) -> None:
    read = [one["value"] for one in said if one["key"].startswith(f"read/{bee.core.key.hex()}/")]
    covered = sorted((entry["from"], entry["to"]) for entry in read)
    assert covered[0][0] == 1
    assert covered[-1][1] == bee.core.length
    assert all(before[1] == after[0] for before, after in zip(covered, covered[1:], strict=False))
    assert [seq for entry in read for seqs in entry["skipped"].values() for seq in seqs] == [41]
    assert {entry["tree"] for entry in read if entry["length"] == bee.core.length} == {
        bee.core.tree_hash().hex()
    }
    told = [one["value"] for one in said if one["key"].startswith("decision/")]
    assert [(one["action"], one.get("bee"), one.get("key"), one.get("reason")) for one in told] == [
        (
            one.action,
            None if one.bee is None else one.bee.hex(),
            None if one.key is None else one.key.decode(),
            one.reason,
        )
        for one in sorted(wanted, key=lambda one: one.id)
    ]
    assert ("hidden", hidden, "A reason.") in {
        (one["action"], one.get("key"), one.get("reason")) for one in told
    }
    state: dict[str, str] = {one["key"]: one["type"] for one in said}
    assert state[f"hidden/{bee.core.key.hex()}/{hidden}"] == "put"
    assert state[f"hidden/{bee.core.key.hex()}/post/{6:016x}"] == "del"
    assert state[f"refused/{bytes(32).hex()}"] == "put"


async def check_the_feed(items: list[Any], bee: Any, hidden: str) -> None:
    keys = [item["key"].split("/", 3)[3] for item in items]
    assert keys == [f"post/{n:016x}" for n in range(39, 9, -1)]
    assert hidden not in keys
    for item in items:
        entry = await bee.get(item["key"].split("/", 3)[3])
        assert item["key"].split("/")[2] == bee.core.key.hex()
        assert (item["value"]["seq"], item["value"]["value"]) == (entry.seq, entry.value)
        raw = json.dumps(entry.value, ensure_ascii=False, separators=(",", ":")).encode()
        assert item["value"]["hash"] == value_hash(raw)
