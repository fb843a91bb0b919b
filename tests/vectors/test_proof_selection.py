"""Which nodes the official uploader selects for 535 requests, and where byte seeks end."""

from __future__ import annotations

from typing import Any

import pytest

from core.errors import InvalidOperation
from core.hypercore.byte_seek import SeekFound, seek
from core.hypercore.flat_tree import block_range, full_roots, parent, right_span
from core.hypercore.proof import (
    BlockRequest,
    HashRequest,
    Proof,
    ProofRequest,
    SeekRequest,
    UpgradeRequest,
)
from tests.support.trees import WriterTree, fixture_writer
from tests.support.vectors import load_vectors

VECTORS = load_vectors("log/proof-selection")
PADDED_SIZES = VECTORS["padded"][0]["sizes"]
PADDED_REQUESTS = [case for case in VECTORS["padded"] if "request" in case]
PADDED_SEEKS = [case for case in VECTORS["padded"] if "localSeek" in case]


def to_request(fields: dict[str, Any]) -> ProofRequest:
    kinds = {"block": BlockRequest, "hash": HashRequest, "seek": SeekRequest, "upgrade": UpgradeRequest}
    return ProofRequest(**{name: kinds[name](**value) for name, value in fields.items()})


def selected(proof: Proof) -> dict[str, list[int]]:
    """The node indexes of each part, in the words of the vectors."""
    lists = {}
    for name in ("block", "hash", "seek", "upgrade"):
        part = getattr(proof, name)
        if part is not None:
            lists[name] = [node[0] for node in part.nodes]
    if proof.upgrade is not None:
        lists["additional"] = [node[0] for node in proof.upgrade.additional_nodes]
    return lists


def root_of(request: ProofRequest) -> int:
    """The node that the path of the requested block or hash leads up to."""
    wanted = request.block or request.hash
    assert wanted is not None
    root = 2 * wanted.index if request.block else wanted.index
    for _ in range(wanted.nodes):
        root = parent(root)
    return root


def is_seek_right_of_the_first_root(length: int, fields: dict[str, Any]) -> bool:
    """Section 13, quirk 1: there the official sender loses the seek part (and any error about it)."""
    if "seek" not in fields or not ("block" in fields or "hash" in fields):
        return False
    return root_of(to_request(fields)) > right_span(full_roots(length)[0])


def check(writer: WriterTree, case: dict[str, Any]) -> None:
    request = to_request(case["request"])
    if "error" in case:
        assert case["error"] == "INVALID_OPERATION"
        with pytest.raises(InvalidOperation):
            writer.prove(request)
    else:
        lists = ("block", "hash", "seek", "upgrade", "additional")
        expected = {name: case[name] for name in lists if name in case}
        assert selected(writer.prove(request)) == expected


def name_of(case: dict[str, Any]) -> str:
    parts = [
        f"{name}-{'-'.join(str(number) for number in fields.values())}"
        for name, fields in case["request"].items()
    ]
    return f"{case.get('length', 'padded')}:" + ",".join(parts)


REGULAR = [
    case
    for case in VECTORS["selection"]
    if not is_seek_right_of_the_first_root(case["length"], case["request"])
]
QUIRKY = [case for case in VECTORS["selection"] if case not in REGULAR]


@pytest.mark.parametrize("case", REGULAR, ids=name_of)
def test_selection(case: dict[str, Any]) -> None:
    check(fixture_writer(case["length"]), case)


@pytest.mark.parametrize("case", QUIRKY, ids=name_of)
def test_seek_right_of_the_first_root_is_answered_in_full(case: dict[str, Any]) -> None:
    """What the reference gets wrong, we get right, and a reader of ours learns more from it."""
    writer = fixture_writer(case["length"])
    request = to_request(case["request"])
    assert request.seek is not None
    found = seek(writer, request.seek.bytes)
    if not isinstance(found, SeekFound) or found.block not in range(*block_range(root_of(request))):
        with pytest.raises(InvalidOperation):
            writer.prove(request)
        return
    proof = writer.prove(request)
    reader = writer.reader()
    reader.receive(writer.prove(ProofRequest(upgrade=UpgradeRequest(0, writer.length))))
    reader.receive(proof)
    assert all(writer.nodes[index] == node for index, node in reader.nodes.items())
    assert seek(reader, request.seek.bytes) == found


@pytest.mark.parametrize("case", VECTORS["byteSeek33"], ids=lambda case: case["bytes"])
def test_byte_seek(case: dict[str, Any]) -> None:
    expected = None if case["result"] is None else SeekFound(*case["result"])
    assert seek(fixture_writer(33), case["bytes"]) == expected


@pytest.mark.parametrize("case", PADDED_REQUESTS, ids=name_of)
def test_padded_selection(case: dict[str, Any]) -> None:
    check(WriterTree(bytes(size) for size in PADDED_SIZES), case)


@pytest.mark.parametrize("case", PADDED_SEEKS, ids=lambda case: case["localSeek"])
def test_padded_seek(case: dict[str, Any]) -> None:
    writer = WriterTree(bytes(size) for size in PADDED_SIZES)
    expected = None if case["result"] is None else SeekFound(*case["result"])
    assert seek(writer, case["localSeek"], case["padding"]) == expected
