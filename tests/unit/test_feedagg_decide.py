"""The decider: rows from operations, the order rule, and that no order of reading changes the outcome."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.records import format_date
from core.records.bounds import MAX_KEY_BYTES, MAX_VALUE_BYTES
from feedagg.decide import (
    DAY_MS,
    FIRST_LOOK,
    FIRST_RETRY_MS,
    LAST_RETRY_MS,
    SKEW_MS,
    Operation,
    Position,
    Row,
    Status,
    backward,
    decide,
    forward,
    newest,
    retry_delay,
    stored_key,
)
from tests.support.feedagg import delete, put

NOW = 1_790_000_000_000


def one(operation: Operation) -> Row:
    (row,) = decide([operation], NOW)
    return row


def post(**fields: Any) -> dict[str, Any]:
    return {"text": "hello", "createdAt": format_date(NOW - 1000), **fields}


def test_a_post_is_shown_at_its_own_date() -> None:
    row = one(put(7, "post/0000000000000001", post()))
    assert (row["status"], row["kind"], row["seq"]) == (Status.SHOWN, "post", 7)
    assert (row["sort_at"], row["created_at"], row["first_seen"]) == (NOW - 1000, NOW - 1000, NOW)
    assert row["in_feed"]
    assert row["date_flag"] is None


@pytest.mark.parametrize(
    ("created", "sort_at", "flag"),
    [
        (NOW - DAY_MS, NOW - DAY_MS, None),
        (
            NOW + SKEW_MS,
            NOW,
            None,
        ),  # a clock that runs a little ahead: no flag, and no place above the present
        (NOW + SKEW_MS + 1, NOW, "date-in-future"),
        (None, NOW, "date-missing"),
        ("yesterday", NOW, "date-unparsable"),
        ("1969-12-31T23:59:59Z", NOW, "date-before-1970"),
    ],
)
def test_the_order_rule(created: int | str | None, sort_at: int, flag: str | None) -> None:
    value: dict[str, Any] = {"text": "hello"}
    if created is not None:
        value["createdAt"] = format_date(created) if isinstance(created, int) else created
    row = one(put(1, "post/0000000000000001", value))
    assert (row["sort_at"], row["date_flag"], row["in_feed"]) == (sort_at, flag, True)


@pytest.mark.parametrize(
    ("created", "in_feed"), [(NOW, False), (NOW - DAY_MS + 1, False), (NOW - DAY_MS, True)]
)
def test_an_import_never_comes_out_on_top(created: int, in_feed: bool) -> None:
    value = {"film": {"title": "Heat"}, "createdAt": format_date(created), "src": "letterboxd"}
    row = one(put(1, "movie/0000000000000001", value))
    assert row["status"] == Status.SHOWN
    assert row["in_feed"] is in_feed


def test_a_workshop_bee_is_read_as_movies() -> None:
    row = one(put(1, "ckxyz123", {"title": "Heat", "year": 1995, "rating": 8}))
    assert (row["status"], row["kind"], row["rating"]) == (Status.SHOWN, "movie", 8)
    assert row["film"] == row["film_title"] == "t:heat:1995"


def test_a_film_is_named_by_its_strongest_id_and_by_its_title() -> None:
    film = {"title": "Heat", "year": 1995, "ids": {"tmdb": 949, "imdb": "tt0113277"}}
    row = one(put(1, "movie/0000000000000001", {"film": film, "createdAt": format_date(NOW)}))
    assert (row["film"], row["film_title"]) == ("tmdb:949", "t:heat:1995")


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        (b"post/0000000000000001", b"not json", "not-json"),
        (b"post/0000000000000001", b"[1]", "not-an-object"),
        (b"post/0000000000000001", b"{}", "missing-field"),
        (b"post/0000000000000001", b'{"text":"' + b"x" * MAX_VALUE_BYTES + b'"}', "too-large"),
        (b"post/nonsense", b'{"text":1}', "bad-key"),
        (b"\xff\xfe", b'{"title":"x"}', "bad-key"),
        (b"thing", b'{"a":1}', "unknown-kind"),
    ],
)
def test_what_is_no_record_is_counted_under_its_reason(key: bytes, value: bytes, reason: str) -> None:
    row = one(Operation(3, key, value))
    assert (row["status"], row["reason"]) == (Status.SKIPPED, reason)
    assert row["value"] is None


def test_a_profile_is_kept_and_not_listed() -> None:
    row = one(put(1, "profile/self", {"name": "Ada", "createdAt": format_date(NOW)}))
    assert (row["status"], row["kind"], row["in_feed"]) == (Status.KEPT, "profile", False)
    assert row["value"] is not None


def test_a_removal_leaves_no_value() -> None:
    row = one(delete(9, "post/0000000000000001"))
    assert (row["status"], row["value"], row["seq"]) == (Status.DELETED, None, 9)


def test_a_block_that_is_no_operation_is_counted_apart_from_every_key() -> None:
    rows = decide([Operation.broken(4), Operation.broken(5)], NOW)
    assert [row["reason"] for row in rows] == ["not-an-operation"] * 2
    assert len({row["key"] for row in rows}) == 2


def test_a_key_too_long_to_index_is_stood_for_by_its_hash() -> None:
    long = b"k" * (MAX_KEY_BYTES + 1)
    assert stored_key(long[:-1]) == long[:-1]
    assert len(stored_key(long)) == 33
    assert stored_key(long) != stored_key(long + b"k")
    with pytest.raises(UnicodeDecodeError):
        stored_key(long).decode()


# --- any sequence of operations, folded, is a dict --------------------------------------------------

_values = st.one_of(
    st.none(),
    st.text(max_size=8).map(lambda text: {"title": text}),
    st.text(max_size=8).map(lambda text: {"text": text}),
    st.integers(),
)
_histories = st.lists(st.tuples(st.sampled_from(["a", "b", "c", "post/1", "d/e"]), _values), max_size=60)


def as_log(history: list[tuple[str, Any]]) -> list[Operation]:
    """Block 0 is the header, so the first operation is block 1."""
    return [
        Operation(seq, key.encode(), None if value is None else json.dumps(value).encode())
        for seq, (key, value) in enumerate(history, start=1)
    ]


@given(_histories)
def test_the_fold_of_a_log_is_a_dict(history: list[tuple[str, Any]]) -> None:
    expected: dict[bytes, Operation] = {}
    for operation in as_log(history):
        expected[operation.key] = operation
    assert newest(as_log(history)) == expected


@given(_histories, st.randoms(use_true_random=False))
def test_the_order_in_which_blocks_come_does_not_matter(history: list[tuple[str, Any]], random: Any) -> None:
    shuffled = as_log(history)
    random.shuffle(shuffled)
    by_key = {row["key"]: row for row in decide(as_log(history), NOW)}
    assert {row["key"]: row for row in decide(shuffled, NOW)} == by_key


@given(
    st.lists(st.integers(min_value=0, max_value=90), min_size=1, max_size=8),
    st.integers(min_value=1, max_value=40),
    st.randoms(use_true_random=False),
)
def test_stretches_cover_every_block_once_however_the_log_grows(
    growth: list[int], at_most: int, random: Any
) -> None:
    """Forward and backward stretches, taken in any order while the log grows, read [1, length) without
    overlap.
    """
    position, length, read = Position(), 0, []
    for more in growth:
        length += more
        while True:
            choices = [forward(position, length, at_most), backward(position, at_most)]
            stretches = [stretch for stretch in choices if stretch is not None]
            if not stretches or random.random() < 0.2:
                break
            stretch = random.choice(stretches)
            assert 1 <= stretch.start < stretch.end <= length
            read += range(stretch.start, stretch.end)
            position = stretch.after
    while (stretch := forward(position, length, at_most) or backward(position, at_most)) is not None:
        read += range(stretch.start, stretch.end)
        position = stretch.after
    assert sorted(read) == list(range(1, length))
    assert position.complete or length <= 1


def test_the_newest_come_first() -> None:
    first = forward(Position(), 50_001, 512)
    assert first is not None
    assert (first.start, first.end) == (50_001 - FIRST_LOOK, 50_001)


def test_tries_slow_down_and_are_spread() -> None:
    delays = [retry_delay(failures, 0.5) for failures in range(1, 30)]
    assert delays[0] == FIRST_RETRY_MS
    assert delays == sorted(delays)
    assert delays[-1] == LAST_RETRY_MS
    assert retry_delay(5, 0.0) < retry_delay(5, 0.999) < 2 * retry_delay(5, 0.0)
