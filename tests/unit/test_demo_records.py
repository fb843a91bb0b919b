"""The demonstration's people: every line of their files is a record that the feed takes."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from core.records import Post, Profile, Rejected, Watch, parse_record
from tools.demo.records import read_person

PEOPLE = sorted((Path(__file__).parents[2] / "tools/demo/people").iterdir())


@pytest.mark.parametrize("person", PEOPLE, ids=lambda path: path.name)
def test_every_line_is_a_record(person: Path) -> None:
    records = read_person(person)
    rows = []
    for name in ("reviews.csv", "diary.csv"):
        with (person / name).open(encoding="utf-8", newline="") as lines:
            rows += csv.DictReader(lines)
    assert len(rows) > 100
    watches = [record for record in records if isinstance(record, Watch)]
    assert sorted(watch.film.title for watch in watches) == sorted(row["Name"] for row in rows)
    assert sum(isinstance(record, Post) for record in records) >= 20
    assert sum(isinstance(record, Profile) for record in records) == 1
    for record in records:
        assert not isinstance(parse_record(record.key, record.to_json()), Rejected)


@pytest.mark.parametrize("person", PEOPLE, ids=lambda path: path.name)
def test_reading_twice_gives_the_same_keys_in_order(person: Path) -> None:
    keys = [record.key for record in read_person(person)]
    assert keys == [record.key for record in read_person(person)]
    assert len(set(keys)) == len(keys)
    times = [key.partition("/")[2] for key in keys[1:]]
    assert times == sorted(times)


def test_stars_become_half_stars() -> None:
    watches = {w.film.title: w for w in read_person(PEOPLE[0]) if isinstance(w, Watch)}
    assert watches["Tokyo Story"].rating == 10
    assert watches["Ran"].rating == 9
    assert watches["Ran"].rewatch
    assert watches["Ran"].source == "letterboxd"
    assert watches["Ran"].film.year == 1985
