"""Following without an aggregator, the timeline, threads, search, the diary and lists; the page over real peers."""

from __future__ import annotations

import html
import re
from collections import Counter
from collections.abc import AsyncIterator
from datetime import date
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import quote

import pytest

from core.peer import Peer
from core.records import Post, Watch, encode_value, parse_record
from tests.support.userpeer import served_app
from tests.support.waiting import eventually
from userpeer.drafts import MovieDraft, PostDraft
from userpeer.library import Shelf
from userpeer.library.diary import Diary

pytestmark = pytest.mark.anyio


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Any]:
    async with served_app(tmp_path) as (service, _, client):
        yield service, client


@pytest.fixture
async def friend() -> AsyncIterator[tuple[Peer, Any]]:
    """Another person's peer with a bee, listening."""
    peer = await Peer.open(None)
    try:
        yield peer, peer.bee(name="main")
    finally:
        await peer.close()


async def meet(service: Any, peer: Peer) -> None:
    await service.peer.connect(*await peer.listen())


def post_key(number: int) -> str:
    return f"post/{number:016x}"


async def write_posts(bee: Any, start: int, end: int) -> None:
    async with bee.batch() as batch:
        for number in range(start, end):
            value = {
                "text": f"theirs {number:04d}",
                "createdAt": f"2026-01-01T00:{number // 60:02d}:{number % 60:02d}Z",
            }
            await batch.put(post_key(number), value)


async def test_follow_read_and_unfollow(site: Any, friend: Any) -> None:
    service, client = site
    peer, bee = friend
    await bee.put("profile/self", {"name": "Bea", "bio": "<b>bees</b>"})
    await write_posts(bee, 1, 30)
    await meet(service, peer)
    key = bee.core.key.hex()
    answer = await client.post("/follow", data={"key": key})
    assert answer.headers["location"] == f"/b/{key}?did=followed"
    assert (await service.bee.get(f"follow/{key}")) is not None
    await eventually(lambda: service.library.of_bee(key).items)
    page = (await client.get("/timeline")).text
    assert "theirs 0029" in page
    assert "Bea" in page
    person = (await client.get(f"/b/{key}")).text
    assert "&lt;b&gt;bees&lt;/b&gt;" in person
    assert "Unfollow" in person
    # Live: what is appended at the friend's arrives by itself.
    await bee.put(post_key(100), {"text": "just now", "createdAt": "2026-01-02T00:00:00Z"})
    await eventually(lambda: service.library.search("just now").items)
    await bee.delete(post_key(29))
    await eventually(lambda: not service.library.search("0029").items)
    answer = await client.post("/unfollow", data={"key": key})
    assert answer.headers["location"] == "/following?did=unfollowed"
    assert not service.library.search("just now").items
    assert service.follows.get(key) is None
    assert await service.bee.get(f"follow/{key}") is None


async def test_a_bee_is_read_from_its_end_and_further_back_when_asked(site: Any, friend: Any) -> None:
    service, client = site
    peer, bee = friend
    await write_posts(bee, 1, 1200)
    await meet(service, peer)
    key = bee.core.key.hex()
    await client.post("/follow", data={"key": key})
    followed = service.follows.get(key)
    await eventually(lambda: followed.known.read >= 200)
    await followed.settled()
    assert followed.known.read == 200
    theirs = followed.bee.core
    assert not theirs.has(1, 900)  # sparse: what nobody asked for is not here
    page = (await client.get(f"/b/{key}")).text
    assert "200 of 1\u202f199 operations" in page
    before = service.library.of_bee(key)
    while before.older:
        before = service.library.of_bee(key, before=before.older)
    assert "Fetch older ones" in (await client.get(f"/b/{key}?before={before.items[0].cursor}")).text
    await client.post(f"/b/{key}/older")
    await eventually(lambda: followed.known.read == 700)
    for _ in range(2):
        followed.want_older()
        await followed.settled()
    assert followed.known.position.is_whole
    assert not followed.has_older


async def test_a_followed_bee_survives_a_restart_and_is_read_offline(tmp_path: Path, friend: Any) -> None:
    peer, bee = friend
    await write_posts(bee, 1, 5)
    key = bee.core.key.hex()
    async with served_app(tmp_path) as (service, _, client):
        await meet(service, peer)
        await client.post("/follow", data={"key": key})
        await eventually(lambda: len(service.library.of_bee(key).items) == 4)
    async with served_app(tmp_path) as (service, _, client):
        assert "theirs 0004" in (await client.get("/timeline")).text
        await service.follows.get(key).settled()
        assert "Not connected" in (await client.get("/following")).text
    (tmp_path / "library.db").write_bytes(b"not a database at all" * 100)
    async with served_app(tmp_path) as (service, _, client):
        # Derived: made anew from the blocks that are here.
        await eventually(lambda: len(service.library.of_bee(key).items) == 4)


