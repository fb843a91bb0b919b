"""The page in a real browser: live without reloading, on a phone, by keyboard."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from core.peer import Peer
from tests.support.screens import capture, open_page
from tests.support.userpeer import running
from userpeer.backup import Backup
from userpeer.client import call_running
from userpeer.restore_into import restore
from userpeer.settings import Settings

pytestmark = [pytest.mark.anyio, pytest.mark.browser]


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[tuple[dict[str, Any], Any]]:
    """A running peer: its ready event, and a function that does a command on it."""

    async def do(command: str, **arguments: Any) -> list[dict[str, Any]]:
        return [item async for item in call_running(tmp_path / "control.sock", command, arguments)]

    with running(tmp_path) as (_, ready):
        yield ready, do


async def test_writing_from_the_first_post_to_its_undone_delete(chromium: Any, site: Any) -> None:
    ready, _ = site
    async with open_page(chromium) as page:
        await page.goto(ready["web"])
        await page.get_by_text("Your meadow is ready").wait_for()
        await page.get_by_label("What is on your mind?").fill("First words")
        await page.get_by_role("button", name="Publish post").click()
        await page.get_by_text("Posted. It is signed").wait_for()
        assert await page.get_by_label("What is on your mind?").input_value() == ""
        assert page.url == ready["web"]  # htmx swapped a block, no page was loaded

        await page.get_by_role("link", name="A film").click()
        await page.get_by_label("Title").fill("Dune")
        await page.get_by_label("Year").fill("soon")
        await page.get_by_label("Review", exact=True).fill("Kept while wrong")
        await page.get_by_role("button", name="Publish film").click()
        await page.get_by_text("The year must be a whole number, not 'soon'.").wait_for()
        assert await page.get_by_label("Review", exact=True).input_value() == "Kept while wrong"
        await page.get_by_label("Year").fill("2021")
        await page.get_by_label("Rating").select_option("9")
        await page.get_by_role("button", name="Publish film").click()
        await page.get_by_role("img", name="4.5 of 5 stars").wait_for()

        card = page.locator("article", has_text="First words")
        await card.get_by_role("link", name="Edit").click()
        await page.get_by_role("button", name="Save").wait_for()  # the form for a new post has the same label
        await page.get_by_label("What is on your mind?").fill("Second thoughts")
        await page.get_by_role("button", name="Save").click()
        await page.get_by_text("Saved.").wait_for()
        assert await page.get_by_text("First words").is_visible()

        await page.get_by_role("link", name="Delete").click()
        await page.get_by_text("can still prove that the record existed").wait_for()
        await page.get_by_role("button", name="Delete it").click()
        await page.get_by_text("Deleted. It is no longer in your bee.").wait_for()
        assert await page.get_by_text("Second thoughts").count() == 0
        await page.get_by_role("button", name="Put it back").click()
        await page.get_by_text("It is back.").wait_for()
        assert await page.locator("article", has_text="Second thoughts").count() == 1


async def test_an_open_page_shows_what_others_do_without_reloading(chromium: Any, site: Any) -> None:
    ready, do = site
    async with open_page(chromium) as page:
        await page.goto(ready["web"])
        (written,) = await do("post", text="From the command line")
        card = page.locator("article", has_text="From the command line")
        await card.wait_for()
        await card.get_by_text(re.compile("just now|ago$")).first.wait_for()
        await page.get_by_label("What is on your mind?").fill("half a thought")
        await do("edit", key=written["key"], text="Edited elsewhere")
        await page.get_by_text("Edited elsewhere").wait_for()
        await do("delete", key=written["key"])
        await card.wait_for(state="detached")
        await page.get_by_text("Edited elsewhere").wait_for(state="detached")
        assert await page.get_by_label("What is on your mind?").input_value() == "half a thought"


async def test_who_is_connected_and_what_they_took(chromium: Any, site: Any) -> None:
    ready, do = site
    for number in range(10):
        await do("post", text=f"number {number}")
    async with open_page(chromium) as page:
        await page.goto(ready["web"] + "network")
        await page.get_by_text("Nobody is connected").wait_for()
        reader = await Peer.open(None)
        host, _, port = ready["listen"].rpartition(":")
        await reader.connect(host, int(port))
        row = page.locator(f"#peer-{reader.public_key.hex()}")
        await row.wait_for()
        bee = reader.bee(key=ready["key"])
        await bee.update(wait=True)
        texts = [entry.value["text"] async for entry in bee.range(gte="post/", lt="post0")]
        assert texts == [f"number {number}" for number in range(10)]
        taken = sum(view.blocks_received for view in bee.core.peers)
        assert taken >= 10
        await row.get_by_text(f"{taken} blocks taken").wait_for()
        await reader.close()
        await row.wait_for(state="detached")


async def tab_to(page: Any, words: str) -> None:
    """Press Tab until what has the focus is called `words`."""
    for _ in range(150):
        await page.keyboard.press("Tab")
        called = await page.evaluate(
            "(one => one.getAttribute('aria-label') || one.labels?.[0]?.textContent || one.textContent)"
            "(document.activeElement)"
        )
        if called.strip() == words:
            return
    raise AssertionError(f"Tab never comes to {words!r}")


async def test_by_keyboard_alone(chromium: Any, tmp_path: Path) -> None:
    """Written, reacted to, changed, deleted and undone, with Tab, Enter, Space and letters."""
    with running(tmp_path, "--undo-seconds", "600") as (_, ready):
        async with open_page(chromium) as page:
            await page.goto(ready["web"])
            await page.keyboard.press("Tab")
            assert await page.evaluate("document.activeElement.textContent") == "Skip to the content"
            await page.keyboard.press("Enter")
            await tab_to(page, "Publish post")
            await page.keyboard.press("Enter")
            await page.get_by_text("The text is empty; write something first.").wait_for()
            # The focus is in the field that is wrong, though the form was swapped.
            await page.locator("textarea[name=text]:focus").wait_for()
            await page.keyboard.type("No mouse was used")
            await page.keyboard.press("Control+Enter")
            card = page.locator("article", has_text="No mouse was used")
            await card.wait_for()
            await page.locator(".notices > .notice:focus", has_text="Posted.").wait_for()
            await tab_to(page, "A film")
            await page.keyboard.press("Enter")
            await page.get_by_label("Title").wait_for()
            await page.locator("a:focus", has_text="A film").wait_for()

            await tab_to(page, "Edit")
            await page.keyboard.press("Enter")
            await page.get_by_role("heading", name="Edit a post").wait_for()
            await tab_to(page, "What is on your mind?")
            await page.keyboard.press("ControlOrMeta+a")
            await page.keyboard.type("No mouse is needed")
            await tab_to(page, "Save")
            await page.keyboard.press("Enter")
            await page.get_by_text("Changing").wait_for()
            await tab_to(page, "Do it now")
            await page.keyboard.press("Space")
            await page.locator("article", has_text="No mouse is needed").wait_for()

            await tab_to(page, "Delete")
            await page.keyboard.press("Enter")
            await page.get_by_role("heading", name="Delete this record?").wait_for()
            await tab_to(page, "Delete it")
            await page.keyboard.press("Enter")
            await page.get_by_text("Deleting").wait_for()
            await tab_to(page, "Undo")
            await page.keyboard.press("Enter")
            await page.get_by_text("Undone. Nothing was signed.").wait_for()

            await tab_to(page, "Timeline")
            await page.keyboard.press("Enter")
            await page.get_by_role("heading", name="Timeline").wait_for()
            await tab_to(page, "React")
            await page.keyboard.press("Space")
            await tab_to(page, "❤")
            await page.keyboard.press("Enter")
            await page.get_by_role("button", name="❤ 1").wait_for()


async def test_other_peoples_text_can_run_nothing(chromium: Any, site: Any) -> None:
    ready, do = site
    attack = '<img src=x onerror="document.title=1"><script>document.title=2</script>\'"` {{7*7}} javascript:alert(1)'
    (written,) = await do("post", text=attack, tags="<b>", cw='"><script>1</script>')
    await do("bee.put", key="<script>3</script>", value={"title": attack})
    await do("bee.put", key="profile/self", value={"name": attack[:60], "website": "https://a.example"})
    async with open_page(chromium) as page:
        for path in ("", "bee", "profile", f"record?key={written['key']}", f"edit?key={written['key']}"):
            await page.goto(ready["web"] + path)
            assert await page.title() not in ("1", "2")
            assert await page.locator("main img, main script").count() == 0
            assert await page.locator("a[href^='javascript']").count() == 0
        await page.goto(ready["web"])
        await page.locator("summary").first.click()
        assert await page.get_by_text(attack[:40]).first.is_visible()


async def test_no_page_is_wider_than_a_phone(chromium: Any, site: Any) -> None:
    ready, do = site
    await do("post", text="x" * 300 + " https://a.example/" + "y" * 300, tags="z" * 60)
    await do("movie", title="W" * 200, review="v" * 200)
    async with open_page(chromium, "phone") as page:
        for path in ("", "?write=movie", "profile", "key", "network", "aggregators", "bee", "nowhere"):
            await page.goto(ready["web"] + path)
            assert await page.evaluate("document.documentElement.scrollWidth") <= 390, path
            heights = await page.evaluate(
                "[...document.querySelectorAll('button, .button, .input')].filter(e => e.checkVisibility())"
                ".map(e => e.getBoundingClientRect().height)"
            )
            assert min(heights) >= 32, path


async def test_pictures_can_be_taken(chromium: Any, site: Any, tmp_path: Path) -> None:
    ready, _ = site
    made = await capture(chromium, "home", ready["web"], directory=tmp_path / "shots")
    assert [path.name for path in made] == ["home-light.png", "home-dark.png", "home-phone.png"]
    assert len({path.read_bytes() for path in made}) == 3
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in made)


async def test_following_answering_and_reacting(chromium: Any, site: Any) -> None:
    ready, _ = site
    friend = await Peer.open(None)
    try:
        bee = friend.bee(name="main")
        await bee.put("profile/self", {"name": "Bea"})
        await bee.put(f"post/{1:016x}", {"text": "What is in bloom?", "createdAt": "2026-01-01T00:00:00Z"})
        host, _, port = ready["listen"].rpartition(":")
        await friend.connect(host, int(port))
        async with open_page(chromium) as page:
            await page.goto(ready["web"] + "following")
            await page.get_by_label("Somebody’s key").fill(bee.core.key.hex())
            await page.get_by_role("button", name="Follow").click()
            await page.get_by_text("You follow this bee now.").wait_for()
            await page.get_by_text("What is in bloom?").wait_for()
            await page.get_by_role("link", name="Timeline").click()
            await page.wait_for_url("**/timeline")
            card = page.locator("article", has_text="What is in bloom?")
            await card.get_by_text("React").click()
            # News that comes in closes nothing that is open.
            await bee.put(
                f"post/{3:016x}", {"text": "And on the roofs?", "createdAt": "2026-01-02T00:00:00Z"}
            )
            await page.get_by_text("And on the roofs?").wait_for()
            await card.get_by_role("button", name="❤").click()
            await page.get_by_role("button", name="❤ 1").wait_for()
            await page.get_by_label("Your answer").fill("The lime trees.")
            await page.get_by_role("button", name="Answer", exact=True).click()
            await page.get_by_text("Answered. It is signed").wait_for()
            assert await page.locator("article").count() == 2
            # Live: the friend's next post is on the open timeline by itself.
            await page.get_by_role("link", name="Timeline").click()
            await bee.put(f"post/{2:016x}", {"text": "Mine too!"})
            await page.get_by_text("Mine too!").wait_for()
            await page.get_by_role("link", name="Search").click()
            await page.get_by_label("Words").fill("lime")
            await page.keyboard.press("Enter")
            await page.locator("article", has_text="The lime trees.").wait_for()
    finally:
        await friend.close()


async def test_a_restored_peer_says_what_it_waits_for_and_keeps_what_is_typed(
    chromium: Any, tmp_path: Path
) -> None:
    await restore(Settings(tmp_path), Backup(bytes(range(32)), ""))
    with running(tmp_path) as (_, ready):
        async with open_page(chromium) as page:
            await page.goto(ready["web"])
            await page.get_by_text("Restored from a backup.").wait_for()
            await page.get_by_label("What is on your mind?").fill("words that stay")
            await page.get_by_role("button", name="Publish post").click()
            await page.get_by_role("heading", name="Not yet").wait_for()
            await page.get_by_role("link", name="Timeline").click()
            await page.wait_for_url("**/timeline")
            await page.get_by_text("Restored from a backup.").wait_for()  # on every page
            await page.get_by_text("I never published anything").click()
            await page.get_by_role("button", name="Begin anew").click()
            await page.get_by_label("What is on your mind?").wait_for()
            assert await page.get_by_text("Restored from a backup.").count() == 0
            assert await page.get_by_label("What is on your mind?").input_value() == "words that stay"
            await page.get_by_role("button", name="Publish post").click()
            await page.locator("article", has_text="words that stay").wait_for()


async def test_a_closed_tab_loses_no_word(chromium: Any, site: Any) -> None:
    ready, _ = site
    async with open_page(chromium) as page:
        await page.goto(ready["web"])
        async with page.expect_response("**/draft"):
            await page.get_by_label("What is on your mind?").fill("half a thought")
    async with open_page(chromium) as page:
        await page.goto(ready["web"])
        assert await page.get_by_label("What is on your mind?").input_value() == "half a thought"
        await page.get_by_role("button", name="Publish post").click()
        await page.get_by_text("Posted. It is signed").wait_for()
        await page.goto(ready["web"])
        assert await page.get_by_label("What is on your mind?").input_value() == ""


async def test_a_peer_that_was_killed_is_named_and_costs_no_word(chromium: Any, tmp_path: Path) -> None:
    async with open_page(chromium) as page:
        with running(tmp_path) as (process, ready):
            await page.goto(ready["web"])
            await page.get_by_label("What is on your mind?").fill("Written while it died")
            process.kill()
            process.wait()
            await page.get_by_role("button", name="Publish post").click()
            said = page.get_by_role("alert").filter(has_text="Your peer does not answer.")
            await said.wait_for()
        with running(tmp_path, "--web", ready["web"].removeprefix("http://").rstrip("/")):
            await said.wait_for(state="hidden")  # by itself, as soon as it is back
            await page.get_by_role("button", name="Publish post").click()
            await page.locator("article", has_text="Written while it died").wait_for()


async def test_an_image_with_its_words(chromium: Any, site: Any, tmp_path: Path) -> None:
    from PIL import Image

    picture = tmp_path / "picture.png"
    Image.new("RGB", (40, 20), (200, 80, 10)).save(picture)
    ready, _ = site
    async with open_page(chromium) as page:
        await page.goto(ready["web"])
        await page.get_by_label("What is on your mind?").fill("With a picture")
        await page.get_by_text("Images, a long text, the language").click()
        await page.get_by_label("Image 1", exact=True).set_input_files(picture)
        await page.get_by_label("What image 1 shows").fill("An orange field")
        await page.get_by_role("button", name="Publish post").click()
        shown = page.get_by_role("img", name="An orange field")
        await shown.wait_for()
        assert await shown.evaluate("image => image.decode().then(() => image.naturalWidth)") == 40


async def test_a_picture_of_oneself_and_of_others(chromium: Any, site: Any, tmp_path: Path) -> None:
    from PIL import Image

    mine, theirs_file = tmp_path / "mine.png", tmp_path / "theirs.png"
    Image.new("RGB", (900, 300), (20, 120, 200)).save(mine)
    Image.new("RGB", (50, 50), (200, 20, 20)).save(theirs_file)
    data = theirs_file.read_bytes()
    ready, do = site
    width = "image => image.decode().then(() => image.naturalWidth)"
    friend = await Peer.open(None)
    try:
        theirs, pictures = friend.bee(name="main"), friend.core(name="media")
        await pictures.append([data])
        blob = {"blockOffset": 0, "blockLength": 1, "byteOffset": 0, "byteLength": len(data)}
        await theirs.put("meta/self", {"schema": "meadow", "v": 1, "blobs": pictures.key.hex()})
        await theirs.put("profile/self", {"name": "Bea", "avatar": blob})
        await theirs.put(f"post/{1:016x}", {"text": "Hello from Bea"})
        host, _, port = ready["listen"].rpartition(":")
        await friend.connect(host, int(port))
        await do("follow", key=theirs.core.key.hex())
        await do("post", text="Hello from Ada")
        async with open_page(chromium) as page:
            page.set_default_timeout(60_000)
            await page.goto(ready["web"] + "profile")
            await page.get_by_label("Picture").set_input_files(mine)
            await page.get_by_role("button", name="Save profile").click()
            await page.get_by_text("The name is empty; write something first.").wait_for()
            await page.get_by_label("Name").fill("Ada")
            await page.get_by_label("Picture").set_input_files(mine)
            await page.get_by_role("button", name="Save profile").click()
            await page.get_by_text("Saved. Readers see it").wait_for()
            for path in ("", "profile", f"b/{ready['key']}"):
                await page.goto(ready["web"] + path)
                assert await page.locator("img.avatar").first.evaluate(width) == 512, (
                    path
                )  # its middle, made small
            await page.goto(ready["web"] + "timeline")
            for name, size in (("Bea", 50), ("Ada", 512)):
                card = page.locator("article", has_text=f"Hello from {name}")
                assert await card.locator(".avatar").evaluate(width) == size
            for path in ("following", f"b/{theirs.core.key.hex()}"):
                await page.goto(ready["web"] + path)
                assert await page.locator("img.avatar").first.evaluate(width) == 50, path
            await page.goto(ready["web"] + "profile")
            await page.get_by_label("Show no picture any more").check()
            await page.get_by_role("button", name="Save profile").click()
            await page.get_by_text("Saved. Readers see it").wait_for()
            assert await page.locator(".avatar").count() == 0
    finally:
        await friend.close()


async def test_a_delete_is_undone_before_it_is_signed(chromium: Any, tmp_path: Path) -> None:
    with running(tmp_path, "--undo-seconds", "300") as (_, ready):
        async with open_page(chromium) as page:
            await page.goto(ready["web"])
            await page.get_by_label("What is on your mind?").fill("Do not go")
            await page.get_by_role("button", name="Publish post").click()
            await page.locator("article").get_by_role("link", name="Delete").click()
            await page.get_by_role("button", name="Delete it").click()
            await page.get_by_text("Deleting “Do not go”. Not signed yet.").wait_for()
            await page.get_by_role("button", name="Undo").click()
            await page.get_by_text("Undone. Nothing was signed.").wait_for()
            assert await page.locator("article", has_text="Do not go").count() == 1
