"""Bees against hyperbee 2.27.3: the same blocks for the same operations, and one bee edited by both in turn."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Any

import pytest

from core.crypto.keys import key_pair
from core.hyperbee import Hyperbee
from core.hyperbee.encodings import resolve
from core.hyperbee.json_text import dumps, loads
from core.peer import Peer
from tests.support.node import NodePeer

pytestmark = [pytest.mark.anyio, pytest.mark.interop]

RUN_OPERATIONS = """
  const bee = state.bees.get(args.bee)
  const run = async (target, ops) => {
    for (const [verb, key, value, allowed] of ops) {
      const cas = allowed === undefined ? undefined : { cas: () => allowed }
      if (verb === 'put') await target.put(key, value, cas)
      else if (verb === 'del') await target.del(key, cas)
      else if (verb === 'get') await target.get(key)
      else {
        const batch = target.batch()
        await run(batch, key)
        await batch.flush()
      }
    }
  }
  await run(bee, args.ops)
  return { length: bee.core.length, treeHash: (await bee.core.treeHash()).toString('hex') }
"""

READ_SPARSELY = """
  const core = state.store.get({ key: Buffer.from(args.key, 'hex') })
  const bee = new packages.Hyperbee(core, { keyEncoding: 'utf-8', valueEncoding: 'json' })
  await bee.ready()
  const blocks = new Set()
  core.on('download', (index) => blocks.add(index))
  await bee.update({ wait: true })
  const out = []
  for await (const entry of bee.createReadStream(args.range)) out.push([entry.key, entry.value])
  for (const key of args.gets) {
    const entry = await bee.get(key)
    out.push(entry && [entry.key, entry.value])
  }
  return { out, blocks: blocks.size, length: core.length }
