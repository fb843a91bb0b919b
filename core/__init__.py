"""Bytes from a stranger into verified records, and records into bytes that a stranger can verify.

The river, from a socket to a record (publishing is the same river upstream):

    net            sockets, timers, the one place that touches the outside       bytes in, bytes out
    secret_stream  ciphertext -> framed messages from a proven key               sans I/O
    protomux       frames -> messages on named channels                          sans I/O
    replication    requests, proofs, blocks -> verified batches for a log        sans I/O
    hypercore      a verified batch -> stored blocks, a longer log
    hyperbee       blocks by sequence number -> keys and values
    records        keys and values -> posts, movies, profiles

Below them: `crypto` (the only place that names primitives or draws randomness), `encoding`, `storage` (an ordered
key-value store whose writes become durable together, once a turn), `errors` and `limits`. Beside them: `corestore`
(many named logs in one store) and `peer`, which composes everything and is the door for applications.

Where a newcomer trips: replication stands *before* the log in the river but imports it, because it fills it; the log
asks for blocks through `hypercore/demand.py` and never knows who answers.

Applications use `core.peer`, `core.hyperbee`, `core.records` and `core.errors`, and nothing else of `core`. Programs of
others begin with four names: `from core import Corestore, Hyperbee, Hypercore, Peer`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .corestore import Corestore
    from .hyperbee import Hyperbee
    from .hypercore import Hypercore
    from .peer import Peer

__all__ = ["Corestore", "Hyperbee", "Hypercore", "Peer"]

_HOMES = {"Corestore": ".corestore", "Hyperbee": ".hyperbee", "Hypercore": ".hypercore", "Peer": ".peer"}


def __getattr__(name: str) -> Any:
    """Imported when it is asked for: a command that needs one room does not load the others."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name], __name__), name)
