"""One log on one connection: what both sides know of each other, and the conversation about it.

Source: hypercore 11.37.1 `lib/replicator.js` (`Peer`).

A peer is a channel and the remote's last `sync`. Four other files do the rest: `holdings.py` knows who has which
blocks, `uploader.py` answers the remote's requests, `scheduler.py` decides what it is asked, and `receiver.py` takes
its answers.

The rule behind most of what is sent here: **a side requests an upgrade only when the other has echoed its length**, so
whoever hears a `sync` from a shorter peer answers with one of its own.

No clock, no tasks, no asyncio: messages come in through the channel's handlers, and go out through `channel.send`. A
handler that raises `RemoteProtocolError` ends the connection.
"""

from __future__ import annotations

from hmac import compare_digest
from typing import TYPE_CHECKING

from ..crypto.hashing import REPLICATE_INITIATOR, REPLICATE_RESPONDER, hash32
from ..errors import InvalidCapability
from ..hypercore.merkle import can_upgrade_from
from ..limits import MAX_EXTENSION_NAME
from ..protomux import Channel, Mux
from .holdings import Holdings
from .messages import (
    EXTENSION,
    INVALID_REQUEST,
    NOT_AVAILABLE,
    PROTOCOL,
    PROTOCOL_ALIASES,
    SYNC,
    Sync,
    decode_extension,
    decode_handshake,
    decode_sync,
    encode_extension,
    encode_handshake,
    encode_sync,
)
from .receiver import MAX_REFUSALS
from .requests import PendingRequest
from .uploader import Uploader

if TYPE_CHECKING:
    from .replicator import Replicator


