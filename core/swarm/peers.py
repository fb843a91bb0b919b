"""What is known about one remote key, and how much it is worth dialing.

Source: hyperswarm 4.17.2 `lib/peer-info.js`.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from .topics import Topic

Address: TypeAlias = tuple[str, int]

STABLE_AFTER_SECONDS: Final = 15.0
"""A connection that held this long counts as a success: the next attempt is the first again."""

REDISCOVERY_SECONDS: Final = 15.0
"""How long a failed attempt outweighs being found again (ours; see `KnownPeer.rediscovered`)."""

FORCES_RELAY: Final = frozenset(
    {"HOLEPUNCH_ABORTED", "HOLEPUNCH_DOUBLE_RANDOMIZED_NATS", "CANNOT_HOLEPUNCH", "REMOTE_NOT_HOLEPUNCHABLE"}
)
"""Codes of dial errors after which a direct path is not to be hoped for."""


class Priority(IntEnum):
    """Higher is dialed earlier."""

    VERY_LOW = 0
    LOW = 1
    NORMAL = 2
    HIGH = 3
    VERY_HIGH = 4


_PRIORITY_OF_ATTEMPTS: Final = (Priority.NORMAL, Priority.VERY_HIGH, Priority.HIGH, Priority.LOW)


class KnownPeer:
    """A remote key: where its record said it is, how dialing it went, which topics it was found under.

    `client` says that our last connection with it was one that we dialed.
    """

    __slots__ = (
        "attempts", "banned", "client", "connected_at", "disconnected_at", "explicit", "flush_tick", "force_relay",
        "key", "last_error", "priority", "proven", "queue_index", "queued", "reconnecting", "relay_addresses",
        "topics", "tried", "waiting",
    )  # fmt: skip

    def __init__(self, key: bytes, relay_addresses: tuple[Address, ...] = ()) -> None:
        self.key = key
        self.relay_addresses = relay_addresses
        self.topics: set[Topic] = set()
        self.attempts = 0
        self.priority = Priority.NORMAL
        self.proven = False
        self.tried = False
        self.banned = False
        self.explicit = False
        self.client = False
        self.reconnecting = True
        self.force_relay = False
        self.waiting = False
        self.queued = False
        self.queue_index = 0
        self.flush_tick = 0
        self.connected_at: float | None = None
        self.disconnected_at: float | None = None
        self.last_error: str | None = None

    def connected(self, now: float) -> None:
        """A dial to it succeeded."""
        self.proven = True
        self.client = True
        self.connected_at = now
        self.last_error = None

    def disconnected(self, now: float) -> None:
        """A dial failed, or a connection that we had dialed ended.

        The reference reads `tried` and sets it nowhere, so there a peer that never answered is dialed before fresh
        ones. Here it comes last, as the reference's priorities mean it.
        """
        self.tried = True
        self.disconnected_at = now
        if self.connected_at is not None:
            if now - self.connected_at >= STABLE_AFTER_SECONDS:
                self.attempts = 0
            self.connected_at = None
        self.attempts += 1

    def rediscovered(self, now: float) -> bool:
        """A lookup found it again: failures of the past do not count any more. False when it is to be left alone.

        The reference forgets failures at once. Here not within some seconds of one whose retry is pending: with
        thousands of topics a dead peer is found several times a second, and would take a dial each time.
        """
        if self.waiting and self.disconnected_at is not None:
            if now - self.disconnected_at < REDISCOVERY_SECONDS:
                return False
        if self.priority < Priority.NORMAL or not self.client:
            self.client = False
            self.proven = False
            self.tried = False
            self.attempts = 0
        return True

    def update_priority(self) -> bool:
        """Set `priority` from how it went so far; False when it is not to be dialed (now)."""
        if self.explicit and self.attempts > 3:
            self.attempts = 3
        if self.banned or self.queued or self.attempts > 3:
            return False
        unproven = self.tried and not self.proven
        self.priority = Priority.VERY_LOW if unproven else _PRIORITY_OF_ATTEMPTS[self.attempts]
        return True

    @property
    def is_forgettable(self) -> bool:
        """Nothing would be lost with it, once it has no link."""
        return not (self.banned or self.queued or self.explicit or self.waiting)
