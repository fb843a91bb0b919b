"""An author's plain text on a page: escaped, with its web addresses made into links."""

from __future__ import annotations

import json
import re

from markupsafe import Markup, escape

_ADDRESS = re.compile(r"https?://[^\s<>\"'`\x00-\x1f]+", re.IGNORECASE)
_TRAILING = ".,;:!?*…"
_OPENERS = {")": "(", "]": "[", "}": "{"}
_SHOWN = 60


def linkify(text: str) -> Markup:
    """`text` escaped; `http://` and `https://` addresses in it become links that pass no credit on."""
    out: list[str] = []
    end = 0
    for match in _ADDRESS.finditer(text):
        address = _trim(match.group())
        if len(address) <= len("https://"):
            continue
        out += [escape(text[end : match.start()]), _link(address)]
        end = match.start() + len(address)
    out.append(escape(text[end:]))
    return Markup("").join(out)


def json_text(value: object) -> str:
    """A JSON value as one line of text (to be escaped like any other)."""
    return json.dumps(value, ensure_ascii=False)


def without_scheme(url: str) -> str:
    """A web address as people say it."""
    return url.partition("://")[2] or url


def _link(address: str) -> Markup:
    shown = address.partition("://")[2]
    shown = shown if len(shown) <= _SHOWN else shown[: _SHOWN - 1] + "…"
    return Markup('<a href="{}" rel="nofollow noopener noreferrer">{}</a>').format(address, shown)


def _trim(address: str) -> str:
    """Without the punctuation of the sentence around it: `(see https://a.example/b_(c).)`."""
    while address:
        last = address[-1]
        opener = _OPENERS.get(last)
        if last not in _TRAILING and (opener is None or address.count(last) <= address.count(opener)):
            break
        address = address[:-1]
    return address
