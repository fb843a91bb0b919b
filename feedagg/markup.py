"""An author's words as safe HTML: plain text with its links, and the Markdown of long posts."""

from __future__ import annotations

import re
from functools import cache
from typing import Final

import nh3
from markdown_it import MarkdownIt
from markupsafe import Markup, escape

_URL = re.compile(r"https?://[^\s<>\"'“”‘’]+", re.IGNORECASE)
_TRAILING = ".,;:!?…"
_RELATION = "nofollow ugc noopener"

_TAGS: Final = {
    *(
        "a",
        "blockquote",
        "br",
        "code",
        "del",
        "em",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "hr",
        "li",
        "ol",
        "p",
        "pre",
    ),
    *("strong", "table", "tbody", "td", "th", "thead", "tr", "ul"),
}


def linkify(text: str) -> Markup:
    """Plain text, escaped, with its web addresses as links."""
    out: list[Markup] = []
    end = 0
    for match in _URL.finditer(text):
        url = _trim(match.group())
        out.append(escape(text[end : match.start()]))
        out.append(Markup('<a href="{}" rel="{}">{}</a>').format(url, _RELATION, _short(url)))
        end = match.start() + len(url)
    out.append(escape(text[end:]))
    return Markup("").join(out)


def markdown(text: str) -> Markup:
    """CommonMark and tables, without raw HTML and without images, headings moved below the page's own."""
    html = _parser().render(text)
    for level in (5, 4, 3, 2, 1):
        html = html.replace(f"<h{level}>", f"<h{level + 1}>").replace(f"</h{level}>", f"</h{level + 1}>")
    clean = nh3.clean(
        html,
        tags=_TAGS,
        attributes={"a": {"href", "title"}},
        url_schemes={"http", "https", "mailto"},
        link_rel=_RELATION,
    )
    return Markup(clean)  # noqa: S704 (cleaned above)


@cache
def _parser() -> MarkdownIt:
    return MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"]).disable("image")


def _trim(url: str) -> str:
    """Without the punctuation of the sentence around it; a closing bracket stays if it was opened inside."""
    while url and (url[-1] in _TRAILING or (url[-1] == ")" and url.count("(") < url.count(")"))):
        url = url[:-1]
    return url


def _short(url: str) -> str:
    text = re.sub(r"\Ahttps?://(www\.)?", "", url, flags=re.IGNORECASE)
    return text if len(text) <= 60 else text[:57] + "…"
