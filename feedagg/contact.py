"""Getting hold of a bee: dial where it may be, open it, and notice when it is gone.

`visit` handles one claimed source from the tick (jobs.py). Whoever connects to us is noticed too: a bee
counts as connected while any peer that has it is.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

from core.errors import BadArgument, MeadowError, PeerUnreachable, RequestTimeout
from core.peer import Connection, Peer, encode_file, prove_conflict
from feedagg import alarms, quotas, sources, workers
from feedagg.addresses import resolve
from feedagg.database import Database
from feedagg.decide import retry_delay
from feedagg.finding import Finder
from feedagg.ingest import Followed, Ingest, now_ms
from feedagg.live import Live
from feedagg.settings import Settings
from feedagg.sources import Source

log = logging.getLogger("feedagg.contact")

CHECK_UP_PART = 3
"""A connected source is looked at again, and its claim renewed, so often in the time of a lease."""

RECONNECT_MS = 1_000
CONFLICT_MS = 24 * 60 * 60 * 1000
NOBODY_HAS_IT_SECONDS = 5.0
LENGTH_SECONDS = 2.0
LOOK_SECONDS = 0.1
OPENED_AT_ONCE = 500


class Contact:
    """Connections by address, and what became of each try."""

    def __init__(
        self, database: Database, peer: Peer, ingest: Ingest, live: Live, settings: Settings
    ) -> None:
        self._database = database
        self._peer = peer
        self._ingest = ingest
        self._live = live
        self._settings = settings
        self._finder = Finder(peer)
        self._by_address: dict[tuple[str, int], Connection] = {}
        self._dialling: dict[tuple[str, int], asyncio.Task[Connection]] = {}
        self._visits: dict[bytes, asyncio.Task[None]] = {}
        self._outcomes: dict[bytes, asyncio.Event] = {}
        self._chores: set[asyncio.Task[None]] = set()
        self._connected: set[bytes] = set()
        self._looks_again = False
        self._closing = False
        self._claiming = asyncio.Lock()
        self._reads = workers.reads(settings.role)
        # Alone, every bee stays open, so that whoever brings one is heard. Of many, each opens what it claimed.
        self._keeps_all_open = settings.role == workers.ALL
        self._lease_ms = int(settings.lease_seconds * 1000)

    @property
    def owner(self) -> str:
        """Who holds the claims: this peer's key, the same after a restart."""
        return self._peer.public_key.hex()

    async def start(self) -> None:
        """Open every source, so that whoever brings one to us is heard."""
        await self._database.write(sources.release, self.owner, now_ms())
        if not self._keeps_all_open:
            return
        after = b""
        while some := await self._database.read(sources.listing, OPENED_AT_ONCE, after):
            for source in some:
                if source.state == sources.FOLLOWING:
                    self.open(source)
            after = some[-1].bee

    async def close(self) -> None:
        self._closing = True
        tasks = [*self._visits.values(), *self._dialling.values(), *self._chores]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._database.write(sources.release, self.owner, now_ms())

    # --- the tick ---------------------------------------------------------------------------------

    async def tick(self) -> None:
        """Claim what is due and visit it; at most `tries_at_once` visits run at a time."""
        if not self._reads:
            return
        # Two ticks at once would each see the whole room and take it twice.
        async with self._claiming:
            await self._let_go()
            room = self._settings.tries_at_once - len(self._visits)
            for source in await self._claim(room):
                if source.bee not in self._visits:
                    task = asyncio.create_task(self._visit(source), name=f"visit {source.key[:8]}")
                    self._visits[source.bee] = task

    async def _claim(self, room: int) -> list[Source]:
        """What is due: alone, all of it; of many, check-ups of what this process holds and its share of the rest."""
        if room <= 0:
            return []
        if self._keeps_all_open:
            return await self._database.write(sources.claim, self.owner, now_ms(), room, self._lease_ms)
        claimed = await self._database.write(sources.claim, self.owner, now_ms(), room, self._lease_ms, True)
        share = await self._database.read(workers.share, now_ms())
        room = min(room - len(claimed), share - len(self._ingest.followed))
        if room > 0:
            claimed += await self._database.write(
                sources.claim, self.owner, now_ms(), room, self._lease_ms, False
            )
        return claimed

    async def _let_go(self) -> None:
        """Close the bees that another process holds: it claimed them when this one had not been heard of in time."""
        if self._keeps_all_open:
            return
        followed = list(self._ingest.followed)
        for start in range(0, len(followed), OPENED_AT_ONCE):
            some = followed[start : start + OPENED_AT_ONCE]
            for key in await self._database.read(sources.held_by_others, self.owner, some, now_ms()):
                await self.drop(key)

    async def outcome(self, key: bytes, seconds: float) -> None:
        """Wait until the next try of this bee has ended, at most so long."""
        if not self._reads:
            await self._outcome_elsewhere(key, seconds)
            return
        event = self._outcomes.setdefault(key, asyncio.Event())
        try:
            async with asyncio.timeout(seconds):
                await event.wait()
        except TimeoutError:
            pass
        finally:
            self._outcomes.pop(key, None)

    async def _outcome_elsewhere(self, key: bytes, seconds: float) -> None:
        """Another process tries it: look at what that says."""
        before = await self._database.read(sources.get, key)
        until = asyncio.get_running_loop().time() + seconds
        while before is not None and asyncio.get_running_loop().time() < until:
            await asyncio.sleep(LOOK_SECONDS)
            now = await self._database.read(sources.get, key)
            if now is None or now.connected or now.attempts != before.attempts:
                return

    def open(self, source: Source) -> Followed:
        """The source's bee, read-only and followed."""
        known = self._ingest.followed.get(source.bee)
        if known is not None:
            return known
        bee = self._peer.bee(
            key=source.bee, key_encoding="binary", value_encoding="binary", extension=False, joined=False
        )
        followed = self._ingest.follow(
            source.bee, bee, source.position, quotas.of(source, self._settings, now_ms())
        )

        def peer_added(*_: object) -> None:
            self._chore(self._reached(followed, None))

        followed.listen("peer-add", peer_added)
        followed.listen("peer-remove", self._peer_removed)
        followed.listen(
            "conflict", lambda _length, _fork, proof: self._chore(self._conflicted(followed, proof))
        )
        return followed

    def is_open(self, key: bytes) -> bool:
        """Whether the bee is followed in this process."""
        return key in self._ingest.followed or key in self._visits

    async def drop(self, key: bytes) -> None:
        """Stop looking for a bee and reading it: its standing changed."""
        visit = self._visits.get(key)
        if visit is not None:
            visit.cancel()
            await asyncio.gather(visit, return_exceptions=True)
        self._connected.discard(key)
        self._finder.leave(key)
        await self._ingest.drop(key)
        self._live.changed(key)

    # --- one source -------------------------------------------------------------------------------

    async def _visit(self, source: Source) -> None:
        try:
            followed = self.open(source)
            address = None
            if followed.bee.core.peers:
                self._finder.join(followed.bee)
            else:
                address = await self._find(source, followed)
            await self._learn_length(followed)
            await self._reached(followed, address)
        except (BadArgument, PeerUnreachable) as error:
            await self._missed(source, str(error))
        except MeadowError as error:
            await self._missed(source, f"The bee could not be read: {error}")
        except Exception:
            log.exception("visit of %s", source.key)
            await self._missed(
                source, "Something failed here, not at the peer; the operator's log says what."
            )
        finally:
            self._visits.pop(source.bee, None)
            event = self._outcomes.get(source.bee)
            if event is not None:
                event.set()

    async def _find(self, source: Source, followed: Followed) -> str | None:
        """Look for a peer that has the bee, at the addresses known and in the DHT at once: the first one found counts.

        Returns the address if it was one. Raises `PeerUnreachable` with a sentence for people.
        """
        hints = await self._database.read(sources.hints_of, source.bee)
        ways: list[Coroutine[Any, Any, str | None]] = []
        if hints:
            ways.append(self._find_at(hints, followed))
        if self._finder.is_on:
            ways.append(self._finder.find(followed.bee))
        if not ways:
            raise PeerUnreachable(
                "No peer that has this bee is connected, no address is known, and the DHT is off here. Submit the key "
                "again with the address of a peer that holds it (host:port), or let that peer connect to this one."
            )
        tasks = [asyncio.create_task(way) for way in ways]
        try:
            for ended in asyncio.as_completed(tasks):
                with suppress(BadArgument, PeerUnreachable):
                    return await ended
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        raise PeerUnreachable(" ".join(_sentence(str(task.exception())) for task in tasks))

    async def _find_at(self, hints: list[sources.Hint], followed: Followed) -> str:
        """Dial the addresses one after the other until one has the bee; returns it."""
        problem: Exception | None = None
        for hint in hints:
            try:
                place = await resolve(hint.address, self._settings, trusted=hint.trusted)
                await self._dial(place)
                if await self._has_peer(followed):
                    return hint.address
                problem = PeerUnreachable(
                    f"The peer at {hint.address} answers but does not offer this bee. Check that the key is "
                    "right and that the peer there is the one that holds it."
                )
            except (BadArgument, PeerUnreachable) as error:
                problem = problem or error
        assert problem is not None
        raise problem

    async def _dial(self, place: tuple[str, int]) -> Connection:
        """The connection to an address: the one there is, the one being made, or a new one."""
        known = self._by_address.get(place)
        if known is not None and not known.closed.done():
            return known
        task = self._dialling.get(place)
        if task is None:
            task = self._dialling[place] = asyncio.create_task(
                self._connect(place), name=f"dial {place[0]}:{place[1]}"
            )
            task.add_done_callback(lambda _: self._dialling.pop(place, None))
        return await asyncio.shield(task)

    async def _connect(self, place: tuple[str, int]) -> Connection:
        """Dial. Whoever is found there may be connected already, by way of the DHT: one connection is enough."""
        connection = await self._peer.connect(*place, timeout=self._settings.connect_seconds)
        key = connection.remote_public_key
        for other in self._peer.connections:
            if other is not connection and other.remote_public_key == key and other.how != "tcp":
                connection.close()
                connection = other
                break
        self._by_address[place] = connection
        return connection

    @staticmethod
    async def _has_peer(followed: Followed) -> bool:
        """Whether someone who has the bee is there, now or shortly."""
        core = followed.bee.core
        if core.peers:
            return True
        added = asyncio.Event()

        def peer_added(*_: object) -> None:
            added.set()

        core.on("peer-add", peer_added)
        try:
            async with asyncio.timeout(NOBODY_HAS_IT_SECONDS):
                await added.wait()
            return True
        except TimeoutError:
            return False
        finally:
            core.off("peer-add", peer_added)

    # --- what became of it ------------------------------------------------------------------------

    @staticmethod
    async def _learn_length(followed: Followed) -> None:
        """Give a peer that has just come a moment to say how long the log is."""
        try:
            await followed.bee.core.update(wait=True, timeout=LENGTH_SECONDS)
        except RequestTimeout:
            pass

    async def _reached(self, followed: Followed, address: str | None) -> None:
        key, length, now = followed.key, followed.bee.core.length, now_ms()
        check_up = self._lease_ms // CHECK_UP_PART
        next_at = now + check_up + random.randrange(check_up // 6 + 1)  # noqa: S311 (spreads load, guards nothing)
        await self._database.write(
            sources.contacted, key, now, next_at, address, self.owner, length, self._lease_ms
        )
        if key not in self._connected:
            self._connected.add(key)
            self._live.changed(key)
        self._ingest.wake(key)

    async def _missed(self, source: Source, sentence: str) -> None:
        delay = retry_delay(source.attempts + 1, random.random())  # noqa: S311
        self._connected.discard(source.bee)
        await self._database.write(sources.failed, source.bee, sentence, now_ms() + delay)
        self._live.changed(source.bee)
        if not self._keeps_all_open:
            # The next try may be another process's.
            self._chore(self._close_unclaimed(source.bee))

    async def _close_unclaimed(self, key: bytes) -> None:
        await asyncio.sleep(0)
        if key not in self._visits and key not in self._connected:
            await self.drop(key)

    async def _conflicted(self, followed: Followed, proof: Any) -> None:
        key = followed.key
        try:
            evidence = encode_file(prove_conflict(followed.bee.core, proof))
            await self._database.write(alarms.raise_alarm, key, evidence, now_ms())
        except MeadowError as error:
            log.warning("bee %s: two histories, but no evidence could be kept: %s", key.hex()[:8], error)
        sentence = (
            "This bee's key signed two different histories of one length, so nothing more of it is "
            "read. Its author should start a new bee; most often this comes from one key used on two machines."
        )
        await self._database.write(sources.failed, key, sentence, now_ms() + CONFLICT_MS)
        self._live.changed(key)

    def _peer_removed(self, *_: object) -> None:
        """One connection that ends takes its peer from many bees at once; look at them together, a moment
        later.
        """
        if not self._looks_again:
            self._looks_again = True
            asyncio.get_running_loop().call_later(0.05, lambda: self._chore(self._lost()))

    async def _lost(self) -> None:
        self._looks_again = False
        self._by_address = {
            place: known for place, known in self._by_address.items() if not known.closed.done()
        }
        followed = self._ingest.followed
        known = self._connected & followed.keys()
        gone = [key for key in known - self._visits.keys() if not followed[key].bee.core.peers]
        if not gone:
            return
        self._connected.difference_update(gone)
        now = now_ms()
        await self._database.write(sources.lost, gone, now, now + RECONNECT_MS)
        for key in gone:
            self._live.changed(key)

    def _chore(self, work: Coroutine[Any, Any, None]) -> None:
        """Run `work` in the background, held until it is done; none begins once this is being closed."""
        if self._closing:
            work.close()
            return
        task = asyncio.create_task(work)
        self._chores.add(task)
        task.add_done_callback(self._chores.discard)


def _sentence(text: str) -> str:
    """Whole sentences, so that one may follow another."""
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "?", "!")) else ".")
