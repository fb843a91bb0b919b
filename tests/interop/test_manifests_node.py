"""Logs of every manifest version, written on one side and read on the other by key alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from core.crypto.keys import key_pair
from core.hypercore.manifest import Prologue, Signer, create_manifest, encode_manifest
from core.peer import Peer
from tests.support.node import NodePeer

pytestmark = [pytest.mark.anyio, pytest.mark.interop]

PAIR = key_pair(bytes([6]) * 32)
BLOCKS = [b"block %d" % number for number in range(12)]
LINKED = bytes([3]) * 32

OPEN = """
  const keyPair = packages.crypto.keyPair(Buffer.from(args.seed, 'hex'))
  const manifest = {
    version: args.version, quorum: 1, allowPatch: false,
    signers: [{ signature: 'ed25519', publicKey: keyPair.publicKey }]
  }
  if (args.userData) manifest.userData = Buffer.from(args.userData, 'hex')
  if (args.prologue) manifest.prologue = { length: args.prologue, hash: Buffer.from(args.hash, 'hex') }
  if (args.linked) manifest.linked = [Buffer.from(args.linked, 'hex')]
  const core = state.store.get({ keyPair, manifest })
  await core.ready()
  await core.append(args.blocks.map((block) => Buffer.from(block, 'hex')))
  state.cores.set('log', core)
  const hex = (bytes) => bytes.toString('hex')
  return { key: hex(core.key), version: core.manifest.version, treeHash: hex(await core.treeHash()) }
"""

CASES = {
    "v0": {"version": 0},
    "v1": {"version": 1},
    "v1 with fixed first blocks": {"version": 1, "prologue": 3},
    "v2 with user data": {"version": 2, "userData": b"words".hex()},
    "v3 with a linked log": {"version": 3, "linked": LINKED.hex()},
}


async def first_blocks_hash(length: int) -> bytes:
    """The tree hash of the first blocks, as any log that begins with them has it."""
    peer = await Peer.open(None)
    core = peer.core(name="scratch")
    await core.append(BLOCKS[:length])
    found = core.tree_hash()
    await peer.close()
    return found


def ours(fields: dict[str, Any]) -> Any:
    return create_manifest(
        version=fields["version"],
        signers=[Signer(PAIR.public_key)],
        user_data=bytes.fromhex(fields["userData"]) if "userData" in fields else None,
        prologue=Prologue(bytes.fromhex(fields["hash"]), fields["prologue"])
        if "prologue" in fields
        else None,
        linked=[bytes.fromhex(fields["linked"])] if "linked" in fields else None,
    )


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("writer", ["python", "node"])
async def test_a_log_of_each_version(node_peer: NodePeer, tmp_path: Path, case: str, writer: str) -> None:
    fields: dict[str, Any] = dict(CASES[case])
    if "prologue" in fields:
        fields["hash"] = (await first_blocks_hash(fields["prologue"])).hex()
    await node_peer("store.open", dir=str(tmp_path))
    peer = await Peer.open(None)
    port = (await node_peer("listen"))["port"]
    if writer == "python":
        core = peer.core(key_pair=PAIR, manifest=ours(fields))
        await core.append(BLOCKS)
        await node_peer("core.open", **{"as": "log", "key": core.key.hex()})
        await peer.connect("127.0.0.1", port)
        assert [await node_peer("core.get", core="log", index=index) for index in (0, 11, 5)] == [
            BLOCKS[index].hex() for index in (0, 11, 5)
        ]
        info = await node_peer("core.info", core="log")
        assert (info["treeHash"], info["signature"]) == (
            core.tree_hash().hex(),
            (core.log.signature or b"").hex(),
        )
        learnt = await node_peer.run("return state.cores.get('log').manifest.version")
        assert learnt == fields["version"]
        await core.append(b"one more")
        assert await node_peer("core.get", core="log", index=12) == b"one more".hex()
    else:
        theirs = await node_peer.run(
            OPEN, seed=(bytes([6]) * 32).hex(), blocks=[block.hex() for block in BLOCKS], **fields
        )
        assert theirs["version"] == fields["version"]
        core = peer.core(key=theirs["key"])
        await peer.connect("127.0.0.1", port)
        assert [await core.get(index, timeout=60) for index in (0, 11, 5)] == [
            BLOCKS[index] for index in (0, 11, 5)
        ]
        assert core.tree_hash().hex() == theirs["treeHash"]
        assert core.manifest is not None
        assert encode_manifest(core.manifest) == encode_manifest(ours(fields))
    await peer.close()
