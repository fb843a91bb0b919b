"""There is no way to write to a source's bee: every address and method, with the operator's token; no key to do it."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest

from core.crypto.keys import sign
from core.errors import MeadowError, SessionNotWritable
from feedagg import sources
from feedagg.ingest import now_ms
from feedagg.routes import ROUTES
from tests.support.feedagg import aggregator, author, client
from tests.support.waiting import eventually

pytestmark = pytest.mark.anyio

KEY = "post/0000000000000001"
METHODS = ("POST", "PUT", "PATCH", "DELETE")


def addresses(bee: str) -> list[str]:
    """Every address of the site, with this bee and its record in the places for them."""
    filled = []
    for route in ROUTES:
        path = re.sub(r"\{bee[^}]*\}", bee, getattr(route, "path", ""))
        path = re.sub(r"\{(key|name|tag|id)[^}]*\}", KEY, path)
        filled.append(re.sub(r"\{[^}]*\}", "json", path))
    return sorted(set(filled))


async def test_no_address_writes_to_a_bee_whoever_asks(tmp_path: Path) -> None:
    async with (
        author() as (_, bee, address),
        aggregator(tmp_path) as running,
        client(running, timeout=30) as web,
    ):
        await bee.put(KEY, {"text": "mine alone"})
        await running.database.write(sources.add, bee.core.key, now_ms(), "command", address)
        followed = running.ingest.followed

        def is_read() -> bool:
            return bee.core.key in followed and followed[bee.core.key].position.cursor == bee.core.length

        await eventually(is_read)
        before = (bee.core.length, bee.core.fork, bee.core.tree_hash())
        key = bee.core.key.hex()
        sent = {
            "bee": key, "key": KEY, "value": '{"text": "theirs"}', "text": "theirs", "reason": "a test",
            "action": "purge", "confirm": "yes", "policy": "open", "words": "a test", "peer": address,
            "keyhex": KEY.encode().hex(),
        }  # fmt: skip
        operator = {"authorization": f"Bearer {running.token.reveal()}"}
        answered = []
        for path in addresses(key):
            for method in METHODS:
                for body in ({"data": sent}, {"json": sent}):
                    answer = await web.request(method, path, headers=operator, **body)  # type: ignore[arg-type]
                    answered.append((method, path, answer.status_code))
        assert len(answered) > 200
        assert not [row for row in answered if row[2] == 500]
        await asyncio.sleep(0.2)  # what was written would be on its way to its author
        assert (bee.core.length, bee.core.fork, bee.core.tree_hash()) == before
        entry = await bee.get(KEY)
        assert entry is not None
        assert entry.value == {"text": "mine alone"}


async def test_the_aggregator_holds_no_key_of_a_bee_and_cannot_be_given_one(tmp_path: Path) -> None:
    async with author() as (_, bee, address), aggregator(tmp_path) as running:
        await bee.put(KEY, {"text": "mine alone"})
        await running.database.write(sources.add, bee.core.key, now_ms(), "command", address)
        await eventually(lambda: running.ingest.records_read == 1)
        theirs = running.ingest.followed[bee.core.key].bee
        assert not theirs.writable
        assert theirs.core.key_pair is None
        for core in running.peer.store.sessions:
            assert core.key != bee.core.key or core.key_pair is None
        with pytest.raises(SessionNotWritable):
            await theirs.put(KEY.encode(), b"{}")
        with pytest.raises(SessionNotWritable):
            await theirs.delete(KEY.encode())
        with pytest.raises(SessionNotWritable):
            await theirs.core.append(b"block")
        with pytest.raises(SessionNotWritable):
            await theirs.core.truncate(0)
        # Not even with a signature of another key at hand.
        stranger = running.peer.store.create_key_pair("stranger")
        for signature in (bytes(64), sign(theirs.core.signable(), stranger.secret_key)):
            with pytest.raises(MeadowError):
                await theirs.core.append(b"block", signature=signature)
        assert bee.core.length == theirs.core.length == 2
