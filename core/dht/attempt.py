"""The stream of two peers who are about to meet: made before either knows the way, and given to the first way found.

A stream has an id that the other side is told in the handshake. Several ways are tried at once (the address as a relay
sees it, the local network, a punched hole, a blind relay); the first claims the stream, and the later ones are
ignored. Except that a stream which runs through a relay is still waiting for something better: then the stream moves
over to the direct path, and once something came back on it the relay is let go (hyperdht 6.34.0
`confirmDirectUpgrade`).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable

from ..errors import MeadowError
from ..secret_stream.handshake import HandshakeResult
from ..udx import UdxStream
from .address import Address
from .relay import RelayLeg
from .world import How, Meeting, OnMeeting, OpenRelay, World


class Attempt:
    """`on_packet(link, address)`: something arrived for the stream by a way it does not use. Call `agree` once the
    handshake is over; only then can a way be taken.
    """

    def __init__(
        self,
        world: World,
        *,
        is_initiator: bool,
        on_packet: Callable[[Hashable, Address], None],
        on_meeting: OnMeeting,
    ) -> None:
        self.stream: UdxStream = world.outside.create_stream(self._may_pass)
        # Held back until somebody listens: the other side may know the way before we do.
        self.stream.pause()
        self.relay: RelayLeg | None = None
        self.meeting: Meeting | None = None
        self.is_direct = False
        """A direct way was found: nothing better can come."""
        self.on_over: Callable[[], None] = _nothing
        """Called when the stream closed after the peers had met."""
        self._world = world
        self._is_initiator = is_initiator
        self._on_packet = on_packet
        self._on_meeting = on_meeting
        self._handshake: HandshakeResult | None = None
        self._remote_id = 0
        self._came_directly = True

    @property
    def has_way(self) -> bool:
        return self.meeting is not None

    def agree(self, handshake: HandshakeResult, remote_stream_id: int) -> None:
        self._handshake = handshake
        self._remote_id = remote_stream_id

    def take(self, link: Hashable, address: Address, how: How) -> None:
        """A direct way, offered: it is taken unless there is one already."""
        if self.is_direct or self.stream.closed or self._handshake is None:
            return
        self.is_direct = True
        if self.meeting is None:
            self.stream.connect(self._remote_id, address, link)
            self._meet(how)
            if self.relay is not None:
                self.relay.close()
            return
        self.meeting.how = how
        self.stream.change_remote(self._remote_id, address, link)
        self._confirm_when_moved()

    def go_through_relay(
        self,
        public_key: bytes,
        token: bytes,
        *,
        is_initiator: bool,
        on_failed: Callable[[MeadowError], None],
    ) -> None:
        """Meet at a blind relay, while direct ways are still looked for."""
        self.relay = RelayLeg(
            self._world,
            public_key,
            token,
            is_initiator=is_initiator,
            stream_id=self.stream.local_id,
            on_paired=self._paired,
            on_failed=on_failed,
        )

    def abandon(self) -> None:
        """Nobody met: nothing of it remains."""
        if self.relay is not None:
            self.relay.close()
        if self.meeting is None:
            self.stream.destroy()

    def _may_pass(self, link: Hashable, address: Address) -> bool:
        if not 0 < address[1] < 65_536:
            return False
        relay = self.relay.relay if self.relay is not None else None
        path = relay.stream.path if relay is not None else None
        self._came_directly = path is None or path.link != link or path.address != address
        if self._came_directly:
            self._on_packet(link, address)
        return not self.stream.closed

    def _paired(self, relay: OpenRelay, stream_id: int) -> None:
        path = relay.stream.path
        if self.meeting is not None or self.stream.closed or path is None:
            if self.relay is not None:
                self.relay.close()
            return
        self.stream.connect(stream_id, path.address, path.link)
        self._meet("relayed")

    def _meet(self, how: How) -> None:
        assert self._handshake is not None
        self.meeting = Meeting(self.stream, self._handshake, self._is_initiator, how, self._ended)
        self._on_meeting(self.meeting)

    def _ended(self) -> None:
        if self.relay is not None:
            self.relay.close()
        self.on_over()

    # --- from the relay to the direct path ------------------------------------------------------------

    def _confirm_when_moved(self) -> None:
        """Once all that went through the relay is acked, say something on the direct path."""
        stream = self.stream
        if stream.bytes_in_flight == 0:
            self._confirm()
        else:
            stream.on_remote_changed = self._confirm

    def _confirm(self) -> None:
        stream = self.stream
        stream.on_remote_changed = _nothing
        on_data, on_message = stream.on_data, stream.on_message

        def came() -> None:
            if self._came_directly:
                stream.on_data, stream.on_message = on_data, on_message
                if self.relay is not None:
                    self.relay.close()
            self._came_directly = True

        def data(chunk: bytes) -> None:
            came()
            on_data(chunk)

        def message(chunk: bytes) -> None:
            came()
            on_message(chunk)

        stream.on_data, stream.on_message = data, message
        # An empty message lets the other side see the path without writing into its secret stream.
        stream.send_message(b"")


def _nothing(*_: object) -> None:
    pass
