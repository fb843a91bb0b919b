"""Two joined ends of the message layer, without sockets."""

from __future__ import annotations

from collections import deque
from typing import Any

from core.crypto.keys import KeyPair
from core.protomux import Channel, Mux
from core.secret_stream import SecretStream


def exchange(left: SecretStream, right: SecretStream) -> tuple[list[bytes], list[bytes]]:
    """Carry bytes to and fro until both sides are silent: (received by left, received by right)."""
    to_left: list[bytes] = []
    to_right: list[bytes] = []
    while True:
        leftward, rightward = right.data_to_send(), left.data_to_send()
        if not leftward and not rightward:
            return to_left, to_right
        to_right += right.receive(rightward)
        to_left += left.receive(leftward)


def joined_streams(
    left: KeyPair | None = None, right: KeyPair | None = None
) -> tuple[SecretStream, SecretStream]:
    """An initiator and a responder whose handshake is over and whose headers are exchanged."""
    initiator, responder = SecretStream(True, left), SecretStream(False, right)
    exchange(initiator, responder)
    return initiator, responder


class MuxEnd:
    """A mux whose frames wait in `outgoing` until they are carried over; `log`: what its handlers saw."""

    def __init__(self, name: str, *, is_initiator: bool = True) -> None:
        self.name = name
        self.outgoing: deque[bytes] = deque()
        self.log: list[str] = []
        self.mux = Mux(
            is_initiator=is_initiator,
            handshake_hash=bytes(64),
            remote_public_key=bytes(32),
            send=self.outgoing.append,
        )

    def note(self, *words: object) -> None:
        self.log.append(" ".join(str(word) for word in words))

    def open(self, protocol: str, id: bytes | None = None, **options: Any) -> Channel:
        """A channel that notes its opening, its messages and its end."""
        channel = self._create(protocol, id, **options)
        assert channel is not None
        return channel

    def accept(self, protocol: str) -> None:
        """Answer the remote's opens of this protocol by opening too."""

        def asked(id: bytes | None) -> None:
            self.note(protocol, "asked")
            self._create(protocol, id)

        self.mux.pair(protocol, asked)

    def _create(self, protocol: str, id: bytes | None, **options: Any) -> Channel | None:
        label = protocol if id is None else f"{protocol}/{id.decode()}"
        return self.mux.create_channel(
            protocol,
            id,
            messages=[lambda frame, position: self.note(label, "text", frame[position:].decode())],
            on_open=lambda handshake: self.note(label, "opened", handshake.decode()),
            on_close=lambda: self.note(label, "closed"),
            **options,
        )

    def receive_from(self, other: MuxEnd, frames: int = -1) -> None:
        while other.outgoing and frames:
            self.mux.receive(other.outgoing.popleft())
            frames -= 1


def joined_muxes() -> tuple[MuxEnd, MuxEnd]:
    return MuxEnd("a"), MuxEnd("b", is_initiator=False)


def settle(left: MuxEnd, right: MuxEnd) -> None:
    """Carry frames to and fro until both are silent."""
    while left.outgoing or right.outgoing:
        right.receive_from(left)
        left.receive_from(right)
