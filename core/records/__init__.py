"""What both applications agree to store in a bee (hop 8 of the river: key and value in, record out).

`parse_record(key, value)` reads one entry and answers with a record or with `Rejected`, which says why in
a code and a sentence; it never raises for what a stranger wrote. `record.to_json()` is the way back.
Everything here is pure: no clock, no storage, no network.

Keys are UTF-8 with `/` between segments; a bee written through `bee.sub(...)` has NUL bytes in its keys,
and those are allowed (whoever stores keys as SQL text must escape them).
"""

from __future__ import annotations

from . import bounds
from .dates import MAX_TIME_MS, DateFlag, format_date, parse_date
from .film import Subject, film_ref, film_refs, slug
from .follow import Follow
from .keys import KeyClock, is_bee_key, is_t16, key_time, new_key
from .lists import FilmList, ListItem
from .media import Blob, Image
from .meta import Meta, Resumes
from .parse import Record, kind_of, parse_record
from .post import More, Post
from .profile import Profile
from .reaction import Reaction, reaction_key
from .ref import Ref, value_hash
from .rejected import Reason, Rejected
from .values import encode_value
from .watch import Review, Watch
from .watchlist import WatchlistItem, watchlist_key

__all__ = [
    "MAX_TIME_MS",
    "Blob",
    "DateFlag",
    "FilmList",
    "Follow",
    "Image",
    "KeyClock",
    "ListItem",
    "Meta",
    "More",
    "Post",
    "Profile",
    "Reaction",
    "Reason",
    "Record",
    "Ref",
    "Rejected",
    "Resumes",
    "Review",
    "Subject",
    "Watch",
    "WatchlistItem",
    "bounds",
    "encode_value",
    "film_ref",
    "film_refs",
    "format_date",
    "is_bee_key",
    "is_t16",
    "key_time",
    "kind_of",
    "new_key",
    "parse_date",
    "parse_record",
    "reaction_key",
    "slug",
    "value_hash",
    "watchlist_key",
]