async def test_what_a_key_may_look_like(site: Any) -> None:
    _, client = site
    for wrong in ("", "nonsense", "z" * 64, "ab" * 31):
        answer = await client.post("/follow", data={"key": wrong})
        assert answer.status_code == 422
        assert "That is not a key." in answer.text
    service, _ = site
    answer = await client.post("/follow", data={"key": service.id})
    assert "That is your own key" in answer.text
    assert (await client.get("/b/nonsense")).status_code == 404


async def test_a_thread_of_two_people(site: Any, friend: Any) -> None:
    service, client = site
    peer, bee = friend
    await bee.put(post_key(1), {"text": "a question", "createdAt": "2026-01-01T00:00:00Z"})
    await meet(service, peer)
    theirs = bee.core.key.hex()
    await client.post("/follow", data={"key": theirs})
    await eventually(lambda: service.library.get(theirs, post_key(1)))
    answer = await client.post("/answer", data={"bee": theirs, "key": post_key(1), "text": "an answer"})
    assert answer.status_code == 303
    page = (await client.get(answer.headers["location"])).text
    assert page.index("a question") < page.index("an answer")
    mine = (await service.reader.feed()).items[0]
    assert isinstance(mine.record, Post)
    assert mine.record.parent is not None
    assert mine.record.parent.bee == theirs
    # The hash is that of the value's bytes in their block.
    block = await bee.get(post_key(1))
    from core.records import value_hash

    assert mine.record.parent.hash == value_hash(encode_value(block.value))
    assert mine.record.root == mine.record.parent
    # An answer to the answer keeps the root.
    await client.post("/answer", data={"bee": service.key, "key": mine.key, "text": "and more"})
    deeper = (await service.reader.feed()).items[0]
    assert deeper.record.root.bee == theirs
    assert deeper.record.parent.bee == service.key
    thread = service.library.thread(theirs, post_key(1))
    assert [item.record.text for item in thread.below] == ["an answer", "and more"]
    assert "1 answer" in (await client.get("/timeline")).text
    # What is answered goes away; the answers stay and say so.
    await bee.delete(post_key(1))
    await eventually(lambda: service.library.get(theirs, post_key(1)) is None)
    page = (await client.get(f"/thread?bee={service.key}&key={quote(mine.key, safe='')}")).text
    assert "This answers a record that is not here" in page


async def test_an_empty_answer_is_refused_and_kept(site: Any) -> None:
    service, client = site
    written = await service.publisher.post(PostDraft(text="mine"))
    await service.follows.get(service.key).settled()
    answer = await client.post(
        "/answer", data={"bee": service.key, "key": written.key, "text": " ", "cw": "kept while wrong"}
    )
    assert answer.status_code == 422
    assert "The text is empty" in answer.text
    assert "kept while wrong" in answer.text
    gone = await client.post("/answer", data={"bee": service.key, "key": "post/none", "text": "x"})
    assert gone.status_code == 404


async def test_a_reaction_and_its_taking_back(site: Any) -> None:
    service, client = site
    written = await service.publisher.post(PostDraft(text="react to me"))
    await service.follows.get(service.key).settled()
    fields = {"bee": service.key, "key": written.key, "reaction": "❤"}
    await client.post("/react", data=fields)
    (shown,) = service.library.timeline().items
    assert [(one.reaction, one.count, one.mine) for one in shown.reactions] == [("❤", 1, True)]
    assert "❤ 1" in (await client.get("/timeline")).text
    await client.post("/react", data=fields)
    assert service.library.timeline().items[0].reactions == ()
    for bad in ("", "a/b", "x" * 33):
        assert (await client.post("/react", data={**fields, "reaction": bad})).status_code == 422


async def test_search_finds_beginnings_of_words_and_only_what_is_there_now(site: Any) -> None:
    service, client = site
    one = await service.publisher.post(PostDraft(text="Wildflowers near the river", tags="meadow"))
    await service.publisher.movie(MovieDraft(title="The River", year="1951", review="wide water"))
    await service.follows.get(service.key).settled()
    library = service.library
    assert len(library.search("river").items) == 2
    assert len(library.search("wildfl mead").items) == 1
    assert len(library.search("1951").items) == 1
    assert library.search('"; DROP TABLE records; --').items == ()
    assert library.search("* ( ) ^ :").items == ()
    await service.publisher.edit(one.key, PostDraft(text="Gone"))
    await service.follows.get(service.key).settled()
    assert len(library.search("wildflowers").items) == 0
    assert "Nothing found" in (await client.get("/search?q=wildflowers")).text
    assert "The River" in (await client.get("/search?q=riv")).text
    assert "What are you looking for?" in (await client.get("/search")).text


