"""A reader downloads what it asks for and nothing else: block counts against the reference reader's, same bee.

The bee has 100,000 records and lives in a Node peer. Each reader starts with an empty store.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from core.peer import Peer
from tests.support.node import NodePeer

pytestmark = [pytest.mark.anyio, pytest.mark.interop]

RECORDS = 100_000
MOST_BY_RANGE, MOST_BY_TAIL = 86, 24
"""What the reference reader was once measured to need for the same two calls: the most that ours may take."""

FILL = """
  const batch = state.bees.get('movies').batch()
  for (let i = 0; i < args.count; i++) {
    const title = `Film number ${i}`
    await batch.put('movie/' + String(i).padStart(8, '0'), { title, year: 1950 + i % 75, text: 'x'.repeat(120) })
  }
  await batch.flush()
  return state.cores.get('movies').key.toString('hex')
"""

COUNT_BLOCKS = """
  const core = state.store.get({ key: Buffer.from(args.key, 'hex') })
  const bee = new packages.Hyperbee(core, { keyEncoding: 'utf-8', valueEncoding: 'json' })
  await bee.ready()
  const blocks = new Set()
  core.on('download', (index) => blocks.add(index))
  const stream = new packages.SecretStream(true, packages.net.connect(args.port, '127.0.0.1'))
  state.store.replicate(stream)
  await bee.update({ wait: true })
  let seen = 0
  const read = args.newest
    ? bee.createReadStream({ reverse: true, limit: args.newest })
    : bee.createHistoryStream({ reverse: true, limit: args.history })
  for await (const entry of read) if (entry) seen++
  await new Promise((resolve) => setTimeout(resolve, 300))
  return { seen, blocks: blocks.size }
"""


async def serve_big_bee(node: NodePeer, directory: Path) -> tuple[str, int]:
    await node("store.open", dir=str(directory))
    await node("core.open", **{"as": "movies", "name": "movies"})
    await node("bee.open", core="movies")
    key = await node.run(FILL, count=RECORDS)
    return key, (await node("listen"))["port"]


async def reference_count(start_node: Any, directory: Path, **question: Any) -> int:
    reader = await start_node()
    await reader("store.open", dir=str(directory))
    answer = await reader.run(COUNT_BLOCKS, **question)
    assert answer["seen"] == question.get("newest", question.get("history"))
    return int(answer["blocks"])


async def test_newest_records_and_operations_cost_no_more_blocks_than_the_reference(
    start_node: Any, tmp_path: Path
) -> None:
    server = await start_node()
    key, port = await serve_big_bee(server, tmp_path / "server")

    by_range = await reference_count(start_node, tmp_path / "range", key=key, port=port, newest=50)
    by_tail = await reference_count(start_node, tmp_path / "tail", key=key, port=port, history=20)

    peer = await Peer.open(None)
    await peer.connect("127.0.0.1", port)
    bee = peer.bee(key=key)
    await bee.update(wait=True)
    entries = [entry async for entry in bee.range(reverse=True, limit=50)]
    assert [entry.key for entry in entries] == [f"movie/{RECORDS - 1 - i:08d}" for i in range(50)]
    assert 50 <= received(bee) <= min(by_range, MOST_BY_RANGE)
    await peer.close()

    peer = await Peer.open(None)
    await peer.connect("127.0.0.1", port)
    bee = peer.bee(key=key)
    await bee.update(wait=True)
    operations = [operation async for operation in bee.history(reverse=True, limit=20)]
    assert [operation.seq for operation in operations] == [RECORDS - i for i in range(20)]
    assert 20 <= received(bee) <= min(by_tail, MOST_BY_TAIL)
    await peer.close()


def received(bee: Any) -> int:
    return sum(remote.blocks_received for remote in bee.core.peers)
