"""Replication of logs between peers: `Replicator` is one log over all its connections."""

from __future__ import annotations

from .options import Options
from .replicator import Replicator

__all__ = ["Options", "Replicator"]
