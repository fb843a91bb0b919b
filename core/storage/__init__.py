"""Ordered bytes to bytes, durable together: on disk (`LmdbStorage`) or in memory (`MemoryStorage`)."""

from .base import Storage
from .commit import GroupCommit
from .lmdb import LmdbStorage
from .memory import MemoryStorage

__all__ = ["GroupCommit", "LmdbStorage", "MemoryStorage", "Storage"]
