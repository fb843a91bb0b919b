"""The seam between a log and the network: what a log asks for, and what it is told.

`core/hypercore` never imports `core/replication`. A `Log` owns at most one `Replicator`, made on first need by a
factory that the corestore hands in (`Log.replicator_factory`); a log without one is simply offline. In the other
direction the replicator is one of the log's observers, exactly like a session.

Every wish is an `asyncio.Future` of its own: cancelling it withdraws the wish (`asyncio.wait_for` does that by
itself), and nothing else has to be told. A future is resolved only *after* the commit that stored what it
waited for, so whoever wakes up may rely on the store.

The features behind the wishes are those of hypercore 11.37.1 (`lib/replicator.js`: `addBlock`, `addSeek`,
`addUpgrade`, `addRange`); the words here are ours.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Protocol, runtime_checkable


class PeerView(Protocol):
    """What an application may know about one peer of one log (an element of `Hypercore.peers`)."""

    @property
    def remote_public_key(self) -> bytes: ...
    @property
    def remote_address(self) -> str | None: ...
    @property
    def remote_length(self) -> int: ...
    @property
    def remote_contiguous_length(self) -> int: ...
    @property
    def remote_fork(self) -> int: ...
    @property
    def blocks_sent(self) -> int: ...
    @property
    def blocks_received(self) -> int: ...
    @property
    def bytes_sent(self) -> int: ...
    @property
    def bytes_received(self) -> int: ...


class Extension(Protocol):
    """One named message kind beside the log's own (section 8.13 of the protocol text)."""

    @property
    def name(self) -> str: ...

    def send(self, message: bytes, peer: PeerView) -> None:
        """To one peer; silently nothing when it is gone."""

    def broadcast(self, message: bytes) -> None:
        """To every peer of the log."""

    def destroy(self) -> None:
        """Forget the handler; later messages of this name are ignored."""


class Replicator(Protocol):
    """One log over all its peers. Implemented by `core/replication/replicator.py`."""

    @property
    def peers(self) -> Sequence[PeerView]:
        """The peers whose channel for this log is open."""

    @property
    def idle(self) -> bool:
        """True when no channel is open and no wish is pending: the log may be dropped from memory."""

    def want_block(self, index: int) -> asyncio.Future[None]:
        """Resolves once `log.block(index)` gives the block; waits for as long as it takes.

        `index` may be at or beyond the length: then an upgrade is part of the wish.
        """

    def want_range(
        self, start: int, end: int, *, blocks: Sequence[int] | None = None, linear: bool = False
    ) -> asyncio.Future[None]:
        """Resolves when everything of [start, end) is held; end -1 = live (resolves only by being cancelled).

        With `blocks`, those indexes are meant and start/end are ignored.
        """

    def want_seek(self, byte_offset: int, padding: int) -> asyncio.Future[tuple[int, int] | None]:
        """Resolves to (block, offset inside it) of a byte of the log; `padding` bytes a block do not count."""

    def want_upgrade(self) -> asyncio.Future[bool]:
        """Resolves True as soon as length or fork changed, False once no peer can make them change (8.10)."""

    def apply_pending_reorg(self) -> bool:
        """Applies a finished reorg that waits for its turn, if any. True when the log changed."""

    def finding_peers(self) -> Callable[[], None]:
        """The application looks for peers: `want_upgrade` waits for them until the returned function is called."""

    @property
    def is_finding_peers(self) -> bool: ...

    def set_downloading(self, active: bool) -> None:
        """Some session wants to read (the log calls this when the first one opens and the last one closes)."""

    def attach(self, mux: Any) -> None:
        """Open this log's channel on a connection's `Mux` (nothing when it is open already)."""

    def detach(self, mux: Any) -> None:
        """Close the channel on that connection."""

    def register_extension(self, name: str, on_message: Callable[[bytes, PeerView], None]) -> Extension: ...

    def close(self) -> None:
        """Close all channels; every pending wish fails with `RequestCancelled`."""


@runtime_checkable
class LogObserver(Protocol):
    """Told what changed in a log, always after the commit of the turn in which it changed.

    An observer that raises is a bug of the observer: the error is reported to the event loop's exception handler
    and the other observers are still told.
    """

    def appended(self, start: int, end: int) -> None:
        """The length grew from start to end: by an own append (blocks held) or by a verified upgrade (not held)."""

    def truncated(self, ancestors: int, fork: int) -> None:
        """Everything at and above `ancestors` was dropped; the fork number is now `fork`."""

    def stored(self, start: int, count: int) -> None:
        """Blocks [start, start + count) are now held: own appends and downloads alike."""

    def cleared(self, start: int, end: int) -> None:
        """Blocks [start, end) are no longer held; the length did not change."""

    def manifest_learned(self) -> None:
        """`log.manifest` was None and is known now."""

    def conflicted(self, length: int, fork: int, proof: Any) -> None:
        """The log's key signed two trees of one length; the log is frozen from now on."""

    def event(self, name: str, *arguments: Any) -> None:
        """Network news that sessions pass on to applications, through `log.emit(name, *arguments)`:

        peer-add(peer), peer-remove(peer), download(index, byte_length, peer), upload(index, byte_length, peer),
        verification-error(error, peer), remote-contiguous-length(length).
        """


ReplicatorFactory = Callable[[Any], Replicator]
"""Takes the `Log`; kept by the log until somebody needs the network."""
