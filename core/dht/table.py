"""The routing table: 256 rows of at most 20 nodes, by how long a prefix they share with us.

Source: kademlia-routing-table 1.0.6. Row i holds the nodes whose id first differs from ours in bit i. What happens
when a row is full is not decided here (see `upkeep.py`): `add` says no and the caller may ask an old node whether it
still lives.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from .address import Address, encode_address
from .peer_id import ID_BITS, id_of_compact

K: Final = 20


@dataclass(slots=True, eq=False)
class TableNode:
    """A node we know. Times are in ticks; `sampled` is 0 until its view of our address was taken."""

    address: Address
    id: bytes
    compact: bytes
    number: int
    added: int = 0
    pinged: int = 0
    seen: int = 0
    sampled: int = 0
    down_hints: int = field(default=0)

    @classmethod
    def at(cls, address: Address) -> TableNode:
        compact = encode_address(address)
        id = id_of_compact(compact)
        return cls(address, id, compact, int.from_bytes(id, "big"))


class RoutingTable:
    """Nodes by prefix. `id` is ours (32 bytes), or a random one while we are ephemeral."""

    __slots__ = ("_nodes", "_number", "_rows", "id")

    def __init__(self, id: bytes) -> None:
        self.id = id
        self._number = int.from_bytes(id, "big")
        self._rows: dict[int, dict[bytes, TableNode]] = {}
        self._nodes: dict[bytes, TableNode] = {}

    def __len__(self) -> int:
        return len(self._nodes)

    def get(self, id: bytes) -> TableNode | None:
        return self._nodes.get(id)

    def nodes(self) -> Iterable[TableNode]:
        return self._nodes.values()

    def add(self, node: TableNode) -> bool:
        """False when the row is full (or the node is ourselves)."""
        if node.id == self.id:
            return False
        row = self._rows.setdefault(self._row(node.number), {})
        if len(row) >= K and node.id not in row:
            return False
        row[node.id] = self._nodes[node.id] = node
        return True

    def remove(self, id: bytes) -> bool:
        node = self._nodes.pop(id, None)
        if node is None:
            return False
        index = self._row(node.number)
        row = self._rows[index]
        del row[id]
        if not row:
            del self._rows[index]
        return True

    def row_of(self, node: TableNode) -> list[TableNode]:
        """Everybody in the row where `node` is or would be."""
        return list(self._rows.get(self._row(node.number), {}).values())

    def closest(self, target: bytes, limit: int = K) -> list[TableNode]:
        """Up to `limit` nodes in exact order of distance from `target`.

        Which rows are nearest follows from the prefixes alone: the target's own row first, then every longer prefix
        together (they all differ from the target in the same first bit), then the shorter ones downwards. So at
        most a few rows are sorted, never the table. (The reference walks rows without sorting; askers stop reading
        at the first entry that does not help them, so exact order serves them better.)
        """
        number = int.from_bytes(target, "big")
        rows, own = self._rows, self._row(number)
        found: list[TableNode] = []
        nearest = rows.get(own)
        if nearest is not None:
            found += _by_distance(nearest.values(), number)
        if len(found) < limit:
            longer = [node for index, row in rows.items() if index > own for node in row.values()]
            found += _by_distance(longer, number)
        for index in range(own - 1, -1, -1):
            if len(found) >= limit:
                break
            row = rows.get(index)
            if row is not None:
                found += _by_distance(row.values(), number)
        return found[:limit]

    def _row(self, number: int) -> int:
        """Index of the first differing bit; our own id counts as the last row."""
        return min(ID_BITS - (number ^ self._number).bit_length(), ID_BITS - 1)


def _by_distance(nodes: Iterable[TableNode], number: int) -> list[TableNode]:
    # No two nodes have the same distance, so nodes themselves are never compared.
    return [node for _, node in sorted([(node.number ^ number, node) for node in nodes])]
