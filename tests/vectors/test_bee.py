"""Every vector of `bee/`: the blocks that our write rules give, and what our readers find in them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from core.corestore import Corestore
from core.hyperbee import Entry, Hyperbee, Metadata
from core.hyperbee.node import (
    decode_header,
    decode_level,
    decode_levels,
    encode_block,
    encode_header,
    encode_level,
    parse_block,
)

DIRECTORY = Path(__file__).parent / "bee"
OPERATION_FILES = sorted(
    path.stem
    for path in DIRECTORY.glob("*.json")
    if path.stem not in {"codec", "fuzz-1", "fuzz-2", "streams", "sub", "binary-keys", "json-values"}
)

pytestmark = pytest.mark.anyio


def load(name: str) -> Any:
    return json.loads((DIRECTORY / f"{name}.json").read_text())


@pytest.fixture
async def store() -> AsyncIterator[Corestore]:
    store = Corestore(None)
    yield store
    await store.close()


async def run(target: Any, operations: list[list[Any]]) -> None:
    """The vocabulary of the vectors, see section 14 of the protocol text."""
    for verb, *arguments in operations:
        if verb == "put":
            await target.put(arguments[0], arguments[1])
        elif verb == "del":
            await target.delete(arguments[0])
        elif verb == "get":
            await target.get(arguments[0])
        elif verb == "putcas":
            allowed = arguments[2]
            await target.put(arguments[0], arguments[1], cas=lambda *_, allowed=allowed: allowed)
        elif verb == "delcas":
            allowed = arguments[1]
            await target.delete(arguments[0], cas=lambda *_, allowed=allowed: allowed)
        elif verb == "batch":
            async with target.batch() as batch:
                await run(batch, arguments[0])
        else:
            raise AssertionError(f"the vectors have a verb {verb} that this test does not know")


def blocks_of(bee: Hyperbee) -> list[str]:
    return [(bee.core.block_if_local(index) or b"?").hex() for index in range(bee.core.length)]


def open_bee(store: Corestore, name: str, case: dict[str, Any]) -> Hyperbee:
    return Hyperbee(
        store.get(name=name),
        key_encoding="utf-8",
        value_encoding="utf-8",
        always_duplicate=case.get("options", case).get("alwaysDuplicate", True),
    )


@pytest.mark.parametrize("name", OPERATION_FILES)
async def test_operations_give_the_blocks_of_the_reference(store: Corestore, name: str) -> None:
    case = load(name)
    bee = open_bee(store, name, case)
    await run(bee, case["ops"])
    assert blocks_of(bee) == case["blocks"]
    assert bee.core.length == case["length"]
    assert bee.core.tree_hash().hex() == case["treeHash"]
    assert [[key, value, seq] async for seq, key, value in bee.range()] == case["entries"]


@pytest.mark.parametrize("name", ["fuzz-1", "fuzz-2"])
async def test_random_sequences_give_the_trees_of_the_reference(store: Corestore, name: str) -> None:
    for number, case in enumerate(load(name)["cases"]):
        bee = open_bee(store, f"{name}-{number}", case)
        await run(bee, case["ops"])
        facts = (bee.core.length, bee.core.byte_length, bee.core.tree_hash().hex())
        assert facts == (case["length"], case["byteLength"], case["treeHash"]), f"case {number}"


async def test_binary_keys(store: Corestore) -> None:
    case = load("binary-keys")
    bee = Hyperbee(store.get(name="binary"))
    for verb, key, *value in case["ops"]:
        if verb == "put":
            await bee.put(bytes.fromhex(key), bytes.fromhex(value[0]))
        else:
            await bee.delete(bytes.fromhex(key))
    assert blocks_of(bee) == case["blocks"]
    assert bee.core.tree_hash().hex() == case["treeHash"]
    if "order" in case:
        assert [entry.key.hex() async for entry in bee.range()] == case["order"]


async def test_json_values(store: Corestore) -> None:
    case = load("json-values")
    bee = Hyperbee(store.get(name="json"), key_encoding="utf-8", value_encoding="json")
    await run(bee, case["ops"])
    assert blocks_of(bee) == case["blocks"]
    assert [entry._asdict() async for entry in bee.range()] == case["read"]


async def test_codec() -> None:
    case = load("codec")
    for header in case["headers"]:
        given = header["metadata"]
        metadata = None
        if given is not None:
            content, user = given.get("contentFeed"), given.get("userData")
            metadata = Metadata(
                None if content is None else bytes.fromhex(content),
                None if user is None else bytes.fromhex(user),
            )
        block = bytes.fromhex(header["header"])
        assert encode_header(metadata) == block
        decoded = decode_header(block)
        assert decoded.protocol == header["decoded"]["protocol"]
        assert decoded.metadata == metadata
    for index in case["yoloIndex"]:
        levels = [(level["keys"], level["children"]) for level in index["yoloIndex"]["levels"]]
        data = bytes.fromhex(index["hex"])
        assert b"".join(encode_level(keys, children) for keys, children in levels) == data
        if all(not children or len(children) == 2 * len(keys) + 2 for keys, children in levels):
            assert decode_levels(data, 0, len(data)) == levels
            assert [decode_level(data, 0, len(data), number) for number in range(len(levels))] == levels
    for node in case["nodes"]:
        index, key = bytes.fromhex(node["node"]["index"]), bytes.fromhex(node["node"]["key"])
        value = None if node["node"]["value"] is None else bytes.fromhex(node["node"]["value"])
        block = bytes.fromhex(node["hex"])
        assert encode_block(index, key, value) == block
        start, end, *rest = parse_block(block)
        assert (block[start:end], *rest) == (index, key, value)


async def test_subs(store: Corestore) -> None:
    case = load("sub")
    root = Hyperbee(store.get(name="sub"), key_encoding="utf-8", value_encoding="utf-8")
    x = root.sub("x")
    bees = {
        "root": root,
        "x": x,
        "y": root.sub("y"),
        "x.inner": x.sub("inner", value_encoding="json"),
        "c!": root.sub("c", sep="!"),
    }
    assert {name: bee.prefix.hex() for name, bee in bees.items() if bee.prefix} == case["prefixes"]
    for name, *operation in case["ops"]:
        await run(bees[name], [operation])
    assert blocks_of(root) == case["blocks"]

    async def listed(bee: Hyperbee, **options: Any) -> list[list[Any]]:
        return [[key, value, seq] async for seq, key, value in bee.range(**options)]

    assert await listed(root) == case["root"]
    assert await listed(x) == case["x"]
    assert await listed(x, reverse=True) == case["x_reverse"]
    assert await listed(x, gte="") == case["x_gte_empty"]
    assert await listed(x, lt="b") == case["x_lt_b"]
    assert await listed(bees["y"]) == case["y"]
    assert await listed(bees["x.inner"]) == case["inner"]
    assert await listed(bees["c!"]) == case["custom"]
    assert await x.get("a") == Entry(**case["x_get_a"])
    assert await x.get("") == Entry(**case["x_get_empty"])


def shape(entry: Entry | None) -> Any:
    return None if entry is None else [entry.key, entry.seq]


async def test_streams(store: Corestore) -> None:
    case = load("streams")
    bee = Hyperbee(store.get(name="streams"), key_encoding="utf-8", value_encoding="utf-8")
    await run(bee, case["ops"])
    assert blocks_of(bee) == case["blocks"]
    assert bee.version == case["version"]
    for get in case["gets"]:
        found = await bee.get(get["key"])
        assert found == (None if get["result"] is None else Entry(**get["result"]))
    for ranged in case["ranges"]:
        assert [shape(entry) async for entry in bee.range(**ranged["opts"])] == ranged["result"], ranged
    for peek in case["peeks"]:
        found = await bee.peek(**peek["opts"])
        assert found == (None if peek["result"] is None else Entry(**peek["result"]))
    for history in case["history"]:
        options = dict(history["opts"])
        if "since" in options:
            options["gte"] = options.pop("since")
        if "end" in options:
            options["lt"] = options.pop("end")
        assert [list(operation) async for operation in bee.history(**options)] == history["result"], history
    for diff in case["diffs"]:
        left = bee if diff["left"] is None else bee.checkout(diff["left"])
        found = [[shape(a), shape(b)] async for a, b in left.diff(diff["right"], **diff["opts"])]
        assert found == diff["result"], diff
    for by_seq in case["bySeq"]:
        entry = await bee.get_by_seq(by_seq["seq"])
        assert {"key": entry.key, "value": entry.value} == by_seq["result"]
    for checkout in case["checkouts"]:
        view = bee.checkout(checkout["version"])
        assert view.version == checkout["reported"]
        entries = [entry async for entry in view.range()]
        assert len(entries) == checkout["count"]
        assert (entries[0] if entries else None) == (
            None if checkout["first"] is None else Entry(**checkout["first"])
        )
        found = await view.get("k020")
        assert found == (None if checkout["k020"] is None else Entry(**checkout["k020"]))
        await view.close()
