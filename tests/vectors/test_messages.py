"""Every message of a log's channel, both ways."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from core.errors import DecodingError
from core.hypercore.proof_types import (
    BlockProof,
    BlockRequest,
    HashProof,
    HashRequest,
    Proof,
    ProofRequest,
    SeekProof,
    SeekRequest,
    UpgradeProof,
    UpgradeRequest,
)
from core.replication import messages
from core.replication.messages import Request, Sync, Want
from tests.support.vectors import load_vectors
from tests.vectors.test_manifests import from_json

VECTORS = load_vectors("log/messages")


def _nodes(nodes: list[dict[str, Any]]) -> list[tuple[int, int, bytes]]:
    return [(node["index"], node["size"], bytes.fromhex(node["hash"])) for node in nodes]


def _request(value: dict[str, Any]) -> Request:
    block, hash, seek, upgrade = (value[part] for part in ("block", "hash", "seek", "upgrade"))
    parts = ProofRequest(
        block=block and BlockRequest(block["index"], block["nodes"]),
        hash=hash and HashRequest(hash["index"], hash["nodes"]),
        seek=seek and SeekRequest(seek["bytes"], seek["padding"]),
        upgrade=upgrade and UpgradeRequest(upgrade["start"], upgrade["length"]),
        manifest=value["manifest"],
    )
    return Request(value["id"], value["fork"], parts, value["priority"])


def _data(value: dict[str, Any]) -> tuple[int, Proof]:
    block, hash, seek, upgrade = (value[part] for part in ("block", "hash", "seek", "upgrade"))
    proof = Proof(
        value["fork"],
        block=block and BlockProof(block["index"], bytes.fromhex(block["value"]), _nodes(block["nodes"])),
        hash=hash and HashProof(hash["index"], _nodes(hash["nodes"])),
        seek=seek and SeekProof(seek["bytes"], _nodes(seek["nodes"])),
        upgrade=upgrade
        and UpgradeProof(
            upgrade["start"],
            upgrade["length"],
            _nodes(upgrade["nodes"]),
            _nodes(upgrade["additionalNodes"]),
            bytes.fromhex(upgrade["signature"] or ""),
        ),
        manifest=value["manifest"] and from_json(value["manifest"]),
    )
    return value["request"], proof


def _sync(value: dict[str, Any]) -> Sync:
    names = (
        "fork",
        "length",
        "remoteLength",
        "canUpgrade",
        "uploading",
        "downloading",
        "hasManifest",
        "allowPush",
    )
    return Sync(*(value[name] for name in names))


def _words(value: dict[str, Any]) -> tuple[int, bytes]:
    return value["start"], b"".join(word.to_bytes(4, "little") for word in value["bitfield"])


Codec = tuple[Callable[[Any], Any], Callable[..., bytes], Callable[[bytes, int], Any]]

# type -> (the vector's value as ours, encoder of that, decoder)
CODECS: dict[str, Codec] = {
    "handshake": (
        lambda value: (value["seeks"], bytes.fromhex(value["capability"])),
        lambda value: messages.encode_handshake(value[1], seeks=value[0]),
        messages.decode_handshake,
    ),
    "sync": (_sync, messages.encode_sync, messages.decode_sync),
    "request": (_request, messages.encode_request, messages.decode_request),
    "cancel": (lambda value: value["request"], messages.encode_cancel, messages.decode_cancel),
    "data": (_data, lambda value: messages.encode_data(*value), messages.decode_data),
    "noData": (
        lambda value: (value["request"], value["reason"]),
        lambda value: messages.encode_no_data(*value),
        messages.decode_no_data,
    ),
    "want": (
        lambda value: Want(value["start"], value["length"], value["any"]),
        messages.encode_want,
        messages.decode_want,
    ),
    "bitfield": (_words, lambda value: messages.encode_bitfield(*value), messages.decode_bitfield),
    "range": (
        lambda value: (value["start"], value["length"], value["drop"]),
        lambda value: messages.encode_range(value[0], value[1], drop=value[2]),
        messages.decode_range,
    ),
    "extension": (
        lambda value: (value["name"], bytes.fromhex(value["message"])),
        lambda value: messages.encode_extension(*value),
        messages.decode_extension,
    ),
}
CODECS["unwant"] = CODECS["want"]


def _name(case: Any) -> str:
    return f"{case['type']}-{case['hex'][:24]}"


@pytest.mark.parametrize("case", VECTORS["messages"], ids=_name)
def test_message(case: dict[str, Any]) -> None:
    convert, encode, decode = CODECS[case["type"]]
    value, raw = convert(case["value"]), bytes.fromhex(case["hex"])
    assert encode(value) == raw
    assert decode(raw, 0) == convert(case["decoded"])
    # The body stands anywhere in a frame.
    assert decode(b"\xff\xff" + raw, 2) == decode(raw, 0)


@pytest.mark.parametrize("case", VECTORS["tolerantDecodes"], ids=_name)
def test_older_forms_are_understood(case: dict[str, Any]) -> None:
    convert, _, decode = CODECS[case["type"]]
    assert decode(bytes.fromhex(case["hex"]), 0) == convert(case["decoded"])


@pytest.mark.parametrize("case", VECTORS["messages"], ids=_name)
def test_cut_messages_fail_in_one_way_only(case: dict[str, Any]) -> None:
    """A cut inside a field is a `DecodingError`; no other exception leaves a decoder."""
    _, _, decode = CODECS[case["type"]]
    raw = bytes.fromhex(case["hex"])
    with pytest.raises(DecodingError):
        decode(b"", 0)
    for end in range(1, len(raw)):
        try:
            decode(raw[:end], 0)
        except DecodingError:
            continue


def test_a_block_request_has_a_shortcut() -> None:
    for priority in (0, 1):
        for numbers in ((1, 0, 5, 3), (300, 2, 70_000, 0)):
            request_id, fork, index, nodes = numbers
            request = Request(request_id, fork, ProofRequest(block=BlockRequest(index, nodes)), priority)
            shortcut = messages.encode_block_request(request_id, fork, index, nodes, priority)
            assert shortcut == messages.encode_request(request)
