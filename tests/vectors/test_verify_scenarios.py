"""Messages in order against an empty reader: what the official reader accepts, stores and lacks."""

from __future__ import annotations

from typing import Any

import pytest

from core.errors import IntegrityError
from core.hypercore.merkle import missing_nodes
from core.replication.messages import decode_data
from tests.support.trees import DictTree
from tests.support.vectors import load_vectors

VECTORS = load_vectors("log/verify-scenarios")


@pytest.mark.parametrize("scenario", VECTORS["scenarios"], ids=lambda scenario: scenario["name"])
def test_scenario(scenario: dict[str, Any]) -> None:
    reader = DictTree(bytes.fromhex(VECTORS["key"]), None)
    for step in scenario["steps"]:
        _, proof = decode_data(bytes.fromhex(step["data"]), 0)
        if "error" in step:
            with pytest.raises(IntegrityError) as caught:
                reader.receive(proof)
            assert caught.value.code == step["error"]
        else:
            reader.receive(proof)
        assert reader.length == step["length"]
        assert reader.byte_length == step["byteLength"]
        assert sorted(reader.nodes) == step["storedNodes"]
        assert sorted(reader.blocks) == step["blocks"]
        expected = step["missingNodes"]
        assert [missing_nodes(reader, 2 * block) for block in range(len(expected))] == expected
