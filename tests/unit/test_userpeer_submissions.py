"""Which aggregators were given the key, and what they are told."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.errors import BadArgument
from userpeer.settings import Address
from userpeer.submitting import Submission, Submissions, address_for, aggregator_url


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("https://feed.example.org/", "https://feed.example.org"),
        (" feed.example.org ", "https://feed.example.org"),
        ("127.0.0.1:8642", "http://127.0.0.1:8642"),
        ("localhost", "http://localhost"),
        ("http://127.0.0.1:8642/submit", "http://127.0.0.1:8642"),
        ("https://example.org/feed/?a=b#c", "https://example.org/feed"),
    ],
)
def test_the_address_of_an_aggregator(text: str, url: str) -> None:
    assert aggregator_url(text) == url


@pytest.mark.parametrize("text", ["", "https://", "ftp://example.org", "http://[", "http://a:99999", "://"])
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(BadArgument, match="not the address of an aggregator"):
        aggregator_url(text)


def test_submissions_are_remembered(tmp_path: Path) -> None:
    path = tmp_path / "aggregators.json"
    submissions = Submissions(path)
    assert submissions.all() == []
    first = Submission("https://a.example", 1.0, True, "Welcome.")
    submissions.remember(first)
    submissions.remember(Submission("https://b.example", 2.0, False, "Full."))
    again = Submission("https://a.example", 3.0, True, "Known.", "/bees/x")
    submissions.remember(again)
    assert [one.url for one in Submissions(path).all()] == ["https://a.example", "https://b.example"]
    assert Submissions(path).all()[0] == again
    assert [file.name for file in tmp_path.iterdir()] == ["aggregators.json"]


@pytest.mark.parametrize("content", ["", "{}", "[1]", '[{"url": 3}]', "\x00"])
def test_a_file_that_is_not_ours_counts_as_empty(tmp_path: Path, content: str) -> None:
    path = tmp_path / "aggregators.json"
    path.write_text(content)
    assert Submissions(path).all() == []


@pytest.mark.parametrize(
    ("host", "url", "told"),
    [
        ("127.0.0.1", "http://127.0.0.1:8080", "127.0.0.1:7000"),
        ("127.0.0.1", "https://feed.example.org", None),  # it would look on its own machine
        ("192.0.2.7", "https://feed.example.org", "192.0.2.7:7000"),
        ("0.0.0.0", "http://127.0.0.1:8080", "127.0.0.1:7000"),
    ],
)
def test_which_address_an_aggregator_is_told(host: str, url: str, told: str | None) -> None:
    address = address_for(Address(host, 7000), url)
    assert (None if address is None else str(address)) == told
