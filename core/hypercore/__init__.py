"""Hypercore 11: a signed, append-only log that anybody can hold a part of and nobody can forge.

session.py   Hypercore, what applications hold; waits for the network (view.py, snapshot.py, streams.py)
log.py       one log: append, truncate, clear, proofs in and out (stored_log.py, layout.py, bitfield.py)
merkle.py    the tree; proof.py made and checked; reorg.py forks; manifest.py, signatures.py who may sign
demand.py    what a log asks of the network, and what it tells its observers
registry.py  the logs of one store
"""

from .session import AppendResult, Hypercore
from .snapshot import Snapshot
from .view import Encryption

__all__ = ["AppendResult", "Encryption", "Hypercore", "Snapshot"]
