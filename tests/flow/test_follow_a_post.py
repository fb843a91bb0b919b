"""One post from an author's hand to a reader's page, hop by hop. Read it beside docs/follow-a-post.md.

Between the two peers stands a relay that writes down every byte, so that the wire itself can be looked at.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from core.records import KeyClock, Post, encode_value, new_key, parse_record, value_hash
from feedagg import queries, sources
from feedagg.decide import Operation, Status, decide
from feedagg.ingest import now_ms
from tests.support.feedagg import aggregator, author, client

pytestmark = pytest.mark.anyio

TEXT = "The bees are back in the meadow."


class Relay:
    """Passes TCP bytes on and keeps a copy of both directions."""

    def __init__(self, target: str) -> None:
        host, port = target.split(":")
        self._target = (host, int(port))
        self._tasks: set[asyncio.Task[None]] = set()
        self.seen = b""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_connection(*self._target)
        for source, sink in ((reader, there_writer), (there_reader, writer)):
            task = asyncio.create_task(self._pass_on(source, sink))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pass_on(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while data := await source.read(65536):
            self.seen += data
            sink.write(data)
        sink.close()


@asynccontextmanager
async def relayed(target: str) -> AsyncIterator[tuple[Relay, str]]:
    """A relay in front of `target`: (relay, "host:port")."""
    relay = Relay(target)
    server = await asyncio.start_server(relay.serve, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    try:
        yield relay, f"{host}:{port}"
    finally:
        server.close()


async def test_one_post_through_every_hop(tmp_path: Path) -> None:
    async with (
        author() as (peer, bee, address),
        relayed(address) as (relay, relay_address),
        aggregator(tmp_path) as running,
        client(running) as web,
    ):
        # The author's side, upstream. A record has a key that sorts by time, and a JSON value.            (hop 8)
        created = now_ms()
        key = new_key("post", KeyClock(), created)
        post = Post(key=key, text=TEXT, created_at=created)
        assert parse_record(key, post.to_json()) == post

        # The bee appends one block for it: the key, the value, and what changed in the tree of keys.       (hop 7)
        await bee.put(key, post.to_json())
        block = bee.core.block_if_local(1)
        assert block is not None
        assert key.encode() in block
        assert encode_value(post.to_json()) in block

        # The log signs the tree over its two blocks (0 is the bee's header).                               (hop 6)
        signed_tree = (bee.core.length, bee.core.tree_hash())
        assert signed_tree[0] == 2

        # A reader of the feed has a page open, and somebody submits the key with an address.
        events = running.live.events(running.live.last_id)
        arriving = asyncio.create_task(anext(events))  # type: ignore[arg-type]
        sent = {"key": bee.core.key.hex(), "peer": relay_address}
        answer = await web.post("/submit", json=sent, headers={"accept": "application/json"})
        assert answer.json()["state"] == "following"

        # The aggregator dialled: TCP bytes, encrypted for a key that each side has proved.             (hops 1 to 3)
        (theirs,) = peer.connections
        assert theirs.remote_public_key == running.peer.public_key
        event = await asyncio.wait_for(arriving, 60)
        assert len(relay.seen) > len(block)
        assert TEXT.encode() not in relay.seen
        assert key.encode() not in relay.seen
        assert bee.core.key not in relay.seen  # whoever listens does not even learn which log this is

        # Inside, one channel of messages for this log (hop 4); over it came a proof and the block (hop 5). Both were
        # verified against the key before they were stored, so the aggregator holds the very same bytes and tree.
        followed = running.ingest.followed[bee.core.key]
        assert followed.bee.core.block_if_local(1) == block
        assert (followed.bee.core.length, followed.bee.core.tree_hash()) == signed_tree
        assert not followed.bee.core.has(0)  # the header was not needed, so it was not fetched

        # The block is one operation; what a row says of it is decided without clock, network or database.  (hop 9)
        entry = await followed.bee.get_by_seq(1)
        (row,) = decide([Operation(1, entry.key, entry.value)], created + 500)
        assert (row["status"], row["sort_at"], row["seq"]) == (Status.SHOWN, created, 1)

        # Row and cursor were written in one transaction.
        (item,) = (await running.database.read(queries.feed)).items
        source = await running.database.read(sources.get, bee.core.key)
        assert source is not None
        assert (source.cursor, source.fork) == (2, 0)
        assert (item.bee, item.key, item.sort_at) == (bee.core.key, key.encode(), created)
        assert item.value is not None
        assert value_hash(item.value) == value_hash(encode_value(post.to_json()))

        # Pages, for those who come and for those who are there already.                                   (hop 10)
        assert TEXT in (await web.get("/")).text
        assert TEXT in (await web.get(f"/bee/{bee.core.key.hex()}/{key}")).text
        (shown,) = (await web.get("/feed.json")).json()["items"]
        assert shown["content_text"] == TEXT
        assert (shown["_meadow"]["bee"], shown["_meadow"]["seq"]) == (bee.core.key.hex(), 1)
        assert event.name == "news"
        assert TEXT in event.data

        # And back to the start: the author's bee is what it was.
        assert (bee.core.length, bee.core.tree_hash()) == signed_tree
