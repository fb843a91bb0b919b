"""Frame logs of protomux 3.12.1, replayed with our mux in the place of one side, and then of the other.

A script acts as the program on that side did. It runs until its next `yield` whenever the log shows a frame
of its side that our mux has not sent yet; the other side's frames are fed as they were. So every byte either
comes from the official package or is compared with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain, pairwise
from typing import Any

import pytest

from core.encoding.compact import decode_string, decode_uint, encode_string, encode_uint
from core.errors import RemoteProtocolError
from core.protomux import Channel
from tests.support.vectors import load_vectors
from tests.support.wire import MuxEnd

SCENARIOS = {
    scenario["name"].split(":")[0]: scenario["log"]
    for scenario in load_vectors("network/03-protomux")["scenarios"]
}

Script = Callable[[MuxEnd], Iterator[None]]


def open_channel(
    end: MuxEnd, protocol: str, id: bytes | None = None, *, label: str = "", **options: Any
) -> Channel:
    """A channel whose messages are strings; notes in the words of the log."""
    words = [end.name + label] if label in ("1", "2") else [end.name, label] if label else [end.name]
    channel = end.mux.create_channel(
        protocol,
        id,
        messages=[
            lambda frame, position: end.note(
                *words, *options.get("got", ()), decode_string(frame, position)[0]
            )
        ],
        on_open=lambda handshake: end.note(*words, "open"),
        aliases=options.get("aliases", ()),
        unique=options.get("unique", True),
    )
    assert channel is not None
    return channel


def both_sides_with_handshake(end: MuxEnd) -> Iterator[None]:
    def uint(frame: bytes, position: int) -> int:
        return decode_uint(frame, position)[0]

    channel = end.mux.create_channel(
        "test/one",
        b"\xee" * 4,
        messages=[
            lambda frame, position: end.note(end.name, "msg0", decode_string(frame, position)[0]),
            lambda frame, position: end.note(end.name, "msg1", uint(frame, position)),
        ],
        handshake=encode_uint(7 if end.name == "a" else 300),
        on_open=lambda handshake: end.note(end.name, f"onopen handshake={uint(handshake, 0)}"),
        on_close=lambda: end.note(end.name, "onclose"),
    )
    assert channel is not None
    yield
    if end.name == "a":
        channel.send(0, encode_string("hello"))
        yield
        channel.close()
    else:
        channel.send(1, encode_uint(70_000))
    yield


def plain(end: MuxEnd) -> Iterator[None]:
    open_channel(end, "plain")
    yield


def rejected(end: MuxEnd) -> Iterator[None]:
    if end.name == "a":
        channel = end.mux.create_channel("unknown", on_close=lambda: end.note("a onclose"))
        assert channel is not None
        channel.send(0, encode_string("early"))
    yield


def on_demand(end: MuxEnd) -> Iterator[None]:
    if end.name == "a":
        channel = open_channel(end, "lazy", b"\x01\x01")
        channel.send(0, encode_string("early"))
    else:

        def asked(id: bytes | None) -> None:
            end.note("b pair notify", f"id={(id or b'').hex()}")
            open_channel(end, "lazy", id, got=["got"])

        end.mux.pair("lazy", asked)
    yield


def corked(end: MuxEnd) -> Iterator[None]:
    one, two = open_channel(end, "p1", label="p1"), open_channel(end, "p2", label="p2")
    yield
    if end.name == "a":
        end.mux.cork()
        for channel, text in ((one, "one"), (one, "two"), (two, "three"), (one, "four")):
            channel.send(0, encode_string(text))
        end.mux.uncork()
        yield
        end.mux.cork()
        open_channel(end, "p3").send(0, encode_string("x"))
        end.mux.uncork()
    yield


def crossed(end: MuxEnd) -> Iterator[None]:
    def got_number(frame: bytes, position: int) -> None:
        end.note(end.name, "q", decode_uint(frame, position)[0])

    first, _ = open_channel(end, "filler"), open_channel(end, "other")
    q = end.mux.create_channel("q", messages=[got_number])
    assert q is not None
    end.mux.pair("again", lambda id: open_channel(end, "again") and None)
    yield
    if end.name == "a":
        q.send(0, encode_uint(5))
        yield
        first.close()
        yield
        open_channel(end, "again")  # takes the number that `first` had
    yield


def alias(end: MuxEnd) -> Iterator[None]:
    name, other = ("old", "new") if end.name == "a" else ("new", "old")
    channel = open_channel(end, name, aliases=[other], got=["got"])
    yield
    if end.name == "a":
        channel.send(0, encode_string("hi"))
    yield


def rejected_again(end: MuxEnd) -> Iterator[None]:
    end.mux.create_channel("g", on_close=lambda: end.note("a onclose"))
    yield


def same_key_twice(end: MuxEnd) -> Iterator[None]:
    channels = [open_channel(end, "dup", label=label, unique=False, got=["got"]) for label in ("1", "2")]
    yield
    if end.name == "a":
        channels[0].send(0, encode_string("first"))
        channels[1].send(0, encode_string("second"))
    yield


def opens_p(end: MuxEnd) -> Iterator[None]:
    open_channel(end, "p")
    yield


def idle(end: MuxEnd) -> Iterator[None]:
    yield


# Side b alone where a's frames were written by hand; side a alone where b did what our mux cannot do.
SCRIPTS: list[tuple[str, Script, str]] = [
    ("open both sides with handshake, two message types, close", both_sides_with_handshake, "ab"),
    ("channel without id and without handshake (id encodes as 00)", plain, "ab"),
    ("reject", rejected, "ab"),
    ("pair handler opens channel on demand, early message is buffered then delivered", on_demand, "ab"),
    ("cork", corked, "ab"),
    ("crossed opens give different local ids per side", crossed, "ab"),
    ("alias", alias, "ab"),
    ("gotcha", rejected_again, "a"),
    ("two channels with same protocol+id (unique", same_key_twice, "ab"),
    ("open for control id 0", idle, "b"),
    (
        "unknown message type on an open channel is ignored; data for closed channel ignored; "
        "empty frame ignored",
        opens_p,
        "b",
    ),
]


def test_every_scenario_has_a_script() -> None:
    assert [name for name, _, _ in SCRIPTS] == list(SCENARIOS)


@pytest.mark.parametrize(
    ("name", "script", "side"),
    [(name, script, side) for name, script, sides in SCRIPTS for side in sides],
    ids=[f"{side}-{script.__name__}" for _, script, sides in SCRIPTS for side in sides],
)
def test_scenario(name: str, script: Script, side: str) -> None:
    end = MuxEnd(side, is_initiator=side == "a")
    steps = chain(script(end), iter(int, 1))  # a script that has ended has nothing more to send
    next(steps)
    log = [entry for entry in SCENARIOS[name] if "from" in entry]
    for entry, following in pairwise([*log, {}]):
        if "frame" not in entry:
            continue
        frame = bytes.fromhex(entry["frame"])
        if entry["from"] == side:
            if not end.outgoing:
                next(steps)
            assert plain_frame(end.outgoing.popleft()) == plain_frame(frame)
        elif following == {"from": side, "note": "stream destroyed"}:
            with pytest.raises(RemoteProtocolError):
                end.mux.receive(frame)
        else:
            end.mux.receive(frame)
    assert not end.outgoing
    # Not every scenario noted its openings, and our handlers do not learn who closed.
    noted = [entry["note"].split(" isRemote")[0] for entry in SCENARIOS[name] if "from" not in entry]
    expected = [note for note in noted if note.startswith((f"{side} ", f"{side}1 ", f"{side}2 "))]
    assert [note for note in end.log if "open" not in note] == [
        note for note in expected if "open" not in note
    ]
    assert {note for note in expected if "open" in note} <= set(end.log)


def plain_frame(frame: bytes) -> bytes:
    """protomux sends a batch of one where we send the message itself: the same, two bytes longer."""
    if frame[:2] != b"\0\0":
        return frame
    channel, body = decode_uint(frame, 2)
    size, start = decode_uint(frame, body)
    return frame[2:body] + frame[start:] if channel <= 0xFC and start + size == len(frame) else frame
