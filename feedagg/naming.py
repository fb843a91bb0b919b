"""Which rows of `records` a statement means, said so that each database finds them by its index.

A bee's key has 32 bytes and a record's some twenty more. SQLite keeps both in two indexes, packed. PostgreSQL would
need 227 bytes for each record; there the index that knows a record holds 16 bytes of a hash of both (`feed_name` of
migration 0006), and the one of a bee's records the first eight bytes of its key (`feed_bee`). Two bees may share eight
bytes, so the whole key is compared too; 128 bits of SHA-256 are not shared by anybody.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any
from uuid import UUID

from sqlalchemy import Boolean, ColumnElement, Uuid, and_, bindparam, func, tuple_
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from feedagg.tables import records


def name_of(bee: bytes, key: bytes) -> UUID:
    """What `feed_name` says of them."""
    return UUID(bytes=hashlib.sha256(bee + key).digest()[:16])


def is_by(bee: bytes) -> ColumnElement[bool]:
    """The rows of a bee."""
    beginning = func.feed_bee(records.c.bee) == int.from_bytes(bee[:8], "big", signed=True)
    return _Either(records.c.bee == bee, and_(beginning, records.c.bee == bee))


def is_record(bee: bytes, key: bytes) -> ColumnElement[bool]:
    """The row of one record."""
    plain = and_(records.c.bee == bee, records.c.key == key)
    return _Either(plain, _name(records) == name_of(bee, key))


def are_records(wanted: Iterable[tuple[bytes, bytes]]) -> ColumnElement[bool]:
    """The rows of these (bee, key)."""
    names = list(wanted)
    bees, keys = {bee for bee, _ in names}, [key for _, key in names]
    if len(bees) == 1:
        plain = and_(records.c.bee == bees.pop(), records.c.key.in_(keys))
    else:
        plain = tuple_(records.c.bee, records.c.key).in_(names)

    def hashed() -> list[UUID]:  # asked for on PostgreSQL only
        return [name_of(*name) for name in names]

    among = bindparam("names", callable_=hashed, type_=Uuid(), unique=True, expanding=True)
    return _Either(plain, _name(records).in_(among))


def is_record_of(table: Any) -> ColumnElement[bool]:
    """The row with the `bee` and `key` of another table, to join them."""
    plain = and_(records.c.bee == table.c.bee, records.c.key == table.c.key)
    return _Either(plain, _name(records) == _name(table))


def unique_columns(dialect: str) -> list[Any]:
    """What no two rows share, as ON CONFLICT wants it."""
    return [_name(records)] if dialect == "postgresql" else [records.c.bee, records.c.key]


def _name(table: Any) -> Any:
    return func.feed_name(table.c.bee, table.c.key)


class _Either(FunctionElement[bool]):
    """A condition that reads otherwise on PostgreSQL: (elsewhere, there)."""

    type = Boolean()
    inherit_cache = True

    def self_group(self, against: Any = None) -> Any:
        """As it is: `(...) = 1` would be written for SQLite's booleans, and no index found by that."""
        return self


@compiles(_Either)
def _elsewhere(element: _Either, compiler: Any, **options: Any) -> str:
    elsewhere, _ = element.clauses
    return f"({compiler.process(elsewhere, **options)})"


@compiles(_Either, "postgresql")
def _there(element: _Either, compiler: Any, **options: Any) -> str:
    _, there = element.clauses
    return f"({compiler.process(there, **options)})"
