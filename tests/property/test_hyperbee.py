"""A bee is a sorted dict with a history; and no bytes of a stranger do more than raise `DecodingError`."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.corestore import Corestore
from core.errors import BlockNotAvailable, DecodingError
from core.hyperbee import Hyperbee
from core.hyperbee.extension import decode_message
from core.hyperbee.json_text import dumps, loads
from core.hyperbee.node import (
    decode_header,
    decode_levels,
    encode_block,
    encode_level,
    is_deletion,
    parse_block,
    parse_key,
)
from core.hyperbee.tree import Transaction

KEYS = st.binary(max_size=3)
VALUES = st.none() | st.binary(max_size=4)
PUT = st.tuples(st.just("put"), KEYS, VALUES)
OPERATION = (
    PUT | PUT | st.tuples(st.just("delete"), KEYS, st.none()) | st.tuples(st.just("cas"), KEYS, VALUES)
)
STEP = OPERATION | st.lists(OPERATION, max_size=30)
BOUND = st.none() | KEYS


def with_bee(work: Callable[[Hyperbee], Coroutine[Any, Any, None]], **options: Any) -> None:
    async def run() -> None:
        store = Corestore(None)
        bee = Hyperbee(store.get(name="bee"), **options)
        await work(bee)
        await store.close()

    asyncio.run(run())


async def apply(
    target: Any, model: dict[bytes, bytes | None], operation: tuple[str, bytes, bytes | None]
) -> None:
    verb, key, value = operation
    if verb == "delete":
        assert await target.delete(key) == (key in model)
        model.pop(key, None)
    elif verb == "put":
        assert await target.put(key, value)
        model[key] = value
    else:  # replace only what is shorter than the new value; new keys are put without asking
        allowed = key not in model or len(model[key] or b"") < len(value or b"")
        done = await target.put(key, value, cas=lambda a, b: len(a.value or b"") < len(b.value or b""))
        assert done == allowed
        if allowed:
            model[key] = value


async def run_steps(bee: Hyperbee, steps: list[Any]) -> list[tuple[int, dict[bytes, bytes | None]]]:
    """Every version there is, with what it should hold."""
    model: dict[bytes, bytes | None] = {}
    versions = [(bee.version, dict(model))]
    for step in steps:
        if isinstance(step, list):
            async with bee.batch() as batch:
                for operation in step:
                    await apply(batch, model, operation)
                probe = step[0][1] if step else b""
                found = await batch.get(probe)
                assert (found is not None) == (probe in model)
                assert [entry.key async for entry in batch.range()] == sorted(model)
        else:
            await apply(bee, model, step)
        versions.append((bee.version, dict(model)))
    return versions


async def contents(bee: Hyperbee, **options: Any) -> list[tuple[bytes, bytes | None]]:
    return [(entry.key, entry.value) async for entry in bee.range(**options)]


def cut(
    model: dict[bytes, Any], gt: Any, gte: Any, lt: Any, lte: Any, reverse: bool, limit: int
) -> list[Any]:
    lower = (lambda key: key > gt) if gt is not None else (lambda key: gte is None or key >= gte)
    upper = (lambda key: key < lt) if lt is not None else (lambda key: lte is None or key <= lte)
    found = [(key, model[key]) for key in sorted(model, reverse=reverse) if lower(key) and upper(key)]
    return found if limit < 0 else found[:limit]


@settings(max_examples=60, deadline=None)
@given(st.lists(STEP, max_size=25), st.booleans())
def test_a_bee_is_a_sorted_dict_in_every_version(steps: list[Any], alone: bool) -> None:
    async def work(bee: Hyperbee) -> None:
        versions = await run_steps(bee, steps)
        for version, model in versions:
            view = bee.checkout(version)
            assert await contents(view) == sorted(model.items())
            for key in list(model)[:5]:
                entry = await view.get(key)
                assert entry is not None
                assert entry.value == model[key]
            await view.close()
        if alone:  # another reader, with nothing cached
            again = Hyperbee(bee.core)
            assert await contents(again) == await contents(bee)

    with_bee(work)


@settings(max_examples=60, deadline=None)
@given(
    st.sets(KEYS, max_size=80),
    st.lists(
        st.tuples(BOUND, BOUND, BOUND, BOUND, st.booleans(), st.integers(-1, 9)), min_size=1, max_size=12
    ),
)
def test_ranges_are_slices_of_the_sorted_keys(keys: set[bytes], queries: list[tuple[Any, ...]]) -> None:
    async def work(bee: Hyperbee) -> None:
        model = {key: key[::-1] for key in keys}
        async with bee.batch() as batch:
            for key, value in model.items():
                await batch.put(key, value)
        for gt, gte, lt, lte, reverse, limit in queries:
            options = {"gt": gt, "gte": gte, "lt": lt, "lte": lte, "reverse": reverse, "limit": limit}
            expected = cut(model, gt, gte, lt, lte, reverse, limit)
            assert await contents(bee, **options) == expected
            first = await bee.peek(**{**options, "limit": -1})
            everything = cut(model, gt, gte, lt, lte, reverse, -1)
            assert (None if first is None else (first.key, first.value)) == (
                everything[0] if everything else None
            )

    with_bee(work)


@settings(max_examples=60, deadline=None)
@given(st.lists(STEP, max_size=20), st.data())
def test_a_diff_applied_to_one_version_gives_the_other(steps: list[Any], data: st.DataObject) -> None:
    async def work(bee: Hyperbee) -> None:
        versions = await run_steps(bee, steps)
        pick = st.integers(0, len(versions) - 1)
        (a, model_a), (b, model_b) = versions[data.draw(pick)], versions[data.draw(pick)]
        lower, upper = data.draw(BOUND), data.draw(BOUND)
        left = bee.checkout(a)
        patched = dict(model_b)
        keys: list[bytes] = []
        async for new, old in left.diff(b):
            assert new is not None or old is not None
            keys.append((new or old).key)
            assert (None if old is None else old.value) == model_b.get(keys[-1])
            if new is None:
                del patched[keys[-1]]
            else:
                assert old is None or old.seq != new.seq
                patched[new.key] = new.value
        assert patched == model_a
        assert keys == sorted(set(keys))
        bounded = [(new or old).key async for new, old in left.diff(b, gte=lower, lt=upper) if new or old]
        assert bounded == [
            key for key in keys if (lower is None or key >= lower) and (upper is None or key < upper)
        ]
        await left.close()

    with_bee(work)


@settings(max_examples=40, deadline=None)
@given(st.lists(STEP, max_size=20))
def test_history_repeated_gives_the_bee(steps: list[Any]) -> None:
    async def work(bee: Hyperbee) -> None:
        model = (await run_steps(bee, steps))[-1][1]
        rebuilt: dict[bytes, bytes | None] = {}
        operations = [operation async for operation in bee.history()]
        assert [operation.seq for operation in operations] == list(range(1, bee.version))
        for operation in operations:
            rebuilt[operation.key] = operation.value
        # a deletion and a put of nothing inside a batch look alike in a history
        assert {k: v for k, v in rebuilt.items() if v is not None} == {
            k: v for k, v in model.items() if v is not None
        }
        backwards = [operation async for operation in bee.history(reverse=True)]
        assert backwards == operations[::-1]

    with_bee(work)


@settings(max_examples=150)
@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-(2**53) + 1, 2**53 - 1)
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(st.characters(codec=None, exclude_categories=())),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
        max_leaves=12,
    )
)
def test_json_comes_back(value: Any) -> None:
    text = dumps(value)
    assert dumps(loads(text)) == text


# --- strangers ----------------------------------------------------------------------------------


@settings(max_examples=300)
@given(st.binary(max_size=60))
def test_any_bytes_decode_or_raise_decoding_error(data: bytes) -> None:
    for decode in (parse_block, parse_key, decode_header, decode_message, loads):
        try:
            decode(data)
        except DecodingError:
            pass
    try:
        decode_levels(data, 0, len(data))
    except DecodingError:
        pass
    try:
        is_deletion(data, 1)
    except DecodingError:
        pass


LEVEL = st.tuples(st.lists(st.integers(0, 12), max_size=4), st.lists(st.integers(0, 12), max_size=12))
HOSTILE_BLOCK = st.builds(
    lambda levels, key, value: encode_block(b"".join(encode_level(*level) for level in levels), key, value),
    st.lists(LEVEL, max_size=3),
    KEYS,
    VALUES,
)


async def read_everything(bee: Hyperbee, key: bytes) -> None:
    reads: list[Callable[[], Any]] = [
        lambda: bee.get(key),
        lambda: contents(bee),
        lambda: contents(bee, reverse=True, gte=key),
        lambda: drain(bee.history()),
        lambda: drain(bee.diff(max(1, bee.version // 2))),
        lambda: bee.clear_unlinked(wait=False),
    ]
    for read in reads:
        try:
            await asyncio.wait_for(read(), 60)
        except (DecodingError, BlockNotAvailable):
            pass


async def drain(walk: Any) -> None:
    async for _ in walk:
        pass


@settings(max_examples=150, deadline=None)
@given(st.lists(HOSTILE_BLOCK, min_size=1, max_size=11), KEYS)
def test_a_hostile_tree_ends_in_a_decoding_error_or_in_answers(blocks: list[bytes], key: bytes) -> None:
    async def work(bee: Hyperbee) -> None:
        await bee.core.append([b"\x0a\x08hyperbee", *blocks])
        await read_everything(bee, key)

    with_bee(work)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 6))
def test_a_damaged_bee_ends_in_a_decoding_error_or_in_answers(seed: int, damages: int) -> None:
    async def work(bee: Hyperbee) -> None:
        chance = random.Random(seed)
        async with bee.batch() as batch:
            for _ in range(60):
                await batch.put(chance.randbytes(2), chance.randbytes(3))
        for _ in range(20):
            await bee.put(chance.randbytes(2), b"single")
        blocks = [bytearray(bee.core.block_if_local(index) or b"") for index in range(bee.core.length)]
        for _ in range(damages):
            block = chance.choice(blocks[-25:])
            block[chance.randrange(len(block))] = chance.randrange(256)
        other = Hyperbee(Corestore(None).get(name="damaged"))
        await other.core.append([bytes(block) for block in blocks])
        await read_everything(other, chance.randbytes(2))

    with_bee(work)


def test_a_tree_that_is_its_own_child_is_refused() -> None:
    """The shortest loop, and a tree of 9^40 paths over forty nodes that two versions share but for one key."""

    async def work(bee: Hyperbee) -> None:
        loop = encode_block(encode_level([1], [1, 0, 1, 0]), b"m", b"")
        await bee.core.append([b"\x0a\x08hyperbee", loop])
        for read in (bee.get(b"a"), contents(bee), contents(bee, reverse=True)):
            try:
                await asyncio.wait_for(read, 60)
                raise AssertionError("the loop was not noticed")
            except DecodingError:
                pass

    async def fans(bee: Hyperbee) -> None:
        blocks = [b"\x0a\x08hyperbee"]
        keys = [encode_block(encode_level([number], []), bytes([number]), b"") for number in range(1, 9)]
        blocks += keys
        for side in range(2):
            previous = len(blocks)
            blocks.append(encode_block(encode_level(range(1, 9), []), b"leaf", b""))
            for _ in range(40):
                pairs = [number for _ in range(9) for number in (previous, 0)]
                previous = len(blocks)
                blocks.append(encode_block(encode_level(range(1, 9), pairs), b"side%d" % side, b""))
        await bee.core.append(blocks)
        for read in (drain(bee.diff(50)), contents(bee)):
            try:
                await asyncio.wait_for(read, 60)
                raise AssertionError("the fan was not noticed")
            except DecodingError:
                pass

    with_bee(work)
    with_bee(fans)


@given(
    st.lists(
        st.lists(st.tuples(st.integers(0, 400), st.binary(max_size=3), st.booleans()), max_size=60),
        max_size=4,
    ),
    st.booleans(),
)
def test_the_short_way_of_a_put_writes_the_same_blocks(
    batches: list[list[tuple[int, bytes, bool]]], is_sorted: bool
) -> None:
    """`Transaction.put_near` (the leaf of the last put, no walk) against the whole walk for every put."""

    async def blocks_of(has_short_way: bool) -> list[bytes | None]:
        store = Corestore(None, primary_key=bytes(32))
        bee = Hyperbee(store.get(name="bee"))
        try:
            with pytest.MonkeyPatch.context() as patch:
                if not has_short_way:
                    patch.setattr(Transaction, "put_near", lambda self, key, value: False)
                for operations in batches:
                    async with bee.batch() as batch:
                        for number, value, is_put in sorted(operations) if is_sorted else operations:
                            key = number.to_bytes(2, "big")
                            await (batch.put(key, value) if is_put else batch.delete(key))
            return [bee.core.block_if_local(index) for index in range(bee.core.length)]
        finally:
            await store.close()

    assert asyncio.run(blocks_of(True)) == asyncio.run(blocks_of(False))
