"""The sending half of UDX: what acks may cost, and that they mean what they say."""

from __future__ import annotations

from typing import Any

import pytest

from core.udx.sender import Sender
from core.udx.train import Path, TrainMaker

PATH = Path(7, ("127.0.0.1", 1), None)
PACKETS = 8
WINDOW = 1 << 20


def flying() -> Sender:
    """A sender with `PACKETS` full packets in flight."""
    sender = Sender()
    sender.remote_window = WINDOW
    sender.write(bytes(PACKETS * sender.max_payload))
    now = 0.0
    while sender.next < PACKETS and now < 10:
        sender.fill(TrainMaker(), PATH, WINDOW, 0, now)
        now += 0.01
    assert sender.next == len(sender.flight) == PACKETS
    return sender


def test_overlapping_blocks_cost_no_more_than_one_look_at_each_packet(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sender = flying()
    looked = 0
    deliver = Sender._deliver

    def counting(self: Sender, start: int, end: int, *rest: Any, **named: Any) -> Any:
        nonlocal looked
        looked += max(0, end - start)
        return deliver(self, start, end, *rest, **named)

    monkeypatch.setattr(Sender, "_deliver", counting)
    sender.acknowledge(0, [(start, PACKETS) for start in range(1, PACKETS)] * 7, 0.2)
    assert looked <= PACKETS
    assert list(sender.flight) + list(sender.lost) == [0]


def test_blocks_apart_are_each_delivered() -> None:
    sender = flying()
    sender.acknowledge(1, [(2, 3), (5, 7)], 0.2)
    assert sorted([*sender.flight, *sender.lost]) == [1, 3, 4, 7]
    assert sender.flight_bytes == sum(len(sent[0]) + 20 for sent in sender.flight.values())


def test_a_growing_block_delivers_what_is_new_in_it() -> None:
    sender = flying()
    sender.acknowledge(0, [(1, 3)], 0.2)
    sender.acknowledge(0, [(1, 5)], 0.21)
    assert sorted([*sender.flight, *sender.lost]) == [0, 5, 6, 7]
    sender.acknowledge(PACKETS, [], 0.22)
    assert not sender.flight
    assert not sender.lost
    assert sender.una == PACKETS


@pytest.mark.parametrize("lost", [False, True])
def test_a_tail_probe_goes_out_however_full_the_window_is(lost: bool) -> None:
    """Retransmissions that were lost too fill a window for a second if nothing asks for them."""
    sender = flying()
    sender.acknowledge(2, [], 0.2)
    if lost:
        sender.lost[2] = sender.flight.pop(2)
    sender.bbr.window = sender.flight_bytes
    sender.fill(TrainMaker(), PATH, WINDOW, 0, 0.2)
    assert sender.probe_at is not None
    assert sender.rto_at is not None
    assert sender.probe_at < sender.rto_at
    before = sender.packets_sent
    now = sender.probe_at
    sender.on_timer(now)
    sender.bbr.window = sender.flight_bytes
    out = TrainMaker()
    sender.fill(out, PATH, WINDOW, 0, now)
    assert sender.packets_sent == before + 1
    (train,) = out.trains
    repeated = int.from_bytes(bytes(train.buffers[0])[12:16], "little")
    assert repeated == (2 if lost else PACKETS - 1)
