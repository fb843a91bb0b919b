"""The secret stream's two joined ends, and each way in which a stranger can be wrong."""

from __future__ import annotations

import pytest

from core.crypto.keys import key_pair
from core.errors import HandshakeError, LocalProtocolError, RemoteProtocolError
from core.limits import MAX_SEND_BUFFER
from core.secret_stream import HandshakeResult, SecretStream
from core.secret_stream.stream import MAX_MESSAGE_BYTES
from tests.support.wire import exchange, joined_streams


def test_both_ends_know_each_other() -> None:
    alice, bob = key_pair(), key_pair()
    left, right = joined_streams(alice, bob)
    assert left.opened
    assert right.opened
    assert left.remote_public_key == right.public_key == bob.public_key
    assert right.remote_public_key == left.public_key == alice.public_key
    assert left.handshake_hash == right.handshake_hash
    assert len(left.handshake_hash) == 64


def test_without_a_key_pair_everybody_is_somebody_new() -> None:
    assert SecretStream(True).public_key != SecretStream(True).public_key


def test_what_is_sent_before_the_handshake_arrives_after_it() -> None:
    left, right = SecretStream(True), SecretStream(False)
    left.send(b"early")
    right.send(b"bird")
    assert exchange(left, right) == ([b"bird"], [b"early"])


def test_messages_keep_their_boundaries_and_order() -> None:
    left, right = joined_streams()
    messages = [bytes([number]) * (number * 97) for number in range(1, 60)]
    for message in messages:
        left.send(message)
        right.send(message)
    assert exchange(left, right) == (messages, messages)


def test_an_empty_message_is_a_keep_alive() -> None:
    left, right = joined_streams()
    left.send(b"")
    left.send(b"x")
    frames = left.data_to_send()
    assert len(frames) == 20 + 21
    assert right.receive(frames) == [b"x"]


def test_the_largest_message() -> None:
    left, right = joined_streams()
    left.send(b"a" * MAX_MESSAGE_BYTES)
    left.send(b"b")
    data = left.data_to_send()
    received: list[bytes] = []
    for start in range(0, len(data), 1 << 20):
        received += right.receive(data[start : start + (1 << 20)])
    assert [len(message) for message in received] == [MAX_MESSAGE_BYTES, 1]
    with pytest.raises(LocalProtocolError):
        left.send(bytes(MAX_MESSAGE_BYTES + 1))


def test_what_is_queued_before_the_handshake_is_bounded() -> None:
    stream = SecretStream(False)
    stream.send(bytes(MAX_SEND_BUFFER // 2))
    with pytest.raises(LocalProtocolError):
        stream.send(bytes(MAX_SEND_BUFFER // 2))


def test_a_handshake_made_elsewhere() -> None:
    tx, rx, handshake_hash = bytes([1]) * 32, bytes([2]) * 32, bytes([3]) * 64
    left = SecretStream(True, handshake=HandshakeResult(tx, rx, handshake_hash, b"R" * 32))
    right = SecretStream(False, handshake=HandshakeResult(rx, tx, handshake_hash, b"L" * 32))
    assert left.opened
    assert left.remote_public_key == b"R" * 32
    left.send(b"at once")
    assert exchange(left, right) == ([], [b"at once"])


# --- what a stranger can do wrong -------------------------------------------------------------


@pytest.mark.parametrize("is_initiator", [True, False])
@pytest.mark.parametrize("length", [0, 31, 33, 97, 0xFFFFFF])
def test_a_first_frame_of_the_wrong_length_is_refused_before_it_arrives(
    is_initiator: bool, length: int
) -> None:
    stream = SecretStream(is_initiator)
    with pytest.raises(HandshakeError, match="bytes here, not"):
        stream.receive(length.to_bytes(3, "little"))


def test_a_web_browser() -> None:
    with pytest.raises(HandshakeError):
        SecretStream(False).receive(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")


@pytest.mark.parametrize("length", [0, 55, 57])
def test_a_header_of_the_wrong_length(length: int) -> None:
    stream = SecretStream(True, handshake=HandshakeResult(bytes(32), bytes(32), bytes(64), bytes(32)))
    with pytest.raises(HandshakeError):
        stream.receive(length.to_bytes(3, "little"))


def test_our_own_header_is_not_the_remotes() -> None:
    stream = SecretStream(True, handshake=HandshakeResult(bytes(32), bytes(32), bytes(64), bytes(32)))
    with pytest.raises(HandshakeError, match="another stream"):
        stream.receive(stream.data_to_send())


def test_a_message_shorter_than_its_authenticator() -> None:
    left, _ = joined_streams()
    with pytest.raises(RemoteProtocolError, match="16 bytes is shorter"):
        left.receive((16).to_bytes(3, "little"))


def test_a_repeated_frame() -> None:
    left, right = joined_streams()
    left.send(b"once")
    frame = left.data_to_send()
    assert right.receive(frame) == [b"once"]
    with pytest.raises(RemoteProtocolError, match="authenticate"):
        right.receive(frame)


def test_a_stream_that_failed_stays_failed() -> None:
    left, right = joined_streams()
    left.send(b"good")
    good = left.data_to_send()
    with pytest.raises(RemoteProtocolError):
        right.receive(b"\x11\x00\x00" + bytes(17))
    with pytest.raises(RemoteProtocolError):
        right.receive(good)


def test_a_frame_that_is_announced_but_does_not_arrive_costs_nothing() -> None:
    _, right = joined_streams()
    assert right.receive(b"\xff\xff\xff" + bytes(10)) == []
    assert len(right._partial) == 13
