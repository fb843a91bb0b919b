"""Every name of a bee, asked of both sides for the same bee: subs, checkouts, peeks, blocks, headers, watchers."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from core.crypto.keys import key_pair
from core.hyperbee import Hyperbee
from core.peer import Peer
from tests.support.node import NodePeer

pytestmark = [pytest.mark.anyio, pytest.mark.interop]

SEED = bytes([5]) * 32

ASK = """
  const bee = state.bees.get('bee')
  const plain = (n) => n && { seq: n.seq, key: n.key, value: n.value }
  const all = async (stream, shape = plain) => { const out = []; for await (const n of stream) out.push(shape(n)); return out }
  const films = bee.sub('films')
  const deep = films.sub('1979', { sep: '!' })
  const old = bee.checkout(args.version)
  const now = bee.snapshot()
  const bounds = { gte: 'b', lt: 'k' }
  return {
    sub: await all(films.createReadStream()),
    subRange: await all(films.createReadStream({ gt: 'a', lte: 'm', reverse: true, limit: 2 })),
    deep: await all(deep.createReadStream()),
    subGet: plain(await films.get('alien')),
    subPeek: plain(await films.peek({ reverse: true })),
    subHistory: await all(films.createHistoryStream(), (n) => [n.type, n.seq, n.key]),
    checkout: await all(old.createReadStream()),
    checkoutGet: plain(await old.get('b')),
    snapshot: await all(now.createReadStream(bounds)),
    version: now.version,
    peek: plain(await bee.peek(bounds)),
    peekLast: plain(await bee.peek({ reverse: true })),
    peekNothing: plain(await bee.peek({ gt: 'zz' })),
    bySeq: await Promise.all([1, 2, bee.version - 1].map(async (seq) => { const n = await bee.getBySeq(seq); return [n.key, n.value] })),
    header: await bee.getHeader().then((h) => ({ protocol: h.protocol, contentFeed: h.metadata && h.metadata.contentFeed })),
    isHyperbee: await packages.Hyperbee.isHyperbee(bee.core),
    diff: await all(bee.createDiffStream(args.version, bounds), (d) => [plain(d.left), plain(d.right)]),
    history: await all(bee.createHistoryStream({ gte: 2, lt: -1 }), (n) => [n.type, n.seq, n.key]),
    tail: await all(bee.createHistoryStream({ reverse: true, limit: 3 }), (n) => [n.type, n.seq, n.key])
  }
"""  # noqa: E501

WRITE = """
  const bee = state.bees.get('bee')
  const films = bee.sub('films')
  const deep = films.sub('1979', { sep: '!' })
  for (const key of 'abcdefghijkl') await bee.put(key, { was: key })
  await films.put('alien', { year: 1979 })
  await films.put('ran', { year: 1985 })
  await films.put('brazil', { year: 1985 })
  await deep.put('stalker', { seen: true })
  await bee.del('c')
  const judged = []
  const cas = (previous, next) => { judged.push([previous && previous.value, next && next.value]); return previous.value.was === 'a' }
  await bee.put('a', { was: 'replaced' }, { cas })
  await bee.put('b', { was: 'not replaced' }, { cas })
  await bee.del('a', { cas: (previous) => { judged.push([previous.value, null]); return previous.value.was === 'a' } })
  const batch = bee.batch()
  await batch.put('m', 1)
  await batch.del('d')
  const inside = [await batch.get('m'), await batch.get('d')].map((n) => n && n.value)
  await batch.flush()
  return { judged, inside, treeHash: (await bee.core.treeHash()).toString('hex') }
