"""The search on SQLite and on PostgreSQL: the same terms, the same answers, newest first, and never a stale word."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, event, text

from core.records import format_date
from feedagg import find, moderation, queries, search, sources, store, tidying, words
from feedagg.database import Database
from feedagg.decide import Operation, Position, decide
from feedagg.queries import Order
from tests.support.feedagg import ENGINES, delete, put, scratch_database

NOW = 1_790_000_000_000
BEE = bytes(range(32))
OTHER = bytes(range(1, 33))


@pytest.fixture(
    scope="module",
    params=[pytest.param(name, marks=[pytest.mark.postgres] * (name != "sqlite")) for name in ENGINES],
)
def opened(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    with scratch_database(request.param, tmp_path_factory.mktemp("search")) as database:
        yield database


@pytest.fixture
def database(opened: Database) -> Iterator[Database]:
    for bee in (BEE, OTHER):
        opened.write_now(sources.add, bee, NOW, "command", "127.0.0.1:1")
    yield opened

    def empty(connection: Connection) -> None:
        for table in ("records", "sources", "hidden"):
            connection.execute(text(f"DELETE FROM {table}"))

    opened.write_now(empty)


def write(database: Database, operations: list[Operation], bee: bytes = BEE) -> None:
    def change(connection: Connection) -> None:
        before = store.position(connection, bee)
        assert before is not None
        end = max(before.cursor, *(operation.seq + 1 for operation in operations))
        store.write(connection, bee, decide(operations, NOW), before, Position(0, end, 1), end)

    database.write_now(change)


def post(seq: int, text: str, at: int = NOW - 1000, **more: Any) -> Operation:
    return put(seq, f"post/{seq:016x}", {"text": text, "createdAt": format_date(at), **more})


def movie(seq: int, title: str, at: int = NOW - 1000, year: int = 1985, **more: Any) -> Operation:
    film = {"title": title, "year": year}
    return put(seq, f"movie/{seq:016x}", {"film": film, "createdAt": format_date(at), **more})


def asked(database: Database, query: str, **options: Any) -> list[int]:
    found = database.read_now(find.find, search.parse(query), **options)
    return [item.seq for item in found.page.items]


def test_words_and_filters(database: Database) -> None:
    write(
        database,
        [
            put(1, "profile/self", {"name": "Ada Blüm", "createdAt": format_date(NOW)}),
            post(2, "The slow river in winter", NOW - 9000, tags=["Sci-Fi", "garden"]),
            post(3, "River slow, said nobody", NOW - 8000, cw="water"),
            movie(4, "Ran", NOW - 7000, rating=9, review={"text": "Slow and RED. Das Ärgernis"}),
            movie(5, "Heat", NOW - 6000, year=1995, rating=6, tags=["sci fi"]),
            post(6, "see", NOW - 5000, more={"mime": "text/markdown", "text": "a long river"}),
            put(7, "by-hand", {"title": "Alphaville", "year": 1965, "rating": 7}),
        ],
    )
    write(database, [post(2, "slow elsewhere", NOW - 4000)], OTHER)
    for query, expected in (
        ("slow", [2, 4, 3, 2]),
        ("SLOW", [2, 4, 3, 2]),
        ("slow river", [3, 2]),
        ('"slow river"', [2]),
        ("river", [6, 3, 2]),
        ("rive*", [6, 3, 2]),
        ("riv", []),
        ("slow -river", [2, 4]),
        ("argernis", [4]),
        ("ÄRGERNIS", [4]),
        ("kind:movie", [7, 5, 4]),
        ("kind:movie slow", [4]),
        ("#sci-fi", [5, 2]),
        ("tag:SCI-FI", [5, 2]),
        ("tag:garden", [2]),
        ("sci", [5, 2]),
        ("year:1985", [4]),
        ("year:1960-1989", [7, 4]),
        ("rating:7-", [7, 4]),
        ("rating:<=6", [5]),
        ("has:review", [4]),
        ("has:warning", [3]),
        ("has:more", [6]),
        ("author:ada slow", [4, 3, 2]),
        ("from:BLUM has:review", [4]),
        (f"author:{OTHER.hex()}", [2]),
        ("-slow -river", [7, 5]),
        ("alphaville", [7]),
        ("ada", []),  # a name is not a record's word
        ("since:2100-01-01", []),
    ):
        assert asked(database, query) == expected, query


def test_what_changes_is_found_as_it_is_now(database: Database) -> None:
    write(database, [post(1, "first apple"), post(2, "second pear")])
    write(database, [put(3, f"post/{1:016x}", {"text": "now plum", "createdAt": format_date(NOW - 1000)})])
    assert asked(database, "apple") == []
    assert asked(database, "plum") == [3]
    write(database, [delete(4, f"post/{2:016x}")])
    assert asked(database, "pear") == []
    database.write_now(moderation.hide, BEE, f"post/{1:016x}".encode(), "because", NOW)
    assert asked(database, "plum") == []
    database.write_now(moderation.unhide, BEE, f"post/{1:016x}".encode(), NOW)
    assert asked(database, "plum") == [3]
    database.write_now(lambda connection: connection.execute(text("DELETE FROM records")))
    write(database, [post(5, "third fig")])
    assert asked(database, "plum") == []
    assert asked(database, "fig") == [5]


@pytest.mark.parametrize(
    ("few", "common"), [(0, 0.0), (0, 2.0), (2_000, 0.05)], ids=["common", "middling", "rare"]
)
@pytest.mark.parametrize("order", list(Order))
def test_pages_of_a_search_lose_and_double_nothing(
    database: Database, monkeypatch: pytest.MonkeyPatch, few: int, common: float, order: Order
) -> None:
    monkeypatch.setattr(find, "FEW", few)
    monkeypatch.setattr(find, "COMMON", common)
    monkeypatch.setattr(find, "WALKED", 20)
    monkeypatch.setattr(find, "ASKED", 20)
    monkeypatch.setattr(find, "LOOKED_AT", 10)
    chance = random.Random(3)
    write(
        database,
        [
            post(n, "bell rings" if n % 3 == 0 else "ring bells", NOW - chance.randrange(9))
            for n in range(1, 151)
        ],
    )
    for asking, count in (('"bell rings"', 50), ("bells", 100), ("bell* -rings", 100)):
        query, seen = search.parse(asking), []
        page = database.read_now(find.find, query, size=7, order=order).page
        while True:
            seen += [item.place for item in page.items]
            if not page.has_older:
                break
            page = database.read_now(find.find, query, before=page.end, size=7, order=order).page
        assert len(seen) == len(set(seen)) == count
        assert seen == sorted(seen, key=order.key, reverse=True)
        newer = database.read_now(find.find, query, after=seen[20], size=7, order=order).page
        assert [item.place for item in newer.items] == seen[20 - len(newer.items) : 20]
        assert newer.items


@pytest.mark.parametrize("order", list(Order))
def test_a_search_window_by_window_finds_what_one_through_all_finds(
    database: Database, monkeypatch: pytest.MonkeyPatch, order: Order
) -> None:
    """On PostgreSQL a window ends the search where it fills the page, and all is looked through where none does."""
    chance, many = random.Random(5), 900
    texts = ["apple pie" if n % 7 else "plum" for n in range(1, many + 1)]
    texts[3] = "apple fig"  # old and rare: no window has it
    at = [NOW - chance.randrange(300) for _ in texts]
    write(database, [post(n, said, when) for n, (said, when) in enumerate(zip(texts, at, strict=True), 1)])
    looks: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if "feed_words" in statement:
            looks.append(statement)

    event.listen(database.reader, "before_cursor_execute", note)

    def walk(asking: str) -> list[int]:
        query, seen = search.parse(asking), []
        page = database.read_now(find.find, query, size=70, order=order).page
        while True:
            seen += [item.seq for item in page.items]
            if not page.has_older:
                newer = database.read_now(find.find, query, after=page.end, size=1, order=order).page.items
                assert [item.seq for item in newer] == seen[-2:-1]
                return seen
            page = database.read_now(find.find, query, before=page.end, size=70, order=order).page

    for word in ("apple", "fig", "apple -pie", "plum"):
        wanted, unwanted = word.split(" -")[0], word.partition(" -")[2] or "nothing"
        right = [n for n, said in enumerate(texts, 1) if wanted in said and unwanted not in said]
        right.sort(key=lambda n: (at[n - 1], n) if order is Order.DATE else n, reverse=True)
        monkeypatch.setattr(find, "WINDOWS", (100, 400))
        looks.clear()
        by_windows = walk(word)
        looks_by_windows = len(looks)
        monkeypatch.setattr(find, "WINDOWS", ())
        looks.clear()
        at_once = walk(word)
        assert by_windows == at_once == right
        if not database.is_sqlite:
            pages = len(right) // 70 + 2  # one of them to newer ones
            assert len(looks) == pages
            if word == "apple":  # the first window is enough
                assert looks_by_windows == pages
            else:
                assert looks_by_windows > pages
    event.remove(database.reader, "before_cursor_execute", note)


def test_what_cannot_be_understood_is_said(database: Database) -> None:
    write(database, [post(1, "apple")])
    for query in (
        "year:abc apple",
        "rating:12 apple",
        "kind:song apple",
        "has:legs apple",
        "since:soon apple",
    ):
        found = database.read_now(find.find, search.parse(query))
        assert len(found.problems) == 1, query
        assert [item.seq for item in found.page.items] == [1], query
    nobody = database.read_now(find.find, search.parse("author:nobody apple"))
    assert nobody.page.items == []
    assert "nobody" in nobody.problems[0]


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(max_size=80))
def test_no_query_is_an_error(database: Database, query: str) -> None:
    database.read_now(find.find, search.parse(query))
    database.read_now(find.find, search.tagged(query))


# Letters that every version of Unicode in use knows: the two databases' tables are of different years.
TEXT = st.text(
    st.characters(min_codepoint=1, max_codepoint=0x52F, exclude_categories=["Cn"])
    | st.sampled_from("河川ーか…–'“😀"),
    max_size=40,
)
HOSTILE = st.fixed_dictionaries(
    {},
    optional={
        "text": TEXT,
        "title": TEXT,
        "tags": st.lists(st.one_of(TEXT, st.none()), max_size=3),
        "film": st.one_of(st.none(), st.fixed_dictionaries({"title": TEXT, "year": st.integers(1, 12000)})),
        "review": st.one_of(st.none(), st.fixed_dictionaries({"text": TEXT})),
        "more": st.one_of(TEXT, st.fixed_dictionaries({"text": TEXT})),
        "rating": st.one_of(st.integers(0, 11), st.floats(0, 11, allow_nan=False), TEXT),
        "year": st.one_of(st.integers(1, 12000), TEXT),
        "media": st.lists(st.integers(), max_size=2),
        "cw": TEXT,
    },
)


@pytest.mark.postgres
@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(["post", "movie", "profile"]), HOSTILE)
def test_both_databases_make_the_same_terms(postgres: Connection, kind: str, record: dict[str, Any]) -> None:
    value = json.dumps(record, ensure_ascii=False).encode()
    made = postgres.execute(
        text("SELECT tsvector_to_array(feed_words(:bee, :kind, :value))"),
        {"bee": BEE, "kind": kind, "value": value},
    ).scalar()
    assert made is not None
    assert sorted(made) == sorted(words.terms(BEE, kind, value).split(" "))


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Connection]:
    with (
        scratch_database("postgres", tmp_path_factory.mktemp("pg")) as database,
        database.reader.connect() as connection,
    ):
        yield connection


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"[]",
        b"{",
        b'{"text":"a\\u0000b"}',
        b'{"text":"\\ud800"}',
        b"\xff",
        b'{"tags":{},"text":1}',
        b"1",
    ],
)
def test_a_value_that_cannot_be_read_has_no_words_and_harms_nothing(database: Database, value: bytes) -> None:
    row = {**decide([post(1, "x")], NOW)[0], "bee": BEE, "value": value}
    database.write_now(
        lambda connection: connection.execute(store._upsert_statement(connection.dialect.name), [row])
    )
    assert database.read_now(queries.record, BEE, row["key"]) is not None
    database.write_now(lambda connection: connection.execute(text("DELETE FROM records")))


def test_the_terms_of_a_reader_connection_are_not_needed(tmp_path: Path) -> None:
    """A program that only reads the file needs no function of ours."""
    import sqlite3

    with scratch_database("sqlite", tmp_path) as database:
        database.write_now(sources.add, BEE, NOW, "command")
        write(database, [post(1, "apple")])
        with sqlite3.connect(database.url.database or "") as plain:
            assert plain.execute("SELECT rowid FROM words WHERE words MATCH 'apple'").fetchall() == [(1,)]


def test_a_search_uses_the_index_of_words(tmp_path: Path) -> None:
    with scratch_database("sqlite", tmp_path) as database, database.reader.connect() as connection:
        plan = connection.exec_driver_sql(
            "EXPLAIN QUERY PLAN SELECT rowid FROM words WHERE words MATCH 'x' LIMIT 9"
        )
        assert "VIRTUAL TABLE INDEX" in str(plan.all())


@pytest.mark.anyio
async def test_the_index_of_words_is_kept_in_few_pieces(tmp_path: Path) -> None:
    with scratch_database("sqlite", tmp_path) as database:
        database.write_now(sources.add, BEE, NOW, "command")
        for n in range(1, 41):
            write(database, [post(n, f"apple {n}" if n % 2 else "pear")])
        assert database.read_now(tidying.pieces) > 1
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(tidying, "PIECES", 1)
            patch.setattr(tidying, "PAGES_AT_ONCE", 1)
            await tidying.tidy(database)
            assert database.read_now(tidying.pieces) == 1
            await tidying.tidy(database)
        assert asked(database, "apple", size=40) == list(range(39, 0, -2))
