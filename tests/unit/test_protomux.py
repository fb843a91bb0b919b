"""Conversations of two muxes, written down as they go."""

from __future__ import annotations

import pytest

from core.encoding.compact import encode_uint
from core.errors import DecodingError, LocalProtocolError, MeadowError, RemoteProtocolError
from core.limits import MAX_BATCH_BYTES, MAX_CHANNELS
from core.protomux.mux import MAX_BODY_BYTES
from tests.support.wire import MuxEnd, joined_muxes, settle


def test_two_sides_open_one_channel() -> None:
    a, b = joined_muxes()
    ours, theirs = a.open("chat", b"1", handshake=b"from a"), b.open("chat", b"1", handshake=b"from b")
    ours.send(0, b"before it is open")
    assert not ours.opened
    settle(a, b)
    assert a.log == ["chat/1 opened from b"]
    assert b.log == ["chat/1 opened from a", "chat/1 text before it is open"]
    assert ours.opened
    assert theirs.opened
    assert list(a.mux.channels) == [ours]


def test_a_channel_made_on_demand() -> None:
    a, b = joined_muxes()
    b.accept("chat")
    channel = a.open("chat", b"1")
    channel.send(0, b"hello")
    settle(a, b)
    assert b.log == ["chat asked", "chat/1 opened ", "chat/1 text hello"]
    assert channel.opened


def test_what_nobody_wants_is_rejected_and_the_number_used_again() -> None:
    a, b = joined_muxes()
    channel = a.open("chat")
    channel.send(0, b"into the void")
    settle(a, b)
    assert a.log == ["chat closed"]
    assert b.log == []
    assert channel.closed
    channel.send(0, b"still nothing")
    assert not a.outgoing
    b.accept("again")
    a.open("again")
    assert a.outgoing[0] == b"\x00\x01\x01\x05again\x00"
    settle(a, b)
    assert a.log == ["chat closed", "again opened "]


def test_a_callback_for_one_id_comes_before_that_for_any() -> None:
    a, b = joined_muxes()
    b.mux.pair("chat", lambda id: b.note("any", (id or b"-").decode()))
    b.mux.pair("chat", lambda id: b.note("exact", (id or b"-").decode()), id=b"1")
    for id in (b"1", b"2", None):
        a.mux.create_channel("chat", id)
    settle(a, b)
    assert b.log == ["exact 1", "any 2", "any -"]
    b.mux.unpair("chat", b"1")
    a.mux.create_channel("chat", b"1")
    settle(a, b)
    assert b.log[3:] == ["any 1"]


def test_only_one_channel_of_a_key_unless_asked_otherwise() -> None:
    a, b = joined_muxes()
    first = a.open("chat")
    assert a.mux.create_channel("chat") is None
    second = a.mux.create_channel("chat", unique=False)
    assert second is not None
    b.accept("chat")
    settle(a, b)
    assert first.opened
    assert second.closed  # the other side wants only one


def test_close_is_told_once_on_both_sides() -> None:
    a, b = joined_muxes()
    ours, theirs = a.open("chat"), b.open("chat")
    settle(a, b)
    ours.close()
    ours.close()
    theirs.send(0, b"too late")
    settle(a, b)
    assert a.log == ["chat opened ", "chat closed"]
    assert b.log == ["chat opened ", "chat closed"]
    assert not list(a.mux.channels)
    assert not list(b.mux.channels)


def test_closes_that_cross() -> None:
    a, b = joined_muxes()
    ours, theirs = a.open("chat"), b.open("chat")
    settle(a, b)
    ours.close()
    theirs.close()
    settle(a, b)
    assert a.open("chat")
    b.open("chat")
    settle(a, b)
    assert a.log[-1] == b.log[-1] == "chat opened "


def test_closed_before_the_remote_answered() -> None:
    """The number stays taken until the remote's open or reject has come."""
    a, b = joined_muxes()
    b.accept("chat")
    a.open("chat").close()
    a.open("other")
    assert a.outgoing[-1][2:3] == b"\x02"
    b.accept("other")
    settle(a, b)
    assert b.log == ["chat asked", "chat opened ", "chat closed", "other asked", "other opened "]
    a.open("chat")
    assert a.outgoing[-1][2:3] == b"\x01"
    settle(a, b)
    assert b.log[-1] == "chat opened "


