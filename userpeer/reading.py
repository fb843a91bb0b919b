"""Every read of one's own bee: the feed, one record, its earlier versions, and all entries.

Pages are keysets: a page begins after a key, never after a count, so that it stays put while new records
arrive at the top.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from core.errors import DecodingError
from core.hyperbee import Entry, Hyperbee
from core.records import Post, Profile, Record, Rejected, Watch, is_t16, parse_record

PAGE = 30

# Before the first version of a key may stand a delete and an older life of that key. Nothing indexes those,
# so this many blocks before it are looked at: an undone delete is nearly always that close.
LOOK_BACK = 1_000

SCANNED = 20_000
"""How far back entries that are no records are looked for."""


@dataclass(frozen=True, slots=True)
class Item:
    """An entry of the bee with what it was read as."""

    key: str
    seq: int
    value: Any
    record: Record | Rejected

    @property
    def t16(self) -> str:
        return self.key.partition("/")[2]


@dataclass(frozen=True, slots=True)
class FeedPage:
    """Posts and films, the newest first; `older` is the `before` of the next page, or None."""

    items: tuple[Item, ...]
    older: str | None


@dataclass(frozen=True, slots=True)
class EntryPage:
    """Entries by key; `after` is the last key of this page if more follow, or None."""

    items: tuple[Item, ...]
    after: str | None


@dataclass(frozen=True, slots=True)
class Version:
    """One state of a key: written by block `seq`, or taken out by it (`value` None)."""

    seq: int
    value: Any
    record: Record | Rejected | None


class Reader:
    """Reads a bee that is wholly in this store, so nothing here waits for the network."""

    def __init__(self, bee: Hyperbee) -> None:
        self._bee = bee

    async def feed(
        self, *, kind: str | None = None, before: str | None = None, limit: int = PAGE
    ) -> FeedPage:
        """A page of the feed: what is older than `before` (a t16), of one `kind` (post, movie) or of both."""
        found: list[Item] = []
        for each in (kind,) if kind in ("post", "movie") else ("post", "movie"):
            found += await self._newest(each, before, limit + 1)
        found.sort(key=lambda item: (item.t16, item.key), reverse=True)
        end = limit
        while end < len(found) and found[end].t16 == found[end - 1].t16:
            end += 1  # a post and a film of one moment stay on one page, or the next would begin after both
        page = tuple(found[:end])
        return FeedPage(page, page[-1].t16 if len(found) > end else None)

    async def get(self, key: str) -> Item | None:
        entry = await self._bee.get(key)
        return None if entry is None else _item(entry)

    async def profile(self) -> Profile | None:
        item = await self.get("profile/self")
        return item.record if item is not None and isinstance(item.record, Profile) else None

    def range(self, prefix: str) -> AsyncIterator[Entry]:
        """Every entry whose key begins with `prefix`, which ends in "/"."""
        return self._bee.range(gte=prefix, lt=prefix[:-1] + "0")  # "0" follows "/"

    async def entries(self, *, after: str | None = None, limit: int = 100) -> EntryPage:
        """All entries in the order of their keys, from the one after `after`."""
        found = [_item(entry) async for entry in self._range(gt=after, limit=limit + 1)]
        page = tuple(found[:limit])
        return EntryPage(page, page[-1].key if len(found) > limit else None)

    async def counts(self) -> dict[str, int]:
        """How many posts and films there are, by kind."""
        found = {}
        for kind in ("post", "movie"):
            found[kind] = 0
            async for entry in self.range(f"{kind}/"):
                found[kind] += not isinstance(parse_record(entry.key, entry.value), Rejected)
        return found

    async def rejected(self, most: int) -> list[Rejected]:
        """Up to `most` entries that no feed takes for a record, of the newest `SCANNED` blocks, the latest first."""
        found: list[Rejected] = []
        seen: set[str] = set()
        async for entry in self._bee.history(reverse=True, limit=SCANNED):
            if len(found) >= most:
                break
            if entry.key not in seen:
                seen.add(entry.key)
                record = None if entry.value is None else parse_record(entry.key, entry.value)
                if isinstance(record, Rejected):
                    found.append(record)
            if len(seen) % 200 == 0:
                await asyncio.sleep(0)
        return found

    async def versions(self, key: str, *, limit: int = 100) -> list[Version]:
        """Every version of a key, the newest first, each found from the tree as it was before the next."""
        versions: list[Version] = []
        until = self._bee.version
        while len(versions) < limit and until > 1:
            entry = await self._state(key, until) or await self._removal(key, until)
            if entry is None:
                break
            record = None if entry.value is None else parse_record(key, entry.value)
            versions.append(Version(entry.seq, entry.value, record))
            until = entry.seq
        return versions

    async def _state(self, key: str, until: int) -> Entry | None:
        """The entry of `key` when the log had `until` blocks; the last operation on it if that cut a batch."""
        for version in range(until, max(1, until - LOOK_BACK), -1):
            tree = self._bee.checkout(version)
            try:
                return await tree.get(key)
            except DecodingError:
                # Only the last block of a batch carries a tree: look at this one's own key, then before it.
                entry = await self._bee.get_by_seq(version - 1)
                if entry.key == key:
                    return entry
            finally:
                await tree.close()
        return None

    async def _removal(self, key: str, until: int) -> Entry | None:
        """The block before `until` that took `key` out, if it is near."""
        for seq in range(until - 1, max(0, until - 1 - LOOK_BACK), -1):
            entry = await self._bee.get_by_seq(seq)
            if entry.key == key:
                return entry
        return None

    async def _newest(self, kind: str, before: str | None, limit: int) -> list[Item]:
        end = f"{kind}/{before}" if before is not None and is_t16(before) else f"{kind}/g"
        items: list[Item] = []
        async for entry in self._bee.range(gte=f"{kind}/", lt=end, reverse=True):
            item = _item(entry)
            if is_t16(item.t16) and isinstance(item.record, (Post, Watch)):
                items.append(item)
                if len(items) == limit:
                    break
        return items

    def _range(self, *, gt: str | None, limit: int) -> AsyncIterator[Entry]:
        return self._bee.range(limit=limit) if gt is None else self._bee.range(gt=gt, limit=limit)


def _item(entry: Entry) -> Item:
    return Item(entry.key, entry.seq, entry.value, parse_record(entry.key, entry.value))
