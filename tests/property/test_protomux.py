"""Protomux under any interleaving of two honest sides, and under anything a dishonest one sends."""

from __future__ import annotations

from collections import deque

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from core.encoding.compact import decode_uint, encode_optional_buffer, encode_string, encode_uint
from core.errors import RemoteProtocolError
from core.protomux import Channel, Mux

KEYS = [("x", None), ("x", b"1"), ("x", b"2"), ("y", None)]


class Recorded:
    """A channel, what it was sent, and what it heard: each message is (channel token, counter)."""

    def __init__(self, token: int) -> None:
        self.token = token
        self.channel: Channel | None = None
        self.sent = 0
        self.heard: list[tuple[int, int]] = []
        self.handshakes: list[int] = []
        self.closed = 0


class Side:
    def __init__(self) -> None:
        self.outgoing: deque[bytes] = deque()
        self.mux = Mux(
            is_initiator=True,
            handshake_hash=bytes(64),
            remote_public_key=bytes(32),
            send=self.outgoing.append,
        )
        self.all: list[Recorded] = []
        self.corks = 0

    def create(self, key: tuple[str, bytes | None], token: int, *, unique: bool) -> None:
        record = Recorded(token)

        def hear(frame: bytes, position: int) -> None:
            sender, position = decode_uint(frame, position)
            record.heard.append((sender, decode_uint(frame, position)[0]))
            assert not record.closed

        def opened(handshake: bytes) -> None:
            record.handshakes.append(decode_uint(handshake, 0)[0])
            assert not record.heard
            assert not record.closed

        def closed() -> None:
            record.closed += 1

        record.channel = self.mux.create_channel(
            *key,
            messages=[hear],
            handshake=encode_uint(token),
            on_open=opened,
            on_close=closed,
            unique=unique,
        )
        if record.channel is not None:
            self.all.append(record)

    def open(self) -> list[Recorded]:
        return [record for record in self.all if not record.closed]


