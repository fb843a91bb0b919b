"""Online, degraded or offline, judged by answers and timeouts of four ticks (dht-rpc 6.27.0 `lib/health.js`)."""

from __future__ import annotations

from collections import deque
from enum import Enum
from typing import Final

TICKS: Final = 4
OFFLINE_TICKS: Final = 2
MIN_REQUESTS: Final = 4
DEGRADED_TIMEOUTS: Final = 0.5


class Health(Enum):
    ONLINE = "online"
    DEGRADED = "degraded"
    OFFLINE = "offline"


class HealthWindow:
    """Fed once a tick with the running totals; `state` says what they mean. Idle ticks change nothing."""

    __slots__ = ("_last", "_verdicts", "_warm", "state")

    def __init__(self) -> None:
        self.state = Health.ONLINE
        self._verdicts: deque[Health | None] = deque(maxlen=TICKS)
        self._last: tuple[int, int] | None = None
        self._warm = 0

    def reset(self) -> None:
        self.state = Health.ONLINE
        self._verdicts.clear()
        self._last = None
        self._warm = 0

    def update(self, responses: int, timeouts: int) -> Health:
        """`responses` and `timeouts` are totals since the start; returns the state after this tick."""
        previous, self._last = self._last, (responses, timeouts)
        self._warm += 1
        verdict = None
        if previous is not None and self._warm >= TICKS:
            verdict = _verdict(responses - previous[0], timeouts - previous[1])
        self._verdicts.append(verdict)
        if verdict is not None:
            self._judge(verdict)
        return self.state

    def _judge(self, verdict: Health) -> None:
        recent = [one for one in self._verdicts if one is not None]
        if verdict is Health.OFFLINE:
            if recent[-OFFLINE_TICKS:] == [Health.OFFLINE] * OFFLINE_TICKS:
                self.state = Health.OFFLINE
            return
        if self.state is Health.OFFLINE:
            self.state = Health.ONLINE
        if all(one is Health.DEGRADED for one in self._verdicts):
            self.state = Health.DEGRADED
        elif all(one is Health.ONLINE for one in self._verdicts):
            self.state = Health.ONLINE


def _verdict(responses: int, timeouts: int) -> Health | None:
    if responses + timeouts < MIN_REQUESTS:
        return None
    if responses == 0:
        return Health.OFFLINE
    return Health.DEGRADED if timeouts / (responses + timeouts) > DEGRADED_TIMEOUTS else Health.ONLINE