"""


def random_value(chance: random.Random) -> Any:
    kind = chance.randrange(7)
    if kind == 0:
        return None
    if kind == 1:
        return chance.choice([0, -1, 2**53 - 1, 1.5, 1e21, 1e-7, 123456.789, True, "", "é😀\u2028\x00"])
    if kind == 2:
        return {"b": chance.random(), "10": [1, {"x": None}], "9": "nine", "a": "x" * chance.randrange(200)}
    return chance.randrange(4)


def random_operations(
    chance: random.Random, count: int, keys: int, *, nested: bool = False
) -> list[list[Any]]:
    operations: list[list[Any]] = []
    for _ in range(count):
        key = f"k{chance.randrange(keys):03d}"
        kind = chance.randrange(12)
        if kind < 6:
            operations.append(["put", key, random_value(chance)])
        elif kind < 8:
            operations.append(["del", key])
        elif kind == 8:
            operations.append(["put", key, "judged", chance.random() < 0.5])
        elif kind == 9:
            operations.append(["del", key, None, chance.random() < 0.5])
        elif kind == 10 or nested:
            operations.append(["get", key])
        else:
            operations.append(["batch", random_operations(chance, chance.randrange(60), keys, nested=True)])
    return operations


async def run_operations(target: Any, operations: list[list[Any]]) -> None:
    for verb, *arguments in operations:
        cas = None
        if len(arguments) == 3:
            cas = lambda *_, allowed=arguments[2]: allowed  # noqa: E731
        if verb == "put":
            await target.put(arguments[0], arguments[1], cas=cas)
        elif verb == "del":
            await target.delete(arguments[0], cas=cas)
        elif verb == "get":
            await target.get(arguments[0])
        else:
            async with target.batch() as batch:
                await run_operations(batch, arguments[0])


async def listed(bee: Hyperbee, **options: Any) -> list[dict[str, Any]]:
    return [entry._asdict() async for entry in bee.range(**options)]


@pytest.mark.parametrize("seed", range(8))
async def test_random_sequences_give_the_same_log(node_peer: NodePeer, tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    always_duplicate = seed % 3 != 0
    await node_peer("store.open", dir=str(tmp_path))
    await node_peer("core.open", **{"as": "bee", "name": "bee"})
    await node_peer("bee.open", core="bee", options={"alwaysDuplicate": always_duplicate})
    peer = await Peer.open(None)
    ours = peer.bee(name="bee", always_duplicate=always_duplicate)
    versions = []
    for _ in range(6):
        versions.append(ours.version)
        operations = random_operations(chance, 60, chance.choice([3, 12, 60, 400]))
        await run_operations(ours, operations)
        theirs = await node_peer.run(RUN_OPERATIONS, bee="bee", ops=operations)
        assert theirs == {"length": ours.core.length, "treeHash": ours.core.tree_hash().hex()}
    assert await listed(ours) == await node_peer("bee.range", bee="bee")
    version = chance.choice(versions)
    for bounds in ({}, {"gte": "k1", "lt": "k2"}, {"gt": "k05", "limit": 7}):
        found = [
            {"left": left and left._asdict(), "right": right and right._asdict()}
            async for left, right in ours.diff(version, **bounds)
        ]
        assert found == await node_peer("bee.diff", bee="bee", version=version, range=bounds)
        backwards = {**bounds, "reverse": True}
        assert await listed(ours, **backwards) == await node_peer("bee.range", bee="bee", range=backwards)
    history = [operation._asdict() async for operation in ours.history()]
    assert history == await node_peer("bee.history", bee="bee")
    await peer.close()


@pytest.mark.parametrize("kind", ["plain", "encrypted", "compat"])
@pytest.mark.parametrize("python_listens", [True, False])
async def test_one_bee_edited_by_both_in_turn(
    node_peer: NodePeer, tmp_path: Path, python_listens: bool, kind: str
) -> None:
    """Both hold the key pair. Each turn one writes, and the other reads what came before it writes itself."""
    chance = random.Random(7)
    seed = bytes(range(32))
    pair = key_pair(seed)
    secret = bytes([4]) * 32 if kind == "encrypted" else None
    options = {"encryptionKey": secret.hex()} if secret else {}
    if kind == "compat":
        options["key"] = pair.public_key.hex()
    await node_peer("store.open", dir=str(tmp_path))
    theirs = await node_peer("core.open", **{"as": "bee", "seed": seed.hex()}, **options)
    await node_peer("bee.open", core="bee")
    peer = await Peer.open(None)
    core = peer.store.get(key_pair=pair, compat=kind == "compat", encryption_key=secret)
    assert core.key.hex() == theirs["key"]
    assert core.log.compat == (kind == "compat")
    ours = Hyperbee(core, key_encoding="utf-8", value_encoding="json")
    if python_listens:
        host, port = await peer.listen()
        await node_peer("connect", host=host, port=port)
    else:
        await peer.connect("127.0.0.1", (await node_peer("listen"))["port"])
    for turn in range(10):
        operations = random_operations(chance, 25, 50)
        if turn % 2 == 0:
            await run_operations(ours, operations)
            await node_peer.run(
                "const core = state.cores.get('bee'); while (core.length < args.length) {"
                # An update that has nothing to wait for returns at once: sockets must get their turn too.
                " await core.update({ force: true, wait: true }); await new Promise(setImmediate) }"
                " await core.download({ start: 0, end: core.length }).done()",
                length=ours.core.length,
            )
        else:
            facts = await node_peer.run(RUN_OPERATIONS, bee="bee", ops=operations)
            while ours.core.length < facts["length"]:
                await asyncio.wait_for(ours.core.update(force=True, wait=True), 60)
            await asyncio.wait_for(ours.core.download(start=0, end=ours.core.length).done(), 60)
        info = await node_peer("core.info", core="bee")
        assert (info["length"], info["fork"]) == (ours.core.length, 0), f"turn {turn}"
        assert info["treeHash"] == ours.core.tree_hash().hex()
        assert await listed(ours) == await node_peer("bee.range", bee="bee")
    await peer.close()


async def test_a_node_reader_of_our_bee_is_told_what_to_download(node_peer: NodePeer, tmp_path: Path) -> None:
    """Our answers to the extension are used: the reader takes what it reads and its path, not the log."""
    peer = await Peer.open(None)
    bee = peer.bee(name="films")
    async with bee.batch() as batch:
        for number in range(5_000):
            await batch.put(f"{number:05d}", {"title": f"Film {number}"})
    host, port = await peer.listen()
    await node_peer("store.open", dir=str(tmp_path))
    await node_peer("connect", host=host, port=port)
    answer = await node_peer.run(
        READ_SPARSELY,
        key=bee.core.key.hex(),
        range={"gte": "02500", "lt": "02550"},
        gets=["00017", "nothing"],
    )
    expected: list[Any] = [[f"{number:05d}", {"title": f"Film {number}"}] for number in range(2_500, 2_550)]
    assert answer["out"] == [*expected, ["00017", {"title": "Film 17"}], None]
    assert answer["length"] == 5_001
    assert answer["blocks"] < 250
    await peer.close()


async def test_we_read_a_node_bee_sparsely(node_peer: NodePeer, tmp_path: Path) -> None:
    await node_peer("store.open", dir=str(tmp_path))
    info = await node_peer("core.open", **{"as": "bee", "name": "bee"})
    await node_peer("bee.open", core="bee")
    operations = [["put", f"{number:05d}", {"title": f"Film {number}"}] for number in range(5_000)]
    random.Random(1).shuffle(operations)
    await node_peer.run(RUN_OPERATIONS, bee="bee", ops=[["batch", operations]])
    port = (await node_peer("listen"))["port"]

    async def blocks_for(read: Any) -> int:
        reader = await Peer.open(None)
        await reader.connect("127.0.0.1", port)
        bee = reader.bee(key=info["key"])
        await asyncio.wait_for(bee.update(wait=True), 60)
        await asyncio.wait_for(read(bee), 60)
        blocks = sum(remote.blocks_received for remote in bee.core.peers)
        await reader.close()
        return blocks

    async def get(bee: Hyperbee) -> None:
        entry = await bee.get("02500")
        assert entry is not None
        assert entry.value == {"title": "Film 2500"}
        assert await bee.get("02500x") is None

    async def page(bee: Hyperbee) -> None:
        assert [entry["key"] for entry in await listed(bee, gt="01000", limit=20)] == [
            f"{number:05d}" for number in range(1_001, 1_021)
        ]

    async def bounded(bee: Hyperbee) -> None:
        assert len(await listed(bee, gte="01000", lte="01009", reverse=True)) == 10

    async def changes(bee: Hyperbee) -> None:
        assert [left and left.key async for left, _ in bee.diff(bee.version, limit=5)] == []

    assert await blocks_for(get) <= 30
    assert await blocks_for(page) <= 20 + 30
    assert await blocks_for(bounded) <= 10 + 30
    assert await blocks_for(changes) <= 1


async def test_a_live_bee_is_followed(node_peer: NodePeer, tmp_path: Path) -> None:
    await node_peer("store.open", dir=str(tmp_path))
    info = await node_peer("core.open", **{"as": "bee", "name": "bee"})
    await node_peer("bee.open", core="bee")
    await node_peer("bee.put", bee="bee", key="a", value=1)
    peer = await Peer.open(None)
    await peer.connect("127.0.0.1", (await node_peer("listen"))["port"])
    bee = peer.bee(key=info["key"])
    await asyncio.wait_for(bee.update(wait=True), 60)
    history = bee.history(live=True)
    watcher = bee.watch(gte="m")
    first = await asyncio.wait_for(anext(history), 60)
    await node_peer("bee.put", bee="bee", key="z", value=2)
    second = await asyncio.wait_for(anext(history), 60)
    current, previous = await asyncio.wait_for(anext(watcher), 60)
    await node_peer("bee.del", bee="bee", key="a")
    third = await asyncio.wait_for(anext(history), 60)
    assert [tuple(operation)[:3] for operation in (first, second, third)] == [
        ("put", 1, "a"),
        ("put", 2, "z"),
        ("del", 3, "a"),
    ]
    assert [entry["key"] for entry in await listed(current)] == ["a", "z"]
    assert [entry["key"] for entry in await listed(previous)] == ["a"]
    await watcher.close()
    await peer.close()


MAKE_JSON = """
  let seed = args.seed
  const next = () => { seed = (seed * 1664525 + 1013904223) >>> 0; return seed }
  const double = () => {
    const view = new DataView(new ArrayBuffer(8))
    view.setUint32(0, next()); view.setUint32(4, next())
    return view.getFloat64(0)
  }
  const decimal = () => (next() - 2 ** 31) / 10 ** (next() % 30) * 10 ** (next() % 30)
  const text = () => String.fromCharCode(...Array.from({ length: next() % 6 }, () => next() % 65536))
  const value = (depth) => {
    const kind = (next() >>> 8) % (depth > 3 ? 6 : 8)
    if (kind === 0) return double()
    if (kind === 1) return decimal()
    if (kind === 2) return Math.trunc(decimal())
    if (kind === 3) return text()
    if (kind === 4) return (next() >>> 8) % 2 === 0
    if (kind === 5) return null
    const items = Array.from({ length: next() % 5 }, () => value(depth + 1))
    return kind === 6 ? items : Object.fromEntries(items.map((item, i) => [i % 2 ? text() : String(next() % 50), item]))
  }
  return Array.from({ length: args.count }, () => Buffer.from(JSON.stringify(value(0))).toString('hex'))
