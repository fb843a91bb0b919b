"""Proofs in Chromium: checked by the page's own script while the site is out of reach; files chosen and dropped."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from core.peer import check_file, encode_file, prove_history, prove_lookup, prove_record
from core.records import format_date
from feedagg import moderation, sources
from feedagg.aggregator import Aggregator
from feedagg.ingest import now_ms
from feedagg.marks import proof_href
from feedagg.pages.proof_view import in_words
from feedagg.proofs import lookup_file, record_file
from tests.conftest import skip_or_fail
from tests.support.evidence import conflict
from tests.support.feedagg import author, site
from tests.support.node import NodePeer, why_node_is_missing
from tests.support.screens import VIEWS, open_page

pytestmark = [pytest.mark.anyio, pytest.mark.browser]

KEY = f"post/{3:016x}".encode()


@pytest.fixture
async def followed(tmp_path: Path) -> AsyncIterator[tuple[Aggregator, str, Any]]:
    """A site that read one bee: (running, url, bee)."""
    async with author() as (_, bee, address), site(tmp_path / "site") as (running, url):
        for n in range(12):
            at = format_date(now_ms() - (50 - n) * 60_000)
            await bee.put(f"post/{n:016x}", {"text": f"<b>Note</b> number {n}.", "createdAt": at})
        await running.database.write(sources.add, bee.core.key, now_ms(), "command", address)
        async with asyncio.timeout(60):
            while running.ingest.records_read < 12:
                await asyncio.sleep(0.02)
        yield running, url, bee


async def test_a_card_leads_to_its_proof(chromium: Any, followed: Any) -> None:
    _, url, bee = followed
    async with open_page(chromium) as page:
        await page.goto(url)
        mark = page.locator("#records > li", has_text="Note number 3.").get_by_role("link", name="Current")
        await mark.or_(
            page.locator("#records > li", has_text="number 3.").locator("a[href^='/proof']")
        ).first.click()
        await page.wait_for_url("**/proof?*")
        record = page.locator("#proof-record .notice-ok")
        await record.wait_for()
        assert "this is block 4 of the log of 13 blocks" in await record.inner_text()
        assert "maps to block 4" in await page.locator("#proof-lookup .notice-ok").inner_text()
        assert bee.core.key.hex() in await page.locator("#proof-record").inner_text()
        # what the author wrote is text, never markup
        assert "<b>Note</b> number 3." in await page.locator("#proof-record blockquote").inner_text()


async def test_a_saved_file_is_checked_without_the_site(chromium: Any, followed: Any, tmp_path: Path) -> None:
    running, url, bee = followed
    key = bee.core.key
    good = await record_file(running, key, KEY)
    files = {
        "good": good,
        "lookup": await lookup_file(running, key, KEY),
        "conflict": encode_file(await conflict()),
    }
    absent = await lookup_file(running, key, b"post/none")
    assert check_file(absent).is_absent
    files["absent"] = absent
    wrong = next(data for data in spoiled_files(good))
    async with open_page(chromium) as page:
        requests: list[str] = []
        await page.goto(f"{url}/proof")
        await page.locator("#proof-file").wait_for()
        page.on("request", lambda request: requests.append(request.url))
        await page.context.set_offline(True)
        sentences = {
            "good": "True: this is block 4 of the log of 13 blocks",
            "lookup": "maps to block 4",
            "absent": "maps to nothing",
            "conflict": "signed two different histories of 3 blocks",
        }
        for name, data in files.items():
            path = tmp_path / f"{name}.meadow-proof"
            path.write_bytes(data)
            await page.locator("#proof-file").set_input_files(path)
            found = page.locator("#proof-found section", has_text=path.name).locator(".notice-ok")
            await found.wait_for()
            assert sentences[name] in await found.inner_text()
        bad = tmp_path / "bad.meadow-proof"
        bad.write_bytes(wrong)
        await page.locator("#proof-file").set_input_files(bad)
        await page.locator("#proof-found .notice-bad").wait_for()
        assert "proves nothing" in await page.locator("#proof-found .notice-bad").inner_text()
        assert await page.locator("#proof-found .notice-ok").count() == 0
        await page.evaluate(
            """data => {
              const transfer = new DataTransfer()
              transfer.items.add(new File([Uint8Array.from(data)], 'dropped'))
              document.getElementById('proof-drop').dispatchEvent(
                new DragEvent('drop', { dataTransfer: transfer, bubbles: true, cancelable: true }))
            }""",
            list(good),
        )
        await page.locator("#proof-found section", has_text="dropped").locator(".notice-ok").wait_for()
        assert requests == []
        await page.context.set_offline(False)


AS_SEEN = """async data => {
  const { checkFile } = await import('/static/proof/check.js')
  const hex = bytes => bytes && Array.from(bytes, byte => byte.toString(16).padStart(2, '0')).join('')
  const found = checkFile(Uint8Array.from(data))
  const versions = found.versions.map(({ seq, value }) => ({ seq, value: hex(value) }))
  return { key: hex(found.key), fork: found.fork, length: found.length, versions }
}"""


@pytest.mark.interop
async def test_the_browser_and_the_official_packages_find_the_same_while_the_site_is_gone(
    chromium: Any, tmp_path: Path
) -> None:
    """The server has ended and the browser is offline: what the page finds is its own finding, and hypercore's."""
    skip_or_fail(why_node_is_missing())
    async with (
        open_page(chromium) as page,
        author() as (_, bee, _),
        await NodePeer.start("proof.js") as judge,
    ):
        for n in range(300):
            await bee.put(f"post/{n % 290:016x}", {"text": f"Note number {n}. " + "words " * 20})
        await bee.delete(f"post/{4:016x}")
        core = bee.core
        files = {
            "record": prove_record(core, 40),
            "history": prove_history(core, f"post/{5:016x}".encode(), [6, 296]),
            "lookup": await prove_lookup(core, f"post/{77:016x}".encode(), timeout=30),
            "removed": await prove_lookup(core, f"post/{4:016x}".encode(), timeout=30),
        }
        async with site(tmp_path / "site") as (_, url):
            await page.goto(f"{url}/proof")
            await page.locator("#proof-file").wait_for()
            await page.wait_for_load_state("load")
        await page.context.set_offline(True)
        for name, file in files.items():
            data = encode_file(file)
            path = tmp_path / f"{name}.meadow-proof"
            path.write_bytes(data)
            await page.locator("#proof-file").set_input_files(path)
            await page.locator("#proof-found section", has_text=path.name).locator(".notice-ok").wait_for()
            seen = await page.evaluate(AS_SEEN, list(data))
            official = await judge("official", file=base64.b64encode(data).decode())
            assert seen == {part: official[part] for part in seen}, name


