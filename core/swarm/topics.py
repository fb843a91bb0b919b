"""A joined topic: who wants what of it, what was found, and the query that runs for it.

Thousands of them exist in one process, so a topic holds no timer, no task and no list that is mostly empty.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any

from ..errors import BadArgument
from .flush import Flush
from .peers import KnownPeer


class QueryKind(Enum):
    ANNOUNCE = "announce"
    LOOKUP = "lookup"
    LOOKUP_AND_UNANNOUNCE = "lookup and unannounce"
    """A lookup that takes our record back wherever it comes across it."""
    UNANNOUNCE = "unannounce"
    """Take our record back at `closest` only, and do not try twice."""


class Query:
    """One walk that the swarm wants. `user` is the driver's.

    `clear`: take back stale records of ours found on the way. `closest`: where the last walk ended, to begin there,
    in the driver's own words: a list of addresses for each of many topics would take megabytes.
    """

    __slots__ = ("clear", "closest", "dropped", "found", "kind", "limit", "successor", "topic", "user")

    def __init__(self, topic: Topic) -> None:
        self.topic = topic
        self.kind = QueryKind.LOOKUP
        self.clear = False
        self.closest = b""
        self.limit: int | None = None
        self.found = 0
        self.dropped = False
        self.successor: Query | None = None
        self.user: Any = None


class Topic:
    """`key` is 32 bytes: a discovery key here, and the target of the queries."""

    __slots__ = (
        "client_sessions", "closest", "due", "first_announce", "flushes", "is_client", "is_server", "key",
        "last_error", "left", "limit", "needs_unannounce", "peers", "query", "refreshed_at", "refreshes",
        "server_sessions", "sessions",
    )  # fmt: skip

    def __init__(self, key: bytes) -> None:
        self.key = key
        self.sessions = 0
        self.client_sessions = 0
        self.server_sessions = 0
        self.is_client = False
        self.is_server = False
        self.limit: int | None = None
        self.left = False
        self.query: Query | None = None
        self.closest = b""
        self.first_announce = True
        self.needs_unannounce = False
        self.due: float | None = None
        self.refreshes = 0
        self.refreshed_at: float | None = None
        self.last_error: str | None = None
        self.flushes: list[Flush] | None = None
        self.peers: set[KnownPeer] = set()


Refresh = Callable[[Topic], None]


class TopicSession:
    """One caller's interest in a topic, made by `Swarm.join`. The last one to be destroyed leaves the topic."""

    __slots__ = ("_leave", "_refresh", "destroyed", "is_client", "is_server", "topic")

    def __init__(self, topic: Topic, refresh: Refresh, leave: Refresh) -> None:
        self.topic = topic
        self.is_client = False
        self.is_server = False
        self.destroyed = False
        self._refresh = refresh
        self._leave = leave
        topic.sessions += 1

    def refresh(
        self, *, server: bool | None = None, client: bool | None = None, limit: int | None = None
    ) -> None:
        """Look or announce now, in these roles from now on (None: as before), for at most `limit` peers."""
        server = self.is_server if server is None else server
        client = self.is_client if client is None else client
        if self.destroyed:
            raise BadArgument("this session of the topic is over")
        if not server and not client:
            raise BadArgument("a topic is joined as a server, as a client, or as both")
        self.topic.client_sessions += client - self.is_client
        self.topic.server_sessions += server - self.is_server
        self.is_client, self.is_server = client, server
        self.topic.limit = limit
        self._refresh(self.topic)

    def destroy(self) -> None:
        """End this interest."""
        if self.destroyed:
            return
        self.destroyed = True
        topic = self.topic
        topic.sessions -= 1
        topic.client_sessions -= self.is_client
        topic.server_sessions -= self.is_server
        if topic.left:
            return
        if topic.sessions == 0:
            self._leave(topic)
        elif topic.server_sessions == 0 and topic.needs_unannounce:
            self._refresh(topic)