"""


async def test_json_of_both_sides_is_the_same(node_peer: NodePeer) -> None:
    texts = [bytes.fromhex(text) for text in await node_peer.run(MAKE_JSON, seed=42, count=3_000)]
    changed = [text for text in texts if dumps(loads(text)) != text]
    assert changed == []
    floats = [loads(text) for text in texts if isinstance(loads(text), float)]
    assert len(floats) > 300
    back = await node_peer.run("return args.values.map((v) => JSON.stringify(v))", values=floats)
    assert back == [dumps(value).decode() for value in floats]


async def test_encodings_of_both_sides_are_the_same(node_peer: NodePeer) -> None:
    texts = ["", "abc", "é\u0141ÿ", "😀", "00ff", "QUJD", "QUI=", "_-8", "a\u0000b"]
    for name, node_name in (("utf-8", "utf-8"), ("ascii", "latin1"), ("ucs2", "ucs2"), ("base64", "base64")):
        chosen = [text for text in texts if name != "base64" or text.isascii()]
        if name == "base64":
            chosen = ["", "QUJD", "QUI=", "QUI", "_-8"]
        expected = await node_peer.run(
            "return args.texts.map((t) => Buffer.from(t, args.name).toString('hex'))",
            texts=chosen,
            name=node_name,
        )
        assert [resolve(name).encode(text).hex() for text in chosen] == expected, name
    data = [bytes(range(start, start + 16)) for start in range(0, 256, 16)]
    for name in ("utf-8", "ascii", "hex", "base64", "ucs2"):
        expected = await node_peer.run(
            "return args.data.map((d) => Buffer.from(d, 'hex').toString(args.name))",
            data=[item.hex() for item in data],
            name=name,
        )
        assert [resolve(name).decode(item) for item in data] == expected, name
