"""A reader's flows in a real browser: searching, following a conversation, muting, the keyboard, what a screen reader
hears, a phone of 320 pixels, no JavaScript.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import expect

from core.records import format_date
from feedagg.aggregator import Aggregator
from feedagg.decide import Operation
from tests.support.accessibility import accessibility_faults, too_wide
from tests.support.feedagg import put, site
from tests.support.screens import open_page, press
from tests.web.test_feedagg_reading import BEE, OTHER, START, answer, fill, movie, post, ref

pytestmark = [pytest.mark.anyio, pytest.mark.browser]

ROOT = post(1, "Are the bees in the city happier?", tags=["Bees"])
THREAD = f"/thread/{BEE.hex()}/{ROOT.key.decode()}"


@pytest.fixture
async def filled(tmp_path: Path) -> AsyncIterator[tuple[Aggregator, str]]:
    """A site with two authors, a conversation, a film and two pages of notes: (running, url)."""
    async with site(tmp_path) as (running, url):
        notes = [post(n, f"Note number {n}.") for n in range(10, 50)]
        profile = {"name": "Ada Meadows", "createdAt": format_date(START)}
        await fill(
            running,
            [ROOT, post(3, "A covered thing.", cw="spiders"), *notes, put(60, "profile/self", profile)],
        )
        theirs = [
            put(1, "profile/self", {"name": "Theo Brook", "createdAt": format_date(START)}),
            answer(2, "Mine are, in the Park.", ref(ROOT)),
            movie(55, "Ran", rating=9, review={"text": "Slow and red.", "spoiler": True}),
            post(56, "Über Grüße from the river."),
        ]
        await fill(running, theirs, OTHER)
        yield running, url


async def test_a_search_is_asked_narrowed_and_followed(chromium: Any, filled: Any) -> None:
    _, url = filled
    async with open_page(chromium) as page:
        await page.goto(f"{url}/search")
        await page.get_by_label("Words").fill("note")
        await page.get_by_role("button", name="Search").click()
        await expect(page.locator("#records > li")).to_have_count(30)
        await page.get_by_role("link", name="Older").click()
        await expect(page.locator("#records > li")).to_have_count(10)
        await page.goto(f"{url}/search")
        await page.get_by_text("Filters", exact=True).click()
        await page.get_by_label("Kind").select_option("movie")
        await page.get_by_label("Rating").select_option("8-")
        await page.get_by_label("Author").fill("theo")
        await page.get_by_role("button", name="Search").click()
        await expect(page.locator("#records > li")).to_have_count(1)
        await expect(page.get_by_label("Author")).to_have_value("theo")
        await page.get_by_role("link", name="Ran").click()
        await page.get_by_text("4.5").first.wait_for()


async def test_a_conversation_is_followed_from_the_feed(chromium: Any, filled: Any) -> None:
    _, url = filled
    async with open_page(chromium) as page:
        await page.goto(f"{url}/tag/bees")
        await page.get_by_role("link", name="1 reply").click()
        await page.get_by_text("Mine are, in the Park.").wait_for()
        assert page.url == url + THREAD
        await page.get_by_text("Follow", exact=True).click()
        assert await page.get_by_role("link", name="Atom", exact=True).first.is_visible()


async def test_people_and_words_are_muted_and_unmuted(chromium: Any, filled: Any) -> None:
    _, url = filled
    async with open_page(chromium) as page:
        await page.goto(url)
        card = page.locator("#records > li", has_text="from the river")
        await card.get_by_text("More").click()
        await card.get_by_role("button", name="Mute Theo Brook").click()
        await expect(card).to_be_hidden()
        await page.get_by_text("2 muted on this page.").wait_for()
        await page.reload()
        await page.get_by_text("2 muted on this page.").wait_for()
        await expect(card).to_be_hidden()
        await page.get_by_role("button", name="Show").click()
        await expect(card).to_be_visible()
        await page.goto(f"{url}/bee/{OTHER.hex()}")
        assert await page.get_by_text("from the river").is_visible()  # their own page stays
        await page.get_by_role("button", name="Unmute Theo Brook").first.wait_for()

        await page.goto(f"{url}/mutes")
        await page.get_by_role("button", name="Unmute Theo Brook").click()
        await page.get_by_text("Nobody.").wait_for()
        await page.get_by_label("Word, or words").fill("  GRUSSE? ")
        await page.get_by_role("button", name="Mute this").click()
        await page.get_by_label("Word, or words").fill("gruße")
        await page.get_by_role("button", name="Mute this").click()
        await expect(page.locator("#muted-words > li")).to_have_count(2)
        await page.goto(url)
        await page.get_by_text("1 muted on this page.").wait_for()
        await expect(card).to_be_hidden()
        await page.get_by_role("link", name="What is muted").click()
        await page.get_by_role("button", name="Unmute gruße", exact=True).click()
        await page.goto(url)
        await expect(card).to_be_visible()


async def test_a_word_behind_the_cut_is_muted_too(chromium: Any, filled: Any) -> None:
    running, url = filled
    long = (
        "A quiet start. "
        + "meadow after meadow " * 60
        + "then the Cliffhanger und Überraschung, further down."
    )
    await fill(
        running, [post(80, long), post(81, "start then", more={"mime": "text/plain", "text": "Deep."})]
    )
    async with open_page(chromium) as page:
        await page.goto(url)
        cut, posted = (
            page.locator("#records > li", has_text=words) for words in ("A quiet start", "start then")
        )
        assert "Cliffhanger" not in await cut.inner_text()
        for muted, is_hidden in (
            ("cliffhanger", (True, False)),
            ("UBERRASCHUNG", (True, False)),
            ("further down", (True, False)),  # a phrase of the rest
            ("quiet further", (True, False)),  # one that goes over the cut
            ("start quiet", (False, False)),  # both are shown, and not in this order
            ("further up", (False, False)),
            ("deep", (False, True)),  # the long form
            ("start then", (True, True)),
            ("cliff", (False, False)),
            ("a quiet", (True, False)),  # where it begins
            ("post", (False, False)),  # what the page says, not the author
            ("read on", (False, False)),
        ):
            await page.evaluate(
                "word => localStorage.setItem('muted', JSON.stringify({people: [], words: [word]}))", muted
            )
            await page.reload()
            assert (await cut.is_hidden(), await posted.is_hidden()) == is_hidden, muted


async def test_every_part_that_an_author_wrote_can_be_muted(chromium: Any, filled: Any) -> None:
    _, url = filled
    async with open_page(chromium) as page:
        for word, path, words_of_card in (
            ("ran", "/", "Ran"),  # the title of a film
            ("slow", "/", "Ran"),  # a review behind a warning
            ("spiders", "/?sort=arrival", "spiders"),  # a warning
            ("bees", "/tag/bees", "#bees"),  # a tag
        ):
            await page.goto(url + path)
            await page.evaluate(
                "word => localStorage.setItem('muted', JSON.stringify({people: [], words: [word]}))", word
            )
            while not await page.locator("#records > li", has_text=words_of_card).count():
                await press(page.get_by_role("link", name="Older"))
            await page.reload()
            await expect(page.locator("#records > li", has_text=words_of_card).first).to_be_hidden()


async def test_a_muted_person_is_not_announced(chromium: Any, filled: Any) -> None:
    running, url = filled
    async with open_page(chromium) as page:
        await page.goto(url)
        await page.get_by_text("Live", exact=True).wait_for()
        await page.evaluate(
            "key => localStorage.setItem('muted', JSON.stringify({people: [{key, name: 'Theo'}], words: []}))",
            OTHER.hex(),
        )
        await page.get_by_text("Note number 25.").scroll_into_view_if_needed()
        news = [post(70, "from the muted one"), post(71, "from the muted one again")]
        await fill(running, news, OTHER)
        running.live.changed(OTHER, news=[operation.key for operation in news])
        await fill(running, [post(72, "from the other")])
        running.live.changed(BEE, news=[post(72, "").key])
        await page.get_by_role("button", name="1 new record", exact=True).click()
        await page.get_by_text("from the other").wait_for()
        assert await page.get_by_text("from the muted one again").is_hidden()


async def read_live(running: Aggregator, operations: list[Operation], bee: bytes = BEE) -> None:
    """As the ingest does: the rows, then the open pages are told."""
    await fill(running, operations, bee)
    running.live.changed(bee, news=[operation.key for operation in operations])


async def test_a_tag_and_a_search_show_what_is_new_in_them(chromium: Any, filled: Any) -> None:
    running, url = filled
    async with open_page(chromium) as tag, open_page(chromium) as found:
        await tag.goto(f"{url}/tag/new-here")
        await found.goto(f"{url}/search?q=meadow&author=ada")
        for page in (tag, found):
            await page.get_by_text("Live", exact=True).wait_for()
        assert await tag.get_by_text("Nobody used this tag yet").is_visible()
        await read_live(running, [post(70, "meadow by Theo")], OTHER)
        await read_live(
            running, [post(71, "no word, no tag"), post(72, "a Meadow by Ada", tags=["New here"])]
        )
        for page in (tag, found):
            await page.locator("#records > li", has_text="a Meadow by Ada").wait_for()
            await expect(page.locator("#records > li")).to_have_count(1)
            await expect(page.locator("#page .empty")).to_have_count(0)
        # Edited so that it belongs here no more: it goes.
        await read_live(running, [post(72, "an edit by Ada", updatedAt=format_date(START))])
        for page in (tag, found):
            await page.locator("#records > li").first.wait_for(state="detached")


async def test_a_film_and_a_conversation_say_that_there_is_news(chromium: Any, filled: Any) -> None:
    running, url = filled
    async with open_page(chromium) as film, open_page(chromium) as thread:
        await film.goto(f"{url}/film/t:ran:1985")
        await thread.goto(url + THREAD)
        for page in (film, thread):
            await page.get_by_text("Live", exact=True).wait_for()
        before = await film.locator(".film-score").inner_text()
        await read_live(running, [post(70, "about nothing here"), movie(71, "Heat")])
        await read_live(running, [movie(72, "Ran", rating=3), answer(73, "Not mine.", ref(ROOT))])
        for page, news in ((film, "Ran"), (thread, "Not mine.")):
            button = page.get_by_role("button", name="1 new record: reload", exact=True)
            await button.wait_for()
            cards = page.locator("#records > li")
            many = await cards.count()
            await button.click()
            await cards.nth(many).wait_for()  # one more, and not before it was asked for
            assert await cards.filter(has_text=news).count() >= 1
        assert await film.locator(".film-score").inner_text() != before


async def test_a_list_of_mutes_that_is_damaged_mutes_nothing(chromium: Any, filled: Any) -> None:
    _, url = filled
    async with open_page(chromium) as page:
        await page.goto(url)
        for damaged in ("{", '"x"', "null", '{"people": [1, null], "words": [2, ""]}', '{"people": 7}'):
            await page.evaluate("text => localStorage.setItem('muted', text)", damaged)
            await page.reload()
            await expect(page.locator("#records > li:visible")).to_have_count(30)


async def test_the_keyboard_walks_the_feed(chromium: Any, filled: Any) -> None:
    _, url = filled
    async with open_page(chromium) as page:
        await page.clock.set_fixed_time(datetime.now())  # the second key of a pair may come late
        await page.goto(url)

        async def focused() -> str:
            return str(await page.evaluate("document.activeElement.closest('article')?.innerText ?? ''"))

        await page.keyboard.press("j")
        assert "from the river" in await focused()
        await page.keyboard.press("j")
        assert "Ran" in await focused()
        await page.keyboard.press("x")
        await page.get_by_text("Slow and red.").wait_for()
        await page.keyboard.press("j")
        await page.keyboard.press("k")
        assert "Ran" in await focused()
        await page.keyboard.press("o")
        await page.wait_for_url(re.compile("/movie/"))
        await page.keyboard.press("g")
        await page.keyboard.press("f")
        await page.wait_for_url(f"{url}/")
        await page.keyboard.press("n")
        await page.wait_for_url(re.compile(r"\?before="))
        await page.keyboard.press("/")
        await page.wait_for_url(f"{url}/search")
        await page.get_by_label("Words").fill("")
        await page.keyboard.type("jk?g")  # where one writes, letters are letters
        assert await page.get_by_label("Words").input_value() == "jk?g"
        assert not await page.evaluate("document.getElementById('keys').open")


async def test_the_help_lists_the_keys_and_turns_them_off(chromium: Any, filled: Any) -> None:
    _, url = filled
    async with open_page(chromium) as page:
        await page.goto(url)
        await page.keyboard.press("?")
        dialog = page.get_by_role("dialog", name="Keyboard")
        await dialog.get_by_text("next, previous card").wait_for()
        box = await dialog.bounding_box()
        assert abs(2 * box["x"] + box["width"] - 1280) <= 20  # in the middle of the window
        await dialog.get_by_label("Letters are shortcuts").uncheck()
        await page.keyboard.press("Escape")
        await dialog.wait_for(state="hidden")
        await page.keyboard.press("j")
        assert await page.evaluate("document.activeElement === document.body")
        await page.reload()
        await page.get_by_role("button", name="Keyboard").click()
        await dialog.get_by_label("Letters are shortcuts").check()
        await dialog.get_by_role("button", name="Close").click()
        await page.keyboard.press("j")
        assert await page.evaluate("document.activeElement.matches('article')")


PATHS = (
    *(
        "/",
        "/?sort=arrival",
        "/search",
        "/search?q=note&kind=post",
        "/tag/bees",
        "/film/t:ran:1985",
        THREAD,
        "/mutes",
    ),
    *(f"/bee/{BEE.hex()}", f"/bee/{OTHER.hex()}/post/{2:016x}"),
    *(f"/bee/{BEE.hex()}/post/none", f"/bee/{'0' * 64}", "/film/t:none", "/search?q=nothing-has-this"),
    *("/bees", "/about", "/decisions", "/network", "/submit", "/proof", "/prove", "/nothing"),
    *(f"{page}?bee={BEE.hex()}&key=post%2F{3:016x}" for page in ("/proof", "/prove")),
    f"/report?bee={BEE.hex()}&keyhex={f'post/{3:016x}'.encode().hex()}",
)


async def test_a_screen_reader_finds_its_way(chromium: Any, filled: Any) -> None:
    _, url = filled
    async with open_page(chromium) as page:
        session = await page.context.new_cdp_session(page)
        for path in PATHS:
            await page.goto(url + path)
            assert await accessibility_faults(session) == [], path


async def test_nothing_is_wider_than_a_small_phone(chromium: Any, filled: Any) -> None:
    running, url = filled
    await fill(running, [post(80, "W" * 900, tags=["w" * 64])], OTHER)
    async with open_page(chromium, "phone") as page:
        await page.set_viewport_size({"width": 320, "height": 640})
        for path in PATHS:
            await page.goto(url + path)
            assert await too_wide(page) == [], path
            edges = "[...document.querySelectorAll('.tag')].map(one => one.getBoundingClientRect().right)"
            assert await page.evaluate(f"Math.max(0, ...{edges})") < 320 - 16, path  # nor cut by its card


async def test_a_reader_without_javascript_has_all_but_muting(chromium: Any, filled: Any) -> None:
    _, url = filled
    async with open_page(chromium, java_script_enabled=False) as page:
        await page.goto(url)
        assert await page.locator(".card-menu:visible").count() == 0
        await page.get_by_role("link", name="Search").first.click()
        await page.get_by_label("Words").fill("park")
        await page.get_by_role("button", name="Search").click()
        await page.get_by_role("link", name="A reply").click()
        await page.get_by_text("Are the bees in the city happier?").wait_for()
        await page.get_by_role("link", name="#Bees").click()
        assert await page.locator("#records > li").count() == 1
        await page.goto(f"{url}/bee/{BEE.hex()}/post/{3:016x}")
        assert not await page.get_by_text("A covered thing.").is_visible()
        await page.get_by_text("spiders").first.click()
        assert await page.get_by_text("A covered thing.").is_visible()
        await page.goto(f"{url}/mutes")
        await page.get_by_text("Muting needs JavaScript").wait_for()
        assert await page.locator("#mute-word").is_hidden()
