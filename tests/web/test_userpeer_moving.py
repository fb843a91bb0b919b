"""Imports and exports: every file of a Letterboxd zip, twice; and one's own, there and back."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.records import Watch, parse_record
from tests.support.letterboxd import DIARY, csv_text, large_export, small_export, zip_of
from tests.support.userpeer import command, json_lines, served_app
from tests.support.waiting import eventually
from tests.web.test_userpeer_writing import photo
from userpeer.drafts import MovieDraft, PostDraft
from userpeer.errors import UserError
from userpeer.moving.arrivals import read_file
from userpeer.moving.exporting import FILM_COLUMNS
from userpeer.moving.letterboxd import read_letterboxd

pytestmark = pytest.mark.anyio


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Any]:
    async with served_app(tmp_path) as (service, _, client):
        yield service, client


async def films(service: Any) -> list[Watch]:
    found = []
    async for entry in service.bee.range(gte="movie/", lt="movie0"):
        record = parse_record(entry.key, entry.value)
        assert isinstance(record, Watch)
        found.append(record)
    return found


async def test_every_file_of_a_letterboxd_export(site: Any) -> None:
    service, _ = site
    report = await service.importing.start("x.zip", small_export())
    assert (report.added, report.present, report.not_understood) == (8, 0, [])
    assert report.ignored == ["profile.csv"]
    found = {(film.film.title, film.watched_on): film for film in await films(service)}
    first, again = found["Ran", "2024-01-02"], found["Ran", "2024-02-02"]
    assert (first.rating, first.review.text, first.tags) == (9, 'It rains,\n"they" said.', ("epic", "war"))
    assert first.film.urls == ("https://boxd.it/aa",)
    assert first.source == "letterboxd"
    assert not first.liked
    assert again.rewatch
    assert again.liked  # the latest entry of a liked film
    assert found["Amélie", "2024-02-29"].rating is None
    assert found["Heat", None].review.text == "Loud."
    assert (found["Alien", None].rating, found["Jaws", None].rating) == (8, None)
    assert len(found) == 6
    assert await service.bee.get("watchlist/t:solaris:1972")
    await service.follows.get(service.key).settled()
    (head,) = service.library.own("list")
    assert (head.record.name, head.record.text, head.record.ordered) == (
        "Films of water",
        "Rain and rivers",
        True,
    )
    notes = [item.record.note for item in service.library.own("listitem")]
    assert sorted(notes, key=str) == [None, "storms"]
    # Imported films stand in the diary, not on top of the timeline.
    assert service.library.timeline().items == ()
    assert len(service.library.of_bee(service.key, kind="movie").items) == 6


async def test_the_same_import_twice_adds_nothing_and_a_newer_one_what_is_new(site: Any) -> None:
    service, _ = site
    await service.importing.start("x.zip", small_export())
    length = service.bee.core.length
    report = await service.importing.start("x.zip", small_export())
    assert (report.added, report.updated, report.present) == (0, 0, 8)
    assert service.bee.core.length == length
    edited = next(film for film in await films(service) if film.film.title == "Amélie")
    await service.publisher.edit(edited.key, MovieDraft(review="Mine"))
    newer = csv_text(
        DIARY,
        [
            ("2024-01-03", "Ran", "1985", "https://boxd.it/aa", "4", "", "epic, war", "2024-01-02"),
            ("2024-02-03", "Ran", "1985", "https://boxd.it/bb", "5", "Yes", "", "2024-02-02"),
            ("2024-03-01", "Amélie", "2001", "https://boxd.it/cc", "1", "", "", "2024-02-29"),
            ("2024-09-01", "Dune", "2021", "https://boxd.it/ee", "3.5", "", "", "2024-09-01"),
        ],
    )
    report = await service.importing.start("x.zip", small_export(diary=newer))
    assert (report.added, report.updated, report.kept) == (1, 1, 1)
    found = {(film.film.title, film.watched_on): film for film in await films(service)}
    assert found["Ran", "2024-01-02"].rating == 8
    assert found["Amélie", "2024-02-29"].review.text == "Mine"
    assert "1 left alone because you edited them" in report.sentence


async def test_what_is_not_understood_is_said_line_by_line(site: Any) -> None:
    service, client = site
    diary = csv_text(
        DIARY,
        [
            ("2024-01-03", "", "1985", "https://boxd.it/a1", "4.5", "", "", "2024-01-02"),
            ("2024-01-03", "Bad rating", "1985", "https://boxd.it/a2", "7", "", "", "2024-01-02"),
            ("2024-01-03", "Bad date", "1985", "https://boxd.it/a3", "3", "", "", "yesterday"),
            ("2024-01-03", "Bad year", "soon", "https://boxd.it/a4", "3", "", "", "2024-01-02"),
            (
                "2024-01-03",
                "Many tags",
                "1985",
                "https://boxd.it/a5",
                "3",
                "",
                "a,b,c,d,e,f,g,h,i",
                "2024-01-02",
            ),
        ],
    )
    files = {"file": ("export.zip", zip_of({"diary.csv": diary}), "application/zip")}
    answer = await client.post("/import", files=files)
    assert answer.headers["location"] == "/import"
    await eventually(lambda: service.importing.report.is_over)
    report = service.importing.report
    complaints = {(one.line, one.sentence.partition(";")[0]) for one in report.not_understood}
    assert (2, "There is no title on this line.") in complaints
    assert (3, "The rating '7' is none of 0.5 to 5") in complaints
    assert (4, "The date 'yesterday' is none") in complaints
    assert (5, "The year 'soon' is none") in complaints
    assert (6, "It has 9 tags") in complaints
    assert report.added == 4
    page = (await client.get("/import")).text
    assert "What was not understood" in page
    assert "There is no title on this line." in page


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"PK\x03\x04 nonsense", "This is not a zip file"),
        (zip_of({"a.txt": "x"}), "neither an export of Letterboxd"),
        (zip_of({"diary.csv": 'Date,Name\n"' + "x" * 200_000}), "is not a CSV file"),
        (zip_of({"bomb.csv": "0" * 600_000_000, "diary.csv": ""}), "unpacks to far more"),
    ],
    ids=["no zip", "other zip", "broken csv", "bomb"],
)
async def test_files_of_other_kinds_are_refused_with_a_sentence(
    site: Any, data: bytes, sentence: str
) -> None:
    service, client = site
    await client.post("/import", files={"file": ("x.zip", data, "application/zip")})
    await eventually(lambda: service.importing.report.is_over)
    assert sentence in service.importing.report.problem
    assert sentence in (await client.get("/import")).text
    assert "Choose a zip file first." in (await client.post("/import")).text


async def test_ten_thousand_rows_with_progress(site: Any) -> None:
    service, client = site
    steps: list[int] = []
    service.on_change(lambda: steps.append(service.importing.report.done if service.importing.report else 0))
    task = service.importing.start("big.zip", large_export(10_000))
    with pytest.raises(UserError, match="Another import is running"):
        service.importing.start("other.zip", b"")
    await eventually(lambda: service.importing.report.total)
    assert "<progress" in (await client.get("/import")).text
    report = await task
    assert report.added == 10_000
    assert len(set(steps)) > 10
    report = await service.importing.start("big.zip", large_export(10_000))
    assert (report.added, report.present) == (0, 10_000)


async def test_an_import_that_is_cut_short_goes_on_where_it_was(tmp_path: Path) -> None:
    async with served_app(tmp_path) as (service, _, _):
        service.importing.start("big.zip", large_export(3_000))
        await eventually(lambda: service.importing.report.done >= 800)
    async with served_app(tmp_path) as (service, _, _):
        report = await service.importing.start("big.zip", large_export(3_000))
        assert report.present >= 800
        assert report.added + report.present == 3_000
        assert len(await films(service)) == 3_000


async def test_ones_own_export_there_and_back(tmp_path: Path) -> None:
    async with served_app(tmp_path / "a") as (service, _, client):
        files = {"image1": ("p.jpg", photo(400, 300), "image/jpeg")}
        await client.post(
            "/posts", data={"text": "with an image", "alt1": "noise", "tags": "x y"}, files=files
        )
        await client.post("/posts", data={"text": "long", "more": "# Much *more*", "cw": "words"})
        await service.importing.start("x.zip", small_export())
        await service.publisher.put("anything/at all", {"title": "By hand", "year": 1999})
        exported = await client.get("/export")
        before = [(entry.key, entry.value) async for entry in service.bee.range()]
    assert exported.headers["content-disposition"].startswith('attachment; filename="meadow-')
    assert not list((tmp_path / "a").glob(".export-*"))
    with zipfile.ZipFile(io.BytesIO(exported.content)) as archive:
        names = archive.namelist()
        assert "README.txt" in names
        rows = [json.loads(line) for line in archive.read("records.jsonl").splitlines()]
        assert [(row["key"], row["value"]) for row in rows] == before
        posts = [archive.read(name).decode() for name in names if name.startswith("posts/")]
        assert any('tags: ["x", "y"]' in post and "with an image" in post for post in posts)
        assert any("# Much *more*" in post and 'cw: "words"' in post for post in posts)
        assert sum(name.startswith("media/") and name.endswith(".jpg") for name in names) == 1
        table = list(csv.DictReader(io.StringIO(archive.read("films.csv").decode())))
        assert tuple(table[0]) == FILM_COLUMNS
        ran = [row for row in table if row["Title"] == "Ran"]
        assert [(row["Rating"], row["WatchedDate"], row["Rewatch"]) for row in ran] == [
            ("4.5", "2024-01-02", ""),
            ("5", "2024-02-02", "Yes"),
        ]
        assert ran[0]["Review"] == 'It rains,\n"they" said.'
        assert ran[0]["LetterboxdURI"] == "https://boxd.it/aa"
        assert "Solaris" in archive.read("watchlist.csv").decode()
    async with served_app(tmp_path / "b") as (service, _, _):
        report = await service.importing.start("own.zip", exported.content)
        assert report.not_understood == []
        after = [(entry.key, entry.value) async for entry in service.bee.range()]
        assert [row for row in after if row[0] != "meta/self"] == [
            row for row in before if row[0] != "meta/self"
        ]
        # What is published next stands after what came in.
        written = await service.publisher.post(PostDraft(text="next"))
        assert written.key > max(key for key, _ in before if key.startswith("post/"))
        again = await service.importing.start("own.zip", exported.content)
        assert (again.added, again.updated, again.kept) == (0, 0, 0)


async def test_an_own_import_never_takes_words_away(site: Any) -> None:
    service, client = site
    written = await service.publisher.post(PostDraft(text="old"))
    exported = (await client.get("/export")).content
    await service.publisher.edit(written.key, PostDraft(text="new"))
    report = await service.importing.start("own.zip", exported)
    assert report.kept == 1
    assert (await service.bee.get(written.key)).value["text"] == "new"


def test_the_commands(tmp_path: Path) -> None:
    export = tmp_path / "letterboxd.zip"
    export.write_bytes(small_export())
    peer, out = tmp_path / "peer", tmp_path / "out.zip"
    done = command(peer, "import", str(export))
    assert "8 added" in done.stdout
    *_, last = json_lines(command(peer, "--json", "import", str(export)))
    assert last["present"] == 8
    (written,) = json_lines(command(peer, "--json", "export", str(out)))
    assert written["records"] == 11
    assert zipfile.is_zipfile(out)
    assert "not overwritten" in command(peer, "export", str(out)).stderr
    (tmp_path / "no.zip").write_bytes(b"no")
    refused = command(peer, "import", str(tmp_path / "no.zip"))
    assert refused.returncode == 1
    assert "This is not a zip file" in refused.stderr


cells = st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\r\n\x00"), max_size=20)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.lists(cells, min_size=8, max_size=8), max_size=8))
def test_any_line_is_read_or_complained_of(rows: list[list[str]]) -> None:
    wanted = read_letterboxd(zip_of({"diary.csv": csv_text(DIARY, rows)}))
    assert len(wanted.records) <= len(rows)
    for record in wanted.records:
        assert record.value["film"]["title"]


@settings(max_examples=40, deadline=None)
@given(st.binary(max_size=300))
def test_garbage_is_refused_with_a_sentence(data: bytes) -> None:
    with pytest.raises(UserError):
        read_file(data)
