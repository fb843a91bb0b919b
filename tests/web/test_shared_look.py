"""The shared frame, stylesheet and script in a real browser, under the policy that all pages are served with."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from playwright.async_api import Browser, Page

import templates

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
    page = await chromium.new_page(viewport={"width": width, "height": 800})
    await page.goto(address)
    assert await overflow(page) <= 0


@pytest.mark.parametrize(("system", "other"), [("dark", "light"), ("light", "dark")])
async def test_the_theme_follows_the_system_until_the_reader_chooses(
    chromium: Browser, address: str, system: Any, other: str
) -> None:
    context = await chromium.new_context(color_scheme=system)
    page = await context.new_page()
    await page.goto(address)
    ground = "getComputedStyle(document.body).backgroundColor"
    before = await page.evaluate(ground)
    toggle = page.locator("[data-theme-toggle]")
    await toggle.click()
    chosen = await page.evaluate(ground)
    assert chosen != before  # the first press is seen
    assert await toggle.get_attribute("title") == f"Theme: {other}"
    await page.reload()
    assert await page.evaluate(ground) == chosen
    await toggle.click()
    assert await page.evaluate(ground) == before
    await toggle.click()
    assert await page.evaluate("document.documentElement.dataset.theme") is None


async def test_live_events_swaps_copying_and_times_work_under_the_policy(
    chromium: Browser, address: str
) -> None:
    context = await chromium.new_context(
        locale="en-GB", timezone_id="Asia/Tokyo", permissions=["clipboard-read", "clipboard-write"]
    )
    page = await context.new_page()
    complaints = listen_for_complaints(page)
    await page.goto(address)
    await page.locator("#told").wait_for()
    await page.get_by_role("button", name="Copy").click()
    assert await page.evaluate("navigator.clipboard.readText()") == KEY
    await page.get_by_role("button", name="Send").click()
    late = page.locator("#late")
    await late.wait_for()
    assert "12:04" in await late.inner_text()  # 03:04 UTC is noon in Tokyo
    assert complaints == []


async def test_without_javascript_the_page_is_whole_and_its_helpers_are_hidden(
    chromium: Browser, address: str
) -> None:
    context = await chromium.new_context(java_script_enabled=False)
    page = await context.new_page()
    await page.goto(address)
    assert not await page.locator("[data-theme-toggle]").is_visible()
    assert not await page.locator("[data-copy]").is_visible()
    assert await page.locator("time").first.inner_text() == "14 Nov 2023, 22:13 UTC"
    assert await page.get_by_label("Rating").is_visible()


async def test_the_keyboard_reaches_the_content_first(chromium: Browser, address: str) -> None:
    page = await chromium.new_page()
    await page.goto(address)
    await page.keyboard.press("Tab")
    focused = page.locator(":focus")
    assert await focused.inner_text() == "Skip to the content"
    box = await focused.bounding_box()
    assert box is not None
    assert box["y"] >= 0
    assert await focused.evaluate("element => getComputedStyle(element).outlineStyle") == "solid"
