"""A bitfield is a set of block numbers."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from core.hypercore.bitfield import PAGE_BITS, Bitfield
from core.storage import MemoryStorage

END = 3 * PAGE_BITS
# Numbers around page borders, byte borders and the start are the interesting ones.
INDEXES = st.one_of(
    st.integers(0, 20),
    st.sampled_from([PAGE_BITS, 2 * PAGE_BITS]).flatmap(lambda border: st.integers(border - 9, border + 9)),
    st.integers(0, END - 1),
)
STRETCHES = st.tuples(INDEXES, INDEXES).map(lambda pair: (min(pair), max(pair)))
OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("set"), INDEXES),
        st.tuples(st.just("set_range"), STRETCHES),
        st.tuples(st.just("clear_range"), STRETCHES),
        st.tuples(st.just("truncate"), INDEXES),
        st.tuples(st.sampled_from(["commit", "reload", "reopen"])),
    ),
    max_size=25,
)


def first_gap(held: set[int], start: int) -> int:
    while start in held:
        start += 1
    return start


def check(bits: Bitfield, held: set[int], start: int, end: int) -> None:
    assert bits.contiguous == first_gap(held, 0)
    assert bits.get(start) == (start in held)
    assert bits.first_unset(start) == first_gap(held, start)
    inside = {index for index in held if start <= index < end}
    assert bits.has_range(start, end) == (len(inside) == end - start)
    assert bits.first_set(start, end) == min(inside, default=-1)
    assert bits.count(start, end) == len(inside)
    low, length = start // 32 * 32, (end - start) // 32 * 32
    words = int.from_bytes(bits.to_bytes(low, length), "little")
    expected = sum(1 << index - low for index in held if low <= index < low + length)
    assert words == expected


@given(OPERATIONS, STRETCHES)
@settings(max_examples=150, deadline=None)
def test_bitfield_is_a_set(operations: list[tuple], asked: tuple[int, int]) -> None:
    storage = MemoryStorage()
    bits = Bitfield(storage, b"log", 0)
    held: set[int] = set()
    committed: set[int] = set()
    committed_contiguous = 0
    for name, *arguments in operations:
        if name == "set":
            assert bits.set(arguments[0]) == (arguments[0] not in held)
            held.add(arguments[0])
        elif name == "set_range":
            bits.set_range(*arguments[0])
            held |= set(range(*arguments[0]))
        elif name == "clear_range":
            bits.clear_range(*arguments[0])
            held -= set(range(*arguments[0]))
        elif name == "truncate":
            bits.truncate(arguments[0])
            held = {index for index in held if index < arguments[0]}
        elif name == "commit":
            bits.flush()
            storage.commit()
            committed, committed_contiguous = set(held), bits.contiguous
        elif name == "reload":
            storage.close()  # drops the overlay, as a failed commit does
            bits.reload(committed_contiguous)
            held = set(committed)
        else:
            storage.close()
            bits = Bitfield(storage, b"log", committed_contiguous)
            held = set(committed)
        check(bits, held, *asked)


def test_a_log_that_holds_everything_stores_no_page() -> None:
    storage = MemoryStorage()
    bits = Bitfield(storage, b"log", 0)
    for start in range(0, 5 * PAGE_BITS, 1000):
        bits.set_range(start, start + 1000)
    # Answers of one turn overtake each other; before the commit they are in order again.
    for index in (bits.contiguous + 2, bits.contiguous + 1, bits.contiguous):
        bits.set(index)
    bits.flush()
    storage.commit()
    assert bits.contiguous > 5 * PAGE_BITS
    assert not list(storage.range(b"", b"\xff"))
