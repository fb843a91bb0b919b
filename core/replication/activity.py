"""Whether we want anything of a log's peers, and telling them so: channels nobody needs are closed.

Source: hypercore 11.37.1 `lib/replicator.js` (`setDownloading`, `_setDownloadingNow`, `isAllowingPush`).

The last session that closes does not end the wish at once: it lingers, because the next one usually opens soon.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from .replicator import Replicator

# `lib/replicator.js`, NOT_DOWNLOADING_SLACK: 20 to 40 s, so that not everybody leaves at once.
_LINGER_SECONDS: Final = (20.0, 40.0)


class Activity:
    """`wanted`: some session is open, or was a moment ago."""

    def __init__(self, replicator: Replicator) -> None:
        self._replicator = replicator
        self.wanted = False
        # Counts changes of mind; a timer that finds another number than its own is out of date.
        self._decisions = 0
        self._lingering = False

    @property
    def downloading(self) -> bool:
        """What peers are told: wanted, or answers are still due."""
        return self.wanted or len(self._replicator.table) > 0

    @property
    def allowing_push(self) -> bool:
        return self._replicator.options.allow_push and self.wanted and not self._lingering

    def set(self, wanted: bool) -> None:
        """The first session opened, or the last one closed."""
        allowed = self.allowing_push
        self._decisions += 1
        self._lingering = False
        linger = self._replicator.options.linger
        if wanted or linger == 0:
            if not self._set_now(wanted) and allowed != self.allowing_push:
                self._tell_peers()
            return
        if not self.wanted:
            return
        self._lingering = True
        decision = self._decisions

        def leave() -> None:
            if decision == self._decisions:
                self._lingering = False
                self._set_now(False)

        seconds = random.uniform(*_LINGER_SECONDS) if linger is None else linger  # noqa: S311
        self._replicator.call_later(seconds, leave)
        if allowed != self.allowing_push:
            self._tell_peers()

    def answers_drained(self) -> None:
        """No answer is due any more: if that was all that kept us, say so."""
        if not self.wanted and not self._replicator.closed:
            self._tell_peers()
            self._close_idle()

    def _set_now(self, wanted: bool) -> bool:
        """True when peers were told."""
        if self.wanted == wanted or self._replicator.closed:
            return False
        self.wanted = wanted
        if not wanted and self.downloading:
            return False
        self._tell_peers()
        if wanted:
            self._replicator.open_everywhere()
        else:
            self._close_idle()
        return True

    def _tell_peers(self) -> None:
        for peer in list(self._replicator.open_peers):
            peer.signal_upgrade()

    def _close_idle(self) -> None:
        for peer in list(self._replicator.open_peers):
            peer.close_if_idle()
