"""Complete data messages of the official uploader, byte for byte."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from core.replication.messages import decode_data, encode_data
from tests.support.trees import fixture_writer
from tests.support.vectors import load_vectors
from tests.vectors.test_proof_selection import name_of, to_request

VECTORS = load_vectors("log/proof-wire")
REQUEST_ID = 7


@pytest.mark.parametrize("case", VECTORS["wire"], ids=name_of)
def test_message(case: dict[str, Any]) -> None:
    writer = fixture_writer(case["length"])
    request = dataclasses.replace(to_request(case["request"]), manifest=case["manifestIncluded"])
    proof = writer.prove(request)
    message = encode_data(REQUEST_ID, proof)
    assert message.hex() == case["data"]
    assert decode_data(message, 0) == (REQUEST_ID, proof)
