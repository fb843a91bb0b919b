"""Each kind of record once as it should be, and each way in which one can be wrong."""

from __future__ import annotations

import json
from typing import Any

import pytest

from core.errors import BadArgument
from core.records import (
    Blob,
    DateFlag,
    FilmList,
    Follow,
    Image,
    KeyClock,
    ListItem,
    Meta,
    More,
    Post,
    Profile,
    Reaction,
    Reason,
    Ref,
    Rejected,
    Resumes,
    Review,
    Subject,
    Watch,
    WatchlistItem,
    bounds,
    encode_value,
    film_ref,
    film_refs,
    format_date,
    key_time,
    kind_of,
    new_key,
    parse_date,
    parse_record,
    reaction_key,
    slug,
    value_hash,
    watchlist_key,
)

T16 = "019a0c3f5b000000"
BEE = "ab" * 32
HASH = "cd" * 32
NOW = 1_795_421_580_123
DUNE = Subject(title="Dune", year=2021, tmdb=438631)
REF = Ref(bee=BEE, key=f"post/{T16}", seq=7, hash=HASH)
BLOB = Blob(block_offset=1, block_length=2, byte_offset=0, byte_length=70_000)

EVERY_KIND = [
    Meta(key="meta/self", software="meadow 0.1", blobs=BEE, resumes=Resumes(BEE, 9, HASH), created_at=NOW),
    Profile(
        key="profile/self",
        name="Ada",
        bio="Engines.",
        website="https://example.org/ada",
        avatar=BLOB,
        langs=("en", "pt-BR"),
        created_at=NOW,
        updated_at=NOW + 1,
    ),
    Post(
        key=f"post/{T16}",
        text="Hello, meadow",
        more=More(text="# Long", mime="text/markdown"),
        lang="en",
        tags=("bees", "first"),
        media=(Image(BLOB, alt="a hive", width=640, height=480),),
        cw="insects",
        root=REF,
        parent=REF,
        film=DUNE,
        created_at=NOW,
        updated_at=NOW + 1,
    ),
    Watch(
        key=f"movie/{T16}",
        film=Subject(
            title="Dune",
            year=2021,
            kind="movie",
            tmdb=438631,
            imdb="tt1160419",
            wikidata="Q60834962",
            urls=("https://example.org/dune",),
            cover="https://example.org/dune.jpg",
        ),
        watched_on="2026-11",
        rewatch=True,
        rating=9,
        liked=True,
        review=Review(text="Sand.", spoiler=True),
        tags=("sf",),
        source="letterboxd",
        created_at=NOW,
    ),
    WatchlistItem(key="watchlist/tmdb:438631", film=DUNE, created_at=NOW),
    Follow(key=f"follow/{BEE}", bee=BEE, note="a friend", created_at=NOW),
    Reaction(key=reaction_key(REF, "🐝"), subject=REF, reaction="🐝", created_at=NOW),
    FilmList(key=f"list/{T16}", name="Deserts", text="Dry ones", ordered=True, created_at=NOW),
    ListItem(key=f"listitem/{T16}/a0", list_id=T16, order="a0", film=DUNE, note="the first", created_at=NOW),
]


@pytest.mark.parametrize("record", EVERY_KIND, ids=lambda record: record.kind)
def test_a_record_reads_back_as_it_was_written(record: Any) -> None:
    assert parse_record(record.key, encode_value(record.to_json())) == record
    assert parse_record(record.key.encode(), record.to_json()) == record
    assert kind_of(record.key) == record.kind


def test_unknown_fields_come_back_in_every_object() -> None:
    value = {
        "film": {
            "title": "Dune",
            "kind": "movie",
            "ids": {"tmdb": 1, "letterboxd": "dune"},
            "colour": "sand",
        },
        "review": {"text": "Yes", "mood": [1, {"a": None}]},
        "createdAt": "2026-11-23T08:13:00.123Z",
        "weather": {"rain": False},
    }
    record = parse_record(f"movie/{T16}", value)
    assert isinstance(record, Watch)
    assert record.to_json() == value


