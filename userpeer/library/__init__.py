"""What is here of all bees that one reads, one's own among them, in a form that pages can ask questions of.

    blocks of a bee ──> rows.py (pure: one operation, one row) ──> shelf.py (SQLite) ──> queries (timeline, thread, …)
          ▲                                                           │
    reading.py of each bee: newest first, then forward ── position ──┘   (a position moves with its rows)

Everything in the database is derived: delete the file and the next start reads it again from the blocks.
"""

from .follows import FollowedBee, Follows
from .queries import Library, Page, Thread
from .shelf import Shelf

__all__ = ["FollowedBee", "Follows", "Library", "Page", "Shelf", "Thread"]
