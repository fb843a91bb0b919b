"""How a log behaves towards its peers; the names and defaults are those of hypercore 11.37.1 where it has them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Options:
    """`eager_upgrade`: follow the log's length without being asked. `allow_fork`: follow truncations.

    `allow_push`: take blocks nobody asked for. `push_only`: ask for nothing but what is forced.
    `always_latest_block`: an upgrade brings the newest block along. `in_flight`: least and most requests
    that one peer may have to answer at a time. `linger`: seconds for which the log stays wanted after its last session
    closed; None is a random 20 to 40.
    """

    eager_upgrade: bool = True
    allow_fork: bool = True
    allow_push: bool = False
    push_only: bool = False
    always_latest_block: bool = False
    in_flight: tuple[int, int] = (16, 512)
    linger: float | None = None