class TwoHonestSides(RuleBasedStateMachine):
    """Neither is ever taken for a breaker of the protocol; all arrives, on the right channel, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.sides = (Side(), Side())
        self.tokens = 0

    def token(self) -> int:
        self.tokens += 1
        return self.tokens

    @rule(side=st.integers(0, 1), key=st.sampled_from(KEYS), unique=st.booleans())
    def create(self, side: int, key: tuple[str, bytes | None], unique: bool) -> None:
        self.sides[side].create(key, self.token(), unique=unique)

    @rule(side=st.integers(0, 1), protocol=st.sampled_from(["x", "y"]))
    def pair(self, side: int, protocol: str) -> None:
        end = self.sides[side]
        end.mux.pair(protocol, lambda id: end.create((protocol, id), self.token(), unique=True))

    @rule(side=st.integers(0, 1), protocol=st.sampled_from(["x", "y"]))
    def unpair(self, side: int, protocol: str) -> None:
        self.sides[side].mux.unpair(protocol)

    @rule(side=st.integers(0, 1), which=st.integers(0, 50), count=st.integers(1, 3))
    def send(self, side: int, which: int, count: int) -> None:
        records = self.sides[side].open()
        if records:
            record = records[which % len(records)]
            assert record.channel is not None
            for _ in range(count):
                record.channel.send(0, encode_uint(record.token) + encode_uint(record.sent))
                record.sent += 1

    @rule(side=st.integers(0, 1), which=st.integers(0, 50))
    def close(self, side: int, which: int) -> None:
        records = self.sides[side].open()
        if records:
            record = records[which % len(records)]
            assert record.channel is not None
            record.channel.close()

    @rule(side=st.integers(0, 1))
    def cork(self, side: int) -> None:
        self.sides[side].mux.cork()
        self.sides[side].corks += 1

    @precondition(lambda self: any(side.corks for side in self.sides))
    @rule()
    def uncork(self) -> None:
        for side in self.sides:
            if side.corks:
                side.mux.uncork()
                side.corks -= 1

    @rule(side=st.integers(0, 1), frames=st.integers(1, 4))
    def deliver(self, side: int, frames: int) -> None:
        for _ in range(min(frames, len(self.sides[side].outgoing))):
            self.sides[1 - side].mux.receive(self.sides[side].outgoing.popleft())

    @invariant()
    def messages_come_from_one_channel_in_order(self) -> None:
        for side in self.sides:
            for record in side.all:
                assert len(record.handshakes) <= 1
                if record.heard:
                    assert record.heard == [
                        (record.handshakes[0], number) for number in range(len(record.heard))
                    ]

    @invariant()
    def what_is_closed_is_closed_once(self) -> None:
        for side in self.sides:
            for record in side.all:
                assert record.channel is not None
                assert record.closed == record.channel.closed
            assert list(side.mux.channels) == [record.channel for record in by_number(side.open())]

    def teardown(self) -> None:
        for side in self.sides:
            while side.corks:
                side.mux.uncork()
                side.corks -= 1
        while any(side.outgoing for side in self.sides):
            self.deliver(0, 100)
            self.deliver(1, 100)
        self.messages_come_from_one_channel_in_order()
        # Everything has arrived: both sides see the same channels, and nothing sent on an open one is missing.
        left, right = ({record.token: record for record in side.open()} for side in self.sides)
        for ours, theirs in ((left, right), (right, left)):
            for record in ours.values():
                partner = theirs[record.handshakes[0]]
                assert partner.handshakes == [record.token]
                assert len(partner.heard) == record.sent
        for side in self.sides:
            for record in side.open():
                assert record.channel is not None
                record.channel.close()
        self.deliver(0, 100)
        self.deliver(1, 100)
        for side in self.sides:
            mux = side.mux
            assert not mux._pairings
            assert not mux._unanswered
            assert sorted(mux._free) == list(range(1, len(mux._local) + 1))


def by_number(records: list[Recorded]) -> list[Recorded]:
    return sorted(records, key=lambda record: record.channel._local_id if record.channel else 0)


TestTwoHonestSides = TwoHonestSides.TestCase
TestTwoHonestSides.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


# --- a dishonest side -------------------------------------------------------------------------

small = st.integers(0, 5).map(encode_uint) | st.sampled_from(
    [b"\xfd\x01\x00", b"\xfd\x01", b"\xff", b"\xfe\xff\xff\xff\xff"]
)
names = st.sampled_from(["x", "y", "", "nobody"]).map(encode_string)
ids = st.sampled_from([None, b"1", b"2"]).map(encode_optional_buffer)
tails = st.binary(max_size=6)
opens = st.tuples(st.just(b"\1"), small, names, ids, tails).map(b"".join)
controls = opens | st.tuples(st.sampled_from([b"\2", b"\3", b"\0", b"\7"]), small, tails).map(b"".join)
bodies = st.tuples(small, tails).map(b"".join)


@st.composite
def batches(draw: st.DrawFn) -> bytes:
    parts = [b"\0\0", draw(small)]
    for _ in range(draw(st.integers(0, 5))):
        if draw(st.booleans()):
            entry = draw(controls | bodies)
            parts.append(encode_uint(len(entry) + draw(st.sampled_from([0, 0, 0, 0, 0, 1]))) + entry)
        else:
            parts.append(b"\0" + draw(small))
    return b"".join(parts)


frames = (
    st.binary(max_size=20)
    | controls.map(lambda body: b"\0" + body)
    | st.tuples(small, bodies).map(b"".join)
    | batches()
)


@given(st.lists(frames, max_size=15))
@settings(max_examples=400)
def test_whatever_a_stranger_sends(sent: list[bytes]) -> None:
    """Nothing but `RemoteProtocolError` comes out, and nothing of theirs is kept beyond the channels they opened."""
    side = Side()
    side.mux.pair("x", lambda id: side.create(("x", id), 1, unique=True))
    side.create(("y", None), 2, unique=True)
    opened = 0
    try:
        for frame in sent:
            opened += frame.count(b"\1")
            side.mux.receive(frame)
    except RemoteProtocolError as error:
        side.mux.close(error)
    if side.mux.closed:
        assert all(record.closed == 1 for record in side.all)
    assert side.mux._corks == 0
    assert len(side.mux._remote) <= opened
    assert len(side.mux._local) <= opened + 1
    assert side.mux._undecided is None
