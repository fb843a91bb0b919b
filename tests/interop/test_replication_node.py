"""One log replicated between Node and Python: each in both roles, as writer and reader, dialling and dialled.

Steps alternate between the two processes, and after each the reader must have come to hold what the writer
holds: key, length, fork, tree hash.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from core.crypto.keys import key_pair
from core.hypercore import Hypercore
from core.peer import Peer
from tests.support.node import NodePeer
from tests.support.replication import block
from tests.support.waiting import eventually

pytestmark = [pytest.mark.anyio, pytest.mark.interop]

SEED = bytes([7]) * 32
PATIENCE_SECONDS = 60

StartNode = Callable[..., Awaitable[NodePeer]]

roles = pytest.mark.parametrize("python_dials", [True, False], ids=["python dials", "node dials"])


@pytest.fixture
async def peer() -> AsyncIterator[Peer]:
    opened = await Peer.open(None)
    yield opened
    await opened.close()


@pytest.fixture
async def node(node_peer: NodePeer, tmp_path: Path) -> NodePeer:
    await node_peer("store.open", dir=str(tmp_path / "node"))
    return node_peer


async def connect(peer: Peer, node: NodePeer, *, python_dials: bool = True) -> None:
    if python_dials:
        await peer.connect("127.0.0.1", (await node("listen"))["port"])
    else:
        _, port = await peer.listen()
        await node("connect", port=port)


async def agree(core: Hypercore, node: NodePeer, *, contiguous: bool = False) -> None:
    """Wait until both hold the same tree (and, if asked, all of its blocks)."""

    async def same() -> bool:
        theirs = await node("core.info", core="log")
        equal = (core.length, core.fork, core.tree_hash().hex()) == (
            theirs["length"],
            theirs["fork"],
            theirs["treeHash"],
        )
        lengths = (core.contiguous_length, theirs["contiguousLength"])
        return equal and (not contiguous or lengths == (core.length, core.length))

    await eventually(same)


def hexes(blocks: list[bytes]) -> list[str]:
    return [each.hex() for each in blocks]


@roles
async def test_node_writes_and_python_reads(python_dials: bool, peer: Peer, node: NodePeer) -> None:
    info = await node("core.open", **{"as": "log", "name": "log"})
    core = peer.core(key=info["key"])
    await connect(peer, node, python_dials=python_dials)
    await node("core.append", core="log", blocks=hexes([block(index) for index in range(100)]))
    await agree(core, node)
    # Sparse: what is asked for and nothing else.
    assert await core.get(13) == block(13)
    assert await core.get(99) == block(99)
    assert core.peers[0].blocks_received == 2
    assert await core.seek(200) == tuple(await node("core.seek", core="log", bytes=200))
    assert core.peers[0].blocks_received == 2
    # A get beyond the end waits for the block.
    early = asyncio.create_task(core.get(100))
    await asyncio.sleep(0.05)
    await node("core.append", core="log", blocks=hexes([block(100)]))
    assert await early == block(100)
    await core.download(start=0, end=101).done()
    assert core.contiguous_length == 101
    # A truncation below what is held, then other blocks.
    await node("core.truncate", core="log", length=60)
    await node("core.append", core="log", blocks=hexes([b"another %d" % index for index in range(70)]))
    await agree(core, node)
    assert core.contiguous_length == 60
    assert await core.get(60) == b"another 0"
    # A block that the writer clears is not to be had; those beside it are.
    await node("core.clear", core="log", start=80, end=90)
    await eventually(lambda: _has_dropped(core, 80))
    assert await core.get(79) == b"another 19"
    assert await core.get(95) == b"another 35"
    with pytest.raises(TimeoutError):
        await core.get(85, timeout=0.2)
    await agree(core, node)


async def _has_dropped(core: Hypercore, index: int) -> bool:
    return core.peers[0].remote_contiguous_length <= index


@roles
async def test_python_writes_and_node_reads(python_dials: bool, peer: Peer, node: NodePeer) -> None:
    core = peer.core(name="log")
    await core.append([block(index) for index in range(100)])
    await node("core.open", **{"as": "log", "key": core.key.hex()})
    await connect(peer, node, python_dials=python_dials)
    await agree(core, node)
    assert await node("core.get", core="log", index=13) == block(13).hex()
    assert await node("core.get", core="log", index=99) == block(99).hex()
    assert core.peers[0].blocks_sent == 2
    assert tuple(await node("core.seek", core="log", bytes=200)) == await core.seek(200)
    early = asyncio.create_task(node("core.get", core="log", index=100))
    await asyncio.sleep(0.05)
    await core.append(block(100))
    assert await early == block(100).hex()
    await node("core.download", core="log", range={"start": 0, "end": 101})
    await agree(core, node, contiguous=True)
    await core.truncate(60)
    await core.append([b"another %d" % index for index in range(70)])
    await agree(core, node)
    assert (await node("core.info", core="log"))["contiguousLength"] == 60
    await core.clear(80, 90)
    assert await node("core.get", core="log", index=79) == b"another 19".hex()
    assert await node("core.get", core="log", index=95) == b"another 35".hex()
    await agree(core, node)


@pytest.mark.parametrize("seed", range(6))
async def test_alternating_steps(seed: int, peer: Peer, node: NodePeer) -> None:
    """Two logs, one written on each side and read on the other, through one connection that comes and goes."""
    chance = random.Random(seed)
    theirs = await node("core.open", **{"as": "theirs", "name": "theirs"})
    ours = peer.core(name="ours")
    copy = peer.core(key=theirs["key"])
    await node("core.open", **{"as": "ours", "key": ours.key.hex()})
    await connect(peer, node, python_dials=bool(seed % 2))
    forks = 0
    for _ in range(30):
        step = chance.choice(["append", "append", "get", "download", "truncate", "clear", "seek"])
        blocks = [chance.randbytes(chance.randint(0, 40)) for _ in range(chance.randint(1, 8))]
        if step == "append":
            await ours.append(blocks)
            await node("core.append", core="theirs", blocks=hexes(blocks))
        elif step == "truncate" and ours.length > 1:
            length, forks = chance.randint(1, ours.length - 1), forks + 1
            await ours.truncate(length, fork=forks)
            await node("core.truncate", core="theirs", length=length, fork=forks)
            # A reader keeps what it shares; followed by an append both sides are sure to hear of the fork.
        await eventually(lambda: _length_and_fork(node, "ours", ours))
        await eventually(lambda: _length_and_fork(node, "theirs", copy))
        if not ours.length:
            continue
        index = chance.randrange(ours.length)
        if step == "get":
            expected = await ours.get(index)
            assert expected is not None
            assert await node("core.get", core="ours", index=index) == expected.hex()
            assert await copy.get(index, timeout=PATIENCE_SECONDS) == expected
        elif step == "download":
            await node("core.download", core="ours", range={"start": 0, "end": ours.length})
            async with asyncio.timeout(PATIENCE_SECONDS):
                await copy.download(start=0, end=copy.length, linear=chance.random() < 0.5).done()
            assert copy.contiguous_length == copy.length
        elif step == "clear":
            # A reader forgets and asks again. (The official one may lose tree nodes that it needs: not provoked.)
            await copy.clear(index, index + 1)
        elif step == "seek" and ours.byte_length:
            place = chance.randrange(ours.byte_length)
            found = await ours.seek(place)
            assert tuple(await node("core.seek", core="ours", bytes=place)) == found
            assert await copy.seek(place, timeout=PATIENCE_SECONDS) == found
    info = await node("core.info", core="ours")
    assert (ours.tree_hash().hex(), ours.fork) == (info["treeHash"], info["fork"])
    info = await node("core.info", core="theirs")
    assert (copy.tree_hash().hex(), copy.fork) == (info["treeHash"], info["fork"])
    assert (await node("connections"))["lastError"] is None


async def _length_and_fork(node: NodePeer, name: str, core: Hypercore) -> bool:
    info = await node("core.info", core=name)
    return (info["length"], info["fork"]) == (core.length, core.fork)


async def test_a_python_reader_serves_a_node_reader(
    peer: Peer, node: NodePeer, start_node: StartNode, tmp_path: Path
) -> None:
    """Node writes, Python holds a few blocks, and another Node gets them from Python without knowing the writer."""
    info = await node("core.open", **{"as": "log", "name": "log"})
    await node("core.append", core="log", blocks=hexes([block(index) for index in range(60)]))
    core = peer.core(key=info["key"])
    await connect(peer, node)
    for index in (1, 40, 41):
        await core.get(index)
    await node("disconnect")
    other = await start_node()
    await other("store.open", dir=str(tmp_path / "other"))
    await other("core.open", **{"as": "log", "key": info["key"]})
    _, port = await peer.listen()
    await other("connect", port=port)
    for index in (40, 1, 41):
        assert await other("core.get", core="log", index=index) == block(index).hex()
    assert not await other("core.has", core="log", start=2)


@roles
async def test_two_signed_trees_are_a_conflict_on_both_sides(
    python_dials: bool, peer: Peer, node: NodePeer
) -> None:
    core = peer.core(key_pair=key_pair(SEED))
    await core.append([b"one", b"two", b"three"])
    info = await node("core.open", **{"as": "log", "seed": SEED.hex()})
    assert info["key"] == core.key.hex()
    await node("core.append", core="log", blocks=hexes([b"one", b"two", b"other", b"four"]))
    # The official code prints a line of its own about a conflict, where answers to us are printed.
    await node.run(
        "console.log = console.error; state.conflicts = []; "
        "state.cores.get('log').on('conflict', (length, fork) => state.conflicts.push([length, fork]))"
    )
    seen: list[tuple[int, int]] = []
    core.on("conflict", lambda length, fork, proof: seen.append((length, fork)))
    log = core.log
    await connect(peer, node, python_dials=python_dials)

    async def both_know() -> bool:
        return bool(seen) and bool(await node.run("return state.conflicts"))

    await eventually(both_know)
    assert seen == [(3, 0)]
    assert await node.run("return state.conflicts") == [[3, 0]]
    assert log.frozen


@pytest.mark.parametrize("python_pushes", [True, False], ids=["python pushes", "node pushes"])
async def test_push(python_pushes: bool, peer: Peer, node: NodePeer) -> None:
    """The reader takes what nobody asked for; its own requests are switched off."""
    blocks = [block(index) for index in range(5)]
    if python_pushes:
        core = peer.core(name="log")
        await core.append(blocks)
        await node("core.open", **{"as": "log", "key": core.key.hex()})
        await node.run(
            "const r = state.cores.get('log').core.replicator; r.setPushOnly(true); r.setAllowPush(true)"
        )
        await connect(peer, node)
        await eventually(lambda: _takes_pushes(core))
        for index in (2, 4):
            assert core.log.demand.push(index) == 1  # type: ignore[attr-defined]
        await agree(core, node)
        assert await node("core.has", core="log", start=2)
        assert await node("core.has", core="log", start=4)
        assert not await node("core.has", core="log", start=3)
    else:
        info = await node("core.open", **{"as": "log", "name": "log"})
        await node("core.append", core="log", blocks=hexes(blocks))
        core = peer.core(key=info["key"])
        core.log.demand.options.push_only = True  # type: ignore[attr-defined]
        core.log.demand.set_allow_push(True)  # type: ignore[attr-defined]
        await connect(peer, node)
        pushed = "const p = state.cores.get('log').core.replicator.peers; return p.length > 0 && p[0].remoteAllowPush"
        await eventually(lambda: node.run(pushed))
        for index in (2, 4):
            await node.run("await state.cores.get('log').core.replicator.push(args.index)", index=index)
        await agree(core, node)
        assert [core.has(index) for index in range(5)] == [False, False, True, False, True]


async def _takes_pushes(core: Hypercore) -> bool:
    return any(each.remote_allow_push for each in core.log.demand.peers)  # type: ignore[attr-defined]


@roles
async def test_extensions(python_dials: bool, peer: Peer, node: NodePeer) -> None:
    core = peer.core(name="log")
    await node("core.open", **{"as": "log", "key": core.key.hex()})
    await node.run(
        "const c = state.cores.get('log'); state.heard = []; "
        "state.echo = c.registerExtension('echo', { onmessage (m, from) "
        "{ state.heard.push(m.toString()); state.echo.send(Buffer.from(m + '!'), from) } })"
    )
    heard: list[bytes] = []
    extension = core.register_extension("echo", lambda message, _: heard.append(message))
    silent = core.register_extension("unknown", lambda message, _: heard.append(message))
    await connect(peer, node, python_dials=python_dials)
    await eventually(lambda: _has_peer(core))
    for message in (b"one", b"two"):
        extension.broadcast(message)
        silent.broadcast(b"nobody hears this")
    await eventually(lambda: _count(heard, 2))
    assert heard == [b"one!", b"two!"]
    assert await node.run("return state.heard") == ["one", "two"]


async def _has_peer(core: Hypercore) -> bool:
    return bool(core.peers)


async def _count(heard: list[bytes], count: int) -> bool:
    return len(heard) >= count


async def test_a_compat_core_written_by_python(peer: Peer, node: NodePeer) -> None:
    """Its key is the public key of its signer, and no manifest ever goes over the wire."""
    pair = key_pair(SEED)
    core = peer.core(key_pair=pair, key=pair.public_key)
    await core.append([block(index) for index in range(9)])
    assert core.log.compat
    await node("core.open", **{"as": "log", "key": core.key.hex()})
    await connect(peer, node)
    assert await node("core.get", core="log", index=3) == block(3).hex()
    await agree(core, node)


SERVE_COMPAT = """
  const core = new packages.Hypercore(args.directory, {
    keyPair: packages.crypto.keyPair(Buffer.from(args.seed, 'hex')), compat: true
  })
  await core.ready()
  state.cores.set('log', core)
  const server = packages.net.createServer((socket) => {
    const stream = new packages.SecretStream(false, socket)
    stream.on('error', () => {})
    core.replicate(stream)
  })
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  return { key: core.key.toString('hex'), port: server.address().port }
"""


async def test_a_compat_core_written_by_node(peer: Peer, node: NodePeer, tmp_path: Path) -> None:
    answer = await node.run(SERVE_COMPAT, directory=str(tmp_path / "compat"), seed=SEED.hex())
    assert answer["key"] == key_pair(SEED).public_key.hex()
    await node("core.append", core="log", blocks=hexes([block(index) for index in range(9)]))
    core = peer.core(key=answer["key"])
    await peer.connect("127.0.0.1", answer["port"])
    assert await core.get(3) == block(3)
    assert core.log.compat
    await agree(core, node)


async def test_the_manifest_of_an_empty_log(peer: Peer, node: NodePeer) -> None:
    info = await node("core.open", **{"as": "log", "name": "log"})
    core = peer.core(key=info["key"])
    await connect(peer, node)
    await eventually(lambda: _knows_manifest(core))
    assert core.length == 0
    mine = peer.core(name="mine")
    await node("core.open", **{"as": "mine", "key": mine.key.hex()})
    await eventually(lambda: node.run("return state.cores.get('mine').manifest !== null"))


async def _knows_manifest(core: Hypercore) -> bool:
    return core.manifest is not None


async def test_what_the_other_does_not_hold_is_rejected(peer: Peer, node: NodePeer) -> None:
    info = await node("core.open", **{"as": "log", "name": "log"})
    await node("core.append", core="log", blocks=hexes([block(0)]))
    stranger = peer.core(name="unknown to Node")
    await stranger.append(b"mine")
    known = peer.core(key=info["key"])
    await connect(peer, node)
    assert await known.get(0) == block(0)
    assert stranger.peers == ()
    assert len(peer.connections) == 1


async def test_logs_are_opened_on_demand(peer: Peer, node: NodePeer) -> None:
    """Nobody here has the log open; it is served from the store because the other side knows its key."""
    core = peer.core(name="shelved")
    await core.append([block(0), block(1)])
    key = core.key.hex()
    await core.close()
    await connect(peer, node)
    await node("core.open", **{"as": "log", "key": key})
    assert await node("core.get", core="log", index=1) == block(1).hex()


async def test_a_channel_that_nobody_needs_is_closed_and_opened_again(peer: Peer, node: NodePeer) -> None:
    info = await node("core.open", **{"as": "log", "name": "log", "options": {"notDownloadingLinger": 0}})
    await node("core.append", core="log", blocks=hexes([block(0)]))
    core = peer.core(key=info["key"])
    demand: Any = core.log.demand
    demand.options.linger = 0.0
    await connect(peer, node)
    await agree(core, node)
    demand.set_downloading(False)
    await node.run(
        "const r = state.cores.get('log').core.replicator; r._notDownloadingLinger = 0; r.setDownloading(false)"
    )
    await eventually(lambda: _has_no_peer(core))
    assert await node.run("return state.cores.get('log').core.replicator.peers.length") == 0
    await node("core.append", core="log", blocks=hexes([block(1)]))
    demand.set_downloading(True)
    assert await core.get(1) == block(1)


async def _has_no_peer(core: Hypercore) -> bool:
    return not core.peers


async def test_a_reader_of_many_blocks_at_once(peer: Peer, node: NodePeer) -> None:
    """The pipeline is deep enough that answers of the official peer overtake each other."""
    info = await node("core.open", **{"as": "log", "name": "log"})
    await node.run(
        "const c = state.cores.get('log'); for (let s = 0; s < 5000; s += 500) "
        "await c.append(Array.from({ length: 500 }, (_, i) => Buffer.alloc(150, (s + i) & 255)))"
    )
    core = peer.core(key=info["key"])
    await connect(peer, node)
    errors: list[Any] = []
    core.on("verification-error", lambda *facts: errors.append(facts))
    assert await core.update(wait=True)
    got = await asyncio.gather(*(core.get(index) for index in range(0, 5000, 7)))
    assert got == [bytes([index & 255]) * 150 for index in range(0, 5000, 7)]
    await core.download(start=0, end=5000).done()
    assert core.contiguous_length == 5000
    assert errors == []
    assert core.peers[0].blocks_received == 5000
