"""With JavaScript off every deed of one's own peer is done by forms and links alone."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from core.peer import Peer
from tests.support.feedagg import site as aggregator_site
from tests.support.letterboxd import small_export
from tests.support.screens import open_page, press
from tests.support.userpeer import running
from tests.support.waiting import eventually
from userpeer.backup import unseal

pytestmark = [pytest.mark.anyio, pytest.mark.browser]

PASSPHRASE = "eight bees hum"


@pytest.fixture
async def peer(tmp_path: Path) -> AsyncIterator[dict[str, Any]]:
    """A running peer on which a change can be undone for long."""
    with running(tmp_path / "peer", "--undo-seconds", "600") as (_, ready):
        yield ready


async def see_after_reload(page: Any, words: str) -> None:
    """What a person without JavaScript does to see what is new; nothing else may be on its way to the page."""

    async def is_there() -> bool:
        await page.reload()
        return bool(await page.get_by_text(words).count())

    await eventually(is_there)


async def test_writing_changing_deleting_and_undoing(chromium: Any, peer: dict[str, Any]) -> None:
    async with open_page(chromium, java_script_enabled=False) as page:
        await page.goto(peer["web"])
        for text in ("Lime trees", "Clover"):
            await page.get_by_label("What is on your mind?").fill(text)
            await page.get_by_role("button", name="Publish post").click()
            await page.get_by_text("Posted. It is signed").wait_for()

        async def begin_edit(words: str, text: str) -> None:
            await page.locator("article", has_text=words).get_by_role("link", name="Edit").click()
            await page.get_by_label("What is on your mind?").fill(text)
            await page.get_by_role("button", name="Save").click()
            await page.get_by_text("Changing").wait_for()

        await begin_edit("Lime trees", "Linden trees")
        await page.get_by_role("button", name="Undo").click()
        await page.get_by_text("Undone. Nothing was signed.").wait_for()
        await page.locator("article", has_text="Lime trees").wait_for()
        await begin_edit("Lime trees", "Linden trees")
        await page.get_by_role("button", name="Do it now").click()
        await page.locator("article", has_text="Linden trees").get_by_role("link", name="History").click()
        await page.get_by_role("button", name="Put this back").click()
        await page.get_by_role("link", name="My feed").first.click()
        await page.locator("article", has_text="Lime trees").get_by_role("link", name="Delete").click()
        await page.get_by_role("button", name="Delete it").click()
        await page.get_by_text("Deleting").wait_for()
        await page.get_by_role("button", name="Undo").click()
        await page.locator("article", has_text="Lime trees").get_by_role("link", name="Delete").click()
        await page.get_by_role("button", name="Delete it").click()
        await page.get_by_role("button", name="Do it now").click()
        await page.locator("article", has_text="Lime trees").wait_for(state="detached")
        assert await page.locator("article", has_text="Clover").count() == 1


async def test_following_reacting_answering_and_searching(chromium: Any, peer: dict[str, Any]) -> None:
    friend = await Peer.open(None)
    try:
        bee = friend.bee(name="main")
        await bee.put("profile/self", {"name": "Bea"})
        await bee.put(f"post/{1:016x}", {"text": "What is in bloom?", "createdAt": "2026-01-01T00:00:00Z"})
        host, _, port = peer["listen"].rpartition(":")
        await friend.connect(host, int(port))
        async with open_page(chromium, java_script_enabled=False) as page:
            await page.goto(peer["web"])
            await page.get_by_role("link", name="Following").click()
            await page.get_by_label("Somebody’s key").fill("no key")
            await page.get_by_role("button", name="Follow").click()
            await page.get_by_text("That is not a key.").wait_for()
            await page.get_by_label("Somebody’s key").fill(bee.core.key.hex())
            await page.get_by_role("button", name="Follow").click()
            await page.get_by_text("You follow this bee now.").wait_for()
            await press(page.get_by_role("link", name="Timeline"))
            await see_after_reload(page, "What is in bloom?")
            card = page.locator("article", has_text="What is in bloom?")
            await card.get_by_text("React").click()
            await card.get_by_role("button", name="❤").click()
            await page.get_by_role("button", name="❤ 1").click()
            await page.get_by_role("button", name="❤ 1").wait_for(state="detached")
            await page.get_by_label("Your answer").fill("The lime trees.")
            await page.get_by_role("button", name="Answer", exact=True).click()
            await page.get_by_text("Answered. It is signed").wait_for()
            await page.get_by_role("link", name="Search").click()
            await page.get_by_label("Words").fill("lime")
            await page.get_by_role("button", name="Search").click()
            await page.locator("article", has_text="The lime trees.").wait_for()
            await page.get_by_role("link", name="Following").click()
            await page.locator("main").get_by_role("link", name="Bea").click()
            await page.get_by_role("button", name="Unfollow").click()
            await page.get_by_role("link", name="Following").click()
            await page.get_by_text("You follow nobody yet").wait_for()
    finally:
        await friend.close()


async def test_films_lists_and_everything_in_and_out(
    chromium: Any, peer: dict[str, Any], tmp_path: Path
) -> None:
    async with open_page(chromium, java_script_enabled=False) as page:
        await page.goto(peer["web"])
        await page.get_by_role("link", name="Watchlist").click()
        await page.get_by_label("Title").fill("Solaris")
        await page.get_by_label("Year").fill("1972")
        await page.get_by_role("button", name="Add to the watchlist").click()
        await page.get_by_role("link", name="Watched it").click()
        await page.get_by_label("Rating").select_option("9")
        await page.get_by_label("Watched on").fill("2026-02-29")
        await page.get_by_role("button", name="Publish film").click()
        await page.get_by_text("The date watched").wait_for()
        assert await page.get_by_label("Title").input_value() == "Solaris"
        await page.get_by_label("Watched on").fill("2026-02-28")
        await page.get_by_role("button", name="Publish film").click()
        await page.get_by_text("Watched 2026-02-28").wait_for()
        await page.get_by_role("link", name="Diary").click()
        years = page.get_by_role("navigation", name="Diary")
        await years.get_by_role("link", name=re.compile("^2026")).click()
        await page.get_by_text("By decade of release").wait_for()
        await page.get_by_role("link", name="Lists").click()
        await page.get_by_label("Name").fill("Films of water")
        await page.get_by_role("button", name="Make the list").click()
        for title in ("Solaris", "Stalker"):
            await page.get_by_label("Title").fill(title)
            await press(page.get_by_role("button", name="Add", exact=True))
        await press(page.get_by_role("button", name="Move Stalker up"))
        assert await page.locator("main ol.list strong").all_inner_texts() == ["Stalker", "Solaris"]

        await page.get_by_role("link", name="Import and export").click()
        archive = {"name": "letterboxd.zip", "mimeType": "application/zip", "buffer": small_export()}
        await page.get_by_label("A zip file").set_input_files(archive)
        await page.get_by_role("button", name="Bring it in").click()
        await page.get_by_text(
            "The last import: letterboxd.zip"
        ).wait_for()  # the page reloads itself until it is over
        async with page.expect_download() as coming:
            await page.get_by_role("link", name="Download the export").click()
        await (await coming.value).save_as(tmp_path / "export.zip")
    with zipfile.ZipFile(tmp_path / "export.zip") as export:
        (records,) = [name for name in export.namelist() if name.endswith("records.jsonl")]
        kinds = {json.loads(line)["key"].partition("/")[0] for line in export.read(records).splitlines()}
    assert {"movie", "list", "listitem", "watchlist"} <= kinds


async def test_ones_key_ones_name_and_those_who_are_told(
    chromium: Any, peer: dict[str, Any], tmp_path: Path
) -> None:
    from PIL import Image

    Image.new("RGB", (40, 20), (200, 80, 10)).save(tmp_path / "me.png")
    async with (
        aggregator_site(tmp_path / "site") as (_, aggregator),
        open_page(chromium, java_script_enabled=False) as page,
    ):
        await page.goto(peer["web"])
        await page.get_by_role("link", name="Profile").click()
        await page.get_by_label("Name").fill("Ada")
        await page.get_by_label("Picture").set_input_files(tmp_path / "me.png")
        await page.get_by_role("button", name="Save profile").click()
        await page.get_by_text("Saved.").wait_for()

        await page.get_by_role("link", name="Key", exact=True).click()
        await page.get_by_label("Passphrase", exact=True).fill(PASSPHRASE)
        await page.get_by_label("The same again").fill(PASSPHRASE)
        async with page.expect_download() as coming:
            await page.get_by_role("button", name="Download the backup").click()
        await (await coming.value).save_as(tmp_path / "backup")
        assert unseal((tmp_path / "backup").read_bytes(), PASSPHRASE).bee == peer["key"]
        await page.get_by_label("New passphrase", exact=True).fill(PASSPHRASE)
        await page.get_by_label("New passphrase again").fill("another one")
        await page.get_by_role("button", name="Seal my secret key").click()
        await page.get_by_text("The two passphrases differ").wait_for()
        await page.get_by_label("New passphrase", exact=True).fill(PASSPHRASE)
        await page.get_by_label("New passphrase again").fill(PASSPHRASE)
        await page.get_by_role("button", name="Seal my secret key").click()
        await page.get_by_text("Your secret key is sealed.").wait_for()
        await page.locator("summary", has_text="Take the seal away").click()
        await page.locator("[name=opening]").fill(PASSPHRASE)
        await page.get_by_role("button", name="Take the seal away").click()
        await page.get_by_text("is not sealed any more").wait_for()

        await page.get_by_role("link", name="Aggregators").click()
        await page.get_by_label("Address of the aggregator").fill(aggregator)
        await page.get_by_role("button", name="Give it my key").click()
        await press(page.get_by_role("button", name=re.compile("^Ask .* now$")))
        await see_after_reload(page, "It follows your bee")

        await page.get_by_role("link", name="Sharing").click()
        await page.get_by_label("Keep a bee alive").fill("ab" * 32)
        await page.get_by_role("button", name="Keep it").click()
        kept = page.locator(f"#bee-{'ab' * 32}")
        await kept.get_by_role("button", name="Stop sharing").click()
        await kept.wait_for(state="detached")
