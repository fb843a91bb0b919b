"""Proof files before three judges: Python, the page's JavaScript, and the official hypercore and hyperbee."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from core.errors import RemoteProtocolError
from core.peer import Finding, Peer, check_file, encode_file, prove_lookup, prove_record
from tests.conftest import skip_or_fail
from tests.support.evidence import a_bee, conflict, files_of, spoiled
from tests.support.node import NodeError, NodePeer, why_node_is_missing

pytestmark = [pytest.mark.anyio, pytest.mark.interop]

WRITE = """
const { Hyperbee, crypto } = packages
const pair = crypto.keyPair()
const signers = [{ signature: 'ed25519', publicKey: pair.publicKey }]
const options = {
  compat: { keyPair: pair, compat: true },
  'version 0': { keyPair: pair, manifest: { version: 0, hash: 'blake2b', signers } },
  'version 1': { keyPair: pair, manifest: { version: 1, hash: 'blake2b', signers } },
  truncated: { keyPair: pair }
}
const core = state.store.get(options[args.kind])
const bee = new Hyperbee(core, { keyEncoding: 'utf-8', valueEncoding: 'json' })
await bee.ready()
for (let n = 0; n < 20; n++) await bee.put('post/' + n, { text: 'from Node ' + n })
if (args.kind === 'truncated') {
  await core.truncate(15)
  await bee.put('post/again', { text: 'after the truncation' })
}
state.cores.set('kept' + args.number, core)
return { key: core.key.toString('hex'), length: core.length, fork: core.fork }
"""


@pytest.fixture
async def judge() -> AsyncIterator[NodePeer]:
    skip_or_fail(why_node_is_missing())
    async with await NodePeer.start("proof.js") as node:
        yield node


@pytest.fixture
async def bee() -> AsyncIterator[Any]:
    peer = await Peer.open(None)
    try:
        yield await a_bee(peer)
    finally:
        await peer.close()


async def ask(judge: NodePeer, who: str, data: bytes) -> Any:
    """The judge's finding, None when it accepts nothing."""
    try:
        return await judge(who, file=base64.b64encode(data).decode())
    except NodeError:
        return None


def as_json(found: Finding) -> dict[str, Any]:
    return {
        "kind": int(found.kind), "key": found.key.hex(), "subject": found.subject.hex(), "fork": found.fork,
        "length": found.length, "atLength": found.at_length, "atHash": found.at_hash.hex(),
        "otherHash": None if found.other_hash is None else found.other_hash.hex(),
        "versions": [
            {"seq": version.seq, "value": None if version.value is None else version.value.hex()}
            for version in found.versions
        ],
    }  # fmt: skip


def ours(data: bytes) -> dict[str, Any] | None:
    try:
        return as_json(check_file(data))
    except RemoteProtocolError:
        return None


async def test_all_three_find_the_same(judge: NodePeer, bee: Any) -> None:
    for name, file in (await files_of(bee)).items():
        data = encode_file(file)
        mine = ours(data)
        assert mine is not None, name
        assert await ask(judge, "ours", data) == mine, name
        theirs = await ask(judge, "official", data)
        assert theirs is not None, name
        assert (theirs["key"], theirs["length"], theirs["fork"]) == (
            mine["key"],
            mine["length"],
            mine["fork"],
        )
        assert theirs["treeHash"] == bee.core.tree_hash().hex()
        assert theirs["versions"] == mine["versions"], name


async def test_evidence_of_two_trees(judge: NodePeer) -> None:
    data = encode_file(await conflict())
    mine = ours(data)
    assert mine is not None
    assert await ask(judge, "ours", data) == mine
    trees = (await ask(judge, "official", data))["trees"]
    assert trees[0] != trees[1]
    assert trees[0] == {
        "length": 3,
        "hash": mine["atHash"],
    }  # the second one goes on to the length it was signed at


async def test_spoiled_files(judge: NodePeer, bee: Any) -> None:
    """The page and Python agree on every one, and neither takes what the official packages refuse."""
    files = {**(await files_of(bee)), "conflict": await conflict()}
    refused = 0
    for number, file in enumerate(files.values()):
        for data in spoiled(file, 100 + number, 20):
            mine = ours(data)
            assert await ask(judge, "ours", data) == mine
            if mine is not None:
                assert await ask(judge, "official", data) is not None
            elif await ask(judge, "official", data) is None:
                refused += 1
    assert refused > 80  # most of what is wrong is wrong for the official packages too


async def test_logs_of_every_kind_that_node_writes(judge: NodePeer, tmp_path: Path, node_peer: Any) -> None:
    """Signed by the official packages: a compat log, manifests of version 0 and 1, a truncated log."""
    await node_peer("store.open", dir=str(tmp_path / "node"))
    peer = await Peer.open(None)
    port = (await node_peer("listen"))["port"]
    try:
        for number, kind in enumerate(("compat", "version 0", "version 1", "truncated")):
            made = await node_peer.run(WRITE, number=number, kind=kind)
            bee = peer.bee(key=made["key"], key_encoding="binary", value_encoding="binary", extension=False)
            if not peer.connections:
                await peer.connect("127.0.0.1", port)
            while bee.core.length != made["length"] or bee.core.fork != made["fork"]:
                await bee.core.update(wait=True, timeout=60)
            await bee.core.get(5, timeout=60)
            files = (prove_record(bee.core, 5), await prove_lookup(bee.core, b"post/3", timeout=60))
            for file in files:
                data = encode_file(file)
                mine = ours(data)
                assert mine is not None, kind
                assert (mine["length"], mine["fork"]) == (made["length"], made["fork"]), kind
                assert await ask(judge, "ours", data) == mine, kind
                if made["fork"] == 0:  # the packages take another fork only into a log that they hold already
                    theirs = await ask(judge, "official", data)
                    assert theirs is not None, kind
                    assert theirs["versions"] == mine["versions"], kind
                for wrong in spoiled(file, number, 15):
                    assert await ask(judge, "ours", wrong) == ours(wrong), kind
    finally:
        await peer.close()
