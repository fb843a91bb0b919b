"""The published limits of records: what a feed accepts, stated once.

Lengths of short texts count Unicode code points; sizes count UTF-8 bytes.
"""

from __future__ import annotations

from typing import Final

MAX_VALUE_BYTES: Final = 64 * 1024
MAX_KEY_BYTES: Final = 1024
MAX_TEXT_BYTES: Final = 3_000
MAX_MORE_BYTES: Final = 60_000
MAX_REVIEW_BYTES: Final = 60_000
MAX_NAME: Final = 64
MAX_BIO: Final = 256
MAX_TITLE: Final = 300
MAX_URL: Final = 2_048
MAX_TAGS: Final = 8
MAX_TAG: Final = 64
MAX_LANGS: Final = 8
MAX_IMAGES: Final = 8
MAX_ALT: Final = 1_000
MAX_CONTENT_WARNING: Final = 200
MAX_REACTION: Final = 32
MAX_NOTE: Final = 300
MAX_LIST_NAME: Final = 100
MAX_LIST_TEXT_BYTES: Final = 3_000
MAX_URLS: Final = 8
MAX_SOURCE: Final = 32
MIN_YEAR: Final = 1870  # before the oldest film
MAX_YEAR: Final = 2200
MIN_RATING: Final = 1
MAX_RATING: Final = 10

# JSON deeper than this is refused before anything recurses over it.
MAX_DEPTH: Final = 32

# Operations of a bee that a feed reads at once; the rest is read later, not dropped.
OPERATIONS_PER_SECOND: Final = 50
OPERATIONS_PER_HOUR: Final = 2_500
OPERATIONS_PER_DAY: Final = 20_000


def published() -> dict[str, int]:
    """The limits as one JSON document, for the page and the API that state them."""
    return {
        "valueBytes": MAX_VALUE_BYTES,
        "keyBytes": MAX_KEY_BYTES,
        "textBytes": MAX_TEXT_BYTES,
        "moreBytes": MAX_MORE_BYTES,
        "reviewBytes": MAX_REVIEW_BYTES,
        "nameCharacters": MAX_NAME,
        "bioCharacters": MAX_BIO,
        "titleCharacters": MAX_TITLE,
        "tags": MAX_TAGS,
        "tagCharacters": MAX_TAG,
        "images": MAX_IMAGES,
        "operationsPerSecond": OPERATIONS_PER_SECOND,
        "operationsPerHour": OPERATIONS_PER_HOUR,
        "operationsPerDay": OPERATIONS_PER_DAY,
    }
