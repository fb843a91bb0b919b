"""Availability, wants and request numbers, each against the plainest model of itself."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from core.limits import MAX_WANTS, WANT_UNIT_BLOCKS
from core.replication.availability import MAX_PAGES, PAGE_BITS, Availability
from core.replication.messages import Want
from core.replication.requests import PendingRequest, RequestTable
from core.replication.wants import LocalWants, RemoteWants

SPAN = 3 * PAGE_BITS
positions = st.one_of(st.integers(0, 70), st.integers(PAGE_BITS - 40, PAGE_BITS + 40), st.integers(0, SPAN))


def run_of(start: int, end: int) -> int:
    """The integer whose bits [start, end) are set."""
    return (1 << max(end, start)) - (1 << start)


def lowest(bits: int) -> int:
    return (bits & -bits).bit_length() - 1


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["prefix", "add", "remove", "replace"]),
            positions,
            positions,
            st.binary(max_size=12),
        ),
        max_size=12,
    )
)
def test_availability_is_one_row_of_bits(steps: list[tuple[str, int, int, bytes]]) -> None:
    claims = Availability()
    held = 0
    for kind, first, second, words in steps:
        start, end = min(first, second), max(first, second)
        if kind == "prefix":
            claims.add_prefix(end)
            held |= run_of(0, end)
        elif kind == "add":
            claims.add(start, end, SPAN)
            held |= run_of(start, end)
        elif kind == "remove":
            claims.remove(start, end, SPAN)
            held &= ~run_of(start, end)
        else:
            start -= start % 32
            words += bytes(-len(words) % 4)
            if start < claims.contiguous:
                # Contradicts the prefix, of which nothing above is known then.
                held &= ~run_of(start, claims.contiguous)
            claims.replace(start, words, SPAN)
            held &= ~run_of(start, start + 8 * len(words))
            held |= (int.from_bytes(words, "little") << start) & run_of(0, SPAN)
        for probe in {0, 1, start, end, max(start, 1) - 1, end + 1, PAGE_BITS - 1, PAGE_BITS, SPAN - 1}:
            above = held >> probe
            assert claims.has(probe) == bool(above & 1), (kind, probe)
            assert claims.first_set(probe, SPAN) == (probe + lowest(above) if above else -1)
            if probe >= claims.contiguous:
                assert claims.first_unset(probe) == probe + lowest(~above)
        assert claims.contiguous_length == lowest(~held)


def test_claims_beyond_the_limit_are_forgotten() -> None:
    claims = Availability()
    claims.add(0, 2**50, 100)
    assert (claims.has(99), claims.has(100)) == (True, False)
    claims.add(1, 2**50, 2**50)
    assert len(claims._pages) <= MAX_PAGES
    claims.remove(0, 2**53, 2**53)
    assert claims._pages == {}


def test_a_dropped_block_leaves_those_above_known() -> None:
    claims = Availability()
    claims.add_prefix(100)
    claims.remove(20, 30, 1000)
    assert claims.contiguous_length == 20
    assert (claims.first_set(20, 100), claims.first_set(20, 30)) == (30, -1)


def test_local_wants_are_asked_once_and_reused() -> None:
    wants = LocalWants()
    first, second = object(), object()
    want, unwant = wants.add(5, first)
    assert (want, unwant) == (Want(0, WANT_UNIT_BLOCKS), None)
    assert wants.add(6, second) == (None, None)
    wants.release(first)
    assert wants.add(7, first) == (None, None)
    wants.release(first)
    wants.release(second)
    assert wants.add(8, first) == (None, None), "the remote still tells us"
    assert wants.forget(0, 10) == [Want(0, WANT_UNIT_BLOCKS)]
    assert wants.add(8, first)[0] is not None


def test_local_wants_make_room_only_by_what_nobody_needs() -> None:
    wants = LocalWants()
    wishes = [object() for _ in range(MAX_WANTS)]
    for number, wish in enumerate(wishes):
        assert wants.add(number * WANT_UNIT_BLOCKS, wish)[0] is not None
    late = object()
    assert wants.add(MAX_WANTS * WANT_UNIT_BLOCKS, late) == (None, None)
    wants.release(wishes[3])
    want, unwant = wants.add(MAX_WANTS * WANT_UNIT_BLOCKS, late)
    assert want == Want(MAX_WANTS * WANT_UNIT_BLOCKS, WANT_UNIT_BLOCKS)
    assert unwant == Want(3 * WANT_UNIT_BLOCKS, WANT_UNIT_BLOCKS)


def test_remote_wants() -> None:
    wants = RemoteWants()
    assert wants.add(Want(64, 64))
    assert (wants.touches(63, 1), wants.touches(64, 1), wants.touches(127, 1), wants.touches(128, 9)) == (
        False,
        True,
        True,
        False,
    )
    assert wants.touches(0, 1000)
    wants.remove(Want(64, 64))
    assert not wants.touches(64, 1)
    assert not wants.add(Want(0, 2 * WANT_UNIT_BLOCKS)), "larger than any unit: not answered"
    assert wants.add(Want(5, 10, any=True))
    assert (wants.touches(14, 1), wants.touches(15, 1)) == (True, False)
    wants.remove(Want(5, 10, any=True))
    assert not wants.touches(10, 1)


def test_who_wants_too_much_is_told_everything() -> None:
    for odd in (Want(0, 33), Want(1, 32), Want(0, 16)):
        wants = RemoteWants()
        assert wants.add(odd)
        assert wants.touches(10**9, 1)
    many = RemoteWants()
    for unit in range(MAX_WANTS + 1):
        assert many.add(Want(32 * unit, 32))
    assert many.touches(10**9, 1)
    sizes = RemoteWants()
    for power in range(5, 10):
        assert sizes.add(Want(0, 1 << power))
    assert sizes.touches(10**9, 1)
    anything = RemoteWants()
    for start in range(17):
        anything.add(Want(start, 1, any=True))
    assert anything.touches(10**9, 1)


@given(st.lists(st.sampled_from(["ask", "answer", "withdraw"]), max_size=40), st.randoms())
def test_a_number_names_one_question(steps: list[str], dice: object) -> None:
    table = RequestTable()
    open_requests: list[PendingRequest] = []
    withdrawn: set[int] = set()
    for step in steps:
        if step == "ask":
            request = PendingRequest(None, 0)  # type: ignore[arg-type]
            table.add(request)
            assert request.id > 0
            assert request.id not in {other.id for other in open_requests} | withdrawn
            open_requests.append(request)
        elif open_requests:
            request = open_requests.pop()
            table.remove(request, answered=step == "answer")
            if step == "withdraw":
                withdrawn.add(request.id)
            assert table.get(request.id) is None
        assert len(table) == len(open_requests)
    assert all(table.get(request.id) is request for request in open_requests)
