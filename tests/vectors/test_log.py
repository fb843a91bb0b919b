"""Logs in a store give the trees, signatures and keys of the official packages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from core.corestore import Corestore
from core.crypto.keys import key_pair
from core.encoding.z32 import key_to_id
from core.hypercore.manifest import decode_manifest, encode_manifest
from tests.support.logs import new_log
from tests.support.stores import KINDS, StoreOnDemand
from tests.support.trees import fixture_block
from tests.support.vectors import load_vectors

MERKLE = load_vectors("log/merkle-33")
CREATED = load_vectors("log/manifests")["created"]
NAMED = load_vectors("log/crypto")["corestore"]
ENCRYPTED = [case for case in load_vectors("log/crypto")["encryption"] if not case["compat"]]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("step", [1, 5, 33])
def test_every_length_of_the_tree(kind: str, step: int, tmp_path: Path) -> None:
    """Appended one by one, in groups, and at once, with a commit after each append."""
    store = StoreOnDemand(kind, tmp_path)
    log = new_log(store.storage)
    by_length = {case["length"]: case for case in MERKLE["lengths"]}
    assert log.key.hex() == MERKLE["key"]
    while log.length < 33:
        blocks = [fixture_block(index) for index in range(log.length, min(33, log.length + step))]
        log.append(blocks)
        log.commit.now()
        case = by_length[log.length]
        assert log.byte_length == case["byteLength"]
        assert [index for index, _, _ in log.roots] == case["roots"]
        assert log.tree_hash().hex() == case["treeHash"]
        assert log.signature is not None
        assert log.signature.hex() == case["signature"]
    for node in MERKLE["nodes"]:
        assert log.node(node["index"]) == (node["index"], node["size"], bytes.fromhex(node["hash"]))
    for length, case in by_length.items():
        assert log.tree_hash(length).hex() == case["treeHash"]
    store.storage.close()


@pytest.mark.anyio
@pytest.mark.parametrize("case", CREATED, ids=lambda case: case["call"])
async def test_what_constructors_write(case: dict[str, Any]) -> None:
    pair = key_pair(bytes([1]) * 32)
    async with Corestore() as store:
        if "read only" in case["call"]:
            core = store.get(case["key"])
        elif "v0" in case["call"]:
            core = store.get(manifest=decode_manifest(bytes.fromhex(case["manifest"]))[0], key_pair=pair)
        else:
            core = store.get(key_pair=pair, compat="compat: true" in case["call"])
        assert core.key.hex() == case["key"]
        assert core.writable == case["writable"]
        assert core.log.compat == case["compat"]
        manifest = None if core.manifest is None else encode_manifest(core.manifest).hex()
        assert manifest == case["manifest"]
        if case["signatureAtLength1"] is not None:
            await core.append(b"hello")
            assert core.log.signature is not None
            assert core.log.signature.hex() == case["signatureAtLength1"]


@pytest.mark.anyio
@pytest.mark.parametrize("case", NAMED, ids=lambda case: "/".join([*case["namespacePath"], case["name"]]))
async def test_named_cores_are_derived_as_in_corestore(case: dict[str, Any]) -> None:
    async with Corestore(primary_key=bytes.fromhex(case["primaryKey"])) as root:
        store = root
        for name in case["namespacePath"]:
            store = store.namespace(name)
        pair = store.create_key_pair(case["name"])
        assert (pair.public_key.hex(), pair.secret_key.hex()) == (case["publicKey"], case["secretKey"])
        core = store.get(name=case["name"])
        assert core.key.hex() == case["coreKey"]
        assert core.discovery_key.hex() == case["discoveryKey"]
        assert core.id == case["id"] == key_to_id(core.key)
        assert core.manifest is not None
        assert encode_manifest(core.manifest).hex() == case["manifest"]
        assert (core.writable, core.log.compat) == (case["writable"], case["compat"])
        [entry] = store.list(all_namespaces=False)
        assert entry.alias is not None
        assert (entry.alias.namespace.hex(), entry.alias.name) == (case["namespace"], case["name"])


@pytest.mark.anyio
@pytest.mark.parametrize("case", ENCRYPTED, ids=lambda case: f"{case['index']}-{case['fork']}")
async def test_encrypted_blocks_are_stored_as_in_hypercore(case: dict[str, Any]) -> None:
    """With the block key of the vector, through a log that reached the vector's index and fork."""
    async with Corestore() as store:
        core = store.get(name="x", encryption_key=bytes.fromhex(case["blockKey"]), is_block_key=True)
        await core.append([b"before"] * case["index"])
        if case["fork"]:
            await core.truncate(case["index"], fork=case["fork"])
        await core.append(bytes.fromhex(case["plaintext"]))
        stored = await core.get(case["index"], decrypt=False)
        assert stored is not None
        assert stored.hex() == case["stored"]
        assert core.block_if_local(case["index"]) == bytes.fromhex(case["plaintext"])
