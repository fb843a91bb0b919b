"""Every bee of one peer: its own by name, those it seeds for others, and those that somebody here reads now.

What is remembered stands in the store itself: the names are those of the cores (namespace `hyp`), and the list of what
is seeded is kept beside the log of the personal bee. A restart therefore finds it as it was.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from core.errors import BadArgument
from core.hyperbee import Hyperbee, Metadata
from core.peer import Joined, Peer, parse_key
from userpeer.errors import NotFound, UserError
from userpeer.wording import counted

from .address import BadName, check_name, is_key, url_of
from .finding import bring_up_to_date
from .traffic import Traffic

MAIN = "main"
"""The name of the personal bee, which `userpeer` writes."""

MAX_SEEDS = 10_000
MAX_READ = 64
"""Other people's bees that are kept open after they were read, though nobody asked to seed them."""

IDLE_SECONDS = 300.0
_STATE = "hyp"
_NAMESPACE = "hyp"


@dataclass(eq=False, slots=True)
class Held:
    """One open bee. `busy` counts the commands that use it; `is_current`: its peers told its length; `is_bee`: it says
    so itself.
    """

    bee: Hyperbee
    name: str | None
    traffic: Traffic
    seeding: bool = False
    joined: Joined | None = None
    download: Any = None
    busy: int = 0
    used_at: float = 0.0
    looked_at: float = float("-inf")
    is_current: bool = False
    is_bee: bool = False
    opened_at: float = field(default_factory=time.time)

    @property
    def key(self) -> bytes:
        return self.bee.core.key

    @property
    def url(self) -> str:
        return url_of(self.key)

    @property
    def is_own(self) -> bool:
        return self.name is not None


