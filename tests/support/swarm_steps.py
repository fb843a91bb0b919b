"""A swarm and the steps that most tests of its rules take, with a driver of three lines."""

from __future__ import annotations

from random import Random
from typing import TypeVar

from core.swarm import (
    Dial,
    Link,
    Query,
    StartQuery,
    Swarm,
)

OWN = bytes([128]) * 32
TOPIC = bytes([1]) * 32
CLOSEST = b"closest nodes"
NODES = (("10.0.0.1", 1), ("10.0.0.2", 2))
T = TypeVar("T")


def key(number: int) -> bytes:
    return bytes([number]) * 32


def swarm_of(**options: object) -> Swarm:
    return Swarm(OWN, random=Random(1), **options)  # type: ignore[arg-type]


def only(swarm: Swarm, kind: type[T]) -> list[T]:
    return [action for action in swarm.actions() if isinstance(action, kind)]


def lookup(swarm: Swarm, topic: bytes = TOPIC, **options: bool | int) -> Query:
    """Join as a client and return the query that this starts."""
    swarm.join(topic, **{"server": False, **options})  # type: ignore[arg-type]
    (start,) = only(swarm, StartQuery)
    return start.query


def dial_one(swarm: Swarm, query: Query, number: int, now: float = 0.0) -> Link:
    swarm.found(query, key(number), NODES, now)
    (dial,) = only(swarm, Dial)
    return dial.link
