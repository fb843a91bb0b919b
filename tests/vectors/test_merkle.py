"""The tree of 33 blocks: every node, and at every length roots, tree hash and signature."""

from __future__ import annotations

import pytest

from core.crypto.hashing import tree_hash
from core.hypercore.manifest import decode_manifest, manifest_key
from core.hypercore.merkle import GrowingTree, roots_at
from core.hypercore.signatures import verify_signature
from tests.support.trees import WriterTree, fixture_block, fixture_writer
from tests.support.vectors import load_vectors

VECTORS = load_vectors("log/merkle-33")


def test_blocks_are_the_ones_of_the_vectors() -> None:
    assert [fixture_block(case["index"]).hex() for case in VECTORS["blocks"]] == [
        case["value"] for case in VECTORS["blocks"]
    ]


def test_manifest_and_key() -> None:
    manifest, _ = decode_manifest(bytes.fromhex(VECTORS["manifest"]))
    assert manifest == fixture_writer(0).manifest
    assert manifest_key(manifest).hex() == VECTORS["key"]


def test_every_node() -> None:
    nodes = fixture_writer(33).nodes
    expected = {case["index"]: (case["index"], case["size"], case["hash"]) for case in VECTORS["nodes"]}
    assert {index: (i, size, digest.hex()) for index, (i, size, digest) in nodes.items()} == expected


@pytest.mark.parametrize("case", VECTORS["lengths"], ids=lambda case: case["length"])
def test_head_of_every_length(case: dict) -> None:
    writer = WriterTree()
    for index in range(case["length"]):
        writer.append([fixture_block(index)])
    assert writer.byte_length == case["byteLength"]
    assert [index for index, _, _ in writer.roots] == case["roots"]
    assert tree_hash(writer.roots).hex() == case["treeHash"]
    assert writer.signature is not None
    assert writer.signature.hex() == case["signature"]
    assert verify_signature(
        writer.manifest, writer.key, writer.roots, writer.length, writer.fork, writer.signature
    )


@pytest.mark.parametrize("case", VECTORS["lengths"], ids=lambda case: case["length"])
def test_earlier_roots_and_pushing_give_the_same_tree(case: dict) -> None:
    full = fixture_writer(33)
    roots = roots_at(full, case["length"])
    growing = GrowingTree()
    for index in range(case["length"]):
        growing.push(full.nodes[2 * index])
    assert growing.roots == roots
    assert tree_hash(roots).hex() == case["treeHash"]
