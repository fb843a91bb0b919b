"""Signatures of a tree: what is signed, how signatures travel, and whether they satisfy the manifest.

Source: hypercore 11.37.1 `lib/verifier.js`, `lib/multisig.js`, `lib/caps.js` (`treeSignable`,
`treeSignableCompat`). Checked against `tests/vectors/log/manifests.json` and `crypto.json`.

Three generations live side by side. *Compat* logs (the key is the signer's public key) carry a bare signature
over the tree alone. Version 0 manifests sign under the signer's namespace, and carry a bare signature when
there is one signer. Later ones sign under the log's key and always carry a container, in which a signer who
signed a longer tree than the others may prove it with a *patch*: the nodes that lead from one length to the
other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from struct import Struct
from typing import Final

from ..crypto.hashing import TREE, Node, tree_hash
from ..crypto.keys import SIGNATURE_BYTES, KeyPair, sign, verify
from ..encoding.compact import decode_array, decode_fixed, decode_uint, encode_array, encode_uint
from ..errors import BadArgument, DecodingError, InvalidOperation
from .manifest import Manifest, is_compat
from .merkle import GrowingTree
from .upgrade import grow

_LENGTH_AND_FORK: Final = Struct("<QQ")
_HASH_BYTES: Final = 32
_HAS_PATCH: Final = 1


@dataclass(frozen=True, slots=True)
class PartialSignature:
    """One signer's part: position in the manifest, 64 bytes, and `patch` blocks more than the tree has.

    `nodes` lead from the tree's length to the one that was signed; empty without a patch, and after decoding.
    """

    signer: int
    signature: bytes
    patch: int = 0
    nodes: tuple[Node, ...] = ()


def signable(context: bytes, root_hash: bytes, length: int, fork: int) -> bytes:
    """What is signed (112 bytes). `context`: the log's key; with version 0 the signer's namespace."""
    return TREE + context + root_hash + _LENGTH_AND_FORK.pack(length, fork)


def signable_compat(root_hash: bytes, length: int, fork: int) -> bytes:
    """What is signed in a compat log (80 bytes)."""
    return TREE + root_hash + _LENGTH_AND_FORK.pack(length, fork)


def tree_signable(
    manifest: Manifest, key: bytes, root_hash: bytes, length: int, fork: int, *, signer: int = 0
) -> bytes:
    """What signer number `signer` of the log `key` signs for a tree with this hash, length and fork."""
    if is_compat(key, manifest):
        return signable_compat(root_hash, length, fork)
    context = manifest.signers[signer].namespace if manifest.version == 0 else key
    return signable(context, root_hash, length, fork)


def sign_tree(
    manifest: Manifest, key: bytes, key_pair: KeyPair, root_hash: bytes, length: int, fork: int
) -> bytes:
    """The signature to store and send for a tree, by one of the manifest's signers.

    With a single signer that is the finished container. With several it is this signer's bare 64 bytes, to be
    collected and passed to `assemble`. Raises `BadArgument` when the pair is not one of the signers.
    """
    for number, signer in enumerate(manifest.signers):
        if signer.public_key != key_pair.public_key:
            continue
        message = tree_signable(manifest, key, root_hash, length, fork, signer=number)
        signature = sign(message, key_pair.secret_key)
        if manifest.version == 0 or len(manifest.signers) > 1 or is_compat(key, manifest):
            return signature
        return assemble(manifest, [PartialSignature(0, signature)])
    raise BadArgument("the key pair is not one of the manifest's signers")


def verify_signature(
    manifest: Manifest, key: bytes, roots: Sequence[Node], length: int, fork: int, signature: bytes | None
) -> bool:
    """Whether the manifest of the log `key` accepts this tree with this signature. False for any garbage."""
    root_hash = tree_hash(roots)
    prologue = manifest.prologue
    compat = is_compat(key, manifest)
    if not compat and manifest.version >= 1 and prologue is not None and length <= prologue.length:
        return length == prologue.length and root_hash == prologue.hash
    if not signature:
        return False
    if compat or _is_bare(manifest):
        message = tree_signable(manifest, key, root_hash, length, fork)
        return verify(message, signature, manifest.signers[0].public_key)
    return _verify_container(manifest, key, GrowingTree(roots, length), fork, signature)


def _is_bare(manifest: Manifest) -> bool:
    return manifest.version == 0 and len(manifest.signers) == 1 and not manifest.allow_patch


def _verify_container(manifest: Manifest, key: bytes, tree: GrowingTree, fork: int, signature: bytes) -> bool:
    """The first `quorum` parts must come from different signers and all hold."""
    try:
        parts, nodes = decode_signatures(signature, manifest.version)
    except DecodingError:
        return False
    if not 0 < manifest.quorum <= len(parts):
        return False
    by_index = {node[0]: node for node in nodes}
    tried: set[int] = set()
    for part in parts[: manifest.quorum]:
        if part.signer >= len(manifest.signers) or part.signer in tried:
            return False
        tried.add(part.signer)
        signed: GrowingTree | None = tree
        if part.patch and manifest.allow_patch:
            signed = _patched(tree, part.patch, by_index)
        if signed is None:
            return False
        root_hash = tree_hash(signed.roots)
        message = tree_signable(manifest, key, root_hash, signed.length, fork, signer=part.signer)
        if not verify(message, part.signature, manifest.signers[part.signer].public_key):
            return False
    return True


def _patched(tree: GrowingTree, blocks: int, nodes: dict[int, Node]) -> GrowingTree | None:
    """The tree `blocks` longer, or None when the nodes do not lead there."""
    longer = tree.copy()
    try:
        grow(longer, tree.length + blocks, nodes.__getitem__)
    except (KeyError, InvalidOperation):
        return None
    return longer


def assemble(manifest: Manifest, parts: Iterable[PartialSignature]) -> bytes:
    """The container of several parts, with each node of their patches once."""
    nodes: list[Node] = []
    positions: dict[Node | int, int] = {}
    encoded = []
    for part in parts:
        if len(part.signature) != SIGNATURE_BYTES:
            raise BadArgument(f"a signature has {SIGNATURE_BYTES} bytes, not {len(part.signature)}")
        for node in part.nodes:
            # Version 0 tells nodes of one index but different content apart, later versions do not.
            name = node if manifest.version == 0 else node[0]
            if name not in positions:
                positions[name] = len(nodes)
                nodes.append(node)
        if manifest.version == 0:
            encoded.append(_encode_part0(part, positions))
        else:
            encoded.append(encode_uint(part.signer) + part.signature + encode_uint(part.patch))
    return encode_array(encoded) + encode_array(map(encode_node, nodes))


def decode_signatures(container: bytes, version: int) -> tuple[list[PartialSignature], list[Node]]:
    """Parts and patch nodes of a container for a manifest of `version`. Raises `DecodingError`."""
    decode_part: Callable[[bytes, int], tuple[PartialSignature, int]]
    decode_part = _decode_part0 if version == 0 else _decode_part
    parts, position = decode_array(container, 0, decode_part)
    nodes, position = decode_array(container, position, decode_node)
    return parts, nodes


def encode_node(node: Node) -> bytes:
    """A tree node as it stands in signatures and messages."""
    index, size, digest = node
    return encode_uint(index) + encode_uint(size) + digest


def decode_node(data: bytes, position: int) -> tuple[Node, int]:
    """The node at `position`, and the position after it. Raises `DecodingError`."""
    index, position = decode_uint(data, position)
    size, position = decode_uint(data, position)
    digest, position = decode_fixed(data, position, _HASH_BYTES)
    return (index, size, digest), position


def _decode_part(data: bytes, position: int) -> tuple[PartialSignature, int]:
    signer, position = decode_uint(data, position)
    signature, position = decode_fixed(data, position, SIGNATURE_BYTES)
    patch, position = decode_uint(data, position)
    return PartialSignature(signer, signature, patch), position


def _encode_part0(part: PartialSignature, positions: dict[Node | int, int]) -> bytes:
    head = encode_uint(_HAS_PATCH if part.patch else 0) + encode_uint(part.signer) + part.signature
    if not part.patch:
        return head
    start = 0  # Read by nobody, but the reference writes the end of the last node here.
    if part.nodes:
        index = part.nodes[-1][0]
        start = (index + ((index + 1) & -(index + 1)) - 1) // 2 + 1
    listed = encode_array(encode_uint(positions[node]) for node in part.nodes)
    return head + encode_uint(start) + encode_uint(part.patch) + listed


def _decode_part0(data: bytes, position: int) -> tuple[PartialSignature, int]:
    flags, position = decode_uint(data, position)
    signer, position = decode_uint(data, position)
    signature, position = decode_fixed(data, position, SIGNATURE_BYTES)
    patch = 0
    if flags & _HAS_PATCH:
        _, position = decode_uint(data, position)
        patch, position = decode_uint(data, position)
        # Which nodes the patch needs follows from the two lengths, so the list of positions tells nothing.
        _, position = decode_array(data, position, decode_uint)
    return PartialSignature(signer, signature, patch), position