"""  # noqa: E501


def plain(entry: Any) -> Any:
    return None if entry is None else {"seq": entry.seq, "key": entry.key, "value": entry.value}


def short(operation: Any) -> list[Any]:
    return [operation.type, operation.seq, operation.key]


async def every(stream: Any, shape: Any = plain) -> list[Any]:
    return [shape(item) async for item in stream]


async def write(bee: Hyperbee) -> dict[str, Any]:
    """The operations of `WRITE`."""
    films = bee.sub("films")
    deep = films.sub("1979", sep="!")
    for key in "abcdefghijkl":
        await bee.put(key, {"was": key})
    await films.put("alien", {"year": 1979})
    await films.put("ran", {"year": 1985})
    await films.put("brazil", {"year": 1985})
    await deep.put("stalker", {"seen": True})
    await bee.delete("c")
    judged: list[Any] = []

    def cas(previous: Any, following: Any) -> bool:
        judged.append([previous and previous.value, following and following.value])
        return bool(previous.value["was"] == "a")

    await bee.put("a", {"was": "replaced"}, cas=cas)
    await bee.put("b", {"was": "not replaced"}, cas=cas)
    await bee.delete("a", cas=cas)
    async with bee.batch() as batch:
        await batch.put("m", 1)
        await batch.delete("d")
        inside = [entry and entry.value for entry in (await batch.get("m"), await batch.get("d"))]
    return {"judged": judged, "inside": inside, "treeHash": bee.core.tree_hash().hex()}


async def ask(bee: Hyperbee, version: int) -> dict[str, Any]:
    """The questions of `ASK`."""
    films = bee.sub("films")
    bounds = {"gte": "b", "lt": "k"}
    header = await bee.get_header()
    assert header is not None
    async with bee.checkout(version) as old, bee.snapshot() as now:
        return {
            "sub": await every(films.range()),
            "subRange": await every(films.range(gt="a", lte="m", reverse=True, limit=2)),
            "deep": await every(films.sub("1979", sep="!").range()),
            "subGet": plain(await films.get("alien")),
            "subPeek": plain(await films.peek(reverse=True)),
            "subHistory": await every(films.history(), short),
            "checkout": await every(old.range()),
            "checkoutGet": plain(await old.get("b")),
            "snapshot": await every(now.range(**bounds)),
            "version": now.version,
            "peek": plain(await bee.peek(**bounds)),
            "peekLast": plain(await bee.peek(reverse=True)),
            "peekNothing": plain(await bee.peek(gt="zz")),
            "bySeq": [list(await bee.get_by_seq(seq))[1:] for seq in (1, 2, bee.version - 1)],
            "header": {
                "protocol": header.protocol,
                "contentFeed": header.metadata and header.metadata.content_feed,
            },
            "isHyperbee": await Hyperbee.is_hyperbee(bee.core),
            "diff": await every(
                bee.diff(version, **bounds), lambda pair: [plain(pair.left), plain(pair.right)]
            ),
            "history": await every(bee.history(gte=2, lt=-1), short),
            "tail": await every(bee.history(reverse=True, limit=3), short),
        }


@pytest.mark.parametrize("reads_over_the_wire", [False, True], ids=["own copies", "python from node"])
async def test_every_question_has_one_answer(
    node_peer: NodePeer, tmp_path: Path, reads_over_the_wire: bool
) -> None:
    await node_peer("store.open", dir=str(tmp_path))
    info = await node_peer("core.open", **{"as": "bee", "seed": SEED.hex()})
    await node_peer("bee.open", core="bee")
    peer = await Peer.open(None)
    written = await node_peer.run(WRITE)
    if reads_over_the_wire:
        bee = peer.bee(key=info["key"])
        await peer.connect("127.0.0.1", (await node_peer("listen"))["port"])
        await asyncio.wait_for(bee.update(wait=True), 60)
    else:
        core = peer.store.get(key_pair=key_pair(SEED))
        assert core.key.hex() == info["key"]
        bee = Hyperbee(core, key_encoding="utf-8", value_encoding="json")
        ours = await write(bee)
        assert ours == written
    for version in (1, 5, bee.version - 4):
        theirs = await node_peer.run(ASK, version=version)
        answers = await asyncio.wait_for(ask(bee, version), 60)
        for name, answer in json.loads(json.dumps(answers)).items():
            assert answer == theirs[name], f"{name} at version {version}"
        assert answers.keys() == theirs.keys()
    await peer.close()


async def test_a_key_is_watched_as_node_watches_it(node_peer: NodePeer, tmp_path: Path) -> None:
    """`getAndWatch` on both sides of one bee that Node writes."""
    await node_peer("store.open", dir=str(tmp_path))
    info = await node_peer("core.open", **{"as": "bee", "name": "bee"})
    await node_peer("bee.open", core="bee")
    await node_peer("bee.put", bee="bee", key="a", value=1)
    await node_peer.run("state.watched = await state.bees.get('bee').getAndWatch('a')")
    peer = await Peer.open(None)
    bee = peer.bee(key=info["key"])
    await peer.connect("127.0.0.1", (await node_peer("listen"))["port"])
    await asyncio.wait_for(bee.update(wait=True), 60)
    watched = await bee.get_and_watch("a")
    try:
        for value in (1, 2, 3, None):
            if value is None:
                await node_peer("bee.del", bee="bee", key="a")
            elif value > 1:
                await node_peer("bee.put", bee="bee", key="unrelated", value=value)
                await node_peer("bee.put", bee="bee", key="a", value=value)
            async with asyncio.timeout(60):
                while (watched.entry and watched.entry.value) != value:
                    await asyncio.wait_for(anext(watched), 60)
                while await node_peer.run("const n = state.watched.node; return n && n.value") != value:
                    await asyncio.sleep(0.02)
    finally:
        await watched.close()
        await peer.close()