async def test_pages_neither_lose_nor_double_records_of_one_moment(site: Any) -> None:
    service, _ = site
    when = "2026-03-03T03:03:03Z"
    async with service.bee.batch() as batch:
        for number in range(1, 101):
            await batch.put(post_key(number), {"text": f"p{number}", "createdAt": when})
    await service.follows.get(service.key).settled()
    seen, before = [], None
    while True:
        page = service.library.timeline(before=before, limit=7)
        seen += [item.key for item in page.items]
        if page.older is None:
            break
        before = page.older
    assert sorted(seen) == [post_key(number) for number in range(1, 101)]


async def test_a_truncated_bee_is_read_anew(site: Any, friend: Any) -> None:
    service, client = site
    peer, bee = friend
    await write_posts(bee, 1, 4)
    await bee.put(post_key(50), {"text": "regretted"})
    await meet(service, peer)
    key = bee.core.key.hex()
    await client.post("/follow", data={"key": key})
    await eventually(lambda: service.library.search("regretted").items)
    await bee.core.truncate(bee.core.length - 1)
    await bee.put(post_key(51), {"text": "another history"})
    await eventually(lambda: service.library.search("another history").items)
    assert not service.library.search("regretted").items
    assert len(service.library.of_bee(key).items) == 4


async def test_the_diary_and_a_year_in_review(site: Any) -> None:
    service, client = site
    films = [
        ("Ran", "1985", "2025-03-02", "10"),
        ("Dune", "2021", "2025-03-02", "7"),
        ("Stalker", "1979", "2025-11", "9"),
        ("Alien", "1979", "2025", "8"),
        ("Heat", "1995", "", "6"),
    ]
    for title, year, watched, rating in films:
        await service.publisher.movie(
            MovieDraft(title=title, year=year, watched_on=watched, rating=rating, tags="classic")
        )
    await service.follows.get(service.key).settled()
    page = (await client.get("/diary")).text
    assert "November 2025" in page
    assert "Stalker" in page
    assert "Sometime in 2025" in page
    march = (await client.get("/diary?month=2025-03")).text
    assert "2 films" in march
    assert 'href="/diary?month=2025-02"' in march
    assert "Heat" in (await client.get("/diary/undated")).text
    review = (await client.get("/diary/2025")).text
    assert "4.25 of 5" in review  # (10 + 7 + 9 + 8) / 4 half stars
    assert "Mar 2" in review
    assert review.index("Ran") < review.index("Stalker") < review.index("Alien")
    assert "No films in 2024" in (await client.get("/diary/2024")).text
    assert (await client.get("/diary?month=9999-12")).status_code == 200
    assert (await client.get("/diary?month=0000-01")).status_code == 404