class Peer:
    """Attributes named `remote_...` are what the other side said last; `in_flight` counts our requests to it.

    Satisfies `demand.PeerView`: bytes are those of blocks.
    """

    __slots__ = (
        "_closing",
        "_handling_sync",
        "_last_extension_received",
        "_last_extension_sent",
        "_refused_up_to",
        "_sync_due",
        "blocks_received",
        "blocks_sent",
        "bytes_received",
        "bytes_sent",
        "can_upgrade",
        "channel",
        "failed_proofs",
        "holdings",
        "hotswaps",
        "in_flight",
        "last_upgradable_fork",
        "last_upgradable_length",
        "length_acked",
        "log",
        "mux",
        "opened",
        "parked_bytes",
        "paused",
        "promised",
        "refusals",
        "remote_allow_push",
        "remote_can_upgrade",
        "remote_downloading",
        "remote_fork",
        "remote_has_manifest",
        "remote_length",
        "remote_seeks",
        "remote_synced",
        "remote_uploading",
        "removed",
        "replicator",
        "requests_sent",
        "uploader",
    )

    channel: Channel

    def __init__(self, replicator: Replicator, mux: Mux) -> None:
        self.replicator = replicator
        self.log = replicator.log
        self.mux = mux
        self.opened = False
        self.removed = False
        self.paused = False
        self._closing = False

        self.remote_seeks = False
        self.remote_synced = False
        self.remote_fork = 0
        self.remote_length = 0
        self.remote_can_upgrade = False
        self.remote_uploading = True
        self.remote_downloading = True
        self.remote_has_manifest = False
        self.remote_allow_push = False
        self.length_acked = 0
        self.holdings = Holdings(self)

        # Whether we can prove our tree to the remote, and the last (fork, length) of its for which we could.
        self.can_upgrade = True
        self.last_upgradable_fork = 0
        self.last_upgradable_length = 0
        self._handling_sync = False
        self._sync_due = False

        self.in_flight = 0
        self.promised: dict[int, PendingRequest] = {}
        self.parked_bytes = 0
        self.hotswaps = 0
        self.failed_proofs = 0
        self.requests_sent = 0
        self._refused_up_to = 0
        self.refusals = {0: 0, NOT_AVAILABLE: 0, INVALID_REQUEST: 0}
        self.uploader = Uploader(self)
        self._last_extension_sent = ""
        self._last_extension_received = ""

        self.blocks_sent = 0
        self.blocks_received = 0
        self.bytes_sent = 0
        self.bytes_received = 0

    # --- the channel --------------------------------------------------------------------------

    def open(self) -> bool:
        """Open the channel. False when there is one already, or no room for another."""
        receiver, uploader, holdings = self.replicator.receiver, self.uploader, self.holdings
        channel = self.mux.create_channel(
            PROTOCOL,
            self.log.discovery_key,
            aliases=PROTOCOL_ALIASES,
            handshake=encode_handshake(self._capability(self.mux.is_initiator)),
            messages=(
                self._on_sync,
                uploader.request,
                uploader.cancel,
                lambda frame, position: receiver.data(self, frame, position),
                lambda frame, position: receiver.no_data(self, frame, position),
                holdings.on_want,
                holdings.on_unwant,
                holdings.on_bitfield,
                holdings.on_range,
                self._on_extension,
            ),
            on_open=self._on_open,
            on_close=self._on_close,
            on_drain=uploader.resume,
        )
        if channel is None:
            return False
        self.channel = channel
        return True

    def close(self) -> None:
        self._closing = True
        self.channel.close()

    def close_if_idle(self) -> bool:
        """Close the channel when neither side wants anything."""
        if self.remote_downloading or self.replicator.activity.downloading or self.removed:
            return self.removed
        self.close()
        return True

    @property
    def usable(self) -> bool:
        """Whether the remote may be asked, and told, anything but proofs of its own log's state."""
        return not (self.paused or self.removed or self.log.frozen)

    @property
    def remote_contiguous_length(self) -> int:
        return self.holdings.available.contiguous_length

    @property
    def remote_public_key(self) -> bytes:
        return self.mux.remote_public_key

    @property
    def remote_address(self) -> str | None:
        return self.mux.remote_address

    def _capability(self, of_initiator: bool) -> bytes:
        """What proves, on this connection only, that a side knows the log's key."""
        namespace = REPLICATE_INITIATOR if of_initiator else REPLICATE_RESPONDER
        return hash32(namespace + self.log.key, key=self.mux.handshake_hash)

    def _on_open(self, handshake: bytes) -> None:
        seeks, capability = decode_handshake(handshake)
        if not compare_digest(capability, self._capability(not self.mux.is_initiator)):
            raise InvalidCapability("the remote asked for a log without proving that it knows its key")
        self.opened = True
        self.remote_seeks = seeks
        self.mux.cork()
        try:
            self.send_sync()
            held = min(self.log.length, self.log.contiguous_length)
            if held:
                self.holdings.announce(0, held)
            self.replicator.peer_opened(self)
        finally:
            self.mux.uncork()

    def _on_close(self) -> None:
        # The remote may have closed because it saw that we did not want anything; meanwhile we may.
        wanted_again = (
            not self._closing
            and not self.mux.closed
            and self.opened
            and not self.remote_downloading
            and self.remote_uploading
            and self.replicator.activity.wanted
        )
        self.removed = True
        self.uploader.close()
        self.replicator.peer_closed(self, reopen=wanted_again)

    # --- sync ---------------------------------------------------------------------------------

    def send_sync(self) -> None:
        """Tell where we stand; while a `sync` of the remote is being handled, once and afterwards."""
        if self._handling_sync or not self.mux.drained:
            self._sync_due = True
            return
        self._sync_due = False
        log, activity = self.log, self.replicator.activity
        same_fork = log.fork == self.remote_fork
        if not same_fork:
            self.can_upgrade = False
        sync = Sync(
            fork=log.fork,
            length=log.length,
            remote_length=self.remote_length if same_fork else 0,
            can_upgrade=self.can_upgrade,
            uploading=True,
            downloading=activity.downloading,
            has_manifest=log.manifest is not None and not log.compat,
            allow_push=activity.allowing_push,
        )
        self.channel.send(SYNC, encode_sync(sync))

    def send_due_sync(self) -> None:
        """The connection has room again for a `sync` that it had none for. Only the newest is worth sending."""
        if self._sync_due and self.opened:
            self.send_sync()

    def signal_upgrade(self) -> None:
        """Something of what `sync` tells changed."""
        if not self._handling_sync and not self.can_upgrade and self.log.length > self.remote_length:
            self._update_can_upgrade()
        self.send_sync()

    def _update_can_upgrade(self) -> None:
        """Whether we can prove our length to the remote from its own."""
        log, length = self.log, self.remote_length
        if self.remote_fork != log.fork:
            self.can_upgrade = False
        elif length == 0:
            self.can_upgrade = True
        else:
            self.can_upgrade = length < log.length and can_upgrade_from(log, length)
        if self.can_upgrade:
            self.last_upgradable_fork = log.fork
            self.last_upgradable_length = length

    def _on_sync(self, frame: bytes, position: int) -> None:
        sync = decode_sync(frame, position)
        log, replicator = self.log, self.replicator
        length_changed = sync.length != self.remote_length
        same_fork = sync.fork == log.fork
        self.remote_synced = True
        self.remote_fork = sync.fork
        self.remote_length = sync.length
        self.remote_can_upgrade = sync.can_upgrade
        self.remote_uploading = sync.uploading
        self.remote_downloading = sync.downloading
        self.remote_has_manifest = sync.has_manifest
        self.remote_allow_push = sync.allow_push
        if self.close_if_idle():
            return
        self.length_acked = sync.remote_length if same_fork else 0
        self._handling_sync = True
        try:
            replicator.forks.announced(self)
            if (
                sync.length > log.length
                and self.length_acked == log.length
                and replicator.options.eager_upgrade
            ):
                replicator.upgrades.wanted()
            if length_changed or not same_fork:
                self._update_can_upgrade()
        finally:
            self._handling_sync = False
        if self._sync_due or (self.remote_fork == log.fork and log.length > self.remote_length):
            self.signal_upgrade()
        replicator.demands.look_again_at(self, 0)
        replicator.scheduler.update(self)
        replicator.upgrades.check()

    # --- what is asked of the remote ----------------------------------------------------------

    def refuse(self, reason: int, request: PendingRequest) -> None:
        """The remote did not give what was asked; after many times we stop asking.

        A truncation or a `clear` overtakes many requests at once, so what was sent before the last refusal came does
        not count again, nor does what was about another fork. (The reference counts each.)
        """
        if request.fork != self.remote_fork or request.number <= self._refused_up_to:
            return
        self._refused_up_to = self.requests_sent
        reason = reason if reason in self.refusals else 0
        self.refusals[reason] += 1
        if self.refusals[reason] >= MAX_REFUSALS:
            self.paused = True

    # --- extensions ---------------------------------------------------------------------------

    def send_extension(self, name: str, body: bytes) -> None:
        known = name == self._last_extension_sent
        self._last_extension_sent = name
        self.channel.send(EXTENSION, encode_extension("" if known else name, body))

    def _on_extension(self, frame: bytes, position: int) -> None:
        name, body = decode_extension(frame, position)
        name = name or self._last_extension_received
        # An empty name means the last one again. One that nobody would register is not worth keeping.
        self._last_extension_received = name if len(name) <= MAX_EXTENSION_NAME else ""
        extension = self.replicator.extensions.get(name)
        if extension is not None:
            extension.receive(body, self)
