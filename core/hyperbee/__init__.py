"""Hyperbee 2: a B-tree of keys and values written into a log, one block an operation.

bee.py         `Hyperbee`: writing, subs, checkouts, watching      view.py  reading: get, range, history, diff
batch.py       many operations in one append                       writer.py  turns, and the tree kept between writes
tree.py        the write rules, byte for byte: start here          node.py  blocks to values and back
blocks.py      a log's blocks as tree nodes, cached                walks.py  cursors, and the waiting around them
ranges.py, diff.py, history.py  the cursors                        extension.py  which blocks a lookup takes
watch.py       following changes      unlinked.py  forgetting      encodings.py, json_text.py  keys and values
"""

from .batch import Batch
from .bee import Hyperbee
from .diff import Difference
from .encodings import ENCODINGS, Codec
from .history import Operation
from .node import Header, Metadata
from .ranges import Entry
from .watch import EntryWatcher, Watcher

__all__ = [
    "ENCODINGS",
    "Batch",
    "Codec",
    "Difference",
    "Entry",
    "EntryWatcher",
    "Header",
    "Hyperbee",
    "Metadata",
    "Operation",
    "Watcher",
]
