"""Walking a bee in key order: bounds, and a cursor that reads ahead of nothing it will not need.

Source of the semantics: hyperbee 2.27.3 `iterators/range.js` and `encRange` of index.js. Positions inside a node are
counted as there, because peers exchange them (`extension.py`): 2n is child n, 2n + 1 is key n.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from ..errors import DecodingError
from .blocks import MAX_TREE_DEPTH, Missing, TreeNode
from .encodings import Codec, Prefixed
from .node import parse_block
from .tree import MAX_KEYS


class Entry(NamedTuple):
    """One key of a bee: the operation that wrote it, and what it wrote (decoded)."""

    seq: int
    key: Any
    value: Any


EntryMaker = Callable[[int, bytes, bytes | None], Entry]


class TreeSource(Protocol):
    """What a cursor walks: a version in the log (`BlockReader`), or the state of a batch."""

    def root(self, version: int) -> TreeNode | None: ...
    def child(self, node: TreeNode, slot: int, /) -> TreeNode: ...
    def block(self, seq: int, /) -> bytes: ...
    def position(self, node: TreeNode, key: bytes, /) -> tuple[int, bool]: ...


def read_entry(source: TreeSource, seq: int, make_entry: EntryMaker) -> Entry:
    """The entry that operation `seq` wrote; raises `Missing`."""
    _, _, key, value = parse_block(source.block(seq))
    return make_entry(seq, key, value)


def entry_maker(key_codec: Codec, value_codec: Codec) -> EntryMaker:
    """How bytes become entries in these encodings. A missing value is None and is never decoded."""
    decode_key, decode_value = key_codec.decode, value_codec.decode
    new = Entry.__new__

    def make(seq: int, key: bytes, value: bytes | None) -> Entry:
        return new(Entry, seq, decode_key(key), None if value is None else decode_value(value))

    return make


@dataclass(frozen=True, slots=True)
class Bounds:
    """Encoded bounds of a range; None is no bound."""

    lower: bytes | None = None
    lower_inclusive: bool = True
    upper: bytes | None = None
    upper_inclusive: bool = True

    def contain_upper(self, key: bytes) -> bool:
        return self.upper is None or key < self.upper or (self.upper_inclusive and key == self.upper)

    def contain_lower(self, key: bytes) -> bool:
        return self.lower is None or key > self.lower or (self.lower_inclusive and key == self.lower)


def encode_bounds(
    codec: Codec, *, gt: Any = None, gte: Any = None, lt: Any = None, lte: Any = None
) -> Bounds:
    """Bounds as a caller gives them: gt wins over gte, lt over lte.

    In a sub a missing bound is the edge of the sub. As in the reference, the empty key and the key 00 lie outside of
    that default (they are found with `gte=b""`), and a prefix that ends in ff has no usable upper edge.
    """
    encode_range = getattr(codec.inner if isinstance(codec, Prefixed) else codec, "encode_range", None)
    if encode_range is not None:
        encoded = encode_range({"gt": gt, "gte": gte, "lt": lt, "lte": lte})
        gt, gte, lt, lte = (encoded.get(name) for name in ("gt", "gte", "lt", "lte"))
        prefix = codec.prefix if isinstance(codec, Prefixed) else b""
        gt, gte, lt, lte = (None if bound is None else prefix + bound for bound in (gt, gte, lt, lte))
    else:
        gt, gte, lt, lte = (None if bound is None else codec.encode(bound) for bound in (gt, gte, lt, lte))
    if isinstance(codec, Prefixed):
        if gt is None and gte is None:
            gt = codec.prefix + b"\x00"
        if lt is None and lte is None:
            lt = codec.prefix[:-1] + bytes(((codec.prefix[-1] + 1) & 0xFF,))
    lower = gte if gt is None else gt
    upper = lte if lt is None else lt
    return Bounds(lower, gt is None, upper, lt is None)


class Frame:
    """A node on the way down and the position to visit next in it."""

    __slots__ = ("at", "node")

    def __init__(self, node: TreeNode, at: int) -> None:
        self.node = node
        self.at = at


class RangeCursor:
    """An in-order walk over one version. Synchronous: `fill` raises `Missing` and can be called again after it."""

    def __init__(
        self,
        source: TreeSource,
        version: int,
        bounds: Bounds,
        make_entry: EntryMaker,
        *,
        reverse: bool = False,
        limit: int = -1,
        checkpoint: Sequence[Frame] | None = None,
        thorough: bool = False,
    ) -> None:
        self.version = version
        self.bounds = bounds
        self.reverse = reverse
        self.remaining = limit
        self.visits = 0
        """Nodes and keys looked at so far."""
        self.opened = checkpoint is not None
        self._source = source
        self._make_entry = make_entry
        self._stack: list[Frame] = list(checkpoint or ())
        self._thorough = thorough  # look past a bound that was met exactly, as the reference does
        self._last: bytes | None = None
        self._leaf_depth = 0

    @property
    def stack(self) -> Sequence[Frame]:
        """From the root down; empty before the start and after the end."""
        return self._stack

    def fill(self, count: int) -> list[Entry]:
        """Up to `count` next entries; none when the walk is over. Raises `Missing` only before the first one."""
        entries: list[Entry] = []
        try:
            if not self.opened:
                self._open()
            while self._stack and self.remaining and len(entries) < count:
                self._step(entries, count)
        except Missing:
            if not entries:
                raise
        if not self.remaining:
            self._stack.clear()
        return entries

    def _open(self) -> None:
        bounds = self.bounds
        reverse = self.reverse
        start, inclusive = (
            (bounds.upper, bounds.upper_inclusive) if reverse else (bounds.lower, bounds.lower_inclusive)
        )
        stack: list[Frame] = []
        node = self._source.root(self.version)
        depth = 0
        while node is not None:
            size = 2 * len(node.seqs)
            depth += 1
            if start is None:
                stack.append(Frame(node, size if reverse else 0))
                break
            slot, found = self._source.position(node, start)
            if found:
                at = 2 * slot + 1 if inclusive else 2 * slot + (0 if reverse else 2)
            else:
                at = 2 * slot + (-1 if reverse else 1)
            if 0 <= at <= size:
                stack.append(Frame(node, at))
            if found or not node.children:
                break
            if depth > MAX_TREE_DEPTH:
                raise DecodingError("the tree is deeper than any honest one")
            node = self._source.child(node, slot)
        self._stack = stack
        self._leaf_depth = depth if node is not None and not node.children else 0
        self.opened = True

    def _step(self, entries: list[Entry], count: int) -> None:
        """Finish the top node, or go down one level."""
        frame = self._stack[-1]
        node, at = frame.node, frame.at
        if node.children:
            if at & 1 == 0 and at >= 0:
                self._descend(frame, node, at)
                return
            self._visit_keys(frame, entries, 1)
        else:
            if not self._leaf_depth:
                self._leaf_depth = len(self._stack)
            self._visit_keys(frame, entries, count - len(entries))

    def _descend(self, frame: Frame, node: TreeNode, at: int) -> None:
        child = self._source.child(node, at >> 1)
        self.visits += 1
        reverse = self.reverse
        frame.at = at - 1 if reverse else at + 1
        if len(self._stack) > MAX_TREE_DEPTH:
            raise DecodingError("the tree is deeper than any honest one")
        self._stack.append(Frame(child, 2 * len(child.seqs) if reverse else 0))

    def _visit_keys(self, frame: Frame, entries: list[Entry], count: int) -> None:
        """The next keys of one node, up to `count`; pops the node when it has none left."""
        seqs = frame.node.seqs
        block_of, make_entry = self._source.block, self._make_entry
        reverse, step = self.reverse, -1 if self.reverse else 1
        slot = (frame.at - 1) >> 1 if reverse else frame.at >> 1
        last = self._last
        while count and self.remaining:
            if not 0 <= slot < len(seqs):
                self._stack.pop()
                return
            seq = seqs[slot]
            _, _, key, value = parse_block(block_of(seq))
            if last is not None and (key >= last if reverse else key <= last):
                raise DecodingError(f"the tree's keys are not in order (operation {seq})")
            self._last = last = key
            self.visits += 1
            if self._is_past_end(key):
                self.remaining = 0
                return
            slot += step
            frame.at = 2 * slot + 2 if reverse else 2 * slot
            self.remaining -= 1
            count -= 1
            entries.append(make_entry(seq, key, value))
            if key == (self.bounds.lower if reverse else self.bounds.upper) and not self._thorough:
                self.remaining = 0

    def _is_past_end(self, key: bytes) -> bool:
        return not (self.bounds.contain_lower(key) if self.reverse else self.bounds.contain_upper(key))

    # --- what will be needed ------------------------------------------------------------------

    def ahead(self) -> list[int]:
        """Blocks that the rest of the top node will certainly need: they may be asked for at once.

        Certainly means: even if every subtree in between is as full as it can be, the limit is not reached before;
        and no bound ends the walk inside this node.
        """
        if not self._stack or not self._ends_after_top():
            return []
        frame = self._stack[-1]
        node, at, step = frame.node, frame.at, -1 if self.reverse else 1
        room = self.remaining if self.remaining >= 0 else None
        subtree = 0  # the most keys that one child can hold
        if node.children and room is not None:
            if not self._leaf_depth:
                return []
            subtree = (MAX_KEYS + 1) ** (self._leaf_depth - len(self._stack)) - 1
        wanted: list[int] = []
        while 0 <= at <= 2 * len(node.seqs) and (room is None or room > 0):
            slot = at >> 1
            if at & 1:
                wanted.append(node.seqs[slot])
            elif node.children:
                wanted.append(node.children[slot].seq)
            if room is not None:
                room -= 1 if at & 1 else subtree
            at += step
        return wanted

    def _ends_after_top(self) -> bool:
        """Whether the walk's bound lies behind everything below the top node, as far as the keys read so far tell."""
        if (self.bounds.lower if self.reverse else self.bounds.upper) is None:
            return True
        for frame in reversed(self._stack[:-1]):
            slot = (frame.at - 1) >> 1 if self.reverse else frame.at >> 1
            if 0 <= slot < len(frame.node.seqs):
                key = frame.node.keys[slot]
                return key is not None and not self._is_past_end(key)
        return False
