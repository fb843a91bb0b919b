"""A long text in a list, where the next card is waiting: its beginning, and which words are behind the cut.

A record's own page and the feeds have all of it. The words of the rest go along with the card for the words that a
reader mutes (mute.js): those are kept in the browser, so the browser must be able to look.
"""

from __future__ import annotations

from typing import Final

from feedagg.words import words

LIST_CHARACTERS: Final = 700
LIST_LINES: Final = 12

REST_READ: Final = 16_000
REST_CHARACTERS: Final = 4_000
"""Of the rest so many characters are looked through, and its words are named up to so many: a post whole, and of the
longest review the first pages.
"""


def opening(text: str) -> str:
    """The text if it is short, or else its first words and an ellipsis."""
    start = "".join(text.splitlines(keepends=True)[:LIST_LINES])
    if len(start) > LIST_CHARACTERS:
        start = start[: LIST_CHARACTERS + 1]
        whole_words = start.rsplit(maxsplit=1)[0]
        start = whole_words if len(whole_words) > LIST_CHARACTERS / 2 else start[:LIST_CHARACTERS]
    return text if len(start) == len(text) else start.rstrip() + " …"


def words_of_rest(text: str, shown: str, more: str = "") -> str:
    """The words that `text` and the long form `more` hold and `shown`, the opening of `text`, does not: folded, each
    once, in their order, with spaces between. Empty where everything is shown.
    """
    if shown == text and not more:
        return ""
    rest = ("" if shown == text else text[len(shown.removesuffix(" …")) :]) + "\n" + more
    known = set(words(shown))
    found: list[str] = []
    room = REST_CHARACTERS
    for word in words(rest[:REST_READ]):
        if word in known:
            continue
        room -= len(word) + 1
        if room < 0:
            break
        known.add(word)
        found.append(word)
    return " ".join(found)
