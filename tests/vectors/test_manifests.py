"""Manifests and signatures as the official `Verifier` makes and judges them."""

from __future__ import annotations

from typing import Any

import pytest

from core.crypto.hashing import tree_hash
from core.crypto.keys import KeyPair, key_pair
from core.errors import BadArgument
from core.hypercore.manifest import (
    Manifest,
    Prologue,
    Signer,
    create_manifest,
    decode_manifest,
    encode_manifest,
    is_compat,
    manifest_key,
)
from core.hypercore.merkle import append
from core.hypercore.signatures import (
    PartialSignature,
    assemble,
    decode_signatures,
    sign_tree,
    tree_signable,
    verify_signature,
)
from core.hypercore.upgrade import upgrade_nodes
from tests.support.trees import WriterTree
from tests.support.vectors import load_vectors

VECTORS = load_vectors("log/manifests")
BLOCKS = [bytes.fromhex(block["hex"]) for block in VECTORS["treeBlocks"]]
PAIRS = [
    KeyPair(bytes.fromhex(pair["publicKey"]), bytes.fromhex(pair["secretKey"]))
    for pair in VECTORS["keyPairs"]
]
BY_NAME = {case["name"]: case for case in VECTORS["signatures"]}


def manifest_of(encoded: str) -> Manifest:
    return decode_manifest(bytes.fromhex(encoded))[0]


def from_json(fields: dict[str, Any]) -> Manifest:
    """The manifest that the vectors describe in words."""
    signers = [
        Signer(bytes.fromhex(signer["publicKey"]), bytes.fromhex(signer["namespace"]))
        for signer in fields["signers"]
    ]
    prologue = fields["prologue"]
    linked = fields["linked"]
    return create_manifest(
        version=fields["version"],
        allow_patch=fields["allowPatch"],
        quorum=fields["quorum"],
        signers=signers,
        prologue=Prologue(bytes.fromhex(prologue["hash"]), prologue["length"]) if prologue else None,
        linked=[bytes.fromhex(key) for key in linked] if linked else None,
        user_data=bytes.fromhex(fields["userData"]) if fields["userData"] else None,
    )


def test_key_pairs() -> None:
    assert [key_pair(bytes([number + 1]) * 32) for number in range(3)] == PAIRS


@pytest.mark.parametrize("case", VECTORS["manifests"], ids=lambda case: case["name"])
def test_encoding_and_key(case: dict[str, Any]) -> None:
    encoded = bytes.fromhex(case["encoded"])
    manifest, end = decode_manifest(encoded)
    assert end == len(encoded)
    assert manifest == from_json(case["normalized"])
    assert encode_manifest(manifest) == encoded
    assert manifest_key(manifest).hex() == case["key"]


REJECTED: dict[str, dict[str, Any]] = {
    "linked on v1": {"version": 1, "linked": [bytes(32)]},
    "userData on v1": {"version": 1, "user_data": b"x"},
    "quorum too high": {"quorum": 2, "signers": [Signer(bytes(32))]},
    "negative quorum": {"quorum": -1, "signers": [Signer(bytes(32))]},
    "signer without key": {"signers": [Signer(b"")]},
    "prologue with short hash": {"prologue": Prologue(b"short", 1)},
}


def test_every_reject_is_covered() -> None:
    # Our manifests have no field for the hash's name, so there is no way to say a wrong one.
    assert {case["name"] for case in VECTORS["rejects"]} == {*REJECTED, "unknown hash"}


@pytest.mark.parametrize("fields", REJECTED.values(), ids=REJECTED.keys())
def test_rejects(fields: dict[str, Any]) -> None:
    with pytest.raises(BadArgument):
        create_manifest(**fields)


@pytest.mark.parametrize("case", VECTORS["signatures"], ids=lambda case: case["name"])
def test_verification(case: dict[str, Any]) -> None:
    roots, _ = append([], 0, BLOCKS[: case["length"]])
    assert tree_hash(roots).hex() == case["treeHash"]
    manifest, key = manifest_of(case["manifest"]), bytes.fromhex(case["coreKey"])
    signature = bytes.fromhex(case["signature"])
    assert verify_signature(manifest, key, roots, case["length"], case["fork"], signature) is case["verifies"]


@pytest.mark.parametrize(
    "case", [case for case in VECTORS["signatures"] if "signable" in case], ids=lambda case: case["name"]
)
def test_single_signatures_are_the_same_bytes(case: dict[str, Any]) -> None:
    manifest, key = manifest_of(case["manifest"]), bytes.fromhex(case["coreKey"])
    head = bytes.fromhex(case["treeHash"]), case["length"], case["fork"]
    assert tree_signable(manifest, key, *head).hex() == case["signable"]
    assert sign_tree(manifest, key, PAIRS[0], *head).hex() == case["signature"]


def test_two_of_three() -> None:
    case = BY_NAME["v1 2-of-3, signers 0 and 2"]
    manifest, key = manifest_of(case["manifest"]), bytes.fromhex(case["coreKey"])
    head = bytes.fromhex(case["treeHash"]), case["length"], case["fork"]
    parts = [PartialSignature(signer, sign_tree(manifest, key, PAIRS[signer], *head)) for signer in (0, 2)]
    assert assemble(manifest, parts).hex() == case["signature"]


@pytest.mark.parametrize("version", [0, 1])
def test_a_signer_who_is_ahead(version: int) -> None:
    case = BY_NAME[f"v{version} allowPatch: signer 1 signed 3 blocks more"]
    manifest, key = manifest_of(case["manifest"]), bytes.fromhex(case["coreKey"])
    short, long = WriterTree(BLOCKS[:5]), WriterTree(BLOCKS[:8])
    parts = [
        PartialSignature(0, sign_tree(manifest, key, PAIRS[0], tree_hash(short.roots), 5, 0)),
        PartialSignature(
            1,
            sign_tree(manifest, key, PAIRS[1], tree_hash(long.roots), 8, 0),
            patch=3,
            nodes=tuple(long.nodes[index] for index in upgrade_nodes(5, 8)),
        ),
    ]
    container = assemble(manifest, parts)
    assert container.hex() == case["signature"]
    decoded, nodes = decode_signatures(container, version)
    assert [(part.signer, part.signature.hex(), part.patch) for part in decoded] == [
        (part["signer"], part["signature"], patch)
        for part, patch in zip(case["decoded"]["proofs"], (0, 3), strict=True)
    ]
    assert [(i, size, digest.hex()) for i, size, digest in nodes] == [
        (node["index"], node["size"], node["hash"]) for node in case["decoded"]["patch"]
    ]


@pytest.mark.parametrize(
    "case", [case for case in VECTORS["created"] if case["manifest"]], ids=lambda case: case["call"]
)
def test_what_constructors_write(case: dict[str, Any]) -> None:
    manifest, key = manifest_of(case["manifest"]), bytes.fromhex(case["key"])
    assert is_compat(key, manifest) is case["compat"]
    assert case["compat"] or manifest_key(manifest) == key
    signature = bytes.fromhex(case["signatureAtLength1"])
    roots, _ = append([], 0, [b"hello"])
    assert verify_signature(manifest, key, roots, 1, 0, signature)
    assert sign_tree(manifest, key, PAIRS[0], tree_hash(roots), 1, 0) == signature
