"""Authors' words as HTML, and the addresses of their records."""

from __future__ import annotations

from html.parser import HTMLParser
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedagg.markup import linkify, markdown
from feedagg.views import permalink

BEE = bytes(32)


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("see https://example.org.", "https://example.org"),
        ("(https://example.org/a)", "https://example.org/a"),
        (
            "https://en.wikipedia.org/wiki/Heat_(1995_film) yes",
            "https://en.wikipedia.org/wiki/Heat_(1995_film)",
        ),
        ("«https://example.org/?a=1&b=2»,", "https://example.org/?a=1&amp;b=2»"),
        ('"https://example.org"', "https://example.org"),
    ],
)
def test_addresses_become_links_without_the_punctuation_around_them(text: str, url: str) -> None:
    assert f'<a href="{url}" rel="nofollow ugc noopener">' in linkify(text)


@pytest.mark.parametrize(
    "text", ["javascript:alert(1)", "data:text/html,x", "ftp://example.org", "www.example.org"]
)
def test_other_schemes_stay_text(text: str) -> None:
    assert linkify(text) == text


class Parsed(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


_PIECES = (
    *("<script>", "</a>", "<img src=x onerror=y>", "<a href='javascript:x'>", "[a](javascript:x)", "<", ">"),
    *("https://e.org/", "![i](https://e.org/i.png)", '"', "'", "\n", "# ", "`", "word ", "é", "&amp;"),
)  # fmt: skip
_nasty = st.lists(st.sampled_from(_PIECES), max_size=30).map("".join)


@given(_nasty)
def test_whatever_is_written_only_links_come_out_of_plain_text(text: str) -> None:
    parsed = Parsed(str(linkify(text)))
    assert {tag for tag, _ in parsed.tags} <= {"a"}
    for _, attributes in parsed.tags:
        assert set(attributes) == {"href", "rel"}
        assert (attributes["href"] or "").startswith(("http://", "https://"))


@given(_nasty)
def test_whatever_is_written_markdown_stays_harmless(text: str) -> None:
    for tag, attributes in Parsed(str(markdown(text))).tags:
        assert tag not in ("script", "img", "iframe", "style", "h1")
        assert not [name for name in attributes if name.startswith("on")]
        assert (attributes.get("href") or "https:").startswith(("http:", "https:", "mailto:"))


@given(st.text(min_size=1, max_size=40))
def test_a_permalink_names_its_key_whatever_it_holds(key: str) -> None:
    try:
        raw = key.encode()
    except UnicodeEncodeError:
        return
    parts = urlsplit(permalink(BEE, raw))
    base = f"/bee/{BEE.hex()}"
    assert parts.path.startswith(base)
    if parts.query:
        assert unquote(parts.query.removeprefix("key=")) == key
    else:
        assert unquote(parts.path.removeprefix(base + "/")) == key
        # A browser rewrites these segments before it asks.
        assert not {".", "..", ""} & set(parts.path.split("/")[1:])
