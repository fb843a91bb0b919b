"""What a reader can open: tags, films, conversations, the search, both orders."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.records import Ref, format_date, value_hash
from feedagg import cuts, moderation, sources, store, views, words
from feedagg.aggregator import Aggregator
from feedagg.decide import Operation, Position, decide
from feedagg.ingest import now_ms
from tests.support.feedagg import delete, put

pytestmark = pytest.mark.anyio

BEE, OTHER, STRANGER = bytes(range(32)), bytes(range(1, 33)), bytes(range(2, 34))
START = now_ms() - 10_000_000


async def fill(running: Aggregator, operations: list[Operation], bee: bytes = BEE) -> None:
    """Rows of a bee as if it had been read to its first operation, with nobody to dial."""

    def change(connection: Any) -> None:
        sources.add(connection, bee, now_ms() + 10**9, "command")
        before = store.position(connection, bee)
        assert before is not None
        end = max(before.cursor, *(operation.seq + 1 for operation in operations))
        store.write(connection, bee, decide(operations, now_ms()), before, Position(0, end, 1), end)

    await running.database.write(change)


def post(seq: int, text: str, **more: Any) -> Operation:
    return put(seq, f"post/{seq:016x}", {"text": text, "createdAt": format_date(START + seq * 1000), **more})


def movie(seq: int, title: str, **more: Any) -> Operation:
    film = {"title": title, "year": 1985}
    return put(seq, f"movie/{seq:016x}", {"film": film, "createdAt": format_date(START + seq * 1000), **more})


def ref(operation: Operation, bee: bytes = BEE) -> dict[str, Any]:
    assert operation.value is not None
    return Ref(bee.hex(), operation.key.decode(), operation.seq, value_hash(operation.value)).to_json()


def answer(seq: int, text: str, root: dict[str, Any], parent: dict[str, Any] | None = None) -> Operation:
    return post(seq, text, reply={"root": root, "parent": parent or root})


def cards(text: str) -> int:
    return text.count("<article")


# --- pages ------------------------------------------------------------------------------------------


async def test_a_tag_is_one_page_however_it_is_written(running: Aggregator, web: httpx2.AsyncClient) -> None:
    await fill(
        running, [post(1, "one", tags=["Sci-Fi"]), post(2, "two", tags=["sci fi", "?/.."]), post(3, "none")]
    )
    for tag in ("Sci-Fi", "sci fi", "SCI%2FFI"):
        page = (await web.get(f"/tag/{quote(tag, safe='%')}")).text
        assert cards(page) == 2, tag
    feed = (await web.get("/")).text
    assert 'href="/tag/Sci-Fi"' in feed
    assert "#?/..</span>" in feed  # no word in it: shown, but no page
    assert "Nobody used this tag yet" in (await web.get("/tag/other")).text
    assert (await web.get("/tag/..%2F--")).status_code == 404


@given(st.text("ab \n\u2028é", max_size=2_000))
def test_the_opening_of_a_text_is_its_beginning(text: str) -> None:
    start = cuts.opening(text)
    if start == text:
        assert len(text) <= cuts.LIST_CHARACTERS
        return
    assert start.endswith(" …")
    assert text.startswith(start.removesuffix(" …"))
    assert len(start) <= cuts.LIST_CHARACTERS + 2
    assert len(start.splitlines()) <= cuts.LIST_LINES


@given(st.text("abÉ \n-", max_size=2_000), st.text("xyß \n", max_size=300))
def test_the_rest_is_every_word_that_is_not_shown(text: str, more: str) -> None:
    start = cuts.opening(text)
    rest = cuts.words_of_rest(text, start, more).split()
    assert len(set(rest)) == len(rest)
    shown, all_of_it = set(words.words(start)), set(words.words(text)) | set(words.words(more))
    # A word that the cut goes through is in neither half; a text without spaces is the only one that is cut so.
    through = text[len(start.removesuffix(" …")) :][:1].strip() != "" and start != text
    if not through:
        assert shown | set(rest) == all_of_it
        assert not shown & set(rest)


def test_the_rest_is_bounded() -> None:
    text = " ".join(f"{n:036x}" for n in range(1_700))
    rest = cuts.words_of_rest(text, cuts.opening(text))
    assert cuts.REST_CHARACTERS - 40 <= len(rest) <= cuts.REST_CHARACTERS
    assert cuts.words_of_rest("short", "short") == ""


async def test_a_long_text_is_cut_in_lists_alone(running: Aggregator, web: httpx2.AsyncClient) -> None:
    long = " ".join(f"word{n}" for n in range(400))
    lines = "\n".join(f"line{n}" for n in range(60))
    wide = "x" * 2_000 + "end"
    review = movie(1, "Ran", review={"text": long})
    await fill(running, [review, post(2, lines), post(3, wide), post(4, "Short.")])
    feed = (await web.get("/")).text
    assert feed.count(">Read on<") == 3
    assert "word50" in feed
    assert "line11" in feed
    shown = re.sub(r' data-rest="[^"]*"', "", feed)
    assert len(shown) < len(feed)
    for late in ("word399", "line12", "xend"):
        assert late not in shown
    assert "word399" in feed  # for the words that a reader mutes
    assert "data-rest" not in (await web.get("/search?q=short")).text
    own = (await web.get(views.permalink(BEE, review.key))).text
    assert long in own
    assert "Read on" not in own
    for form in ("json", "rss", "atom"):
        whole = (await web.get(f"/feed.{form}")).text
        assert all(late in whole for late in ("word399", "line59", "xend"))


async def test_a_film_says_how_many_gave_which_rating(running: Aggregator, web: httpx2.AsyncClient) -> None:
    await fill(running, [movie(1, "Ran", rating=2), movie(2, "Ran", rating=9)])
    await fill(running, [movie(1, "Ran", rating=9)], OTHER)
    await fill(running, [movie(1, "Ran", rating=4)], STRANGER)
    page = (await web.get("/film/t:ran:1985")).text
    assert '<strong class="number">3.7</strong> of 5' in page
    rows = re.findall(
        r'aria-label="([\d.]+) of 5 stars".*?value="(\d+)".*?"number">(\d+)<', page.split("</table>")[0]
    )
    assert [(stars, many) for stars, _, many in rows if many != "0"] == [("4.5", "2"), ("2", "1")]
    assert {stars: share for stars, share, _ in rows}["2"] == "50"


async def test_the_feed_by_date_and_by_arrival(running: Aggregator, web: httpx2.AsyncClient) -> None:
    await fill(running, [post(50, "newest of all")])
    await fill(running, [post(n, f"older {n}.") for n in range(1, 41)], OTHER)
    by_date, by_arrival = (await web.get("/")).text, (await web.get("/?sort=arrival")).text
    assert by_date.index("newest of all") < by_date.index("older 40.")
    assert "newest of all" not in by_arrival
    older = re.search(r'rel="next" href="([^"]+)"', by_arrival)
    assert older is not None
    assert "sort=arrival" in older.group(1)
    second = (await web.get("/" + older.group(1).replace("&amp;", "&"))).text
    assert re.findall(r"older (\d+)\.", second) == [str(n) for n in range(10, 0, -1)]
    assert second.rindex("newest of all") > second.rindex("older 1.")


async def test_the_search_page_finds_filters_and_explains(
    running: Aggregator, web: httpx2.AsyncClient
) -> None:
    await fill(
        running,
        [
            put(1, "profile/self", {"name": "Ada Meadows", "createdAt": format_date(START)}),
            post(2, "A slow river", tags=["water"]),
            movie(3, "Slow Machine", rating=8, review={"text": "a river of words"}),
        ],
    )
    empty = (await web.get("/search")).text
    assert "What can be asked" in empty
    for query, count in (
        ("q=slow", 2),
        ("q=river&kind=post", 1),
        ("q=&kind=movie&rating=8-", 1),
        ("author=ada+meadows", 2),
        ("tag=water", 1),
        ("year=1980-1989&has=review", 1),
        ("q=%22slow+river%22", 1),
        ("q=nothing+of+it", 0),
    ):
        page = (await web.get(f"/search?{query}")).text
        assert cards(page) == count, query
    assert "Nothing found" in page
    assert 'value="nothing of it"' in page
    wrong = (await web.get("/search?q=slow&year=abc")).text
    assert "“abc” is no year" in wrong
    assert cards(wrong) == 2


async def test_pages_of_a_search_keep_what_was_asked(running: Aggregator, web: httpx2.AsyncClient) -> None:
    await fill(running, [post(n, f"apple {n}." if n % 2 else "pear") for n in range(1, 101)])
    url, seen = "/search?q=apple&kind=post", []
    while url:
        text = (await web.get(url)).text
        seen += re.findall(r"\bapple (\d+)\.", text.split('id="records"')[1])
        found = re.search(r'rel="next" href="([^"]+)"', text)
        url = "/search" + found.group(1).replace("&amp;", "&") if found else ""
    assert seen == [str(n) for n in range(99, 0, -2)]


# --- conversations -----------------------------------------------------------------------------------


async def test_a_conversation_stands_in_its_order(running: Aggregator, web: httpx2.AsyncClient) -> None:
    root = post(1, "the root")
    first = answer(1, "first reply", ref(root))
    await fill(running, [root, post(9, "something else")])
    await fill(running, [first, answer(4, "late reply", ref(root))], OTHER)
    await fill(running, [answer(3, "reply to the first", ref(root), ref(first, OTHER))], STRANGER)
    page = (await web.get(f"/thread/{BEE.hex()}/{root.key.decode()}")).text
    order = [page.index(words) for words in ("the root", "first reply", "reply to the first", "late reply")]
    assert order == sorted(order)
    assert page.count('class="thread-0"') == 2
    assert page.count('class="thread-1"') == 1
    feed = (await web.get("/")).text
    assert "3 replies" in feed
    reply = await web.get(f"/thread/{OTHER.hex()}/{first.key.decode()}")
    assert reply.status_code == 302
    assert reply.headers["location"].startswith(f"/thread/{BEE.hex()}/{root.key.decode()}#r")
    own = (await web.get(f"/bee/{OTHER.hex()}/{first.key.decode()}")).text
    assert "An answer to" in own
    assert "the root" in own
    assert "Read the replies" in (await web.get(f"/bee/{BEE.hex()}/{root.key.decode()}")).text


async def test_what_was_answered_and_is_not_here_is_said(
    running: Aggregator, web: httpx2.AsyncClient
) -> None:
    gone, hidden, edited = post(1, "gone"), post(2, "hidden"), post(3, "as it was")
    unread = ref(post(77, "never read"))
    await fill(running, [gone, hidden, edited])
    await fill(running, [delete(4, gone.key.decode()), put(5, edited.key.decode(), {"text": "as it is"})])
    await running.database.write(moderation.hide, BEE, hidden.key, "because", now_ms())
    nobody = {**ref(gone), "bee": "ab" * 32}
    answers = [
        answer(n, f"reply {n}", root)
        for n, root in enumerate([ref(gone), ref(hidden), ref(edited), unread, nobody], 1)
    ]
    await fill(running, answers, OTHER)
    for n, said in enumerate(
        (
            "was removed by its author",
            "is hidden here",
            "answers an earlier version",
            "is not in its author’s bee",
            "is not followed here",
        ),
        1,
    ):
        own = (await web.get(f"/bee/{OTHER.hex()}/post/{n:016x}")).text
        assert said in own, n
        found = re.search(r'href="(/thread/[^"]+)">The whole conversation', own)
        assert found is not None
        thread = await web.get(found.group(1))
        assert thread.status_code == 200
        assert f"reply {n}" in thread.text
        assert said in thread.text, n
    empty = await web.get(f"/thread/{'cd' * 32}/post/{1:016x}")
    assert empty.status_code == 404
    assert "not followed here" in empty.text


async def test_a_long_conversation_has_pages_that_join(running: Aggregator, web: httpx2.AsyncClient) -> None:
    root = post(1, "the root")
    await fill(running, [root])
    await fill(running, [answer(n, f"reply {n}.", ref(root)) for n in range(2, 252)], OTHER)
    url, seen = f"/thread/{BEE.hex()}/{root.key.decode()}", []
    base = url
    while url:
        text = (await web.get(url)).text
        seen.append([int(n) for n in re.findall(r"\breply (\d+)\.", text)])
        found = re.search(r'rel="next" href="([^"]+)"', text)
        url = base + found.group(1) if found else ""
    assert [n for part in seen for n in part] == list(range(2, 252))
    earlier = re.search(r'href="([^"]+)">Earlier replies', text)
    assert earlier is not None
    back = (await web.get(base + earlier.group(1))).text
    assert [int(n) for n in re.findall(r"\breply (\d+)\.", back)] == seen[-2]


async def test_reactions_are_counted(running: Aggregator, web: httpx2.AsyncClient) -> None:
    target = post(1, "liked by many")
    await fill(running, [target])
    for n, reaction in enumerate(("like", "like", "🎉"), 1):
        bee = bytes([n]) * 32
        key = f"react/{BEE.hex()}/{target.key.decode()}/{reaction}"
        await fill(running, [put(1, key, {"subject": ref(target), "createdAt": format_date(START)})], bee)
    page = (await web.get("/")).text
    assert 'title="2 × like"' in page
    assert 'title="1 × 🎉"' in page
    await fill(running, [delete(2, f"react/{BEE.hex()}/{target.key.decode()}/like")], bytes([1]) * 32)
    assert 'title="1 × like"' in (await web.get("/")).text
