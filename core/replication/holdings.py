"""Who holds what, between us and one remote: what we announce, what we ask about, what we are told.

Source: hypercore 11.37.1 `lib/replicator.js` (`broadcastRange`, `onwant`, `onrange`, `onbitfield`,
`_maybeWant`). A side announces the end of its log and a complete log to everybody, and other areas only to those who
asked about them with `want`; it is silent about what the other side has itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ..limits import MAX_SAFE_INTEGER, MAX_WANTS, WANT_UNIT_BLOCKS
from .availability import CLAIMED_BEYOND, Availability
from .messages import (
    BITFIELD,
    RANGE,
    UNWANT,
    WANT,
    Want,
    decode_bitfield,
    decode_range,
    decode_want,
    encode_bitfield,
    encode_range,
    encode_want,
)
from .wants import LocalWants, RemoteWants

if TYPE_CHECKING:
    from .peer import Peer

# `lib/replicator.js`, LAST_BLOCKS: changes this near to the end are told to everybody.
_LAST_BLOCKS: Final = 256


class Holdings:
    """Part of a `Peer`. `available`: what the remote said it holds. `local_wants`: what we asked it to tell."""

    __slots__ = ("_announced_full", "_log", "_peer", "_remote_wants", "available", "local_wants")

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self._log = peer.log
        self.available = Availability()
        self.local_wants = LocalWants()
        self._remote_wants = RemoteWants()
        self._announced_full = 0

    # --- what we hold -------------------------------------------------------------------------

    def announce(self, start: int, length: int, *, drop: bool = False) -> None:
        """Tell of blocks that came (or went), if the remote is likely to care."""
        peer = self._peer
        if not peer.usable:
            return
        if drop:
            self._announced_full = min(self._announced_full, start)
            peer.channel.send(RANGE, encode_range(start, length, drop=True))
            self._repeat_above(start + length)
            return
        total = self._log.length
        if self._log.contiguous_length == total:
            # Complete: worth telling the first time whoever asks.
            start, length = 0, total
            if self._announced_full >= total and self._is_known_to_have(start, length):
                return
            self._announced_full = total
        elif self._is_known_to_have(start, length) or (
            start + _LAST_BLOCKS < total and not self._remote_wants.touches(start, length)
        ):
            return
        peer.channel.send(RANGE, encode_range(start, length))

    def _repeat_above(self, start: int) -> None:
        """Official readers forget all of a prefix above a gap in it, and do not ask again where they asked before."""
        log = self._log
        if start < log.length and log.has(start):
            end = min(log.bitfield.first_unset(start), log.length)
            if self._remote_wants.touches(start, end - start):
                self._peer.channel.send(RANGE, encode_range(start, end - start))

    def on_want(self, frame: bytes, position: int) -> None:
        want = decode_want(frame, position)
        if self._remote_wants.add(want) and self._peer.usable:
            self._peer.uploader.want(want)

    def on_unwant(self, frame: bytes, position: int) -> None:
        self._remote_wants.remove(decode_want(frame, position))

    def answer(self, want: Want) -> None:
        """Tell what we hold in an area: a prefix if that says it all, otherwise bits."""
        log, send = self._log, self._peer.uploader.send
        start, total = want.start, log.length
        held = min(total, log.contiguous_length)
        if start + want.length < held or held == total or (want.any and start < held):
            send(RANGE, encode_range(0, held))
            return
        end = min(start + want.length, total)
        if end <= start:
            return
        if want.any:
            found = log.first_set(start, end)
            if found >= 0:
                send(RANGE, encode_range(found, 1))
            return
        start, end = start & ~31, end + 31 & ~31
        while start < end:
            upto = min(end, (start // WANT_UNIT_BLOCKS + 1) * WANT_UNIT_BLOCKS)
            send(BITFIELD, encode_bitfield(start, log.bitfield.to_bytes(start, upto - start)))
            start = upto

    def _is_known_to_have(self, start: int, length: int) -> bool:
        """Whether the remote told us itself that it holds all of it."""
        return self.available.first_unset(start) >= start + length

    # --- what the remote holds ----------------------------------------------------------------

    def want(self, index: int, wish: Any) -> int:
        """Let the remote tell us about the unit of block `index`, for `wish`. Returns where the unit ends."""
        if index >= self.available.contiguous_length and wish is not None:
            want, unwant = self.local_wants.add(index, wish)
            if unwant is not None:
                self._peer.channel.send(UNWANT, encode_want(unwant))
            if want is not None:
                self._peer.channel.send(WANT, encode_want(want))
        return (index // WANT_UNIT_BLOCKS + 1) * WANT_UNIT_BLOCKS

    def want_all(self, start: int, end: int, wish: Any) -> None:
        """The same for all units of [start, end), as far as wants reach."""
        first = start // WANT_UNIT_BLOCKS * WANT_UNIT_BLOCKS
        for unit in range(first, end, WANT_UNIT_BLOCKS)[:MAX_WANTS]:
            self.want(max(unit, start), wish)

    def ask_anew(self, start: int, end: int) -> None:
        """Forget what we asked the remote about [start, end).

        A remote does not tell of blocks that it knows us to have. When we drop them, only a new want brings them up.
        """
        for unwant in self.local_wants.forget(start, end):
            self._peer.channel.send(UNWANT, encode_want(unwant))

    def truncated(self, ancestors: int) -> None:
        """Our tree has changed above `ancestors`: what was said of the one before does not hold for this one."""
        self.ask_anew(ancestors, MAX_SAFE_INTEGER)
        if self._peer.remote_fork != self._log.fork:
            # It holds blocks of the old tree there. When it follows us it will say what it has of the new one.
            self.available.remove(ancestors, MAX_SAFE_INTEGER, 0)

    def on_range(self, frame: bytes, position: int) -> None:
        start, length, drop = decode_range(frame, position)
        log = self._log
        limit = log.length + CLAIMED_BEYOND
        if drop:
            self.available.remove(start, start + length, limit)
            return
        if start == 0:
            self.available.add_prefix(length)
            if self._peer.remote_fork == log.fork and log.note_remote_contiguous(length):
                log.emit("remote-contiguous-length", log.remote_contiguous_length)
        else:
            self.available.add(start, start + length, limit)
        self._learned(start)

    def on_bitfield(self, frame: bytes, position: int) -> None:
        start, words = decode_bitfield(frame, position)
        self.available.replace(start, words, self._log.length + CLAIMED_BEYOND)
        self._learned(start)

    def _learned(self, start: int) -> None:
        replicator = self._peer.replicator
        replicator.demands.look_again_at(self._peer, start)
        replicator.scheduler.update(self._peer)
        replicator.upgrades.check()
