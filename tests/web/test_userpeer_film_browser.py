"""In a real browser, a film's way from the watchlist to the diary, lists, and one's things in and out of the peer."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import expect

from tests.support.letterboxd import small_export
from tests.support.screens import open_page, press
from tests.support.userpeer import running
from userpeer.backup import unseal

pytestmark = [pytest.mark.anyio, pytest.mark.browser]


async def test_a_film_goes_from_the_watchlist_to_the_diary(chromium: Any, tmp_path: Path) -> None:
    with running(tmp_path) as (_, ready):
        async with open_page(chromium) as page:
            await page.goto(ready["web"] + "watchlist")
            await page.get_by_label("Title").fill("Solaris")
            await page.get_by_label("Year").fill("1972")
            await page.get_by_role("button", name="Add to the watchlist").click()
            await press(page.get_by_role("link", name="Watched it"))
            await expect(page.get_by_label("Title")).to_have_value("Solaris")
            await expect(page.get_by_label("Year")).to_have_value("1972")
            await page.get_by_label("Watched on").fill("2026-02-29")
            await page.get_by_role("button", name="Publish film").click()
            await page.get_by_text("The date watched").wait_for()
            assert await page.get_by_label("Title").input_value() == "Solaris"
            await page.get_by_label("Watched on").fill("2026-02-28")
            await page.get_by_role("button", name="Publish film").click()
            await page.get_by_text("Watched 2026-02-28").wait_for()

            await page.goto(ready["web"] + "diary?month=2026-02")
            await page.locator("article", has_text="Solaris").wait_for()
            day = page.locator("td.calendar-film")
            assert (await day.inner_text()).split()[0].strip(",") == "28"
            await page.goto(ready["web"] + "diary/2026")
            await page.get_by_role("heading", name="2026 in films").wait_for()
            await page.get_by_text("By decade of release").wait_for()


async def test_a_list_in_the_order_one_likes(chromium: Any, tmp_path: Path) -> None:
    with running(tmp_path) as (_, ready):
        async with open_page(chromium) as page:
            await page.goto(ready["web"] + "lists")
            await page.get_by_text("No lists yet").wait_for()
            await page.get_by_label("Name").fill("Films of water")
            await page.get_by_label("The order is a ranking").check()
            await page.get_by_role("button", name="Make the list").click()
            for title in ("Solaris", "Stalker"):
                await page.get_by_label("Title").fill(title)
                await page.get_by_label("Note").fill(f"about {title}")
                await page.get_by_role("button", name="Add", exact=True).click()
                await page.get_by_text(f"about {title}").wait_for()
            titles = page.locator("main ol.list strong")
            assert await titles.all_inner_texts() == ["Solaris", "Stalker"]
            await page.get_by_role("button", name="Move Stalker up").click()
            await page.get_by_role("button", name="Move Stalker down").wait_for()
            assert await titles.all_inner_texts() == ["Stalker", "Solaris"]
            await page.get_by_role("button", name="Take out Solaris").click()
            await page.get_by_text("about Solaris").wait_for(state="detached")
            await page.get_by_text("Delete this list").click()
            await page.get_by_role("button", name="Delete the list").click()
            await page.get_by_text("No lists yet").wait_for()


async def test_an_import_with_its_report_and_the_export_of_it(chromium: Any, tmp_path: Path) -> None:
    archive = tmp_path / "letterboxd.zip"
    archive.write_bytes(small_export())
    with running(tmp_path / "peer") as (_, ready):
        async with open_page(chromium) as page:
            await page.goto(ready["web"] + "import")
            for name in ("The last import: letterboxd.zip", "The last import: again.zip"):
                await page.get_by_label("A zip file").set_input_files(
                    {
                        "name": name.split(": ")[1],
                        "mimeType": "application/zip",
                        "buffer": archive.read_bytes(),
                    }
                )
                await page.get_by_role("button", name="Bring it in").click()
                await page.get_by_role("heading", name=name).wait_for()
            await page.get_by_text("Files that were not looked at: profile.csv").wait_for()
            async with page.expect_download() as coming:
                await page.get_by_role("link", name="Download the export").click()
            await (await coming.value).save_as(tmp_path / "export.zip")
    with zipfile.ZipFile(tmp_path / "export.zip") as export:
        (films,) = [name for name in export.namelist() if name.endswith("films.csv")]
        lines = export.read(films).decode().splitlines()
    assert sum(",Ran," in line or line.startswith("Ran,") for line in lines) == 2, (
        "the second import added nothing"
    )


async def test_a_backup_is_downloaded_and_opens_with_its_passphrase(chromium: Any, tmp_path: Path) -> None:
    with running(tmp_path / "peer") as (_, ready):
        async with open_page(chromium) as page:
            await page.goto(ready["web"] + "key#backup")
            await page.get_by_label("Passphrase", exact=True).fill("eight bees hum")
            await page.get_by_label("The same again").fill("eight bees sum")
            await page.get_by_role("button", name="Download the backup").click()
            await page.get_by_text("The two passphrases differ").wait_for()
            await page.get_by_label("Passphrase", exact=True).fill("eight bees hum")
            await page.get_by_label("The same again").fill("eight bees hum")
            async with page.expect_download() as coming:
                await page.get_by_role("button", name="Download the backup").click()
            await (await coming.value).save_as(tmp_path / "backup")
            assert await page.locator("[name=passphrase]").input_value() in ("", "eight bees hum")
    backup = unseal((tmp_path / "backup").read_bytes(), "eight bees hum")
    assert backup.bee == ready["key"]
