"""A restored peer writes nothing before it has found what it wrote before.

A backup holds keys, not records. Were a restored peer to append at once, its log and the one that others hold would be
two histories under one key, which anyone can prove and nobody forgives. So while `restored.json` is in the directory
every write is refused, and the peer looks for whoever has its bee:

    find a peer ──> take the longest head it proves ──> has anybody a longer one? ──> fetch all of it ──> write

A head is good when it is at least as long as the backup says and, at that length, the same tree. It ends by itself; or,
when it is known that nobody can have anything (words alone, and never published), by the owner's word.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from core.errors import MeadowError
from core.hyperbee import Hyperbee
from core.peer import Peer
from core.records import Meta, Profile, parse_record

from .backup import Backup
from .errors import UserError
from .files import read_json, write_json
from .wording import counted

_log = logging.getLogger(__name__)

SETTLE_SECONDS: Final = 10.0
"""How long nobody may show a longer head before the longest one found counts as the last."""

LOOK_SECONDS: Final = 2.0
_FETCH_SECONDS: Final = 60.0


class NotYetRestored(UserError):
    """The peer was restored and has not found its records yet, so it must not write."""

    code = "not-yet-restored"
    status = 409


@dataclass(frozen=True, slots=True)
class Expected:
    """What the backup knew: `length` 0 means nothing."""

    length: int
    fork: int
    tree_hash: str
    media_length: int


def expect(path: Path, backup: Backup) -> None:
    """Mark a directory as restored from `backup`; no peer in it writes before it has found its records."""
    write_json(path, asdict(Expected(backup.length, backup.fork, backup.tree_hash, backup.media_length)))


def is_restored(path: Path) -> bool:
    """Whether a directory was restored and has not found its records."""
    return path.exists()


class Restoring:
    """The search of one peer for its own records. `sentence` says how it stands; None when there is nothing to do."""

    def __init__(
        self,
        path: Path,
        peer: Peer,
        bee: Hyperbee,
        found: Callable[[], Awaitable[None]],
        over: Callable[[], Awaitable[None]],
        changed: Callable[[], None],
        *,
        settle_seconds: float = SETTLE_SECONDS,
    ) -> None:
        """`found` is awaited when the records are here, before the first write is allowed; `over` right after."""
        self._path = path
        self._peer = peer
        self._bee = bee
        self._found = found
        self._over = over
        self._changed = changed
        self._settle_seconds = settle_seconds
        self._task: asyncio.Task[None] | None = None
        self.sentence: str | None = None
        if is_restored(path):
            self.sentence = "Looking for somebody who has your records."

    @property
    def is_over(self) -> bool:
        return self.sentence is None

    def start(self) -> None:
        """Look until they are found."""
        if not self.is_over and self._task is None:
            self._task = asyncio.create_task(self._search(), name="restoring")

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def refuse(self) -> None:
        """Raises `NotYetRestored` while writing would make a second history."""
        if self.sentence is not None:
            raise NotYetRestored(
                "This peer was restored from a backup and writes nothing before it has found what it wrote before; "
                f"what you typed is kept. {self.sentence}"
            )

    async def nobody_has_it(self) -> None:
        """The owner says that nothing was ever published under these keys. Raises `UserError` when that cannot be."""
        if self.is_over:
            raise UserError("This peer is not waiting for anything.")
        if self._expected().length > 1 or self._bee.core.length > 0:
            raise UserError(
                "Your backup knows of records, so somebody may hold them, and writing now could make two histories "
                "under one key. Start a peer that has them, or give your key to the aggregator that you used."
            )
        await self._end()

    # --- inside ---------------------------------------------------------------------------------------

    def _expected(self) -> Expected:
        row = read_json(self._path, None)
        try:
            return Expected(
                int(row["length"]), int(row["fork"]), str(row["tree_hash"]), int(row["media_length"])
            )
        except (TypeError, KeyError, ValueError):
            return Expected(0, 0, "", 0)

    async def _search(self) -> None:
        while not self.is_over:
            try:
                if await self._look():
                    await self._end()
                    return
            except (MeadowError, TimeoutError) as error:
                self._say(f"It was found, but could not be read whole yet: {error or 'no answer in time'}.")
            except Exception:
                _log.exception("restoring")
                self._say("Something failed here; the terminal in which the peer runs shows what.")
            await asyncio.sleep(LOOK_SECONDS)

    async def _look(self) -> bool:
        """Whether the last of one's records are here now, all of them."""
        core, expected = self._bee.core, self._expected()
        if not await self._peer.find(core, LOOK_SECONDS):
            self._say(
                "Nobody who has your records was found yet. Start a peer that has them, or give your key to the "
                "aggregator that you used."
            )
            return False
        await self._longest(core)
        if core.length < max(1, expected.length):
            self._say(
                f"Somebody has {counted(core.length, 'block')} of your bee; your backup knows of {expected.length:,}. "
                "Looking for somebody who has more."
            )
            return False
        if expected.length and core.fork == expected.fork:
            if expected.tree_hash and core.tree_hash(expected.length).hex() != expected.tree_hash:
                self._say(
                    "What others hold is another history than your backup knows: this key was used twice. "
                    "Nothing is written. Start a new peer, and tell your readers its key."
                )
                return False
        self._say(f"Found {counted(core.length, 'block')}; fetching them.")
        await _fetch_all(core)
        await self._fetch_media(expected)
        return True

    async def _longest(self, core: Any) -> None:
        """The longest head that anyone shows, after nobody has shown a longer one for a while."""
        loop = asyncio.get_running_loop()
        until = loop.time() + self._settle_seconds
        while loop.time() < until:
            before = core.length
            try:
                await core.update(wait=True, force=True, timeout=min(LOOK_SECONDS, self._settle_seconds))
            except MeadowError:
                pass
            if core.length > before:
                until = loop.time() + self._settle_seconds
                self._say(f"Found {counted(core.length, 'block')}; making sure that nobody has more.")
            await asyncio.sleep(min(0.2, self._settle_seconds / 4))

    async def _fetch_media(self, expected: Expected) -> None:
        entry = await self._bee.get("meta/self")
        meta = None if entry is None else parse_record("meta/self", entry.value)
        if not isinstance(meta, Meta) or meta.blobs is None:
            return
        core = self._peer.core(key=bytes.fromhex(meta.blobs))
        needed = max(expected.media_length, await self._media_named())
        if needed == 0:
            return
        self._say("Your records are here; looking for the images they show.")
        async with asyncio.timeout(_FETCH_SECONDS):
            while core.length < needed:
                await core.update(wait=True, force=True, timeout=LOOK_SECONDS)
                await asyncio.sleep(0.1)
        await self._longest(core)

    async def _media_named(self) -> int:
        """How many blocks of the media core one's records speak of."""
        needed = 0
        async for entry in self._bee.range(gte="post/", lt="post0"):
            record = parse_record(entry.key, entry.value)
            for image in getattr(record, "media", ()):
                needed = max(needed, image.blob.block_offset + image.blob.block_length)
        about = await self._bee.get("profile/self")
        profile = None if about is None else parse_record("profile/self", about.value)
        if isinstance(profile, Profile) and profile.avatar is not None:
            needed = max(needed, profile.avatar.block_offset + profile.avatar.block_length)
        return needed

    async def _end(self) -> None:
        await self._found()
        self._path.unlink(missing_ok=True)
        _log.info("restored; the log has %d blocks", self._bee.core.length)
        self._say(None)
        await self._over()

    def _say(self, sentence: str | None) -> None:
        if sentence != self.sentence:
            self.sentence = sentence
            self._changed()


async def _fetch_all(core: Any) -> None:
    download = core.download(start=0, end=core.length)
    try:
        await download.done(timeout=_FETCH_SECONDS + core.length / 1000)
    finally:
        download.destroy()