WORKSHOP = [
    ("ckv8g2x4f0000", {"title": "Dune"}, None, None),
    ("ckv8g2x4f0001", {"title": "Dune", "year": 2021, "genre": "sf", "rating": 8}, 2021, 8),
    ("ckv8g2x4f0002", {"title": "Dune", "year": "2021", "rating": "9.5/10"}, 2021, None),
    ("movies\x00ckv8g2x4f0003", {"title": "Dune", "rating": 8.5, "year": 99}, None, None),
    (f"movie/{T16}", {"title": "Dune"}, None, None),
    ("movie/dune", {"title": "Dune", "film": 3}, None, None),
    ("", {"title": "Dune"}, None, None),
]


@pytest.mark.parametrize(("key", "value", "year", "rating"), WORKSHOP)
def test_a_title_under_any_key_is_a_movie(key: str, value: Any, year: int | None, rating: int | None) -> None:
    record = parse_record(key, json.dumps(value).encode())
    assert isinstance(record, Watch)
    assert (record.film.title, record.film.year, record.rating, record.by_hand) == (
        "Dune",
        year,
        rating,
        True,
    )
    assert parse_record(key, record.to_json()) == record
    for name in value:
        assert name in record.to_json()


@pytest.mark.parametrize("key", ["ckv8g2x4f0000", "post/hello", "notes/1", "a b"])
def test_a_text_under_any_key_is_a_post(key: str) -> None:
    record = parse_record(key, b'{"text":"hi","mood":"good"}')
    assert isinstance(record, Post)
    assert (record.text, record.by_hand, record.extra) == ("hi", True, {"mood": "good"})
    assert parse_record(key, record.to_json()) == record


def movie(**fields: Any) -> tuple[str, Any]:
    return f"movie/{T16}", {"film": {"title": "Dune"}, **fields}


def post(**fields: Any) -> tuple[str, Any]:
    return f"post/{T16}", {"text": "hi", **fields}


