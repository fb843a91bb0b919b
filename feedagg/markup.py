"""An author's words as safe HTML: plain text with its links, and the Markdown of long posts."""

from __future__ import annotations

import re

from markupsafe import Markup, escape

from templates.markup import RELATION, markdown

__all__ = ["linkify", "markdown"]

_URL = re.compile(r"https?://[^\s<>\"'“”‘’]+", re.IGNORECASE)
_TRAILING = ".,;:!?…"


def linkify(text: str) -> Markup:
    """Plain text, escaped, with its web addresses as links."""
    out: list[Markup] = []
    end = 0
    for match in _URL.finditer(text):
        url = _trim(match.group())
        out.append(escape(text[end : match.start()]))
        out.append(Markup('<a href="{}" rel="{}">{}</a>').format(url, RELATION, _short(url)))
        end = match.start() + len(url)
    out.append(escape(text[end:]))
    return Markup("").join(out)


def _trim(url: str) -> str:
    """Without the punctuation of the sentence around it; a closing bracket stays if it was opened inside."""
    while url and (url[-1] in _TRAILING or (url[-1] == ")" and url.count("(") < url.count(")"))):
        url = url[:-1]
    return url


def _short(url: str) -> str:
    text = re.sub(r"\Ahttps?://(www\.)?", "", url, flags=re.IGNORECASE)
    return text if len(text) <= 60 else text[:57] + "…"
