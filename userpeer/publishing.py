"""Every write to one's own bee goes through here: validated, in order, one at a time.

What is acknowledged is on the disk. An edit puts the same key again, a delete takes the key out; both are
blocks, so what was there before can be read from the log (`reading.py`) and put back (`restore`).
"""

from __future__ import annotations

import asyncio
import copy
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from core.hyperbee import Hyperbee
from core.records import (
    KeyClock,
    Meta,
    Post,
    Rejected,
    Watch,
    bounds,
    encode_value,
    format_date,
    is_t16,
    parse_record,
)

from .drafts import Draft, MovieDraft, PostDraft, ProfileDraft, explain
from .errors import EditConflict, InvalidField, NotFound, UserError
from .settings import SOFTWARE

_TIMED_KINDS = ("post", "movie", "list")


@dataclass(frozen=True, slots=True)
class Written:
    """A record that now stands in the log: its key, its block's number and its value."""

    key: str
    seq: int
    value: Any


def now_ms() -> int:
    """The wall clock in whole milliseconds since 1970."""
    return time.time_ns() // 1_000_000


class Publisher:
    """The one writer of a bee. Make it with `await Publisher.open(bee)`."""

    def __init__(self, bee: Hyperbee, clock: KeyClock, now: Callable[[], int]) -> None:
        self._bee = bee
        self._clock = clock
        self._now = now
        self._turn = asyncio.Lock()  # a read-modify-write may suspend between its halves
        self.may_write: Callable[[], None] = lambda: None
        """Raises a `UserError` while nothing may be written."""

    @classmethod
    async def open(cls, bee: Hyperbee, *, now: Callable[[], int] = now_ms) -> Publisher:
        publisher = cls(bee, KeyClock(), now)
        await publisher.observe()
        return publisher

    async def observe(self) -> None:
        """Take note of the newest keys in the bee, after something else than this wrote to it."""
        for kind in _TIMED_KINDS:
            async for entry in self._bee.range(gte=f"{kind}/", lt=f"{kind}/g", reverse=True):
                t16 = entry.key.partition("/")[2]
                if is_t16(t16):
                    self._clock.observe(t16)
                    break

    # --- records ------------------------------------------------------------------------------

    async def post(self, draft: PostDraft) -> Written:
        """Publish a post. Raises `InvalidField`."""
        return await self._publish("post", draft)

    async def movie(self, draft: MovieDraft) -> Written:
        """Publish a film watched or recommended. Raises `InvalidField`."""
        return await self._publish("movie", draft)

    async def publish(self, kind: str, value: dict[str, Any]) -> Written:
        """Publish a record of `kind` (post, movie, list) under a new key, dated now. Raises `InvalidField`."""
        async with self._writing():
            now = self._now()
            value = {**value, "createdAt": format_date(now)}
            _check(f"{kind}/{'0' * 16}", value)
            return await self._write(f"{kind}/{self._clock.next(now)}", value)

    async def introduce(self, *, blobs: str | None = None) -> None:
        """Write `meta/self`, which says what wrote this bee and where its images are, if it is not there."""
        async with self._writing():
            if await self._bee.get("meta/self") is None:
                await self._bee.put("meta/self", self._meta(blobs).to_json())

    def check(self, kind: str, draft: Draft) -> None:
        """Raises `InvalidField` when what `draft` makes could not be published as a record of `kind`."""
        value: dict[str, Any] = {}
        draft.apply(value)
        _check(f"{kind}/{'0' * 16}", value)

    async def publish_many(
        self, fresh: list[tuple[str, dict[str, Any]]], known: list[tuple[str, dict[str, Any]]]
    ) -> list[tuple[str, str | None, dict[str, Any], str]]:
        """Publish records under new keys (`fresh`: kind, value) and put others under their own (`known`: key, value),
        in one batch. What cannot be published is left out and returned: kind, key or None, value, sentence.
        """
        refused: list[tuple[str, str | None, dict[str, Any], str]] = []
        await self.introduce()
        async with self._writing(), self._bee.batch() as batch:
            for kind, value in fresh:
                now = self._now()
                value = {"createdAt": format_date(now), **value}
                if (problem := _problem(f"{kind}/{'0' * 16}", value)) is not None:
                    refused.append((kind, None, value, problem))
                else:
                    await batch.put(f"{kind}/{self._clock.next(now)}", value)
            for key, value in known:
                if (problem := _problem(key, value)) is not None:
                    refused.append((key.partition("/")[0], key, value, problem))
                else:
                    await batch.put(key, value)
        for key, _ in known:
            kind, _, t16 = key.partition("/")
            if kind in _TIMED_KINDS and is_t16(t16):
                self._clock.observe(t16)
        return refused

    async def keep(self, key: str, value: dict[str, Any]) -> Written:
        """Put a record under a key that says what it is about (`follow/…`, `react/…`, `watchlist/…`), dated now; one
        that is there already stays as it is. Raises `InvalidField`.
        """
        async with self._writing():
            entry = await self._bee.get(key)
            if entry is not None and not isinstance(parse_record(key, entry.value), Rejected):
                return Written(key, entry.seq, entry.value)
            value = {**value, "createdAt": format_date(self._now())}
            _check(key, value)
            return await self._write(key, value)

    async def change(self, key: str, fields: dict[str, Any]) -> Written:
        """Set some fields of a record (None takes one out) and leave the others. Raises `NotFound`, `InvalidField`."""
        async with self._writing():
            entry = await self._bee.get(key)
            if entry is None or not isinstance(entry.value, dict):
                raise _missing(key)
            value = {**entry.value, **fields}
            value = {name: item for name, item in value.items() if item is not None}
            _check(key, value)
            if value == entry.value:
                return Written(key, entry.seq, value)
            return await self._write(key, value)

    async def edit(self, key: str, draft: PostDraft | MovieDraft, *, seen: int | None = None) -> Written:
        """Put a changed post or film under its key again.

        `seen` is the block number of the version that was edited. Raises `NotFound`, `InvalidField`, and
        `EditConflict` when another version has been written since.
        """
        async with self._writing():
            entry = await self._bee.get(key)
            if entry is None:
                raise _missing(key)
            if seen is not None and entry.seq != seen:
                raise EditConflict(
                    "This record was changed elsewhere while you were editing it. Your text is kept below;"
                    " open the record to see the other version, then save again."
                )
            record = parse_record(key, entry.value)
            wanted = Post if isinstance(draft, PostDraft) else Watch
            if not isinstance(record, wanted):
                what = rejected_or_kind(record)
                raise UserError(f"{key} is {what}; only posts and films can be edited here. Use `bee put`.")
            value = copy.deepcopy(entry.value)
            draft.apply(value)
            _check(key, value)
            if value == entry.value:
                return Written(key, entry.seq, value)
            value["updatedAt"] = format_date(self._now())
            return await self._write(key, value)

    async def delete(self, key: str, *, seen: int | None = None) -> Written:
        """Take a record out of the bee; returns the version that was there.

        `seen`: the block of the version that is to go. Raises `NotFound`, and `EditConflict` when another was written
        since.
        """
        async with self._writing():
            entry = await self._bee.get(key)
            if entry is None:
                raise _missing(key)
            if seen is not None and entry.seq != seen:
                raise EditConflict("This record was changed after you asked to delete it, so it was kept.")
            await self._bee.delete(key)
            return Written(key, entry.seq, entry.value)

    async def delete_all(self, keys: list[str]) -> None:
        """Take several records out in one batch; those that are not there count as done."""
        async with self._writing(), self._bee.batch() as batch:
            for key in keys:
                await batch.delete(key)

    async def exchange(self, one: str, other: str) -> None:
        """Let two keys change their values in one batch. Raises `NotFound`."""
        async with self._writing():
            first, second = await self._bee.get(one), await self._bee.get(other)
            if first is None or second is None:
                raise _missing(one if first is None else other)
            async with self._bee.batch() as batch:
                await batch.put(one, second.value)
                await batch.put(other, first.value)

    async def restore(self, seq: int) -> Written:
        """Put the version that block `seq` holds under its key again (the undo of a delete or an edit)."""
        async with self._writing():
            if not 1 <= seq < self._bee.version:
                raise NotFound(f"This bee has no block {seq} with a record.")
            entry = await self._bee.get_by_seq(seq)
            if entry.value is None:
                raise NotFound(f"Block {seq} holds no version that could be put back.")
            current = await self._bee.get(entry.key)
            if current is not None and current.value == entry.value:
                return Written(entry.key, current.seq, current.value)
            return await self._write(entry.key, entry.value)

    def check_profile(self, draft: ProfileDraft) -> None:
        """Raises `InvalidField` when the draft could not be written."""
        value: dict[str, Any] = {"createdAt": format_date(self._now())}
        draft.apply(value)
        _check("profile/self", value)

    async def set_profile(self, draft: ProfileDraft) -> Written:
        """Write `profile/self`, keeping what the draft does not name. Raises `InvalidField`."""
        key = "profile/self"
        async with self._writing():
            entry = await self._bee.get(key)
            old = entry.value if entry is not None and isinstance(entry.value, dict) else {}
            value = copy.deepcopy(old)
            draft.apply(value)
            now = format_date(self._now())
            value.setdefault("createdAt", now)
            _check(key, value)
            if entry is not None:
                if value == old:
                    return Written(key, entry.seq, value)
                value["updatedAt"] = now
            return await self._write(key, value)

    # --- anything -----------------------------------------------------------------------------

    async def put(self, key: str, value: Any) -> Written:
        """Put any JSON value under any key. Raises `UserError` when it is too large or not JSON."""
        _check_raw(key, value)
        async with self._writing():
            written = await self._write(key, value)
        kind, _, t16 = key.partition("/")
        if kind in _TIMED_KINDS and is_t16(t16):
            self._clock.observe(t16)
        return written

    async def add(self, prefix: str, value: Any) -> Written:
        """Put any JSON value under a key that nothing has: `prefix` and 16 hex digits, greater than all before. Raises
        `UserError`.
        """
        _check_raw(prefix + "0" * 16, value)
        async with self._writing():
            while await self._bee.get(key := prefix + self._clock.next(self._now())) is not None:
                pass
            return await self._write(key, value)

    @asynccontextmanager
    async def _writing(self) -> AsyncIterator[None]:
        """One at a time, and only when that is allowed."""
        async with self._turn:
            self.may_write()
            yield

    # --- inside -------------------------------------------------------------------------------

    async def _publish(self, kind: str, draft: Draft) -> Written:
        value: dict[str, Any] = {}
        draft.apply(value)
        return await self.publish(kind, value)

    async def _write(self, key: str, value: Any) -> Written:
        """Put one value; the first write of a bee also says what wrote it, in the same batch."""
        if self._bee.version <= 1 and key != "meta/self":
            async with self._bee.batch() as batch:
                await batch.put("meta/self", self._meta().to_json())
                await batch.put(key, value)
        else:
            await self._bee.put(key, value)
        entry = await self._bee.get(key)
        assert entry is not None
        return Written(key, entry.seq, entry.value)

    def _meta(self, blobs: str | None = None) -> Meta:
        return Meta(key="meta/self", software=SOFTWARE, created_at=self._now(), blobs=blobs)


