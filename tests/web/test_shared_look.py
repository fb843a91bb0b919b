"""The shared frame, stylesheet and script in a real browser, under the policy that all pages are served with."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from playwright.async_api import Browser, Page, expect

import templates
from tests.support.screens import open_page
from tests.support.waiting import eventually

pytestmark = [pytest.mark.anyio, pytest.mark.browser]

KEY = "6a09e667bb67ae85" * 4
PAGE = """{% extends 'shared/base.html' %}
{% block nav %}{{ ui.nav_link('/', 'Feed', path) }}{{ ui.nav_link('/bees', 'Bees', path) }}{% endblock %}
{% block main %}
{% call ui.page_head('The feed', 'What people wrote and watched.') %}{{ ui.button_link('Submit', '/s') }}{% endcall %}
<div class="columns"><div class="feed" id="feed">
{% call ui.card(key, 'A name that is far too long for one line of a phone', 1700000000000, href='/b', kind='movie') %}
{{ ui.film('Ran', 1985, rating=9, liked=true, rewatch=true, watched_on='2026-01-02') }}
<p class="prose">{{ 'unbroken' * 20 }}</p>{{ ui.tags(['one', 'two'], '/t/') }}
{% endcall %}</div>
<aside>{% call ui.panel('Key') %}{{ ui.key_text(key) }}{% endcall %}</aside></div>
<form class="form" hx-get="/part" hx-target="#feed" hx-swap="afterbegin">
<div class="form-row">{{ ui.field('a', 'A', help='help') }}{{ ui.rating_field() }}</div>{{ ui.button('Send') }}</form>
<div id="live" hx-sse:connect="/events" hx-swap="innerHTML"></div>
<div class="table-wrap"><table><tr>{% for n in range(12) %}<td>a cell {{ n }}</td>{% endfor %}</tr></table></div>
{% endblock %}"""


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    env = templates.environment(app_name="Meadow", app_tagline="One feed, many bees.")
    whole = env.from_string(PAGE).render(path="/", key=KEY)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            kinds = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
            if path.startswith("/static/"):
                body, kind = (templates.STATIC / path[8:]).read_bytes(), kinds[path.rpartition(".")[2]]
            elif path == "/events":
                body, kind = b"data: <b id='told'>news</b>\n\n", "text/event-stream"
            elif path == "/part":
                body, kind = (
                    b"<time id='late' data-local='full' datetime='2026-01-02T03:04:05Z'>x</time>",
                    "text/html",
                )
            else:
                body, kind = whole.encode(), "text/html; charset=utf-8"
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Security-Policy", templates.CONTENT_SECURITY_POLICY)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()
    thread.join()


def listen_for_complaints(page: Page) -> list[str]:
    """A list that grows with every script error and every console error, a broken policy among them."""
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(f"error: {error}"))
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    return complaints


async def overflow(page: Page) -> int:
    """How many pixels the page is wider than its window."""
    return int(await page.evaluate("document.documentElement.scrollWidth - window.innerWidth"))


@pytest.mark.parametrize("width", [320, 390, 768, 1280])
async def test_nothing_hangs_over_the_edge(chromium: Browser, address: str, width: int) -> None:
    async with open_page(chromium, viewport={"width": width, "height": 800}) as page:
        await page.goto(address)
        await page.locator("#told").wait_for()
        assert await overflow(page) <= 0


@pytest.mark.parametrize(("system", "other"), [("dark", "light"), ("light", "dark")])
async def test_the_theme_follows_the_system_until_the_reader_chooses(
    chromium: Browser, address: str, system: str, other: str
) -> None:
    ground = "getComputedStyle(document.body).backgroundColor"
    async with open_page(chromium, system) as page:
        await page.goto(address)
        before = await page.evaluate(ground)
        toggle = page.locator("[data-theme-toggle]")
        await toggle.click()
        await expect(toggle).to_have_attribute("title", f"Theme: {other}")
        chosen = await page.evaluate(ground)
        assert chosen != before  # the first press is seen
        await page.reload()
        await expect(toggle).to_have_attribute("title", f"Theme: {other}")
        assert await page.evaluate(ground) == chosen
        await toggle.click()
        await expect(toggle).to_have_attribute("title", f"Theme: {system}")
        assert await page.evaluate(ground) == before
        await toggle.click()
        await expect(toggle).to_have_attribute("title", "Theme: system")
        assert await page.evaluate("document.documentElement.dataset.theme") is None


async def test_live_events_swaps_copying_and_times_work_under_the_policy(
    chromium: Browser, address: str
) -> None:
    granted = ["clipboard-read", "clipboard-write"]
    async with open_page(chromium, locale="en-GB", timezone_id="Asia/Tokyo", permissions=granted) as page:
        complaints = listen_for_complaints(page)
        await page.goto(address)
        await page.locator("#told").wait_for()
        await page.get_by_role("button", name="Copy").click()

        async def is_copied() -> bool:
            return bool(await page.evaluate("navigator.clipboard.readText()") == KEY)

        await eventually(is_copied)
        await page.get_by_role("button", name="Send").click()
        await expect(page.locator("#late")).to_contain_text("12:04")  # 03:04 UTC is noon in Tokyo
        assert complaints == []


async def test_without_javascript_the_page_is_whole_and_its_helpers_are_hidden(
    chromium: Browser, address: str
) -> None:
    async with open_page(chromium, java_script_enabled=False) as page:
        await page.goto(address)
        for helper in ("[data-theme-toggle]", "[data-copy]"):
            await expect(page.locator(helper)).to_be_attached()
            await expect(page.locator(helper)).to_be_hidden()
        await expect(page.locator("time").first).to_have_text("14 Nov 2023, 22:13 UTC")
        await expect(page.get_by_label("Rating")).to_be_visible()


async def test_the_keyboard_reaches_the_content_first(chromium: Browser, address: str) -> None:
    async with open_page(chromium) as page:
        await page.goto(address)
        await page.keyboard.press("Tab")
        focused = page.locator(":focus")
        await expect(focused).to_have_text("Skip to the content")
        await expect(focused).to_be_in_viewport(ratio=1)
        await expect(focused).to_have_css("outline-style", "solid")
