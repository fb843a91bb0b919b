"""Requests as outcomes, for conversations (`flow.py`)."""

from __future__ import annotations

from typing import Unpack

from .address import Address
from .commands import PING
from .flow import Outcome
from .node import DhtNode
from .outgoing import Reply, RequestOptions


def ask(
    node: DhtNode,
    to: Address,
    command: int,
    *,
    internal: bool = False,
    target: bytes | None = None,
    value: bytes | None = None,
    token: bytes | None = None,
    **options: Unpack[RequestOptions],
) -> Outcome[Reply]:
    """`DhtNode.request` whose answer can be awaited; the callbacks in `options` are not used."""
    outcome: Outcome[Reply] = Outcome()
    options["on_reply"] = outcome.set
    options["on_error"] = outcome.fail
    node.request(to, command, internal=internal, target=target, value=value, token=token, **options)
    return outcome


def ping(node: DhtNode, to: Address, **options: Unpack[RequestOptions]) -> Outcome[Reply]:
    return ask(node, to, PING, internal=True, **options)
