"""Hyperswarm: whom to look for, whom to dial, which connection to keep.

`Swarm` decides and does no I/O: what happened goes in with the time, actions come out. `driver.py` runs it over
the DHT. Source of the rules: hyperswarm 4.17.2 (`index.js`, `lib/peer-discovery.js`, `lib/peer-info.js`,
`lib/retry-timer.js`); where this differs, the module says so.
"""

from .actions import (
    Action,
    Ban,
    Connect,
    Destroy,
    Dial,
    Flushed,
    Idle,
    KeepAlive,
    Listen,
    Prove,
    StartQuery,
    StopListening,
    StopQuery,
)
from .engine import Swarm
from .flush import Flush
from .links import Link
from .topics import Query, QueryKind, Topic, TopicSession

__all__ = [
    "Action",
    "Ban",
    "Connect",
    "Destroy",
    "Dial",
    "Flush",
    "Flushed",
    "Idle",
    "KeepAlive",
    "Link",
    "Listen",
    "Prove",
    "Query",
    "QueryKind",
    "StartQuery",
    "StopListening",
    "StopQuery",
    "Swarm",
    "Topic",
    "TopicSession",
]
