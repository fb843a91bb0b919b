"""Numbers in sentences."""

from __future__ import annotations


def plural(number: int, word: str) -> str:
    """block or blocks, entry or entries."""
    if number == 1:
        return word
    return f"{word[:-1]}ies" if word.endswith("y") else f"{word}s"


def counted(number: int, word: str) -> str:
    """1 block, 2 blocks, 1,000 entries."""
    return f"{number:,} {plural(number, word)}"