def test_reopening_from_the_close_handler() -> None:
    a, b = joined_muxes()
    a.mux.create_channel("chat", on_close=lambda: a.open("chat") and None)
    theirs = b.open("chat")
    b.accept("chat")
    settle(a, b)
    theirs.close()
    settle(a, b)
    assert a.log == ["chat opened "]
    assert b.log[-1] == "chat opened "


def test_aliases_pair_old_names_with_new_ones() -> None:
    a, b = joined_muxes()
    ours = a.open("old", aliases=("new",))
    b.open("new", aliases=("old",))
    ours.send(0, b"hi")
    settle(a, b)
    assert b.log == ["new opened ", "new text hi"]
    assert a.log == ["old opened "]
    ours.close()
    settle(a, b)
    assert not a.mux._pairings
    assert not b.mux._pairings


def test_corked_messages_leave_in_one_frame() -> None:
    a, b = joined_muxes()
    one, two = a.open("one"), a.open("two")
    b.accept("one")
    b.accept("two")
    settle(a, b)
    b.log.clear()
    a.mux.cork()
    a.mux.cork()
    for number in range(300):
        (one if number % 7 else two).send(0, str(number).encode())
    a.mux.uncork()
    assert not a.outgoing
    a.mux.uncork()
    assert len(a.outgoing) == 1
    settle(a, b)
    assert b.log == [f"{'one' if number % 7 else 'two'} text {number}" for number in range(300)]


def test_one_corked_message_leaves_as_itself() -> None:
    a, _ = joined_muxes()
    channel = a.open("one")
    a.outgoing.clear()
    a.mux.cork()
    channel.send(0, b"alone")
    a.mux.uncork()
    assert list(a.outgoing) == [b"\x01\x00alone"]


