"""Every page of one's own peer, with something on each: what a screen reader hears, and a phone of 320 pixels."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import httpx2
import pytest
from starlette.routing import Route

from core.peer import Peer
from tests.support.accessibility import accessibility_faults, too_wide
from tests.support.feedagg import site
from tests.support.letterboxd import DIARY, csv_text, small_export
from tests.support.screens import open_page
from tests.support.userpeer import running
from tests.support.waiting import eventually
from tests.web.test_userpeer_writing import photo
from userpeer.client import call_running
from userpeer.routes import ROUTES

pytestmark = [pytest.mark.anyio, pytest.mark.browser]

NO_PAGES = ("/live/", "/media/", "/export", "/health")
WORD = "unbroken" * 20


def test_the_list_of_pages_is_whole() -> None:
    pages = {
        route.path
        for route in ROUTES
        if isinstance(route, Route) and "GET" in (route.methods or ()) and not route.path.startswith(NO_PAGES)
    }
    assert {route for route, _ in addresses("", "", "", "")} - {""} == pages


def addresses(key: str, friend: str, post: str, made: str) -> list[tuple[str, str]]:
    """(its route, an address) of every page; "" is the route of what is not there."""
    record = f"?key={quote(post)}"
    return [
        ("/", "/"),
        ("/", "/?write=movie"),
        ("/record", f"/record{record}"),
        ("/edit", f"/edit{record}"),
        ("/delete", f"/delete{record}"),
        ("/drafts", "/drafts"),
        ("/timeline", "/timeline"),
        ("/search", "/search?q=unbroken"),
        ("/search", "/search?q=nowhere"),
        ("/following", "/following"),
        ("/b/{key}", f"/b/{friend}"),
        ("/b/{key}", f"/b/{key}"),
        ("/thread", f"/thread?bee={key}&key={quote(post)}"),
        ("/diary", "/diary"),
        ("/diary/undated", "/diary/undated"),
        ("/diary/{year:int}", "/diary/2024"),
        ("/watchlist", "/watchlist"),
        ("/lists", "/lists"),
        ("/lists/{id}", f"/lists/{made}"),
        ("/profile", "/profile"),
        ("/key", "/key"),
        ("/import", "/import"),
        ("/network", "/network"),
        ("/aggregators", "/aggregators"),
        ("/sharing", "/sharing"),
        ("/bee", "/bee"),
        ("", "/nowhere"),
        ("", f"/b/{'0' * 63}"),
    ]


@pytest.fixture(scope="module")
async def filled(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[str, list[str]]]:
    """A running peer with something on every page: where its page is, and the paths of all pages."""
    folder = tmp_path_factory.mktemp("every-page")

    async def do(name: str, **arguments: Any) -> Any:
        return [one async for one in call_running(folder / "me" / "control.sock", name, arguments)][-1]

    friend = await Peer.open(None)
    theirs = friend.bee(name="main")
    await theirs.put("profile/self", {"name": "Bea", "bio": WORD, "website": "https://example.org/"})
    for number in (1, 2):
        await theirs.put(f"post/{number:016x}", {"text": f"{WORD} {number}", "cw": WORD[:100]})
    async with site(folder / "site") as (_, aggregator):
        with running(folder / "me") as (_, ready):
            await friend.connect(ready["listen"].rpartition(":")[0], int(ready["listen"].rpartition(":")[2]))
            await do("bee.put", key="profile/self", value={"name": "Ada", "bio": WORD})
            post = await do("post", text=f"{WORD} https://example.org/{WORD}", tags="z" * 60)
            await do("edit", key=post["key"], text=WORD)
            await do(
                "movie", title=f"Ran {WORD}", year="1985", review=WORD, watched_on="2024-03-01", rating="7"
            )
            await do("bee.put", key="odd", value={"no": WORD})
            await do("follow", key=theirs.core.key.hex())
            await do("submit", url=aggregator)
            await do("aggregators")
            async with httpx2.AsyncClient(
                base_url=ready["web"], headers={"origin": ready["web"][:-1]}
            ) as client:

                async def send(path: str, **arguments: Any) -> str:
                    answer = await client.post(path, **arguments)
                    assert answer.status_code in (204, 303), (path, answer.text)
                    return answer.headers.get("location", "")

                with_picture = {"text": "A picture", "alt1": WORD}
                await send(
                    "posts", data=with_picture, files={"image1": ("a.jpg", photo(600, 300), "image/jpeg")}
                )
                await send("draft", data={"slot": "post", "text": WORD})
                await send("watchlist", data={"title": f"Solaris {WORD}", "year": "1972"})
                made = (await send("lists", data={"name": f"Water {WORD[:60]}", "text": WORD})).split("?")[0]
                await send(made, data={"title": WORD, "note": WORD})
                await send(made, data={"title": "Jaws"})
                wrong = csv_text(DIARY, [["x"] * len(DIARY)])
                archive = {"file": ("letterboxd.zip", small_export(diary=wrong), "application/zip")}
                await send("import", files=archive)
                paths = addresses(ready["key"], theirs.core.key.hex(), post["key"], made.rpartition("/")[2])

                async def shows(path: str, words: str) -> bool:
                    return words in (await client.get(path)).text

                await eventually(lambda: shows(f"b/{theirs.core.key.hex()}", "Bea"))
                await eventually(lambda: shows("import", "The last import"))
                await eventually(lambda: shows("aggregators", "What it says about you"))
            yield ready["web"][:-1], [path for _, path in paths]
    await friend.close()


async def test_a_screen_reader_finds_its_way(chromium: Any, filled: Any) -> None:
    web, paths = filled
    async with open_page(chromium) as page:
        session = await page.context.new_cdp_session(page)
        found = {}
        for path in paths:
            await page.goto(web + path)
            await page.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")
            found[path] = await accessibility_faults(session)
        faulty = {path: faults for path, faults in found.items() if faults}
        assert not faulty, "\n".join(f"{path}: {faults}" for path, faults in faulty.items())


async def test_nothing_is_wider_than_a_small_phone(chromium: Any, filled: Any) -> None:
    web, paths = filled
    async with open_page(chromium, "phone") as page:
        await page.set_viewport_size({"width": 320, "height": 640})
        found = {}
        for path in paths:
            await page.goto(web + path)
            found[path] = await too_wide(page)
        faulty = {path: faults for path, faults in found.items() if faults}
        assert not faulty, "\n".join(f"{path}: {faults}" for path, faults in faulty.items())


async def test_every_page_says_what_it_is_and_leads_on(chromium: Any, filled: Any) -> None:
    """Titles differ from page to page, and no link of the page leads nowhere."""
    web, paths = filled
    async with open_page(chromium) as page:
        dead: dict[str, int] = {}
        seen: set[str] = set()
        for path in paths:
            await page.goto(web + path)
            assert await page.title() not in ("", "Meadow"), path
            links = await page.evaluate("[...document.querySelectorAll('main a[href]')].map(a => a.href)")
            here = {link.partition("#")[0] for link in links if link.startswith(web)}
            for link in sorted(here - seen):
                if not link.startswith((f"{web}/export", f"{web}/media/")):
                    answer = await page.request.get(link)
                    if answer.status != 200:
                        dead[link] = answer.status
            seen |= here
        assert not dead


CAN_HAVE_FOCUS = """() => [...document.querySelectorAll('a[href], button, input, select, textarea, summary')].filter(
  one => one.tabIndex >= 0 && !one.disabled && one.type !== 'hidden' && one.checkVisibility({visibilityProperty: true})
)"""
HAS_FOCUS = f"""() => {{
  const one = document.activeElement, style = getComputedStyle(one)
  return [({CAN_HAVE_FOCUS})().indexOf(one), style.outlineStyle !== 'none' || style.boxShadow !== 'none']
}}"""


async def test_tab_goes_through_every_control_in_order_and_shows_where_it_is(
    chromium: Any, filled: Any
) -> None:
    web, paths = filled
    wanted = (
        "/?write=movie",
        "/thread",
        "/diary/2024",
        "/lists/",
        "/key",
        "/sharing",
        "/aggregators",
        "/import",
    )
    async with open_page(chromium) as page:
        for start in wanted:
            path = next(path for path in paths if path.startswith(start))
            await page.goto(web + path)
            many = await page.evaluate(f"() => ({CAN_HAVE_FOCUS})().length")
            seen = []
            for _ in range(many):
                await page.keyboard.press("Tab")
                at, shows = await page.evaluate(HAS_FOCUS)
                assert shows, f"{path}: one does not see that control {at} has the focus"
                seen.append(at)
            assert seen == list(range(many)), path


DEAD_WITHOUT_SCRIPT = """() => {
  const shown = one => one.checkVisibility({visibilityProperty: true})
  const all = selector => [...document.querySelectorAll(selector)]
  for (const one of all('details')) one.open = true
  const faults = []
  const fault = (what, one) => faults.push(what + ': ' + one.outerHTML.slice(0, 100))
  if (document.documentElement.hasAttribute('data-js')) fault('a script ran', document.body)
  for (const form of all('form').filter(shown)) {
    if (!form.getAttribute('action')) fault('a form that goes nowhere', form)
    if (![...form.elements].some(one => one.type === 'submit' && shown(one))) fault('a form without a button', form)
  }
  for (const button of all('button').filter(shown))
    if (button.type !== 'submit' || !button.form) fault('a dead button', button)
  for (const link of all('a').filter(shown))
    if (['', '#', null].includes(link.getAttribute('href'))) fault('a dead link', link)
  for (const one of all('[hx-get], [hx-post], [hx-put], [hx-delete]'))
    if (!['A', 'FORM'].includes(one.tagName) && !(one.tagName === 'BUTTON' && one.form)) fault('only a script can', one)
  return faults
}"""


async def test_without_javascript_nothing_on_any_page_is_dead(chromium: Any, filled: Any) -> None:
    """Every form, button and link of every page does its work without a script; the deeds are in
    `test_userpeer_plain_browser.py`.
    """
    web, paths = filled
    async with open_page(chromium, java_script_enabled=False) as page:
        found = {}
        for path in paths:
            await page.goto(web + path)
            assert await page.locator("h1").count() == 1, path
            found[path] = await page.evaluate(DEAD_WITHOUT_SCRIPT)
        faulty = {path: faults for path, faults in found.items() if faults}
        assert not faulty, "\n".join(f"{path}: {faults}" for path, faults in faulty.items())
