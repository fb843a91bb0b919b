"""Signing, collecting signatures, and every way in which a container can fall short of the manifest."""

from __future__ import annotations

import pytest

from core.crypto.hashing import Node, tree_hash
from core.crypto.keys import KeyPair, key_pair
from core.errors import BadArgument
from core.hypercore.manifest import Manifest, Prologue, Signer, create_manifest, manifest_key
from core.hypercore.signatures import PartialSignature, assemble, sign_tree, verify_signature
from core.hypercore.upgrade import upgrade_nodes
from tests.support.trees import WriterTree, fixture_writer

PAIRS = [key_pair(bytes([number]) * 32) for number in range(1, 5)]
SHORT, LONG = fixture_writer(5), fixture_writer(8)


def manifest_for(pairs: list[KeyPair], **fields: object) -> tuple[Manifest, bytes]:
    manifest = create_manifest(signers=[Signer(pair.public_key) for pair in pairs], **fields)
    return manifest, manifest_key(manifest)


def part(manifest: Manifest, key: bytes, signer: int, tree: WriterTree = SHORT) -> PartialSignature:
    """The signature of `signer` over `tree`, with the patch from 5 blocks if it is longer."""
    signature = sign_tree(manifest, key, PAIRS[signer], tree_hash(tree.roots), tree.length, 0)
    nodes = tuple(tree.nodes[index] for index in upgrade_nodes(5, tree.length))
    return PartialSignature(signer, signature, tree.length - 5, nodes)


def accepts(manifest: Manifest, key: bytes, signature: bytes | None, tree: WriterTree = SHORT) -> bool:
    return verify_signature(manifest, key, tree.roots, tree.length, 0, signature)


def test_only_a_declared_signer_signs() -> None:
    manifest, key = manifest_for(PAIRS[:2])
    with pytest.raises(BadArgument, match="not one of"):
        sign_tree(manifest, key, PAIRS[2], bytes(32), 1, 0)


def test_several_signers_collect() -> None:
    manifest, key = manifest_for(PAIRS[:3])
    one, two = part(manifest, key, 0), part(manifest, key, 2)
    assert len(one.signature) == 64
    assert accepts(manifest, key, assemble(manifest, [one, two]))
    assert accepts(manifest, key, assemble(manifest, [two, one]))
    assert not accepts(manifest, key, assemble(manifest, [one, two]), LONG)


def test_only_the_first_quorum_counts() -> None:
    manifest, key = manifest_for(PAIRS[:3])
    good = [part(manifest, key, 0), part(manifest, key, 1)]
    bad = PartialSignature(2, bytes(64))
    assert accepts(manifest, key, assemble(manifest, [*good, bad]))
    assert not accepts(manifest, key, assemble(manifest, [bad, *good]))


def test_what_falls_short() -> None:
    manifest, key = manifest_for(PAIRS[:3])
    good = part(manifest, key, 0)
    for parts in (
        [],
        [good],
        [good, good],
        [good, PartialSignature(3, good.signature)],
        [good, PartialSignature(1, good.signature)],
    ):
        assert not accepts(manifest, key, assemble(manifest, parts))
    for container in (None, b"", b"\x02", bytes(64), good.signature):
        assert not accepts(manifest, key, container)


def test_a_signature_has_64_bytes() -> None:
    manifest, _ = manifest_for(PAIRS[:2])
    with pytest.raises(BadArgument, match="64 bytes, not 63"):
        assemble(manifest, [PartialSignature(0, bytes(63))])


@pytest.mark.parametrize("version", [0, 1])
def test_a_signer_who_is_ahead_needs_the_patch(version: int) -> None:
    manifest, key = manifest_for(PAIRS[:2], version=version, quorum=2, allow_patch=True)
    level, ahead = part(manifest, key, 0), part(manifest, key, 1, LONG)
    assert accepts(manifest, key, assemble(manifest, [level, ahead]))
    other = WriterTree([b"other"] * 8)
    wrong: tuple[Node, ...] = tuple(other.nodes[index] for index in upgrade_nodes(5, 8))
    for nodes in ((), ahead.nodes[:1], wrong):
        lacking = PartialSignature(1, ahead.signature, 3, nodes)
        assert not accepts(manifest, key, assemble(manifest, [level, lacking]))
    too_far = PartialSignature(1, ahead.signature, 2**53 - 1, ahead.nodes)
    assert not accepts(manifest, key, assemble(manifest, [level, too_far]))


def test_patches_must_be_allowed() -> None:
    manifest, key = manifest_for(PAIRS[:2], quorum=2)
    parts = [part(manifest, key, 0), part(manifest, key, 1, LONG)]
    assert not accepts(manifest, key, assemble(manifest, parts))


def test_two_patches_share_their_nodes() -> None:
    manifest, key = manifest_for(PAIRS[:2], quorum=2, allow_patch=True)
    parts = [part(manifest, key, 0, LONG), part(manifest, key, 1, LONG)]
    container = assemble(manifest, parts)
    assert accepts(manifest, key, container)
    assert len(container) == 1 + 2 * 66 + 1 + 2 * 34


def test_a_prologue_replaces_signatures_up_to_its_end_and_no_further() -> None:
    prologue = Prologue(tree_hash(SHORT.roots), 5)
    manifest, key = manifest_for(PAIRS[:1], prologue=prologue)
    assert accepts(manifest, key, None)
    assert accepts(manifest, key, b"anything")
    assert not accepts(manifest, key, None, fixture_writer(4))
    assert not accepts(manifest, key, None, WriterTree([b"x"] * 5))
    assert not accepts(manifest, key, None, LONG)
    signed = sign_tree(manifest, key, PAIRS[0], tree_hash(LONG.roots), 8, 0)
    assert accepts(manifest, key, signed, LONG)
