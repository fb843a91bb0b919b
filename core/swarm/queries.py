"""The swarm's queries as walks of the DHT: callbacks of the node, no task for any of them.

Source: hyperdht 6.34.0 `index.js` (`announce`, `lookup`, `lookupAndUnannounce`, `unannounce`).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

from ..crypto.keys import KeyPair
from ..dht.address import ADDRESS_BYTES, Address, decode_address, encode_address
from ..dht.hyper_commands import LOOKUP
from ..dht.node import DhtNode
from ..dht.outgoing import Reply
from ..dht.publishing import announce_commit, may_hold, unannounce_at
from ..dht.query import Commit, Settle
from ..dht.query import Query as Walk
from ..dht.records import PeerRecord, decode_lookup_reply
from ..errors import DecodingError, LocalProtocolError, MeadowError
from .topics import Query, QueryKind

OnPeer = Callable[[Query, PeerRecord], None]
OnDone = Callable[[Query, bytes, str | None], None]
"""Takes the query, the closest nodes (packed) and what went wrong, in words."""

_QUERY_RETRIES: Final = 5


class Queries:
    """Runs the queries of one swarm on `node`, in the name of `key_pair`."""

    def __init__(
        self,
        node: DhtNode,
        key_pair: KeyPair,
        *,
        relay_addresses: Callable[[], tuple[Address, ...]],
        on_peer: OnPeer,
        on_done: OnDone,
    ) -> None:
        self._node = node
        self._key_pair = key_pair
        self._relay_addresses = relay_addresses
        self.running: set[Query] = set()
        self._on_peer = on_peer
        self._on_done = on_done

    def start(self, query: Query) -> None:
        """Begin; `on_done` is called later, or at once when the node is closed."""
        target = query.topic.key
        is_final = query.kind is QueryKind.UNANNOUNCE
        commit: Commit | None = None
        stale = _Stale()
        if query.kind is QueryKind.ANNOUNCE:
            commit = stale.before(
                announce_commit(self._node, self._key_pair, target, self._relay_addresses())
            )
        elif is_final:
            commit = partial(self._take_back, target)
        try:
            query.user = self._node.query(
                target,
                LOOKUP,
                nodes=unpack(query.closest),
                only_closest=is_final,
                retries=0 if is_final else _QUERY_RETRIES,
                commit=commit,
                on_reply=partial(self._replied, query, stale),
                on_done=partial(self._ended, query),
            )
        except LocalProtocolError as error:
            self._on_done(query, b"", str(error))
        else:
            self.running.add(query)

    def stop(self, query: Query) -> None:
        if query in self.running:
            self.running.discard(query)
            walk: Walk = query.user
            walk.cancel()

    def _replied(self, query: Query, stale: _Stale, reply: Reply) -> None:
        if query.kind is QueryKind.LOOKUP_AND_UNANNOUNCE or query.clear:
            self._take_back(query.topic.key, reply, stale.one_more())
        if reply.value is None or query.kind is QueryKind.UNANNOUNCE:
            return
        try:
            records, _ = decode_lookup_reply(reply.value)
        except DecodingError:
            return  # one node's nonsense; the others answer too
        for record in records:
            self._on_peer(query, record)

    def _take_back(self, target: bytes, reply: Reply, settle: Settle) -> None:
        if may_hold(reply, self._key_pair.public_key):
            unannounce_at(self._node, reply, self._key_pair, target, settle)
        else:
            settle(None)

    def _ended(self, query: Query, error: MeadowError | None) -> None:
        self.running.discard(query)
        walk: Walk = query.user
        closest = pack(walk.closest_nodes)
        if error is None and not closest and not query.dropped:
            self._on_done(query, b"", "no node of the DHT answered")
        else:
            self._on_done(query, closest, None if error is None else str(error))


def pack(addresses: list[Address]) -> bytes:
    """Six bytes each: thousands of topics remember twenty nodes each."""
    return b"".join(map(encode_address, addresses))


def unpack(packed: bytes) -> list[Address]:
    return [decode_address(packed, start)[0] for start in range(0, len(packed), ADDRESS_BYTES)]


class _Stale:
    """Old records of ours being taken back. Announcements wait: an unannounce that has to be sent twice would
    otherwise take back the new record.
    """

    __slots__ = ("_missing", "_waiting")

    def __init__(self) -> None:
        self._missing = 0
        self._waiting: list[Callable[[], None]] = []

    def one_more(self) -> Settle:
        self._missing += 1
        return self._settled

    def before(self, commit: Commit) -> Commit:
        """`commit`, once nothing is missing."""

        def when_clear(reply: Reply, settle: Settle) -> None:
            if self._missing == 0:
                commit(reply, settle)
            else:
                self._waiting.append(partial(commit, reply, settle))

        return when_clear

    def _settled(self, error: MeadowError | None) -> None:
        self._missing -= 1
        if self._missing == 0:
            waiting, self._waiting = self._waiting, []
            for commit in waiting:
                commit()
