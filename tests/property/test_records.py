"""Whatever a stranger writes: an answer, never an exception; whatever we write: the same back."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from core.records import (
    MAX_TIME_MS,
    KeyClock,
    Post,
    Profile,
    Rejected,
    Review,
    Subject,
    Watch,
    encode_value,
    film_refs,
    format_date,
    parse_date,
    parse_record,
    slug,
)

T16 = "019a0c3f5b000000"
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)
known_names = st.sampled_from(
    [
        "text",
        "title",
        "film",
        "kind",
        "year",
        "ids",
        "tmdb",
        "imdb",
        "rating",
        "review",
        "reply",
        "root",
        "parent",
        "tags",
        "media",
        "blob",
        "more",
        "mime",
        "lang",
        "createdAt",
        "updatedAt",
        "watchedOn",
        "name",
        "bio",
        "website",
        "subject",
        "bee",
        "key",
        "seq",
        "hash",
        "schema",
        "v",
        "note",
        "urls",
        "cover",
    ]
)
record_shaped = st.recursive(
    json_values,
    lambda inner: st.dictionaries(known_names, inner | st.lists(inner, max_size=3), max_size=6),
    max_leaves=20,
)
keys = st.one_of(
    st.text(),
    st.binary(),
    st.sampled_from(
        [
            "meta/self",
            "profile/self",
            f"post/{T16}",
            f"movie/{T16}",
            "watchlist/t:x:",
            "follow/" + "ab" * 32,
            "react/" + "ab" * 32 + "/post/x/like",
            f"list/{T16}",
            f"listitem/{T16}/1",
            "post/x",
            "cuid",
        ]
    ),
)
times = st.integers(0, MAX_TIME_MS)
plain = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=60).filter(
    str.strip
)
unknown = st.dictionaries(
    st.text(st.characters(codec="utf-8"), max_size=8).map("x-".__add__),
    st.integers(-9, 9) | plain,
    max_size=3,
)
subjects = st.builds(
    Subject,
    title=plain,
    year=st.none() | st.integers(1870, 2200),
    kind=st.sampled_from(["movie", "tv", "season", "episode"]),
    tmdb=st.none() | st.integers(0, 10**12),
    imdb=st.none() | st.integers(0, 10**9).map(lambda n: f"tt{n}"),
    wikidata=st.none() | st.integers(1, 10**9).map(lambda n: f"Q{n}"),
    extra=unknown,
    extra_ids=unknown,
)
stamps = {"created_at": times, "updated_at": st.none() | times, "extra": unknown}
records = st.one_of(
    st.builds(
        Post, key=st.just(f"post/{T16}"), text=plain, tags=st.lists(plain, max_size=8).map(tuple), **stamps
    ),
    st.builds(
        Watch,
        key=st.just(f"movie/{T16}"),
        film=subjects,
        rating=st.none() | st.integers(1, 10),
        liked=st.booleans(),
        rewatch=st.booleans(),
        watched_on=st.none() | st.dates().map(lambda day: day.isoformat()),
        review=st.none() | st.builds(Review, text=plain, spoiler=st.booleans(), extra=unknown),
        **stamps,
    ),
    st.builds(Profile, key=st.just("profile/self"), name=plain, bio=st.none() | plain, **stamps),
)


@given(keys, json_values | record_shaped)
def test_any_json_gives_a_record_or_a_reason(key: Any, value: Any) -> None:
    check(key, parse_record(key, value))


@given(keys, st.binary(max_size=200) | record_shaped.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_give_a_record_or_a_reason(key: Any, value: bytes) -> None:
    check(key, parse_record(key, value))


def check(key: Any, answer: Any) -> None:
    """A record must be writable again and read the same; a rejection must be sayable."""
    if isinstance(answer, Rejected):
        assert answer.sentence
        answer.sentence.encode()
    else:
        again = parse_record(key, encode_value(answer.to_json()))
        assert again == answer


@given(records)
def test_our_records_come_back_the_same(record: Any) -> None:
    assert parse_record(record.key, encode_value(record.to_json())) == record


@given(times)
def test_dates_come_back_the_same(moment: int) -> None:
    assert parse_date(format_date(moment)) == moment
    assert len(format_date(moment)) == 24


@given(st.lists(times, min_size=1), st.integers(0, 2**63).map("{:016x}".format))
def test_keys_increase_strictly_whatever_the_clock_does(moments: list[int], last: str) -> None:
    clock = KeyClock(last)
    made = [last, *(clock.next(moment) for moment in moments)]
    assert all(earlier < later for earlier, later in pairwise(made))
    assert all(len(t16) == 16 for t16 in made)


@given(plain)
def test_a_slug_is_a_key_segment_and_stable(title: str) -> None:
    made = slug(title)
    assert made
    assert not set(made) & set("/: \n\t")
    assert slug(title.upper().lower()) == slug(title.lower())


@given(subjects)
def test_a_film_always_has_a_name(film: Subject) -> None:
    refs = film_refs(film)
    assert len(set(refs)) == len(refs)
    assert all("/" not in ref for ref in refs)


@given(
    st.text(st.characters(max_codepoint=0x7F), min_size=1, max_size=200).filter(
        lambda text: any(map(str.isalnum, text))
    )
)
def test_an_ascii_title_has_the_slug_of_its_wide_form(title: str) -> None:
    """The way for ASCII and the way for all meet: NFKD folds the wide form of a letter or sign to the narrow one."""
    wide = "".join(chr(ord(char) + 0xFEE0) if "!" <= char <= "~" else char for char in title)
    assert slug(title) == slug(wide)