def rejected_or_kind(record: object) -> str:
    """What `parse_record` found, in two words."""
    return "not a record" if isinstance(record, Rejected) else f"a {getattr(record, 'kind', 'record')} record"


def _missing(key: str) -> NotFound:
    return NotFound(f"There is no record with the key {key!r}. `userpeer bee ls` lists all keys.")


def _check(key: str, value: dict[str, Any]) -> None:
    """What we publish must be what every feed accepts."""
    record = parse_record(key, value)
    if isinstance(record, Rejected):
        raise explain(record)


def _problem(key: str, value: dict[str, Any]) -> str | None:
    """Why a record would be refused, in words; None when it would not."""
    record = parse_record(key, value)
    return record.sentence if isinstance(record, Rejected) else None


def _check_raw(key: str, value: Any) -> None:
    try:
        size = len(key.encode())
        length = len(encode_value(value))
    except (TypeError, ValueError) as error:
        raise UserError(f"This cannot be stored as JSON: {error}.") from error
    if not 1 <= size <= bounds.MAX_KEY_BYTES:
        raise InvalidField("key", f"A key has 1 to {bounds.MAX_KEY_BYTES:,} bytes; this one has {size:,}.")
    if length > bounds.MAX_VALUE_BYTES:
        limit = bounds.MAX_VALUE_BYTES
        raise InvalidField("value", f"The value is {length:,} bytes of JSON; the limit is {limit:,}.")
