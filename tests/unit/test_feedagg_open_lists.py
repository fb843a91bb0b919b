"""What an open list takes of the news is what its page would find, asked of one record in memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, select

from core.records import format_date
from feedagg import answers, find, queries, search, sources, store, views
from feedagg.database import Database
from feedagg.decide import Operation, Position, decide
from feedagg.open_lists import Fresh, OpenList, of_film
from feedagg.tables import IN_FEED, records
from tests.support.feedagg import put, scratch_database

NOW = 1_790_000_000_000
BEE, OTHER = bytes(range(32)), bytes(range(1, 33))
DAY = 86_400_000


def post(seq: int, text: str, at: int = NOW, **more: Any) -> Operation:
    return put(seq, f"post/{seq:016x}", {"text": text, "createdAt": format_date(at), **more})


def movie(
    seq: int, title: str, year: int | None = 1985, ids: dict[str, Any] | None = None, **more: Any
) -> Operation:
    film = {"title": title} | ({"year": year} if year else {}) | ({"ids": ids} if ids else {})
    return put(seq, f"movie/{seq:016x}", {"film": film, "createdAt": format_date(NOW), **more})


ROOT = {"bee": BEE.hex(), "key": f"post/{2:016x}", "seq": 2, "hash": "00" * 32}
REPLY = {"root": ROOT, "parent": ROOT}
ADA = [
    put(1, "profile/self", {"name": "Ada Blüm", "bio": "Keeps bees", "createdAt": format_date(NOW)}),
    post(2, "The slow river in winter", NOW - 40 * DAY, tags=["Sci-Fi", "garden"]),
    post(3, "River slow, said nobody", NOW - 20 * DAY, cw="water"),
    movie(4, "Ran", rating=9, review={"text": "Slow and RED. Das Ärgernis"}, ids={"tmdb": 11645}),
    movie(5, "Heat", 1995, rating=6, tags=["sci fi"]),
    post(6, "see", more={"mime": "text/markdown", "text": "a long river"}, reply=REPLY),
    put(7, "by-hand", {"title": "Alphaville", "year": 1965, "rating": 7}),
    movie(8, "Ran", rating=2),
    movie(9, "Ran", None),
]
THEO = [
    put(1, "profile/self", {"name": "Theo Brook", "createdAt": format_date(NOW)}),
    post(2, "slow elsewhere, an answer", reply=REPLY),
    post(3, "Of Ran", film={"title": "Ran", "year": 1985, "ids": {"tmdb": 11645, "imdb": "tt0089881"}}),
    movie(4, "Ran", ids={"imdb": "tt0089881"}),
]
QUERIES = [
    "slow", '"slow river"', "rive*", "slow -river", "-slow kind:post", "argernis", "kind:movie", "#sci-fi", "sci",
    "year:1960-1989", "rating:7-", "rating:<=6", "has:review", "has:film", "has:reply", "has:warning", "has:more",
    "author:blum", "author:bees slow", "author:ada author:theo", f"author:{OTHER.hex()}", "author:nobody",
    "since:2026-08-25", "until:2026-08-25 slow", "long river", '"long river"', "", "kind:cow",
]  # fmt: skip


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    directory: Path = tmp_path_factory.mktemp("lists")
    with scratch_database("sqlite", directory) as database:
        for bee, operations in ((BEE, ADA), (OTHER, THEO)):
            database.write_now(sources.add, bee, NOW, "command", "127.0.0.1:1")

            def change(
                connection: Connection, bee: bytes = bee, operations: list[Operation] = operations
            ) -> None:
                before = store.position(connection, bee)
                assert before is not None
                store.write(connection, bee, decide(operations, NOW), before, Position(0, 10, 1), 10)

            database.write_now(change)
        yield database


def taken(database: Database, of: OpenList) -> set[tuple[bytes, bytes]]:
    """What the list takes when all that there is were news."""

    def read(connection: Connection) -> list[Fresh]:
        items = queries.by_ids(
            connection, list(connection.execute(select(records.c.id).where(IN_FEED)).scalars())
        )
        by_id = {views.dom_id(item.bee, item.key): item for item in items}
        return [Fresh(by_id[card.id], card) for card in views.cards(connection, items)]

    return {(one.item.bee, one.item.key) for one in database.read_now(read) if of.takes(one)}


def names(page: queries.Page) -> set[tuple[bytes, bytes]]:
    return {(item.bee, item.key) for item in page.items}


@pytest.mark.parametrize("line", QUERIES)
def test_a_search_takes_what_it_finds(opened: Database, line: str) -> None:
    query = search.parse(line)
    assert taken(opened, OpenList(query=query)) == names(opened.read_now(find.find, query).page)


def test_the_questions_tell_the_records_apart(opened: Database) -> None:
    sizes = {len(taken(opened, OpenList(query=search.parse(line)))) for line in QUERIES}
    assert {0, 1, 2, 3} <= sizes


@pytest.mark.parametrize("tag", ["Sci-Fi", "sci fi", "garden", "nothing"])
def test_a_tag_takes_what_has_it(opened: Database, tag: str) -> None:
    query = search.tagged(tag)
    assert taken(opened, OpenList(query=query)) == names(opened.read_now(find.find, query).page)


@pytest.mark.parametrize(
    "name", ["tmdb:11645", "imdb:tt0089881", "t:ran:1985", "t:ran:", "t:heat:1995", "tmdb:1"]
)
def test_a_film_takes_what_is_about_it(opened: Database, name: str) -> None:
    found = names(opened.read_now(queries.about_film, name))
    assert taken(opened, opened.read_now(of_film, name)) == found
    assert bool(found) == (name != "tmdb:1")


def test_a_conversation_takes_its_replies(opened: Database) -> None:
    key = f"post/{2:016x}"
    found = names(opened.read_now(answers.replies, BEE, key.encode()))
    assert taken(opened, OpenList(root=(BEE.hex(), key))) == found
    assert len(found) == 2
