"""Logs of one primary key, in Node and in Python: the same operations give the same logs, and each reads the other's.

No step here needs luck: both sides are writers of the same named core in stores of their own, so after every
step key, length, fork, tree hash and signature must be equal, byte for byte.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from core.crypto.keys import key_pair
from core.hypercore import Hypercore
from core.peer import Peer
from tests.support.node import NodePeer

pytestmark = [pytest.mark.anyio, pytest.mark.interop]

PRIMARY_KEY = bytes([9]) * 32
ENCRYPTION_KEY = bytes([8]) * 32
SEED = bytes([7]) * 32


@pytest.fixture
async def peer() -> AsyncIterator[Peer]:
    opened = await Peer.open(None, primary_key=PRIMARY_KEY)
    yield opened
    await opened.close()


async def open_node_store(node: NodePeer, directory: Path) -> None:
    answer = await node("store.open", dir=str(directory / "node"), primaryKey=PRIMARY_KEY.hex())
    assert answer["primaryKey"] == PRIMARY_KEY.hex()


def same(core: Hypercore, theirs: dict[str, Any]) -> None:
    ours = {
        "key": core.key.hex(),
        "discoveryKey": core.discovery_key.hex(),
        "length": core.length,
        "byteLength": core.byte_length,
        "fork": core.fork,
        "contiguousLength": core.contiguous_length,
        "writable": core.writable,
        "treeHash": core.tree_hash().hex(),
        "signature": None if core.log.signature is None else core.log.signature.hex(),
    }
    assert ours == {name: theirs[name] for name in ours}


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("encrypted", [False, True], ids=["plain", "encrypted"])
async def test_the_same_operations_give_the_same_log(
    seed: int, encrypted: bool, node_peer: NodePeer, peer: Peer, tmp_path: Path
) -> None:
    chance = random.Random(seed)
    await open_node_store(node_peer, tmp_path)
    options = {"encryptionKey": ENCRYPTION_KEY.hex()} if encrypted else {}
    info = await node_peer("core.open", **{"as": "log", "name": f"log {seed}"}, **options)
    core = peer.core(name=f"log {seed}", encryption_key=ENCRYPTION_KEY if encrypted else None)
    same(core, info)
    for _ in range(40):
        kind = chance.choice(["append", "append", "append", "truncate"])
        if kind == "append":
            blocks = [chance.randbytes(chance.choice([0, 1, 30, 300])) for _ in range(chance.randrange(1, 9))]
            result = await core.append(blocks)
            theirs = await node_peer("core.append", core="log", blocks=[block.hex() for block in blocks])
            # The official result counts the padding of encrypted blocks, unlike its own `byteLength` property.
            padding = core.padding * core.length
            assert (result.length, result.byte_length + padding) == (theirs["length"], theirs["byteLength"])
        elif kind == "truncate" and core.length:
            length = chance.randrange(core.length)
            fork = core.fork + chance.choice([1, 1, 3])
            await core.truncate(length, fork=fork)
            await node_peer("core.truncate", core="log", length=length, fork=fork)
        same(core, await node_peer("core.info", core="log"))
    stored = [await core.get(index, decrypt=False) for index in range(core.length)]
    assert [block.hex() for block in stored if block] == [
        block for block in await node_peer("core.blocks", core="log") if block
    ]
    for byte in range(0, core.byte_length, max(1, core.byte_length // 20)):
        assert list(await core.seek(byte) or ()) == await node_peer("core.seek", core="log", bytes=byte)


CLEAR = """
const core = state.cores.get('log')
await core.clear(args.start, args.end)
const held = []
for (let i = 0; i < core.length; i++) held.push(await core.has(i))
return { held, contiguousLength: core.contiguousLength }
"""


@pytest.mark.parametrize("seed", range(2))
async def test_clearing_leaves_the_same_blocks(
    seed: int, node_peer: NodePeer, peer: Peer, tmp_path: Path
) -> None:
    """Only what is held: the official core also drops tree nodes, roots among them, which ours keeps."""
    chance = random.Random(seed)
    await open_node_store(node_peer, tmp_path)
    await node_peer("core.open", **{"as": "log", "name": "log"})
    core = peer.core(name="log")
    blocks = [b"%d" % index for index in range(60)]
    await core.append(blocks)
    await node_peer("core.append", core="log", blocks=[block.hex() for block in blocks])
    for _ in range(10):
        start = chance.randrange(60)
        end = chance.randrange(start, min(60, start + 9)) + 1
        await core.clear(start, end)
        theirs = await node_peer.run(CLEAR, start=start, end=end)
        assert [core.has(index) for index in range(60)] == theirs["held"]
        assert core.contiguous_length == theirs["contiguousLength"]


@pytest.mark.parametrize(
    ("writer", "kind"),
    [
        ("python", "plain"),
        ("python", "encrypted"),
        ("python", "compat"),
        # Not python with "compat encrypted": the official reader derives another block key for a compat log that
        # it learns of from the network, and cannot read it.
        ("node", "plain"),
        ("node", "encrypted"),
        ("node", "compat"),
        ("node", "compat encrypted"),
    ],
)
async def test_each_reads_what_the_other_wrote(
    writer: str, kind: str, node_peer: NodePeer, peer: Peer, tmp_path: Path
) -> None:
    """The reader knows nothing but the key (and the encryption key)."""
    await node_peer("store.open", dir=str(tmp_path / "node"))
    port = (await node_peer("listen"))["port"]
    blocks = [b"block %d" % index for index in range(30)]
    encryption_key = ENCRYPTION_KEY if "encrypted" in kind else None
    node_options = {} if encryption_key is None else {"encryptionKey": encryption_key.hex()}
    if writer == "python":
        pair = key_pair(SEED)
        core = peer.core(key_pair=pair, compat="compat" in kind, encryption_key=encryption_key)
        await core.append(blocks)
        await node_peer("core.open", **{"as": "log", "key": core.key.hex()}, **node_options)
        await peer.connect("127.0.0.1", port)
        seen = [await node_peer("core.get", core="log", index=index) for index in (0, 29, 7)]
        assert seen == [blocks[index].hex() for index in (0, 29, 7)]
        position = await node_peer("core.seek", core="log", bytes=100)
    else:
        named = (
            "{ key: keyPair.publicKey, keyPair, encryption }"
            if "compat" in kind
            else "{ keyPair, encryption }"
        )
        encryption = "{ key: Buffer.from(args.encryption, 'hex') }" if encryption_key else "undefined"
        key = await node_peer.run(
            f"""
            const keyPair = packages.crypto.keyPair(Buffer.from(args.seed, 'hex'))
            const encryption = {encryption}
            const core = state.store.get({named})
            await core.ready()
            await core.append(args.blocks.map((block) => Buffer.from(block, 'hex')))
            state.cores.set('log', core)
            return core.key.toString('hex')
            """,
            seed=SEED.hex(),
            encryption=None if encryption_key is None else encryption_key.hex(),
            blocks=[block.hex() for block in blocks],
        )
        core = peer.core(key=key, encryption_key=encryption_key)
        await peer.connect("127.0.0.1", port)
        assert [await core.get(index, timeout=60) for index in (0, 29, 7)] == [blocks[i] for i in (0, 29, 7)]
        position = list(await core.seek(100, timeout=60) or ())
    assert core.log.compat == ("compat" in kind)
    content, index = 100, 0
    while content >= len(blocks[index]):
        content -= len(blocks[index])
        index += 1
    assert position == [index, content]
