"""Not waiting for ever: with several peers, what one of them does not answer is asked of another too.

Source: hypercore 11.37.1 `lib/replicator.js` (`_updateHotswap`), `lib/hotswap-queue.js`. The reference asks
a second peer at once, which downloads blocks twice that nobody was late with; we give the first one a moment.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Final

from .requests import PendingRequest

if TYPE_CHECKING:
    from .replicator import Replicator

_ROUND_SECONDS: Final = 0.25
_UPGRADE_ROUNDS: Final = 20

# `lib/hotswap-queue.js`: how many peers may be asked for one block, and how many blocks are looked at each time.
_MAX_COPIES: Final = 3
_MAX_TRIED: Final = 48
_MIN_WINDOW: Final = 16


class Patience:
    """Looks every `_ROUND_SECONDS` for overdue answers, as long as there are several peers and something is due."""

    def __init__(self, replicator: Replicator) -> None:
        self._replicator = replicator
        self._watching = False

    def watch(self) -> None:
        if not self._watching:
            self._watching = True
            self._replicator.call_later(_ROUND_SECONDS, self._look)

    def _look(self) -> None:
        self._watching = False
        replicator, outbox = self._replicator, self._replicator.outbox
        if replicator.closed or len(replicator.open_peers) < 2:
            return
        outbox.round += 1
        self._give_up_on_upgrade(outbox.round - _UPGRADE_ROUNDS)
        tried = 0
        for index, requests in list(outbox.asked.items()):
            # The oldest come first.
            if requests[0].round >= outbox.round or tried == _MAX_TRIED:
                break
            tried += 1
            overdue = requests[-1].round < outbox.round and len(requests) < _MAX_COPIES
            if overdue and not replicator.log.has(index):
                self._ask_another(index, requests)
        wish = replicator.upgrades.wish
        if outbox.asked or (wish is not None and wish.requests):
            self.watch()

    def _give_up_on_upgrade(self, round: int) -> None:
        """An upgrade asked for so long ago is still welcome, but others may be asked for it."""
        wish = self._replicator.upgrades.wish
        if wish is None:
            return
        overdue = [request for request in wish.requests if request.round <= round]
        if overdue:
            wish.overdue += overdue
            wish.requests = [request for request in wish.requests if request.round > round]
            self._replicator.scheduler.update_all()

    def _ask_another(self, index: int, requests: list[PendingRequest]) -> None:
        """Ask one more peer for a block: whoever answers first wins, the others are cancelled."""
        replicator, log = self._replicator, self._replicator.log
        scheduler = replicator.scheduler
        asked = [request.peer for request in requests]
        for peer in random.sample(replicator.open_peers, len(replicator.open_peers)):
            if (
                peer not in asked
                and peer.usable
                and peer.remote_uploading
                and peer.in_flight < max(_MIN_WINDOW, scheduler.window() // 2)
                and peer.remote_fork == log.fork
                and index < min(log.length, peer.remote_length)
                and peer.holdings.available.has(index)
                and scheduler.may_request(peer, index)
            ):
                replicator.outbox.send_block(peer, index, requests[0].priority)
                peer.hotswaps += 1
                return
