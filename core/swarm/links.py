"""At most one connection for each remote key, and which of two is kept.

When two peers dial each other at the same moment there are two connections for a moment. Both sides must destroy
the same one, so both use this rule (hyperswarm 4.17.2 `_handleServerConnection`): a new incoming connection is
kept when the old one has carried messages both ways (then the remote must have lost it, or it would not dial), or
when the remote's key is the larger one: the side with the larger key is the one to initiate.

In the first case the reference ends the old one at once. But the new one may be a handshake that was overtaken, of
a dial that the remote gave up meanwhile, or one that a stranger replays; then both would be lost. So here the old one
ends only when the new one has proved that somebody is behind it. The same holds when the remote dialed both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import Enum
from typing import Any

from .peers import KnownPeer


def _never() -> bool:
    return False


class Link:
    """A connection or the attempt at one. `user` is the driver's.

    `exchanged` answers whether messages went both ways, at the moment it is asked. `unproved`: newer ones with the
    same key that have yet to prove that they are alive.
    """

    __slots__ = (
        "exchanged",
        "is_client",
        "is_closing",
        "key",
        "opened",
        "peer",
        "queued",
        "successors",
        "unproved",
        "user",
    )

    def __init__(self, key: bytes, *, is_client: bool, peer: KnownPeer | None = None) -> None:
        self.key = key
        self.is_client = is_client
        self.peer = peer
        self.opened = not is_client
        self.is_closing = False
        self.queued = False
        self.exchanged: Callable[[], bool] = _never
        self.successors: list[Link] = []
        self.unproved: list[Link] = []
        self.user: Any = None


class Verdict(Enum):
    KEEP_OLD = "keep the old one"
    KEEP_NEW = "keep the new one"
    PROVE_NEW = "keep the new one if it proves alive"


def verdict(own_key: bytes, existing: Link, incoming: Link) -> Verdict:
    """Which of two connections with the same remote key is kept."""
    if existing.exchanged() or not existing.is_client:
        return Verdict.PROVE_NEW
    return Verdict.KEEP_NEW if incoming.key > own_key else Verdict.KEEP_OLD


class Links:
    """Every link that is dialing or open, one for each key, and those on which nothing depends any more."""

    __slots__ = ("_all", "_by_key", "clients", "dialing", "servers")

    def __init__(self) -> None:
        self._by_key: dict[bytes, Link] = {}
        self._all: set[Link] = set()
        self.clients = 0
        self.servers = 0
        self.dialing = 0

    def __len__(self) -> int:
        return len(self._by_key)

    def __iter__(self) -> Iterator[Link]:
        return iter(list(self._by_key.values()))

    def __contains__(self, key: bytes) -> bool:
        return key in self._by_key

    def get(self, key: bytes) -> Link | None:
        return self._by_key.get(key)

    @property
    def unopened(self) -> int:
        return sum(1 for link in self._by_key.values() if not link.opened)

    @property
    def all_closed(self) -> bool:
        """Nothing is left, refused ones included."""
        return not self._all

    @property
    def everything(self) -> list[Link]:
        """All that is not closed, also those that are not the one of their key."""
        return list(self._all)

    def note(self, link: Link) -> None:
        """`link` exists, and is not (yet) the one of its key."""
        self._all.add(link)

    def add(self, link: Link) -> None:
        self._all.add(link)
        self._by_key[link.key] = link
        if link.is_client:
            self.clients += 1
            self.dialing += not link.opened
        else:
            self.servers += 1

    def open(self, link: Link) -> None:
        """A dial succeeded."""
        link.opened = True
        self.dialing -= 1

    def remove(self, link: Link) -> bool:
        """`link` ended; whether it was the one of its key."""
        self._all.discard(link)
        if self._by_key.get(link.key) is not link:
            return False
        del self._by_key[link.key]
        if link.is_client:
            self.clients -= 1
            self.dialing -= not link.opened
        else:
            self.servers -= 1
        return True