def test_a_large_batch_is_split() -> None:
    a, b = joined_muxes()
    sizes: list[int] = []
    b.mux.create_channel("bulk", messages=[lambda frame, position: sizes.append(len(frame) - position)])
    channel = a.open("bulk")
    settle(a, b)
    a.mux.cork()
    sent = [MAX_BATCH_BYTES // 2, MAX_BATCH_BYTES // 3, 5, MAX_BATCH_BYTES * 3, 7, MAX_BATCH_BYTES // 2]
    for size in sent:
        channel.send(0, bytes(size))
    a.mux.uncork()
    assert len(a.outgoing) == 3
    settle(a, b)
    assert sizes == sent


def test_answers_to_a_batch_leave_together() -> None:
    a, b = joined_muxes()
    echo = b.mux.create_channel("echo", messages=[lambda frame, position: echo.send(0, frame[position:])])
    channel = a.open("echo")
    settle(a, b)
    a.mux.cork()
    for word in (b"one", b"two", b"three"):
        channel.send(0, word)
    a.mux.uncork()
    b.receive_from(a)
    assert len(b.outgoing) == 1
    settle(a, b)
    assert a.log[1:] == ["echo text one", "echo text two", "echo text three"]


def test_a_handler_may_close_its_channel_in_the_middle_of_a_batch() -> None:
    a, b = joined_muxes()
    ours = a.open("chat")
    seen: list[bytes] = []

    def hear(frame: bytes, position: int) -> None:
        seen.append(frame[position:])
        theirs.close()

    theirs = b.mux.create_channel("chat", messages=[hear])
    settle(a, b)
    a.mux.cork()
    ours.send(0, b"first")
    ours.send(0, b"second")
    a.mux.uncork()
    settle(a, b)
    assert seen == [b"first"]
    assert ours.closed


def test_the_end_of_the_stream_closes_every_channel() -> None:
    a, b = joined_muxes()
    a.open("one")
    a.open("two")
    a.outgoing.clear()
    error = RemoteProtocolError("it broke")
    a.mux.close(error)
    a.mux.close(MeadowError("again"))
    assert a.log == ["one closed", "two closed"]
    assert a.mux.error is error
    assert not a.outgoing
    assert a.mux.create_channel("three") is None
    b.open("four")
    a.receive_from(b)
    assert not a.outgoing


def test_drain_is_told_to_open_channels() -> None:
    a, _ = joined_muxes()
    a.open("one", on_drain=lambda: a.note("drained"))
    a.mux.set_drained(True)
    a.mux.set_drained(False)
    assert a.log == []
    a.mux.set_drained(True)
    assert a.log == ["drained"]


def test_our_own_mistakes() -> None:
    a, _ = joined_muxes()
    channel = a.open("one")
    with pytest.raises(LocalProtocolError, match="uncork"):
        a.mux.uncork()
    with pytest.raises(LocalProtocolError, match="does not fit"):
        channel.send(0, bytes(MAX_BODY_BYTES + 1))


def test_our_channels_are_bounded() -> None:
    a, _ = joined_muxes()
    for number in range(MAX_CHANNELS):
        assert a.mux.create_channel("many", encode_uint(number))
    assert a.mux.create_channel("many", b"one more") is None


# --- what a stranger can do wrong -------------------------------------------------------------

WRONG = {
    "a frame of one byte": "01",
    "a channel number that ends early": "fd01",
    "a type that ends early": "01fd",
    "channel 0": "000100017800",
    "a number that skips one": "000102017800",
    "a very large number": "0001ff00000000000010000178",
    "an open without its protocol": "000101",
    "a protocol longer than the frame": "00010105ab",
    "an id longer than the frame": "0001010178057b",
    "a reject of nothing": "000201",
    "a reject of control": "000200",
    "a close without its number": "0003",
    "a batch without its channel": "0000",
    "a batch that ends inside a message": "0000010500",
    "a batch that ends inside a length": "000001fd",
    "a batch that ends at a new channel": "00000100",
    "a batch inside a batch": "000000020001",
}


@pytest.mark.parametrize("frame", WRONG.values(), ids=WRONG.keys())
def test_wrong_frames(frame: str) -> None:
    _, b = joined_muxes()
    with pytest.raises(RemoteProtocolError):
        b.mux.receive(bytes.fromhex(frame))


IGNORED = {
    "an empty frame": "",
    "a message for nobody": "070061",
    "an unknown control type": "000901",
    "a close of nothing": "000309",
    "a close of control": "000300",
    "an empty batch": "000001",
}


@pytest.mark.parametrize("frame", IGNORED.values(), ids=IGNORED.keys())
def test_ignored_frames(frame: str) -> None:
    _, b = joined_muxes()
    b.mux.receive(bytes.fromhex(frame))
    assert not b.outgoing


def test_a_number_that_is_in_use() -> None:
    _, b = joined_muxes()
    b.accept("x")
    b.mux.receive(bytes.fromhex("000101017800"))
    with pytest.raises(RemoteProtocolError, match="number 1, which is not free"):
        b.mux.receive(bytes.fromhex("000101017900"))


def test_an_error_in_a_handler_reaches_the_connection_and_nothing_stays_corked() -> None:
    a, b = joined_muxes()

    def fail(frame: bytes, position: int) -> None:
        raise DecodingError("not what it claims to be")

    b.mux.create_channel("x", messages=[fail])
    channel = a.open("x")
    settle(a, b)
    a.mux.cork()
    channel.send(0, b"one")
    channel.send(0, b"two")
    a.mux.uncork()
    with pytest.raises(DecodingError):
        b.receive_from(a)
    b.open("y")
    assert b.outgoing


def test_more_channels_than_anybody_honest_opens() -> None:
    _, b = joined_muxes()
    b.mux.pair("x", lambda id: b.mux.create_channel("x", id) and None)
    for number in range(1, MAX_CHANNELS + 1):
        b.mux.receive(b"\0\1" + encode_uint(number) + b"\1x" + b"\4" + number.to_bytes(4, "little"))
        b.outgoing.clear()
    with pytest.raises(RemoteProtocolError, match="more than"):
        b.mux.receive(b"\0\1" + encode_uint(MAX_CHANNELS + 1) + b"\1x\1z")


def test_opens_without_end_from_someone_who_does_not_read() -> None:
    _, b = joined_muxes()
    b.mux.set_drained(False)
    with pytest.raises(RemoteProtocolError, match="without reading"):
        for _ in range(MAX_CHANNELS + 1):
            b.mux.receive(bytes.fromhex("000101017800"))


def test_rejected_opens_leave_nothing_behind() -> None:
    _, b = joined_muxes()
    for number in range(1000):
        b.mux.receive(b"\0\1\1\1x\4" + number.to_bytes(4, "little"))
    mux = b.mux
    assert len(b.outgoing) == 1000
    assert (len(mux._local), len(mux._remote), len(mux._pairings), len(mux._unanswered)) == (0, 1, 0, 0)


def test_the_constants_are_the_protocols() -> None:
    end = MuxEnd("x")
    end.open("p", b"i", handshake=b"h").close()
    assert [frame.hex() for frame in end.outgoing] == ["0001010170016968", "000301"]
