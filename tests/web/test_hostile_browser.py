"""Markup and script in every field that a stranger fills, on every page that shows it, in a real browser: nothing runs,
nothing is fetched from elsewhere, and every word of it can be read.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlsplit

import pytest

from core.records import Ref, format_date, value_hash
from core.records.film import slug
from feedagg import moderation, policy, queries, reports, sources
from feedagg.ingest import now_ms
from feedagg.marks import proof_href
from tests.support.feedagg import author, site
from tests.support.screens import open_page

pytestmark = [pytest.mark.anyio, pytest.mark.browser]

SHORT: Final = "<b class=evil onclick=ran=1>'\">zz<script>ran=1</script>"
"""64 characters at most: a name, a tag."""

EVIL: Final = (
    "zz'\"></p></a></title></textarea></script><script>window.ran=1</script>"
    '<img class=evil src="http://evil.example/x.png" onerror="window.ran=1"><svg class=evil onload="window.ran=1">'
    '<b class=evil hx-get="/evil" hx-trigger="load">{{7*7}}</b><base href="http://evil.example/">'
)
assert len(SHORT) <= 64
assert len(EVIL) <= 300
LINKS: Final = (
    "[zz](javascript:window.ran=1) ![zz](http://evil.example/y.png) <javascript:window.ran=1> javascript:ran"
)

HARMS: Final = """() => ({
    ran: window.ran ?? null,
    planted: document.querySelectorAll(".evil, [onerror], [onload], [onclick], [hx-get='/evil'], base").length,
    elsewhere: [...document.querySelectorAll("[href], [src], [action]")]
        .map((one) => one.getAttribute("href") ?? one.getAttribute("src") ?? one.getAttribute("action"))
        .filter((address) => /^\\s*(javascript|data|vbscript):/i.test(address)),
    shown: document.body.textContent.includes("zz") ||
        [...document.querySelectorAll("input, textarea")].some((one) => one.value.includes("zz")),
})"""


def hostile_records(bee: str) -> dict[str, dict[str, Any]]:
    """Key -> record, each accepted by the rules of records, each text of them an attack."""
    at = format_date(now_ms() - 60_000)
    film = {"title": EVIL, "year": 1985, "urls": ["https://e.example/?" + quote(EVIL)]}
    first = {"text": EVIL, "cw": SHORT, "tags": [SHORT], "lang": "en", "film": film, "createdAt": at}
    blob = {"blockOffset": 0, "blockLength": 1, "byteOffset": 0, "byteLength": 9}
    return {
        "profile/self": {"name": SHORT, "bio": EVIL[:256], "website": "https://e.example/?'onclick=1",
                         "createdAt": at},
        "post/0000000000000001": first,
        "post/0000000000000002": {
            "text": LINKS, "more": {"mime": "text/markdown", "text": f"# {EVIL}\n\n{LINKS}\n\n{EVIL}"}, "createdAt": at,
        },
        "post/0000000000000003": {
            "text": EVIL, "media": [{"blob": blob, "alt": EVIL, "w": 8, "h": 8}], "createdAt": at,
        },
        "movie/0000000000000004": {
            "film": film, "rating": 9, "review": {"text": EVIL + LINKS, "spoiler": True}, "tags": [SHORT],
            "src": SHORT[:32], "createdAt": format_date(now_ms() - 3 * 86_400_000),
        },
        EVIL: {"title": EVIL, "year": 1985},
        f"x/{EVIL}": {"text": EVIL},
    }  # fmt: skip


async def test_nothing_of_a_stranger_runs_on_any_page(chromium: Any, tmp_path: Path) -> None:
    async with author() as (_, bee, address), site(tmp_path, no_dht=True) as (running, url):
        own, key, post = bee.core.key, bee.core.key.hex(), "post/0000000000000001"
        records = hostile_records(key)
        for name, value in records.items():
            await bee.put(name, value)
        entry = await bee.get(post)
        answered = Ref(key, post, entry.seq, value_hash(await bee.core.get(entry.seq))).to_json()
        await bee.put(
            "post/0000000000000005",
            {
                "text": EVIL,
                "reply": {"root": answered, "parent": answered},
                "createdAt": format_date(now_ms()),
            },
        )
        await running.database.write(sources.add, own, now_ms(), "command", address)
        async with asyncio.timeout(60):
            while running.ingest.records_read < len(records) + 1:
                await asyncio.sleep(0.02)
        tally = await running.database.read(queries.tally, own)
        assert sum(tally.skipped.values()) == 0, tally.skipped  # every attack is on the pages

        hide = b"post/0000000000000003"
        words = EVIL[:200]
        await running.database.write(reports.report, own, post.encode(), "other", words, "somebody", now_ms())
        await running.database.write(moderation.hide, own, hide, words, now_ms())
        await running.database.write(reports.appeal, own, hide, words, now_ms())
        await running.database.write(policy.refuse, bytes(32), now_ms(), words)

        reader_pages = [
            "/", "/?sort=arrival", "/bees", f"/bee/{key}", f"/search?q=zz&by={quote(SHORT)}",
            "/search?q=" + quote(EVIL),
            f"/film/t:{quote(slug(EVIL))}:1985", f"/thread/{key}/{post}", "/decisions", f"/bee/{'00' * 32}",
            "/submit?peer=" + quote(EVIL) + "&key=" + quote(EVIL), "/nothing/" + quote(EVIL, safe=""),
            f"/tag/{quote(SHORT, safe='')}", f"/report?bee={key}&keyhex={post.encode().hex()}",
            f"/appeal?bee={key}&keyhex={hide.hex()}",
            "/network", "/mutes", f"/prove?bee={key}&key=" + quote(EVIL, safe=""),
            *(f"/bee/{key}/{quote(name, safe='')}" for name in records if name not in ("profile/self", hide.decode())),
            proof_href("/proof", own, post.encode()),
        ]  # fmt: skip
        operator_pages = [
            "/admin", "/admin/settings", "/admin/network", "/admin/queue", "/admin/hidden", "/admin/bees",
            f"/admin/bee/{key}", "/admin/decisions",
        ]  # fmt: skip
        silent = {
            "/nothing/" + quote(EVIL, safe=""),
            "/mutes",
            "/admin",
            "/admin/settings",
        }  # they show nothing of a stranger
        async with open_page(chromium) as page:  # its end asserts that no page tried what the policy forbids
            asked: set[str] = set()
            page.on("request", lambda request: asked.add(urlsplit(request.url).netloc))
            page.on("dialog", lambda dialog: asked.add(f"dialog {dialog.message}"))

            async def harmless(path: str) -> None:
                if path.startswith("/proof"):
                    await page.locator("#proof-record .notice-ok").wait_for()
                harms = await page.evaluate(HARMS)
                shown = harms.pop("shown") or path in silent
                assert harms == {"ran": None, "planted": 0, "elsewhere": []}, path
                assert shown, path

            for path in reader_pages:
                await page.goto(url + path, wait_until="domcontentloaded")
                await harmless(path)
            await page.goto(url)
            await page.get_by_text("Live", exact=True).wait_for()
            await bee.put(
                "post/0000000000000009", {"text": f"late zz {EVIL}", "createdAt": format_date(now_ms())}
            )
            await page.get_by_text("late zz").wait_for()
            await harmless("/live")

            await page.goto(f"{url}/prove?bee={key}&key={quote(EVIL, safe='')}")
            await page.get_by_role("button", name="Do it now").click()
            await page.get_by_role("heading", name="4. The secret keys").wait_for()
            await harmless("/prove, done")
            await page.goto(f"{url}/mutes")
            await page.get_by_label("Word, or words in this order").fill(EVIL[:100])
            await page.get_by_role("button", name="Mute this").click()
            await page.locator("#muted-words li").wait_for()
            muted = {"people": [{"key": key, "name": SHORT}], "words": [LINKS]}
            await page.evaluate("muted => localStorage.setItem('muted', JSON.stringify(muted))", muted)
            await page.reload()
            await page.locator("#muted-people li").wait_for()
            await harmless("/mutes, with a person")

            await page.goto(f"{url}/admin")
            await page.get_by_label("Token").fill(running.token.reveal())
            await page.get_by_role("button", name="Enter").click()
            await page.get_by_role("heading", name="Overview").wait_for()
            for path in operator_pages:
                await page.goto(url + path, wait_until="domcontentloaded")
                await harmless(path)
            assert asked == {urlsplit(url).netloc}