WRONG: list[tuple[tuple[str | bytes, Any], Reason, str]] = [
    ((b"\xff\xfe", {"title": "x"}), Reason.BAD_KEY, "UTF-8"),
    (("k" * 1025, {"title": "x"}), Reason.BAD_KEY, "1,024"),
    (("\ud800", {"title": "x"}), Reason.BAD_KEY, "UTF-8"),
    (("follow/me", {}), Reason.BAD_KEY, "64 hex digits"),
    (("profile/other", {"name": "x"}), Reason.BAD_KEY, "profile/self"),
    (("post/nothing", {"a": 1}), Reason.BAD_KEY, "16 hex digits"),
    (("listitem/" + T16, {"film": {"title": "x"}}), Reason.BAD_KEY, "<order>"),
    (("anything", {"name": "x"}), Reason.UNKNOWN_KIND, "neither"),
    (("anything", {"title": 3}), Reason.UNKNOWN_KIND, "neither"),
    (("k", b""), Reason.NOT_JSON, "not JSON"),
    (("k", b"plain words"), Reason.NOT_JSON, "not JSON"),
    (("k", b"\xff"), Reason.NOT_JSON, "not JSON"),
    (("k", b'{"title":NaN}'), Reason.NOT_JSON, "not JSON"),
    (("k", b"[" * 60_000), Reason.NOT_JSON, "not JSON"),
    (("k", b'{"year":' + b"9" * 5000 + b"}"), Reason.NOT_JSON, "not JSON"),
    (("k", b"[" * 40 + b"]" * 40), Reason.OUT_OF_RANGE, "32 levels"),
    (("k", float("nan")), Reason.NOT_JSON, "JSON"),
    (("k", object()), Reason.NOT_JSON, "JSON"),
    (("k", b"null"), Reason.NOT_AN_OBJECT, "null"),
    (("k", b"[1]"), Reason.NOT_AN_OBJECT, "a list"),
    (("k", '"text"'), Reason.NOT_AN_OBJECT, "text"),
    (("k", b"true"), Reason.NOT_AN_OBJECT, "true or false"),
    (("k", b'{"title":"' + b"x" * 65_536 + b'"}'), Reason.TOO_LARGE, "65,536"),
    (("k", {"title": "x" * 65_536}), Reason.TOO_LARGE, "65,536"),
    (("k", b'{"title":"\\ud800"}'), Reason.BAD_TEXT, "surrogate"),
    (("k", {"title": "a\x00b"}), Reason.BAD_TEXT, "NUL"),
    ((f"post/{T16}", {}), Reason.MISSING, "text is missing"),
    ((f"post/{T16}", {"title": "x"}), Reason.MISSING, "text is missing"),
    (post(text=" \n"), Reason.EMPTY, "empty"),
    (post(text=3), Reason.WRONG_TYPE, "a number"),
    (post(text="é" * 1501), Reason.TOO_LONG, "3,002 bytes"),
    (post(tags=["x"] * 9), Reason.TOO_MANY, "9 items"),
    (post(tags="x"), Reason.WRONG_TYPE, "a list"),
    (post(tags=[""]), Reason.EMPTY, "tags[0]"),
    (post(lang="english please"), Reason.BAD_FORM, "language"),
    (post(reply={"root": REF.to_json()}), Reason.MISSING, "reply.parent"),
    (post(reply={"root": {**REF.to_json(), "hash": "AB"}, "parent": {}}), Reason.BAD_FORM, "reply.root.hash"),
    (post(media=[{"alt": "x"}]), Reason.MISSING, "media[0].blob"),
    (post(media=[3]), Reason.WRONG_TYPE, "media[0]"),
    (post(more={"mime": "text/plain"}), Reason.MISSING, "more.text"),
    ((f"movie/{T16}", {}), Reason.MISSING, "film is missing"),
    ((f"movie/{T16}", {"film": {}}), Reason.MISSING, "film.title"),
    (movie(film={"title": "x" * 301}), Reason.TOO_LONG, "301"),
    (movie(film={"title": "x", "year": 1700}), Reason.OUT_OF_RANGE, "1870"),
    (movie(film={"title": "x", "kind": "opera"}), Reason.BAD_FORM, "movie, tv"),
    (movie(film={"title": "x", "ids": {"imdb": "1160419"}}), Reason.BAD_FORM, "film.ids.imdb"),
    (movie(film={"title": "x", "ids": {"tmdb": "../1"}}), Reason.WRONG_TYPE, "film.ids.tmdb"),
    (movie(film={"title": "x", "urls": ["javascript:alert(1)"]}), Reason.BAD_FORM, "https://"),
    (movie(film={"title": "x", "cover": 'https://a/"onload='}), Reason.BAD_FORM, "https://"),
    (movie(film={"title": "x", "cover": "http://[::1"}), Reason.BAD_FORM, "https://"),
    (movie(rating=11), Reason.OUT_OF_RANGE, "1 to 10"),
    (movie(rating=0), Reason.OUT_OF_RANGE, "1 to 10"),
    (movie(rating=10**400), Reason.OUT_OF_RANGE, "1 to 10"),
    (movie(rating=7.5), Reason.WRONG_TYPE, "whole number"),
    (movie(rating=True), Reason.WRONG_TYPE, "true or false"),
    (movie(liked=1), Reason.WRONG_TYPE, "true or false"),
    (movie(watchedOn="2026-02-30"), Reason.BAD_FORM, "watchedOn"),
    (movie(watchedOn="yesterday"), Reason.BAD_FORM, "watchedOn"),
    (movie(review="good"), Reason.WRONG_TYPE, "an object"),
    (("profile/self", {"name": "x" * 65}), Reason.TOO_LONG, "limit is 64"),
    (("profile/self", {"name": "x", "bio": "x" * 257}), Reason.TOO_LONG, "limit is 256"),
    (("profile/self", {"name": "x", "website": "ftp://a"}), Reason.BAD_FORM, "website"),
    (("meta/self", {"schema": "meadow"}), Reason.MISSING, "v is missing"),
    (("meta/self", {"schema": "meadow", "v": -1}), Reason.OUT_OF_RANGE, "v is -1"),
    (("watchlist/tmdb:1", {"film": DUNE.to_json()}), Reason.KEY_MISMATCH, "tmdb:438631"),
    (
        (reaction_key(REF, "like"), {"subject": {**REF.to_json(), "key": "post/other"}}),
        Reason.KEY_MISMATCH,
        "key",
    ),
]


@pytest.mark.parametrize(("entry", "reason", "words"), WRONG)
def test_what_is_wrong_is_named(entry: tuple[str | bytes, Any], reason: Reason, words: str) -> None:
    rejected = parse_record(*entry)
    assert isinstance(rejected, Rejected)
    assert rejected.reason is reason
    assert words in rejected.sentence
    assert rejected.sentence.endswith(".")
    assert len(rejected.sentence) < 200


def test_every_reason_is_explained_and_occurs() -> None:
    assert {reason for _, reason, _ in WRONG} == set(Reason)
    assert all(reason.meaning.endswith(".") for reason in Reason)


