"""Hashes, keys, ids, what is signed, and block encryption, as hypercore and hypercore-crypto compute them."""

from __future__ import annotations

from typing import Any

import pytest

from core.crypto.hashing import discovery_key, leaf_hash, namespaces, parent_hash, tree_hash
from core.crypto.keys import key_pair, sign, verify
from core.encoding.z32 import key_to_id, parse_key
from core.hypercore.encryption import BlockEncryption, derive_block_key
from core.hypercore.manifest import default_manifest, encode_manifest, manifest_key
from core.hypercore.signatures import signable, signable_compat
from tests.support.vectors import load_vectors

VECTORS = load_vectors("log/crypto")


def raw(text: str) -> bytes:
    return bytes.fromhex(text)


@pytest.mark.parametrize("name", VECTORS["namespaces"])
def test_namespaces(name: str) -> None:
    expected = VECTORS["namespaces"][name]
    assert [value.hex() for value in namespaces(name, len(expected))] == expected


@pytest.mark.parametrize("case", VECTORS["keyPairs"], ids=lambda case: case["seed"][:4])
def test_key_pair_and_signature(case: dict[str, str]) -> None:
    pair = key_pair(raw(case["seed"]))
    assert (pair.public_key.hex(), pair.secret_key.hex()) == (case["publicKey"], case["secretKey"])
    signature = sign(b"hello", pair.secret_key)
    assert signature.hex() == case["sign_hello"]
    assert verify(b"hello", signature, pair.public_key)
    assert not verify(b"hellO", signature, pair.public_key)


@pytest.mark.parametrize("case", VECTORS["discoveryKeys"], ids=lambda case: case["key"][:4])
def test_discovery_key_and_id(case: dict[str, str]) -> None:
    key = raw(case["key"])
    assert discovery_key(key).hex() == case["discoveryKey"]
    assert key_to_id(key) == case["id"]
    assert parse_key(case["id"]) == key


@pytest.mark.parametrize("case", VECTORS["leaf"], ids=lambda case: str(len(case["data"]) // 2))
def test_leaf_hash(case: dict[str, str]) -> None:
    assert leaf_hash(raw(case["data"])).hex() == case["hash"]


@pytest.mark.parametrize("case", VECTORS["parent"])
def test_parent_hash(case: dict[str, Any]) -> None:
    left, right, parent = case["left"], case["right"], case["parent"]
    digest = parent_hash(left["size"] + right["size"], raw(left["hash"]), raw(right["hash"]))
    assert digest.hex() == parent["hash"]


@pytest.mark.parametrize("case", VECTORS["tree"], ids=lambda case: str(len(case["roots"])))
def test_tree_hash(case: dict[str, Any]) -> None:
    roots = [(root["index"], root["size"], raw(root["hash"])) for root in case["roots"]]
    assert tree_hash(roots).hex() == case["hash"]


@pytest.mark.parametrize("case", VECTORS["signable"], ids=lambda case: case["kind"])
def test_signable(case: dict[str, Any]) -> None:
    head = raw(case["treeHash"]), case["length"], case["fork"]
    if case["kind"] == "v0/v1":
        assert signable(raw(case["context"]), *head).hex() == case["bytes"]
    elif case["kind"] == "compat":
        assert signable_compat(*head).hex() == case["bytes"]
    else:
        # The form from before signatures had a namespace. We neither write nor accept it; it is known as
        # what it is: the compat form without its first 32 bytes.
        assert signable_compat(*head)[32:].hex() == case["bytes"]


@pytest.mark.parametrize("case", VECTORS["corestore"], ids=lambda case: case["name"])
def test_key_of_a_named_core(case: dict[str, Any]) -> None:
    manifest = default_manifest(raw(case["publicKey"]))
    assert encode_manifest(manifest).hex() == case["manifest"]
    key = manifest_key(manifest)
    assert key.hex() == case["coreKey"]
    assert discovery_key(key).hex() == case["discoveryKey"]
    assert key_to_id(key) == case["id"]


@pytest.mark.parametrize("case", VECTORS["encryption"])
def test_block_encryption(case: dict[str, Any]) -> None:
    block_key = raw(case["encryptionKey"])
    if not case["isBlockKey"]:
        block_key = derive_block_key(block_key, raw(case["coreKey"]), compat=case["compat"])
    assert block_key.hex() == case["blockKey"]
    encryption = BlockEncryption(block_key)
    stored = encryption.encrypt(case["index"], case["fork"], raw(case["plaintext"]))
    assert stored.hex() == case["stored"]
    assert len(stored) == len(raw(case["plaintext"])) + encryption.padding
    assert encryption.decrypt(case["index"], stored) == raw(case["plaintext"])
