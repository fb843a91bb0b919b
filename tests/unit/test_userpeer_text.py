"""An author's text can become links and nothing else."""

from __future__ import annotations

import html
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from userpeer.text import linkify
from userpeer.wording import counted


@pytest.mark.parametrize(
    ("text", "address", "shown"),
    [
        ("see https://a.example/b.", "https://a.example/b", "a.example/b"),
        ("(https://a.example/b_(c))", "https://a.example/b_(c)", "a.example/b_(c)"),
        ("HTTP://A.example/?q=1&r=2!", "HTTP://A.example/?q=1&r=2", "A.example/?q=1&r=2"),
        ("https://a.example/" + "x" * 90, "https://a.example/" + "x" * 90, "a.example/" + "x" * 49 + "…"),
    ],
)
def test_addresses_become_links(text: str, address: str, shown: str) -> None:
    found = re.findall(r'<a href="([^"]*)" rel="([^"]*)">([^<]*)</a>', linkify(text))
    assert found == [(html.escape(address), "nofollow noopener noreferrer", html.escape(shown))]


@pytest.mark.parametrize(
    "text", ["javascript:alert(1)", "https://", "ftp://a.example", "a.example", "http:/x"]
)
def test_nothing_else_does(text: str) -> None:
    assert "<a" not in linkify(text)


@given(
    st.lists(
        st.sampled_from(["https://a.example/", "<", ">", '"', "'", "&", "x", " ", ")", "\n"]) | st.text()
    )
)
def test_no_text_can_bring_markup(parts: list[str]) -> None:
    text = "".join(parts)
    made = str(linkify(text))
    without_links = re.sub(r'<a href="[^"<>]*" rel="nofollow noopener noreferrer">|</a>', "", made)
    assert "<" not in without_links
    assert ">" not in without_links
    assert re.sub("<[^>]*>", "", made).count("&lt;") == text.count("<")


@pytest.mark.parametrize(
    ("number", "word", "words"),
    [
        (0, "block", "0 blocks"),
        (1, "block", "1 block"),
        (1000, "block", "1,000 blocks"),
        (1, "entry", "1 entry"),
        (2, "entry", "2 entries"),
    ],
)
def test_one_of_a_thing_is_no_plural(number: int, word: str, words: str) -> None:
    assert counted(number, word) == words
