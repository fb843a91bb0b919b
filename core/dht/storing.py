"""A storing node's side: what strangers may leave with us, how long, and who is told of it.

Served only while the node is persistent, for only then do others find it by its id. Everything is signed (or is its
own hash), everything needs a fresh token, and everything ages; what is malformed gets no answer at all.

Source: hyperdht 6.34.0 `lib/persistent.js`. Announcing with a *refresh* (32 bytes) allows a renewal without another
signature: whoever shows a preimage of the last one is the announcer.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Final

from ..crypto.hashing import hash32
from ..encoding.compact import decode_uint
from ..errors import DecodingError
from ..limits import MAX_STORED_RECORDS, MAX_STORED_VALUE_BYTES, MAX_STORED_VALUES
from .cache import AgingCache
from .hyper_commands import (
    ANNOUNCE,
    FIND_PEER,
    IMMUTABLE_GET,
    IMMUTABLE_PUT,
    LOOKUP,
    MUTABLE_GET,
    MUTABLE_PUT,
    PLUGIN,
    SEQ_REUSED,
    SEQ_TOO_LOW,
    UNANNOUNCE,
)
from .incoming import IncomingRequest
from .node import DhtNode
from .records import (
    MAX_RELAY_ADDRESSES,
    Announcement,
    PeerRecord,
    decode_announcement,
    decode_mutable_put,
    encode_lookup_reply,
    encode_mutable_value,
    encode_peer,
)
from .router import Forward, Router
from .signatures import verify_announcement, verify_mutable, verify_unannouncement
from .topic_records import TopicRecords

LOOKUP_RECORDS: Final = 20
ANNOUNCEMENT_SECONDS: Final = 20 * 60.0
VALUE_SECONDS: Final = 48 * 3600.0
MAX_BUMP_DRIFT_MS: Final = 60_000


@dataclass(frozen=True, slots=True)
class _Renewable:
    target: bytes
    public_key: bytes
    record: bytes
    is_forward: bool


class StoringNode:
    """Answers commands 2 to 10 at `node`. `wall_clock` gives seconds since 1970 (a bump is such a time)."""

    def __init__(
        self,
        node: DhtNode,
        router: Router,
        clock: Callable[[], float],
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._node = node
        self._router = router
        self._wall_clock = wall_clock
        random = Random(int.from_bytes(node.random(8), "little"))  # noqa: S311 - who is shown, not a secret
        self.topics = TopicRecords(MAX_STORED_RECORDS, ANNOUNCEMENT_SECONDS, clock, random)
        self.bumps: AgingCache[bytes, int] = AgingCache(MAX_STORED_RECORDS, ANNOUNCEMENT_SECONDS, clock)
        self.refreshes: AgingCache[bytes, _Renewable] = AgingCache(
            MAX_STORED_RECORDS, ANNOUNCEMENT_SECONDS, clock
        )
        self.mutables: AgingCache[bytes, tuple[int, bytes, bytes]] = AgingCache(
            MAX_STORED_VALUES, VALUE_SECONDS, clock
        )
        self.immutables: AgingCache[bytes, bytes] = AgingCache(MAX_STORED_VALUES, VALUE_SECONDS, clock)
        for command, handler in (
            (FIND_PEER, self._find_peer),
            (LOOKUP, self._lookup),
            (ANNOUNCE, self._announce),
            (UNANNOUNCE, self._unannounce),
            (MUTABLE_PUT, self._mutable_put),
            (MUTABLE_GET, self._mutable_get),
            (IMMUTABLE_PUT, self._immutable_put),
            (IMMUTABLE_GET, self._immutable_get),
            (PLUGIN, _ignore),
        ):
            node.on_command(command, self._when_persistent(handler))

    def forget(self, target: bytes, public_key: bytes) -> None:
        """Drop what one key announced under `target`."""
        self.topics.discard(target, public_key)
        if target == hash32(public_key):
            self._router.discard(target)

    def _when_persistent(
        self, handler: Callable[[IncomingRequest], None]
    ) -> Callable[[IncomingRequest], bool]:
        def handle(request: IncomingRequest) -> bool:
            if self._node.id is None:
                return False
            try:
                handler(request)
            except DecodingError:
                pass
            return True

        return handle

    # --- peers ----------------------------------------------------------------------------------------

    def _find_peer(self, request: IncomingRequest) -> None:
        if request.target is not None:
            request.reply(self._router.record(request.target))

    def _lookup(self, request: IncomingRequest) -> None:
        target = request.target
        if target is None:
            return
        records = self.topics.sample(target, LOOKUP_RECORDS)
        forward = self._router.record(target)
        if forward is not None and len(records) < LOOKUP_RECORDS:
            records.append(forward)
        request.reply(encode_lookup_reply(records, self.bumps.get(target) or 0) if records else None)

    def _announce(self, request: IncomingRequest) -> None:
        target, token, id, value = request.target, request.token, self._node.id, request.value
        if target is None or token is None or id is None or value is None:
            return
        announcement = decode_announcement(value)
        peer = announcement.peer
        if peer is None:
            if announcement.refresh is not None:
                self._renew(request, announcement.refresh)
            return
        if not verify_announcement(announcement, target, id, token):
            return
        record = encode_peer(PeerRecord(peer.public_key, peer.relay_addresses[:MAX_RELAY_ADDRESSES]))
        entry = _Renewable(target, peer.public_key, record, target == hash32(peer.public_key))
        self._keep(entry, request)
        if not entry.is_forward:
            self._take_bump(target, announcement)
        if announcement.refresh is not None:
            self.refreshes.put(announcement.refresh, entry)
        request.reply(token=False, closer_nodes=False)

    def _keep(self, entry: _Renewable, request: IncomingRequest) -> None:
        """A peer under its own key's hash is a server for whom we pass on handshakes; any other is one of a topic."""
        if entry.is_forward:
            self._router.put(entry.target, Forward(request.address, entry.record))
            self.topics.discard(entry.target, entry.public_key)
        else:
            self.topics.put(entry.target, entry.public_key, entry.record)

    def _take_bump(self, target: bytes, announcement: Announcement) -> None:
        latest = self._wall_clock() * 1000 + MAX_BUMP_DRIFT_MS
        if (self.bumps.get(target) or 0) < announcement.bump <= latest:
            self.bumps.put(target, announcement.bump)

    def _renew(self, request: IncomingRequest, preimage: bytes) -> None:
        """The next renewal must show a preimage of this preimage."""
        image = hash32(preimage)
        entry = self.refreshes.get(image)
        if entry is None:
            return
        self._keep(entry, request)
        self.refreshes.discard(image)
        self.refreshes.put(preimage, entry)
        request.reply(token=False, closer_nodes=False)

    def _unannounce(self, request: IncomingRequest) -> None:
        target, token, id, value = request.target, request.token, self._node.id, request.value
        if target is None or token is None or id is None or value is None:
            return
        announcement = decode_announcement(value)
        if announcement.peer is None or not verify_unannouncement(announcement, target, id, token):
            return
        self.forget(target, announcement.peer.public_key)
        request.reply(token=False, closer_nodes=False)

    # --- values ---------------------------------------------------------------------------------------

    def _mutable_put(self, request: IncomingRequest) -> None:
        target, data = request.target, request.value
        if target is None or request.token is None or data is None or len(data) > MAX_STORED_VALUE_BYTES:
            return
        public_key, value = decode_mutable_put(data)
        if hash32(public_key) != target or not verify_mutable(value, public_key):
            return
        known = self.mutables.get(target)
        if known is not None:
            seq, bytes_, _ = known
            if seq == value.seq and bytes_ != value.value:
                request.error(SEQ_REUSED)
                return
            if value.seq < seq:
                request.error(SEQ_TOO_LOW)
                return
        self.mutables.put(target, (value.seq, value.value, encode_mutable_value(value)))
        request.reply()

    def _mutable_get(self, request: IncomingRequest) -> None:
        if request.target is None or request.value is None:
            return
        wanted, _ = decode_uint(request.value, 0)
        known = self.mutables.get(request.target)
        request.reply(None if known is None or known[0] < wanted else known[2])

    def _immutable_put(self, request: IncomingRequest) -> None:
        value = request.value
        if (
            request.target is None
            or request.token is None
            or not value
            or len(value) > MAX_STORED_VALUE_BYTES
        ):
            return
        if hash32(value) == request.target:
            self.immutables.put(request.target, value)
            request.reply()

    def _immutable_get(self, request: IncomingRequest) -> None:
        if request.target is not None:
            request.reply(self.immutables.get(request.target))


def _ignore(request: IncomingRequest) -> None:
    """A plugin we do not have: the reference says nothing, and neither do we."""
