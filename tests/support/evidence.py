"""Proof files for tests: one of every kind, and every way to spoil them."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

from core.hypercore.proof_types import ProofRequest, UpgradeRequest
from core.peer import (
    Peer,
    ProofFile,
    encode_file,
    prove_conflict,
    prove_history,
    prove_lookup,
    prove_record,
)


async def a_bee(peer: Peer, posts: int = 120) -> Any:
    """A bee with a batch of posts, one edited and one removed."""
    bee = peer.bee(name="main", key_encoding="binary", value_encoding="binary")
    async with bee.batch() as batch:
        for n in range(posts):
            await batch.put(
                b"post/%04d" % n, b'{"text":"post number %d","createdAt":"2026-11-01T00:00:00Z"}' % n
            )
    await bee.put(b"post/0007", b'{"text":"edited","createdAt":"2026-11-01T00:00:00Z"}')
    await bee.delete(b"post/0009")
    return bee


async def files_of(bee: Any) -> dict[str, ProofFile]:
    """A file of every kind but a conflict."""
    core = bee.core
    return {
        "record": prove_record(core, 50),
        "newest block": prove_record(core, core.length - 2),
        "record of an earlier length": prove_record(core, 50, at_length=77),
        "lookup": await prove_lookup(core, b"post/0033", timeout=1),
        "edited": await prove_lookup(core, b"post/0007", timeout=1),
        "removed": await prove_lookup(core, b"post/0009", timeout=1),
        "never there": await prove_lookup(core, b"post/9999", timeout=1),
        "history": prove_history(core, b"post/0007", [8, core.length - 2]),
    }


async def conflict() -> ProofFile:
    """One key pair on two machines that wrote two histories."""
    first = await Peer.open(None, primary_key=bytes(range(32)))
    second = await Peer.open(None, primary_key=bytes(range(32)))
    try:
        bees = [
            peer.bee(name="main", key_encoding="binary", value_encoding="binary") for peer in (first, second)
        ]
        for n, bee in enumerate(bees):
            await bee.put(b"post/1", b"the same")
            await bee.put(b"post/2", b"different %d" % n)
        await bees[1].put(b"post/3", b"one more")
        request = ProofRequest(upgrade=UpgradeRequest(0, 3), manifest=True)
        return prove_conflict(bees[0].core, bees[1].core.log.create_proof(request))
    finally:
        await first.close()
        await second.close()


def spoiled(file: ProofFile, seed: int, count: int) -> Iterator[bytes]:
    """The file's bytes with a bit turned, a byte cut off, put in, or a part of another place: `count` of them."""
    data, chance = encode_file(file), random.Random(seed)
    yield data[:-1]
    yield data + b"\x00"
    for _ in range(count):
        changed = bytearray(data)
        at = chance.randrange(len(data))
        match chance.randrange(4):
            case 0:
                changed[at] ^= 1 << chance.randrange(8)
            case 1:
                del changed[at : at + chance.randrange(1, 5)]
            case 2:
                changed[at:at] = chance.randbytes(chance.randrange(1, 5))
            case _:
                other = chance.randrange(len(data))
                changed[at : at + 32] = data[other : other + 32]
        if bytes(changed) != data:
            yield bytes(changed)
