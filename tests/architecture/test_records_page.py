"""`docs/records.md` says what `core/records/` does."""

from __future__ import annotations

import re
from pathlib import Path

from core.records import Reason, bounds, kind_of

PAGE = (Path(__file__).parents[2] / "docs" / "records.md").read_text("utf-8")
T16 = "0" * 16


def test_each_kind_of_the_page_is_a_kind_of_the_code() -> None:
    examples = {
        "<t16>": T16,
        "<list's t16>": T16,
        "<bee key>": "ab" * 32,
        "<key>": f"post/{T16}",
        "<film ref>": "tmdb:1",
    }
    keys = re.findall(r"^\| `([a-z]+/[^`]+)` \|", PAGE, re.MULTILINE)
    assert len(keys) == 9
    for key in keys:
        example = key
        for name, value in examples.items():
            example = example.replace(name, value)
        example = example.replace("<reaction>", "like").replace("<order>", "1")
        assert kind_of(example) == key.partition("/")[0], key


def test_each_reason_is_explained_in_the_same_words() -> None:
    assert dict(re.findall(r"^\| `([a-z-]+)` \| (.+\.) \|$", PAGE, re.MULTILINE)) == {
        str(reason): reason.meaning for reason in Reason
    }


def test_each_limit_is_stated() -> None:
    stated = re.findall(r"^\| `([A-Za-z]+)` \| ([0-9,]+) \|$", PAGE, re.MULTILINE)
    assert {name: int(value.replace(",", "")) for name, value in stated} == bounds.published()