class Bees:
    """The bees of `peer`; `main` is the personal one. `start()` once it is known whether there is a network."""

    def __init__(self, peer: Peer, main: Hyperbee) -> None:
        self._peer = peer
        self._open: dict[bytes, Held] = {}
        self._names: dict[str, bytes] = {}
        self._sweeping: asyncio.TimerHandle | None = None
        self._closing: set[asyncio.Future[None]] = set()
        self._opened = self._started = self._closed = False
        self._main = self._hold(main, MAIN)
        state = json.loads(main.core.get_user_data(_STATE) or b"{}")
        self._seeds: dict[str, float] = state.get("seeds", {})
        """Key (hex) -> since when."""
        self._names_under: str = state.get("names", _NAMESPACE)
        self._store = peer.store.namespace(self._names_under)
        self._withheld: set[str] = set(state.get("withheld", ()))
        """Keys of own bees that are not to be announced."""
        self.imported: dict[str, dict[str, Any]] = state.get("imported", {})
        """Key of 2021 (hex) -> {"name": of the bee here, "length": of the log there when it was imported}."""
        self._main.seeding = True

    async def name_anew(self) -> None:
        """Let names mean other keys than they did in the store that this one was restored from; durable.

        A backup says nothing of named bees, so nobody knows how long their logs were: to append to one could make a
        second history. Its old key still reads it.
        """
        if self._names_under == _NAMESPACE and not self._opened:
            self._names_under = f"{_NAMESPACE}/{secrets.token_hex(16)}"
            self._store = self._peer.store.namespace(self._names_under)
            await self._save()

    async def start(self) -> None:
        """Open what is ours and what is seeded, and announce it where that is wanted."""
        self._open_kept()
        self._started = True
        for held in self._open.values():
            self._announce(held)

    async def close(self) -> None:
        """Close every bee but the personal one, which is not ours to close."""
        if self._closed:
            return
        self._closed = True
        if self._sweeping is not None:
            self._sweeping.cancel()
        for held in list(self._open.values()):
            if held is not self._main:
                await held.bee.close()

    # --- which there are --------------------------------------------------------------------------

    @property
    def main(self) -> Held:
        """The personal bee."""
        return self._main

    def kept(self) -> list[Held]:
        """The personal bee, one's others by name, then those seeded for others by key."""
        self._open_kept()
        kept = [held for held in self._open.values() if held.is_own or held.seeding]
        return sorted(
            kept, key=lambda held: (held is not self._main, held.name is None, held.name or "", held.key)
        )

    def seeded_since(self, held: Held) -> float | None:
        """Seconds since 1970; None for one's own and for what is not seeded."""
        return self._seeds.get(held.key.hex())

    async def create(self, name: str | None = None, *, user_data: bytes | None = None) -> Held:
        """A new bee of one's own, usable and announced at once; without a name it is bee-1, bee-2, ...

        Returns once it is durable. Raises `BadName`, also when there is one of that name.
        """
        self._open_kept()
        if name is None:
            number = 1
            while f"bee-{number}" in self._names:
                number += 1
            name = f"bee-{number}"
        check_name(name)
        known = self._main.key if name == MAIN else self._names.get(name)
        if known is not None:
            raise BadName(f"There is a bee called {name} already: {url_of(known)}. Choose another name.")
        held = self._hold_own(name, user_data)
        await held.bee.write_header()
        self._announce(held)
        return held

    @asynccontextmanager
    async def using(self, text: str, timeout: float = 10.0) -> AsyncIterator[tuple[Held, str | None]]:
        """The bee named by `text` (a name, a key or a URL without a path), ready to be read, and a remark or None.

        Raises `NotFound` for a name that nothing has, `BadName` for a key that is none, and `Unreachable`.
        """
        held = self._named(text)
        held.busy += 1
        try:
            remark = await bring_up_to_date(self._peer, held, timeout)
            yield held, remark
        finally:
            held.busy -= 1
            held.used_at = time.monotonic()

    def look(self, text: str) -> Held:
        """The bee named by `text`, opened but not looked for."""
        return self._named(text)

    def own(self, name: str) -> Held | None:
        """One's own bee of this name, if there is one."""
        self._open_kept()
        if name == MAIN:
            return self._main
        key = self._names.get(name)
        return None if key is None else self._open[key]

    async def remember_import(self, old_key: bytes, about: dict[str, Any]) -> None:
        """Note what was imported from a log of 2021; returns once that is durable."""
        self.imported[old_key.hex()] = about
        await self._save()

    # --- keeping others' alive --------------------------------------------------------------------

    async def seed(self, text: str) -> Held:
        """Announce a bee and, if it is not ours, fetch all of it and what will come.

        Returns once it is durable that this is wanted: a restart goes on with it.
        """
        held = self._named(text)
        if held.is_own:
            self._withheld.discard(held.key.hex())
        elif held.key.hex() not in self._seeds:
            if len(self._seeds) >= MAX_SEEDS:
                seeds = counted(MAX_SEEDS, "bee")
                raise UserError(f"This peer seeds {seeds} already; `hyp unseed` one of them first.")
            self._seeds[held.key.hex()] = time.time()
        self._seed(held)
        await self._save()
        self._announce(held)
        return held

    async def unseed(self, text: str, *, clear: bool = False) -> Held:
        """The opposite, remembered as well. `clear` forgets the blocks that are here, of other people's bees only."""
        held = self._named(text)
        if held is self._main:
            raise UserError(
                "Your personal bee is shared as long as your peer runs: it is your feed. `hyp daemon stop` ends that."
            )
        if clear and held.is_own:
            raise UserError("This bee is yours: nobody else may have all of it, so it is not cleared.")
        key = held.key.hex()
        if held.is_own:
            self._withheld.add(key)
        elif self._seeds.pop(key, None) is None and not clear:
            raise NotFound(f"{held.url} is not seeded here. `hyp ls` lists what is.")
        held.seeding = False
        if held.download is not None:
            held.download.destroy()
            held.download = None
        self._announce(held)
        if clear and held.bee.core.length:
            await held.bee.core.clear(0, held.bee.core.length)
        await self._save()
        held.used_at = time.monotonic()
        self._sweep()
        return held

    # --- inside -----------------------------------------------------------------------------------

    def _named(self, text: str) -> Held:
        text = text.strip().removeprefix("hyper://").rstrip("/")
        if is_key(text):
            key = parse_key(text)
            held = self._open.get(key)
            if held is None:
                self._open_kept()
                held = self._hold_key(key)
            held.used_at = time.monotonic()
            return held
        if text == MAIN:
            return self._main
        self._open_kept()
        known = self._names.get(text)
        if known is None:
            raise NotFound(
                f"There is no bee called {text!r} here, and it is not a key of 64 hex digits. `hyp ls` lists yours, "
                "`hyp create bee NAME` makes one."
            )
        return self._open[known]

    def _open_kept(self) -> None:
        """Open what is remembered, once."""
        if self._opened:
            return
        self._opened = True
        for info in list(self._store.list(all_namespaces=False)):
            if info.alias is not None:
                self._hold_own(info.alias.name)
        for key in self._seeds:
            self._seed(self._hold_key(bytes.fromhex(key)))

    def _hold_own(self, name: str, user_data: bytes | None = None) -> Held:
        metadata = None if user_data is None else Metadata(user_data=user_data)
        core = self._store.get(name=name)
        bee = Hyperbee(core, key_encoding="utf-8", value_encoding="json", metadata=metadata)
        held = self._hold(bee, name)
        held.seeding = held.key.hex() not in self._withheld
        self._names[name] = held.key
        return held

    def _hold_key(self, key: bytes) -> Held:
        held = self._open.get(key)
        if held is None:
            try:
                core = self._store.get(key)
            except BadArgument as error:
                raise BadName(str(error)) from error
            held = self._hold(Hyperbee(core, key_encoding="utf-8", value_encoding="json"), None)
            self._announce(held)
            self._sweep()
        return held

    def _hold(self, bee: Hyperbee, name: str | None) -> Held:
        held = self._open[bee.core.key] = Held(bee, name, Traffic(bee), used_at=time.monotonic())
        return held

    def _seed(self, held: Held) -> None:
        held.seeding = True
        if not held.is_own and held.download is None:
            held.download = held.bee.core.download()

    def _announce(self, held: Held) -> None:
        """Be found for what is shared; only find others for what is merely read. The personal bee is the peer's own."""
        network = self._peer.network
        if held is self._main or network is None or not self._started:
            return
        before, held.joined = held.joined, None
        as_server = held.seeding and self._peer.announces
        if as_server or held.seeding or not held.is_own:
            held.joined = network.join(held.bee.core.discovery_key, server=as_server, client=True)
        if before is not None:
            before.leave()

    async def _save(self) -> None:
        state = {
            "seeds": self._seeds,
            "withheld": sorted(self._withheld),
            "imported": self.imported,
            "names": self._names_under,
        }
        await self._main.bee.core.set_user_data(_STATE, json.dumps(state).encode())

    def _sweep(self) -> None:
        """Close what was only read, and not lately, or is too much; look again later. Its blocks stay in the store."""
        if self._sweeping is not None:
            self._sweeping.cancel()
            self._sweeping = None
        read = [held for held in self._open.values() if not held.is_own and not held.seeding]
        read.sort(key=lambda held: held.used_at)
        oldest = time.monotonic() - IDLE_SECONDS
        for number, held in enumerate(read):
            if not held.busy and (held.used_at < oldest or len(read) - number > MAX_READ):
                del self._open[held.key]
                if held.joined is not None:
                    held.joined.leave()
                task = asyncio.ensure_future(held.bee.close())
                self._closing.add(task)
                task.add_done_callback(self._closing.discard)
        if read and not self._closed:
            self._sweeping = asyncio.get_running_loop().call_later(IDLE_SECONDS / 4, self._sweep)
