"""Something newer than what we have: who may prove it, and when it is clear that nobody can.

Source: hypercore 11.37.1 `lib/replicator.js` (`addUpgrade`, `_checkUpgradeIfAvailable`, `_shouldUpgrade`,
`_resolveUpgradeRequest`).
"""

from __future__ import annotations

from asyncio import Future
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from .wishes import UpgradeWish, resolve

if TYPE_CHECKING:
    from .peer import Peer
    from .replicator import Replicator

# `lib/replicator.js`, MAX_PEERS_UPGRADE: so many peers that know nothing newer are enough.
_PEERS_ASKED: Final = 3


class Upgrades:
    """`wish`: an upgrade is wanted, by somebody who waits or because we follow eagerly."""

    def __init__(self, replicator: Replicator) -> None:
        self._replicator = replicator
        self._log = replicator.log
        self._searches = 0
        self.wish: UpgradeWish | None = None

    def wanted(self) -> UpgradeWish:
        """The wish, made now if nobody had it yet."""
        if self.wish is None:
            self.wish = UpgradeWish(self._log.fork, self._log.length)
        return self.wish

    def add(self, future: Future[bool]) -> None:
        """`future` resolves True when length or fork changed, False once nobody can know better."""
        wish = self.wanted()
        wish.futures.append(future)
        future.add_done_callback(lambda done: self._abandoned(wish) if done.cancelled() else None)
        self._replicator.scheduler.update_all()

    def possible_from(self, peer: Peer) -> bool:
        """Whether `peer` can prove something longer, knows where we are, and nobody else is asked already."""
        wish, log = self.wish, self._log
        return (
            (wish is None or not (wish.requests or wish.still_owes(peer)))
            and peer.remote_fork == log.fork
            and peer.remote_can_upgrade
            and peer.remote_length > log.length
            and peer.length_acked == log.length
        )

    def log_changed(self) -> None:
        """Length or fork is another than before: that is what was wanted."""
        wish, log = self.wish, self._log
        if wish is None or (wish.fork, wish.length) == (log.fork, log.length):
            return
        self.wish = None
        if wish.requests:
            self.wanted().requests.extend(wish.requests)
        for future in wish.futures:
            resolve(future, True)

    def check(self) -> None:
        """Tell those who wait that there is nothing newer, if that is so."""
        wish = self.wish
        if wish is None or not wish.futures or self._is_open(wish):
            return
        self.wish = None
        for future in wish.futures:
            resolve(future, False)

    def take_futures(self) -> list[Future[Any]]:
        """Drop the wish; returns those who wait, who must be told."""
        wish, self.wish = self.wish, None
        return [] if wish is None else list(wish.futures)

    # --- looking for peers --------------------------------------------------------------------

    @property
    def is_finding_peers(self) -> bool:
        return self._searches > 0

    def finding_peers(self) -> Callable[[], None]:
        """Somebody looks for peers; call what is returned when that is over."""
        self._searches += 1
        done = False

        def end() -> None:
            nonlocal done
            if not done:
                done = True
                self._searches -= 1
                self.check()

        return end

    # --- steps --------------------------------------------------------------------------------

    def _is_open(self, wish: UpgradeWish) -> bool:
        """Whether an upgrade may still come from those whom we know, or wait to know."""
        replicator, log = self._replicator, self._log
        if replicator.opening and len(replicator.open_peers) < _PEERS_ASKED:
            return True
        if not replicator.had_peers and self._searches:
            return True
        for peer in replicator.open_peers[:_PEERS_ASKED]:
            if peer.paused:
                continue
            if not peer.remote_synced or (log.length == 0 and peer.remote_length > 0):
                return True
            if peer.remote_length <= wish.length or peer.remote_fork != wish.fork:
                continue
            if peer.remote_fork == log.fork and peer.length_acked != log.length:
                return True
            if peer.remote_can_upgrade:
                return True
        return bool(wish.requests) or replicator.forks.in_flight

    def _abandoned(self, wish: UpgradeWish) -> None:
        wish.futures = [future for future in wish.futures if not future.done()]
        if self.wish is wish and not (
            wish.futures or wish.requests or self._replicator.options.eager_upgrade
        ):
            self.wish = None