def test_null_means_not_there() -> None:
    assert parse_record(*movie(rating=None, review=None, tags=None, liked=None)) == parse_record(*movie())


@pytest.mark.parametrize(
    ("date", "expected"),
    [
        (None, DateFlag.MISSING),
        ("2026-11-23T08:13:00.123Z", NOW),
        ("2026-11-23T09:13:00.123999+01:00", NOW),
        ("2026-11-23", NOW - NOW % 86_400_000),
        (NOW, NOW),
        (float(NOW), NOW),
        ("1969-12-31T23:59:59Z", DateFlag.BEFORE_1970),
        (-1, DateFlag.BEFORE_1970),
        ("yesterday", DateFlag.UNPARSABLE),
        ("2026-13-01", DateFlag.UNPARSABLE),
        ("0001-01-01T00:00:00+23:59", DateFlag.BEFORE_1970),
        (True, DateFlag.UNPARSABLE),
        ([], DateFlag.UNPARSABLE),
        (1e300, DateFlag.UNPARSABLE),
    ],
)
def test_dates(date: object, expected: int | DateFlag) -> None:
    assert parse_date(date) == expected


def test_a_bad_date_is_flagged_and_kept() -> None:
    key, value = post(createdAt="soon", updatedAt="later")
    record = parse_record(key, value)
    assert isinstance(record, Post)
    assert (record.created_at, record.date_flag) == (None, DateFlag.UNPARSABLE)
    assert record.to_json() == value


def test_dates_are_written_as_javascript_writes_them() -> None:
    assert format_date(NOW) == "2026-11-23T08:13:00.123Z"
    assert format_date(0) == "1970-01-01T00:00:00.000Z"


def test_film_refs_strongest_first() -> None:
    film = Subject(
        title="Le Fabuleux Destin d'Amélie Poulain", year=2001, tmdb=194, imdb="tt0211915", wikidata="Q484048"
    )
    assert film_refs(film) == [
        "tmdb:194",
        "imdb:tt0211915",
        "wikidata:Q484048",
        "t:le-fabuleux-destin-d-amelie-poulain:2001",
    ]
    assert film_ref(Subject(title="Fargo", year=2014, kind="tv", tmdb=60622)) == "tmdb:tv:60622"
    assert film_ref(Subject(title="Untitled")) == "t:untitled:"
    assert watchlist_key(DUNE) == "watchlist/tmdb:438631"


@pytest.mark.parametrize(
    ("title", "expected"),
    [
        ("AMÉLIE", "amelie"),
        ("  The   Matrix: Reloaded! ", "the-matrix-reloaded"),
        ("千と千尋の神隠し", "千と千尋の神隠し"),
        ("Straße", "strasse"),
        ("Łódź", "łodz"),
        ("!!!", "x212121"),
        ("a/b:c", "a-b-c"),
    ],
)
def test_slugs(title: str, expected: str) -> None:
    assert slug(title) == expected


def test_the_key_clock() -> None:
    clock = KeyClock()
    first = new_key("post", clock, NOW)
    assert first == f"post/{NOW:012x}0000"
    assert new_key("post", clock, NOW) == f"post/{NOW:012x}0001"
    assert clock.next(NOW - 5_000) == f"{NOW:012x}0002"  # the wall clock jumped back
    assert clock.next(NOW + 1) == f"{NOW + 1:012x}0000"
    assert key_time(clock.next(0)) == NOW + 1
    assert KeyClock(f"{NOW:012x}ffff").next(0) == f"{NOW + 1:012x}0000"
    clock.observe("ff" * 7 + "00")
    assert clock.next(NOW) == "ff" * 7 + "01"


def test_the_key_clock_says_what_it_cannot_do() -> None:
    with pytest.raises(BadArgument, match="16 lower-case hex"):
        KeyClock("xyz")
    with pytest.raises(BadArgument, match="1970"):
        KeyClock().next(-1)
    with pytest.raises(BadArgument, match="no later one"):
        KeyClock("f" * 16).next(NOW)


def test_a_value_hash_is_blake2b_256() -> None:
    assert value_hash(b"") == "0e5751c026e543b2e8ab2eb06099daa1d1e5df47778f7787faab45cdf12fe3a8"


def test_limits_are_published() -> None:
    assert bounds.published()["textBytes"] == 3_000
    assert bounds.published()["valueBytes"] == 64 * 1024