async def test_a_year_in_review_counts_what_its_records_say(site: Any) -> None:
    service, _ = site
    chance = Random(2025)
    for number in range(60):
        when = f"2025-{chance.randint(1, 12):02d}-{chance.randint(1, 28):02d}"[: chance.choice((4, 7, 10))]
        draft = MovieDraft(
            title=f"Film {number}",
            year=str(chance.randint(1920, 2025)) if chance.random() < 0.8 else "",
            watched_on=when,
            rating=str(chance.randint(1, 10)) if chance.random() < 0.8 else "",
            review="Words" if chance.random() < 0.3 else "",
            liked="1" if chance.random() < 0.3 else "",
            rewatch="1" if chance.random() < 0.3 else "",
            tags=" ".join(chance.sample("abcdef", 2)),
        )
        await service.publisher.movie(draft)
    await service.follows.get(service.key).settled()
    watches = [
        parse_record(entry.key, entry.value) async for entry in service.bee.range(gte="movie/", lt="movie0")
    ]
    assert all(isinstance(watch, Watch) for watch in watches)
    review = Diary(service.library.shelf, service.key, service.key).year(2025)
    assert review.films == len(watches) == 60
    assert review.liked == sum(watch.liked for watch in watches) > 0
    assert review.rewatches == sum(watch.rewatch for watch in watches) > 0
    assert review.reviews == sum(watch.review is not None for watch in watches) > 0
    rated = [watch for watch in watches if watch.rating is not None]
    assert review.ratings == tuple(sum(watch.rating == half for watch in rated) for half in range(1, 11))
    assert review.mean == pytest.approx(sum(watch.rating for watch in rated) / len(rated) / 2)
    months = Counter(watch.watched_on[5:7] for watch in watches if len(watch.watched_on) >= 7)
    assert review.months == tuple(months[f"{month:02d}"] for month in range(1, 13))
    days = Counter(
        date.fromisoformat(watch.watched_on).weekday() for watch in watches if len(watch.watched_on) == 10
    )
    assert review.weekdays == tuple(days[day] for day in range(7))
    decades = Counter(watch.film.year // 10 * 10 for watch in watches if watch.film.year)
    assert dict(review.decades) == decades
    assert dict(review.tags) == Counter(tag for watch in watches for tag in watch.tags)
    best = sorted(rated, key=lambda watch: (-watch.rating, watch.key))[:10]
    assert [item.record for item in review.best] == best


@pytest.mark.parametrize(("watched", "first"), [("", "/diary/undated"), ("2025", "/diary/undated?year=2025")])
async def test_a_long_list_of_films_without_a_day_has_pages(site: Any, watched: str, first: str) -> None:
    service, client = site
    film = {"year": 1979, "kind": "movie"}
    dated = {"watchedOn": watched} if watched else {}
    fresh = [("movie", {"film": {**film, "title": f"Film <{number}>"}, **dated}) for number in range(120)]
    await service.publisher.publish_many(fresh, [])
    await service.follows.get(service.key).settled()
    if watched:
        assert 'href="/diary/undated?year=2025"' in (await client.get("/diary?month=2025-01")).text
    seen: list[str] = []
    path: str | None = first
    while path is not None:
        page = (await client.get(path)).text
        assert len(re.findall(r'aria-current="true">(?:Undated|2025)', page)) == 1  # where one is
        seen += re.findall(r'class="film-title">Film &lt;(\d+)&gt;', page)
        older = re.search(r'rel="next" href="([^"]+)"', page)
        path = html.unescape(older[1]) if older else None
    assert [int(number) for number in seen] == list(range(119, -1, -1))


async def test_the_watchlist(site: Any) -> None:
    service, client = site
    answer = await client.post("/watchlist", data={"title": "Solaris", "year": "1972"})
    assert answer.headers["location"] == "/watchlist?did=added"
    assert (await service.bee.get("watchlist/t:solaris:1972")) is not None
    page = (await client.get("/watchlist")).text
    assert "Solaris" in page
    assert "title=Solaris&amp;year=1972" in page
    assert 'value="Solaris"' in (await client.get("/?write=movie&title=Solaris&year=1972")).text
    wrong = await client.post("/watchlist", data={"title": "X", "year": "soon"})
    assert "The year must be a whole number" in wrong.text
    await client.post("/films/remove", data={"key": "watchlist/t:solaris:1972"})
    assert "Nothing to watch" in (await client.get("/watchlist")).text
    assert (await client.post("/films/remove", data={"key": "post/1"})).status_code == 404


async def test_a_list_is_made_filled_ordered_and_deleted(site: Any) -> None:
    service, client = site
    answer = await client.post("/lists", data={"name": "Best", "ordered": "1"})
    address = answer.headers["location"].partition("?")[0]
    for title in ("A", "B", "C"):
        await client.post(address, data={"title": title, "note": f"note {title}"})
    id = address.rpartition("/")[2]

    def titles() -> list[str]:
        items = service.library.own("listitem", prefix=f"listitem/{id}/")
        return [item.record.film.title for item in sorted(items, key=lambda item: item.key)]

    assert titles() == ["A", "B", "C"]
    last = max(item.key for item in service.library.own("listitem"))
    await client.post(f"{address}/move", data={"key": last, "way": "up"})
    assert titles() == ["A", "C", "B"]
    assert "3 films" in (await client.get("/lists")).text
    page = (await client.get(address)).text
    assert page.index("note C") < page.index("note B")
    await client.post(f"{address}/delete")
    assert titles() == []
    assert "No lists yet" in (await client.get("/lists")).text
    assert (await client.get(address)).status_code == 404


def test_a_shelf_of_another_version_is_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "library.db"
    shelf = Shelf(path)
    shelf.add_bee("ab" * 32)
    shelf.db.execute("PRAGMA user_version = 99")
    shelf.close()
    shelf = Shelf(path)
    assert shelf.bees() == []
    shelf.close()
    assert path.stat().st_mode & 0o777 == 0o600
