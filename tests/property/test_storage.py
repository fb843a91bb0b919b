"""A store is a sorted dictionary of what was committed, seen through what was written since."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import StorageFull
from tests.support.stores import KINDS, StoreOnDemand, fail_next_commit

KEYS = st.binary(min_size=1, max_size=2).map(lambda key: b"k" + key)
BOUNDS = st.tuples(KEYS, KEYS).map(lambda pair: (min(pair), max(pair)))
OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), KEYS, st.binary(max_size=4)),
        st.tuples(st.just("put_many"), st.dictionaries(KEYS, st.binary(max_size=4), max_size=8)),
        st.tuples(st.just("delete"), KEYS),
        st.tuples(st.just("delete_range"), BOUNDS),
        st.tuples(st.sampled_from(["commit", "fail", "reopen", "kill", "checkpoint", "sync"])),
        st.tuples(st.just("range"), BOUNDS, st.booleans(), st.integers(-1, 5)),
    ),
    max_size=40,
)
# So small that checkpoints come by themselves, and so large that they never do.
LIMITS = st.fixed_dictionaries(
    {
        "checkpoint_bytes": st.sampled_from([0, 300, 1 << 20]),
        "direct_bytes": st.sampled_from([0, 10, 1 << 20]),
    }
)


@pytest.mark.parametrize("kind", KINDS)
@given(operations=OPERATIONS, limits=LIMITS)
@settings(max_examples=60, deadline=None)
def test_store_is_a_sorted_dict(kind: str, operations: list[tuple], limits: dict[str, int]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        store = StoreOnDemand(
            kind, Path(directory), **({"initial_map_bytes": 65536, **limits} if kind == "lmdb" else {})
        )
        committed: dict[bytes, bytes] = {}
        model: dict[bytes, bytes] = {}
        for name, *arguments in operations:
            storage = store.storage
            if name == "put":
                storage.put(*arguments)
                model[arguments[0]] = arguments[1]
            elif name == "put_many":
                storage.put_many(arguments[0].items())
                model.update(arguments[0])
            elif name == "delete":
                storage.delete(arguments[0])
                model.pop(arguments[0], None)
            elif name == "delete_range":
                low, high = arguments[0]
                storage.delete_range(low, high)
                model = {key: value for key, value in model.items() if not low <= key < high}
            elif name == "commit":
                storage.commit()
                committed = dict(model)
            elif name == "fail":
                if storage.dirty:
                    fail_next_commit(storage)
                    with pytest.raises(StorageFull):
                        storage.commit()
                    model = dict(committed)
            elif name in ("reopen", "kill"):
                getattr(store, name)()
                model = dict(committed)
            elif name in ("checkpoint", "sync"):
                getattr(storage, name)()
                assert not getattr(storage, {"checkpoint": "uncheckpointed", "sync": "unsynced"}[name])
            else:
                (low, high), reverse, limit = arguments
                expected = sorted(((k, v) for k, v in model.items() if low <= k < high), reverse=reverse)
                found = list(storage.range(low, high, reverse=reverse, limit=limit))
                assert found == (expected if limit < 0 else expected[:limit])
        for key in {*model, *committed}:
            assert store.storage.get(key) == model.get(key)
        assert dict(store.storage.range(b"k", b"l")) == model
        store.storage.close()
