"""From a meeting of two peers in the DHT to a `Connection` like any other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ..crypto.keys import KeyPair
from ..dht.world import Meeting
from ..errors import MeadowError, StreamReset
from .connection import Connection, WhenSafe
from .udx_carrier import UdxCarrier


def connection_over(
    meeting: Meeting,
    key_pair: KeyPair,
    *,
    commit: Callable[[], None],
    when_safe: WhenSafe,
    on_open: Callable[[Connection], None],
    on_close: Callable[[Connection], None],
) -> Connection:
    """The connection whose bytes the meeting's stream carries; the other parameters are `Connection`'s.

    Its `how` is the meeting's, which may still become a better one. What has arrived already is handled in the next
    turn of the loop: `on_open` never comes before the caller holds the connection.
    """
    stream = meeting.stream
    host, port = stream.remote_address or ("0.0.0.0", 0)  # noqa: S104 - nobody is bound to it
    carrier = UdxCarrier(stream, lambda: meeting.how)
    connection = Connection(
        carrier,
        is_initiator=meeting.is_initiator,
        key_pair=key_pair,
        remote_address=f"{host}:{port}",
        commit=commit,
        when_safe=when_safe,
        on_open=on_open,
        on_close=on_close,
        handshake=meeting.handshake,
    )
    carrier.connection = connection
    carrier.on_closed = meeting.ended
    if stream.closed:
        connection.abort(StreamReset("the stream was gone before it could be used"))
        meeting.ended()
    else:
        asyncio.get_running_loop().call_soon(stream.resume)
    return connection


def plain_connection(
    meeting: Meeting,
    key_pair: KeyPair,
    *,
    on_open: Callable[[Connection], None],
    on_close: Callable[[Connection], None],
) -> Connection:
    """For whoever stores nothing: a relay's client, a test."""
    return connection_over(
        meeting, key_pair, commit=_nothing, when_safe=_at_once, on_open=on_open, on_close=on_close
    )


def _nothing() -> None:
    pass


def _at_once(told: Callable[[MeadowError | None], None], *, at_once: bool = False) -> None:
    told(None)
