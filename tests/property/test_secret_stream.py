"""Whatever a network or a stranger does to the bytes of a secret stream."""

from __future__ import annotations

from contextlib import suppress
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.crypto.keys import key_pair
from core.errors import RemoteProtocolError
from core.secret_stream import SecretStream
from tests.support.wire import joined_streams

ALICE, BOB = key_pair(bytes(32)), key_pair(bytes([1]) * 32)
messages = st.lists(st.binary(max_size=400) | st.integers(1000, 9000).map(bytes), max_size=12)
cuts = st.lists(st.integers(0, 30_000), max_size=20)


def pieces(data: bytes, at: list[int]) -> list[bytes]:
    edges = [0, *sorted(cut % (len(data) + 1) for cut in at), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]


@given(messages, cuts)
def test_any_chunking_gives_the_same_messages(sent: list[bytes], at: list[int]) -> None:
    left, right = joined_streams(ALICE, BOB)
    for message in sent:
        left.send(message)
    received = [message for piece in pieces(left.data_to_send(), at) for message in right.receive(piece)]
    assert received == [message for message in sent if message]


@given(messages, messages, cuts)
@settings(max_examples=50)
def test_any_chunking_of_the_handshake_too(
    to_right: list[bytes], to_left: list[bytes], at: list[int]
) -> None:
    left, right = SecretStream(True, ALICE), SecretStream(False, BOB)
    for message in to_right:
        left.send(message)
    for message in to_left:
        right.send(message)
    got_left: list[bytes] = []
    got_right: list[bytes] = []
    while (leftward := right.data_to_send()) + (rightward := left.data_to_send()):
        for piece in pieces(rightward, at):
            got_right += right.receive(piece)
        for piece in pieces(leftward, at):
            got_left += left.receive(piece)
    assert got_right == [message for message in to_right if message]
    assert got_left == [message for message in to_left if message]


@given(messages, st.integers(0), st.integers(1, 255), cuts)
def test_a_changed_byte_is_never_taken_for_a_message(
    sent: list[bytes], where: int, change: int, at: list[int]
) -> None:
    left, right = joined_streams(ALICE, BOB)
    for message in [b"first", *sent, b"last"]:
        left.send(message)
    data = bytearray(left.data_to_send())
    where %= len(data)
    data[where] ^= change
    received: list[bytes] = []
    try:
        for piece in pieces(bytes(data), at):
            received += right.receive(piece)
    except RemoteProtocolError:
        pass
    else:
        # Only a length that has grown can go unnoticed, until the missing bytes come.
        assert right._partial
    genuine = [message for message in [b"first", *sent, b"last"] if message]
    assert received == genuine[: len(received)]
    assert len(received) < len(genuine)


@given(st.booleans(), st.binary(max_size=300), cuts)
def test_garbage_instead_of_a_handshake(is_initiator: bool, garbage: bytes, at: list[int]) -> None:
    stream = SecretStream(is_initiator, ALICE)
    with suppress(RemoteProtocolError):
        for piece in pieces(garbage, at):
            assert stream.receive(piece) == []
    assert not stream.opened


@given(st.integers(0, 3), st.integers(0), st.integers(1, 255))
def test_a_changed_byte_in_the_handshake(stage: int, where: int, change: int) -> None:
    """It is noticed: at once, or (the nonce in the header) with the first message behind it."""
    sides = SecretStream(True, ALICE), SecretStream(False, BOB)
    with pytest.raises(RemoteProtocolError):
        for number in range(6):
            sender, receiver = sides[number % 2], sides[1 - number % 2]
            if number > stage and sender.opened:
                sender.send(b"hello")
            data = bytearray(sender.data_to_send())
            if number == stage:
                data[where % len(data)] ^= change
            received = receiver.receive(bytes(data))
            assert not received or number % 2 != stage % 2


@given(st.binary(max_size=200), cuts)
def test_garbage_after_the_handshake(garbage: bytes, at: list[int]) -> None:
    _, right = joined_streams(ALICE, BOB)
    with suppress(RemoteProtocolError):
        for piece in pieces(garbage, at):
            assert right.receive(piece) == []