def spoiled_files(data: bytes) -> Any:
    """Files of the same size with one bit of the signature or of the block turned."""
    for at in (len(data) - 100, len(data) // 3):
        changed = bytearray(data)
        changed[at] ^= 4
        yield bytes(changed)


async def test_absence_hiding_history_and_witness(chromium: Any, followed: Any) -> None:
    """Each page with its proof, checked by the script that came with it."""
    running, url, bee = followed
    key = bee.core.key
    site_of = f"{url}/bee/{key.hex()}"
    hidden, edited, gone = f"post/{5:016x}", f"post/{6:016x}", f"post/{7:016x}"
    await running.publisher.caught_up()
    entry = await bee.get(edited)
    await bee.put(edited, {**entry.value, "text": "Mended.", "updatedAt": format_date(now_ms())})
    await bee.delete(gone)
    await running.database.write(moderation.hide, key, hidden.encode(), "It is an advert.", now_ms())
    async with asyncio.timeout(60):
        while (
            source := await running.database.read(sources.get, key)
        ) is None or source.cursor != bee.core.length:
            await asyncio.sleep(0.05)
    await running.publisher.caught_up()
    async with open_page(chromium) as page:
        await page.goto(f"{site_of}/{gone}")
        await page.locator("#proof-lookup .notice-ok", has_text="maps to nothing").wait_for()
        await page.goto(f"{site_of}/{hidden}")
        await page.locator("#proof-hidden .notice-ok").wait_for()
        assert "It is an advert." in await page.locator("#proof-hidden blockquote").inner_text()
        assert "The reason given: It is an advert. It is still" in await page.locator("main").inner_text()
        await page.goto(url + proof_href("/proof", key, edited.encode()) + "&about=history")
        await page.locator("#proof-history .notice-ok", has_text="2 versions").wait_for()
        assert await page.locator("#proof-history blockquote").all_inner_texts() == [
            "Mended.",
            "<b>Note</b> number 6.",
        ]
        await page.goto(url + proof_href("/proof", key, KEY) + "&about=witness")
        await page.locator("#proof-together .notice-ok", has_text="Both fit together").wait_for()


WORDS = [
    b'{"film":{"title":"Ran","year":1985},"watchedOn":"2026-11-20","rating":9,"liked":true,"review":{"text":"Red."}}',
    b'{"film":{"title":"Ran"},"rating":11,"rewatch":true,"tags":["war",3,"japan"],"watchedOn":""}',
    b'{"title":"Dune","year":1984,"rating":4}',
    '{"text":"Grün <b>x</b>","cw":"food","more":{"text":"Longer."},"tags":"none"}'.encode(),
    b'{"name":"Ada","bio":"Bees."}',
    b'{"reason":"An advert."}',
    b'{"text":"","film":[],"review":null,"more":"x"}',
    b'{"rating":true,"film":{"title":"A","year":"1985"},"text":7}',
    b"[1,2]",
    b"null",
    b"\xff not JSON",
    b'{"text":"half \\ud800 a pair"}',
]


async def test_what_a_proof_says_is_all_that_was_signed(chromium: Any, followed: Any) -> None:
    """Another rating of the same film is another thing said; the script and the site put it in the same words."""
    running, url, bee = followed
    key = f"movie/{20:016x}"
    film = {"film": {"title": "Ran", "year": 1985}, "rating": 9, "review": {"text": "Red and yellow."}}
    await bee.put(key, {**film, "createdAt": format_date(now_ms())})
    await bee.put(key, {**film, "rating": 4, "createdAt": format_date(now_ms())})
    async with asyncio.timeout(60):
        while (await running.database.read(sources.get, bee.core.key)).cursor != bee.core.length:
            await asyncio.sleep(0.05)
    where = url + proof_href("/proof", bee.core.key, key.encode()) + "&about=history"
    want = ["Ran (1985) · ★★\nRed and yellow.", "Ran (1985) · ★★★★½\nRed and yellow."]
    for has_script in (True, False):
        async with open_page(chromium, java_script_enabled=has_script) as page:
            await page.goto(where)
            if has_script:
                await page.locator("#proof-history .notice-ok", has_text="2 versions").wait_for()
            assert await page.locator("#proof-history blockquote").all_inner_texts() == want
            whole = page.locator("#proof-history details").first
            await whole.locator("summary").click()
            assert '"rating":4' in await whole.locator("code").inner_text()
    async with open_page(chromium) as page:
        await page.goto(f"{url}/proof")
        said = await page.evaluate(
            """async (values) => {
                const { words } = await import('/static/proof/words.js')
                return values.map((value) => words(Uint8Array.from(atob(value), (c) => c.charCodeAt(0))))
            }""",
            [base64.b64encode(value).decode() for value in WORDS],
        )
    assert [text.replace("\ud800", "?") for text in said] == [in_words(value) for value in WORDS]


async def test_a_score_is_recomputed_here(chromium: Any, followed: Any) -> None:
    """From the signed ratings, in the browser; one that was tampered with on the way is not counted but named."""
    _, url, bee = followed
    movie = {"film": {"title": "Ran", "year": 1985}, "rating": 9, "createdAt": format_date(now_ms())}
    await bee.put("movie/0000000000000001", movie)
    async with open_page(chromium) as page:
        async with asyncio.timeout(60):
            while (await page.goto(f"{url}/film/t:ran:1985")).status != 200:
                await asyncio.sleep(0.1)
        await page.get_by_role("button", name="Recompute here").click()
        await page.locator("#recomputed .notice-ok", has_text="4.5 of 5 from 1 person").wait_for()
        assert "Ran" in await page.locator("#recomputed").inner_text()

        async def tampered(route: Any) -> None:
            answer = await route.fetch()
            body = await answer.json()
            data = bytearray(base64.b64decode(body["proofs"][0]))
            at = data.index(b'"rating":9')
            data[at + 9 : at + 10] = b"1"
            await route.fulfill(json={**body, "proofs": [base64.b64encode(data).decode()]})

        await page.route("**/proofs/film/**", tampered)
        await page.get_by_role("button", name="Recompute here").click()
        await page.locator("#recomputed .notice-bad", has_text="1 of 1 ratings prove nothing").wait_for()


async def test_a_receipt_and_the_proof_that_nothing_can_be_deleted(
    chromium: Any, followed: Any, tmp_path: Path
) -> None:
    running, url, bee = followed
    async with open_page(chromium) as page:
        await page.goto(url + proof_href("/prove", bee.core.key, KEY))
        await page.get_by_role("button", name="Do it now").click()
        await page.locator(".notice-ok", has_text="came back from").wait_for()
        await page.locator("#proof-record .notice-ok").wait_for()
        answer = await page.request.get(f"{url}/receipt/{bee.core.key.hex()}")
        good = await answer.body()
        await page.goto(f"{url}/proof")
        for name, data, kind in (("good", good, "ok"), ("bad", good.replace(b'"fork', b'"frok'), "bad")):
            path = tmp_path / f"{name}.json"
            path.write_bytes(data.replace(b'\\"fork', b'\\"frok') if name == "bad" else data)
            await page.locator("#proof-file").set_input_files(path)
            section = page.locator("#proof-found section", has_text=path.name)
            await section.locator(f".notice-{kind}").wait_for()
        assert running.peer.public_key.hex() not in await page.locator("#proof-found").inner_text()


async def test_the_page_fits_a_phone(chromium: Any, followed: Any) -> None:
    _, url, bee = followed
    for view in VIEWS:
        async with open_page(chromium, view) as page:
            if view == "phone":
                await page.set_viewport_size({"width": 320, "height": 700})
            await page.goto(url + proof_href("/proof", bee.core.key, KEY))
            await page.locator("#proof-record .notice-ok").wait_for()
            width = await page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
            assert width <= 0
