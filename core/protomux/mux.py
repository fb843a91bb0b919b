"""Many named channels over one framed stream. No I/O: frames in through `receive`, frames out through `send`.

    frame     = channel uint, type uint, body          channel = the SENDER's number for it, from 1
    channel 0 = control: 0 batch, 1 open, 2 reject, 3 close

A channel exists when both sides have sent an open with the same (protocol, id). Each side numbers it for
itself, so a receiver keeps a table from the sender's numbers to its own channels, and both directions usually
differ. Numbers are handed out densely: the smallest table a stranger can force on us is the number of
channels they really opened.

**Pairing.** For each (protocol, id) there is a queue of opens that we sent and that are not answered. A
remote's open takes the oldest; if there is none, the callback given to `pair` is asked, and may create the
channel then and there. If it does not, the open is rejected in the same step. (The reference lets the
callback take its time, and must therefore keep, count and bound the messages that arrive meanwhile. Our
stores open in microseconds, so nothing is ever kept.)

**The trap** (measured against protomux 3.12.1): a channel object whose open is sent later can cross the
remote's open and a reject, which ends the connection. So here creating a channel *is* sending its open.

**When a number is free again:** after a close, as soon as the remote's open for it was seen; before that,
only with the remote's open or reject, because until then the remote may still answer it.

**What a stranger can make us hold:** `MAX_CHANNELS` numbers, no messages, and as many unread rejections.

Source: protomux 3.12.1 `index.js`, checked against `tests/vectors/network/03-protomux.json`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Final, TypeAlias

from ..encoding.compact import (
    decode_optional_buffer,
    decode_string,
    decode_uint,
    encode_optional_buffer,
    encode_string,
    encode_uint,
)
from ..errors import DecodingError, LocalProtocolError, MeadowError, RemoteProtocolError
from ..limits import MAX_BATCH_BYTES, MAX_CHANNELS, MAX_FRAME_BODY
from .batch import Batch
from .channel import Channel, MessageHandler

Key: TypeAlias = tuple[str, bytes | None]
PairCallback: TypeAlias = Callable[[bytes | None], None]

BATCH: Final = 0
OPEN: Final = 1
REJECT: Final = 2
CLOSE: Final = 3
_CONTROL_CHANNEL: Final = b"\0"

# How many messages of a batch are handled between two questions whether it is enough for now: the dearest cost some
# 100 us each, the cheapest 0.2 us.
MESSAGES_A_LOOK: Final = 32

# One frame minus what the sealing, a batch of one, the channel and the type take of it.
MAX_BODY_BYTES: Final = MAX_FRAME_BODY - 64


class Pairing:
    """The opens under one (protocol, id) and its aliases: channels open, and opens that await an answer."""

    __slots__ = ("keys", "open_channels", "unanswered")

    def __init__(self) -> None:
        self.keys: set[Key] = set()
        self.open_channels = 0
        # Our numbers, oldest first; the channel of one may be closed already.
        self.unanswered: deque[int] = deque()


class Mux:
    """The channels of one connection.

    `is_initiator`, `handshake_hash` (64 bytes), `remote_public_key` (32 bytes), `remote_address` ("host:port",
    if there is one): facts of the stream below, for the protocols above. `send` takes one frame. `drained`:
    whether the transport below has room; who answers requests waits while it is False. `error`: why it was
    closed, if because of one.
    """

    def __init__(
        self,
        *,
        is_initiator: bool,
        handshake_hash: bytes,
        remote_public_key: bytes,
        send: Callable[[bytes], None],
        remote_address: str | None = None,
    ) -> None:
        self.is_initiator = is_initiator
        self.handshake_hash = handshake_hash
        self.remote_public_key = remote_public_key
        self.remote_address = remote_address
        self.drained = True
        self.closed = False
        self.error: MeadowError | None = None
        self._send = send
        self._local: list[Channel | None] = []  # ours, by our number - 1
        self._remote: list[Channel | None] = []  # the same channels, by the remote's number - 1
        self._free: list[int] = []
        self._pairings: dict[Key, Pairing] = {}
        self._unanswered: dict[int, Pairing] = {}
        self._callbacks: dict[Key, PairCallback] = {}
        # The remote's open that a callback is deciding on right now: its key, and the remote's number.
        self._undecided: tuple[Key, int] | None = None
        self._unread_rejects = 0
        self._corks = 0
        self._batch = Batch()
        # The rest of a remote's batch that was put off: the frame, where it goes on, and for which channel.
        self._put_off: tuple[bytes, int, int] | None = None

    # --- for the protocols above --------------------------------------------------------------

    def create_channel(
        self,
        protocol: str,
        id: bytes | None = None,
        *,
        messages: Sequence[MessageHandler] = (),
        handshake: bytes = b"",
        on_open: Callable[[bytes], None] | None = None,
        on_close: Callable[[], None] | None = None,
        on_drain: Callable[[], None] | None = None,
        aliases: Sequence[str] = (),
        unique: bool = True,
    ) -> Channel | None:
        """Open a channel now; its open, with our encoded `handshake`, is sent in the same step.

        `messages`: handlers by message type. `on_open(handshake)`: the remote has opened it too.
        `on_close()`: it ended, for whatever reason. `on_drain()`: the transport has room again. `aliases`:
        other names that an open of the remote may carry. Returns None when the mux is closed, when it has no
        number left, or when `unique` and a channel of this protocol and id is open already.
        """
        id = id or None  # the wire cannot tell an empty id from none
        keys = [(name, id) for name in (protocol, *aliases)]
        pairing = next((self._pairings[key] for key in keys if key in self._pairings), None) or Pairing()
        if self.closed or (unique and pairing.open_channels):
            return None
        local_id = self._take_number()
        if not local_id:
            return None
        channel = Channel(self, local_id, pairing, protocol, id, messages, on_open, on_close, on_drain)
        self._local[local_id - 1] = channel
        pairing.open_channels += 1
        pairing.keys.update(keys)
        for key in keys:
            self._pairings.setdefault(key, pairing)
        if self._undecided is not None and self._undecided[0] in keys:
            self._bind(channel, self._undecided[1])
            self._undecided = None
        else:
            pairing.unanswered.append(local_id)
            self._unanswered[local_id] = pairing
        name = encode_string(protocol) + encode_optional_buffer(id)
        self._control(OPEN, encode_uint(local_id) + name + handshake)
        return channel

    def pair(self, protocol: str, callback: PairCallback, id: bytes | None = None) -> None:
        """Call `callback(id)` for a remote's open of this protocol and id (None: any id) that nobody here
        awaits.

        The callback answers by creating the channel before it returns; otherwise the open is rejected.
        """
        self._callbacks[protocol, id or None] = callback

    def unpair(self, protocol: str, id: bytes | None = None) -> None:
        """Take back what `pair` registered, if anything."""
        self._callbacks.pop((protocol, id or None), None)

    @property
    def channels(self) -> Iterable[Channel]:
        """The channels that are not closed, by our number."""
        return [channel for channel in self._local if channel is not None]

    def cork(self) -> None:
        """Collect what is sent until the matching `uncork` into as few frames as possible."""
        self._corks += 1

    def uncork(self) -> None:
        if not self._corks:
            raise LocalProtocolError("uncork without cork")
        self._corks -= 1
        if not self._corks and self._batch.size:
            self._flush()

    def set_drained(self, drained: bool) -> None:
        """Told by the transport: whether there is room for more."""
        if drained == self.drained:
            return
        self.drained = drained
        if drained:
            self._unread_rejects = 0
            for channel in self.channels:
                if channel._on_drain is not None:
                    channel._on_drain()

    def close(self, error: MeadowError | None = None) -> None:
        """The stream below ended: every channel is closed, nothing is sent."""
        if self.closed:
            return
        self.closed = True
        self.error = error
        self._put_off = None
        self._callbacks.clear()
        for channel in self.channels:
            if not channel.closed:  # by the on_close of another
                self._end_channel(channel)

    # --- frames in ----------------------------------------------------------------------------

    def receive(self, frame: bytes, enough: Callable[[], bool] | None = None) -> bool:
        """One frame of the remote's. Raises `RemoteProtocolError`; the connection must then be destroyed.

        A frame may be a batch of millions of messages. With `enough`, asked now and then, the rest of one is put off
        when that says so: then the answer is False, and `receive_rest` goes on before the next frame is due.
        """
        if not frame or self.closed:
            return True
        try:
            number, type = frame[0], frame[1]
        except IndexError as error:
            raise DecodingError("a frame ends before its message type") from error
        position = 2
        if number > 0xFC or type > 0xFC:
            number, position = decode_uint(frame, 0)
            type, position = decode_uint(frame, position)
        if number == 0:
            if type == BATCH:
                number, position = decode_uint(frame, position)
                return self._receive_batch(frame, position, number, enough)
            self._receive_control(type, frame, position)
        elif number <= len(self._remote):
            channel = self._remote[number - 1]
            if channel is not None and type < len(channel._handlers):
                channel._handlers[type](frame, position)
        return True

    def receive_rest(self, enough: Callable[[], bool] | None = None) -> bool:
        """Go on with a batch that was put off. As `receive`."""
        if self._put_off is None or self.closed:
            return True
        frame, position, number = self._put_off
        self._put_off = None
        return self._receive_batch(frame, position, number, enough)

    def _receive_batch(
        self, frame: bytes, position: int, number: int, enough: Callable[[], bool] | None
    ) -> bool:
        remote, end = self._remote, len(frame)
        left = MESSAGES_A_LOOK
        self.cork()
        try:
            while position < end and not self.closed:
                left -= 1
                if not left:
                    if enough is not None and enough():
                        self._put_off = (frame, position, number)
                        return False
                    left = MESSAGES_A_LOOK
                size = frame[position]
                position += 1
                if size > 0xFC:
                    size, position = decode_uint(frame, position - 1)
                if size == 0:
                    number, position = decode_uint(frame, position)
                    continue
                message = frame[position : position + size]
                position += size
                if position > end:
                    raise DecodingError("a batch ends inside a message")
                type, body = message[0], 1
                if type > 0xFC:
                    type, body = decode_uint(message, 0)
                if number == 0:
                    self._receive_control(type, message, body)
                elif number <= len(remote):
                    channel = remote[number - 1]
                    if channel is not None and type < len(channel._handlers):
                        channel._handlers[type](message, body)
            return True
        finally:
            self.uncork()

    def _receive_control(self, type: int, message: bytes, position: int) -> None:
        if type == BATCH:
            raise RemoteProtocolError("a batch inside a batch")
        if type > CLOSE:
            return
        number, position = decode_uint(message, position)
        if type == OPEN:
            self._receive_open(number, message, position)
        elif type == REJECT:
            self._receive_reject(number)
        elif 0 < number <= len(self._remote):
            channel = self._remote[number - 1]
            if channel is not None:
                self._end_channel(channel)

    def _receive_open(self, number: int, message: bytes, position: int) -> None:
        protocol, position = decode_string(message, position)
        id, position = decode_optional_buffer(message, position)
        handshake = message[position:]
        self._grow_remote(number)
        key = (protocol, id)
        pairing = self._pairings.get(key)
        if pairing is not None and pairing.unanswered:
            local_id = pairing.unanswered.popleft()
            del self._unanswered[local_id]
            channel = self._local[local_id - 1]
            if channel is None:  # we closed it meanwhile; our close is on its way and will end the remote's
                self._free.append(local_id)
                self._forget_if_unused(pairing)
                return
            self._bind(channel, number)
            channel._opened(handshake)
        elif self._ask(key, number):
            channel = self._remote[number - 1]
            if channel is not None:  # None: opened and closed within the callback
                channel._opened(handshake)
        else:
            self._reject(number)

    def _grow_remote(self, number: int) -> None:
        """Check the number of a remote's open: one that is free, or the next."""
        remote = self._remote
        if number == len(remote) + 1:
            if number > MAX_CHANNELS:
                raise RemoteProtocolError(f"the remote opened more than {MAX_CHANNELS} channels")
            remote.append(None)
        elif not 0 < number <= len(remote) or remote[number - 1] is not None:
            raise RemoteProtocolError(f"the remote opened a channel as number {number}, which is not free")

    def _ask(self, key: Key, number: int) -> bool:
        """Whether a callback answered the remote's open with a channel."""
        protocol, id = key
        callback = self._callbacks.get(key) or self._callbacks.get((protocol, None))
        if callback is None:
            return False
        self._undecided = (key, number)
        try:
            callback(id)
            return self._undecided is None
        finally:
            self._undecided = None

    def _reject(self, number: int) -> None:
        if not self.drained:
            self._unread_rejects += 1
            if self._unread_rejects > MAX_CHANNELS:
                raise RemoteProtocolError("the remote opens channels without reading our answers")
        self._control(REJECT, encode_uint(number))

    def _receive_reject(self, number: int) -> None:
        pairing = self._unanswered.pop(number, None)
        if pairing is None:
            raise RemoteProtocolError(f"the remote rejected channel {number}, which awaits no answer")
        pairing.unanswered.remove(number)
        self._free.append(number)
        channel = self._local[number - 1]
        if channel is None:
            self._forget_if_unused(pairing)
        else:
            self._end_channel(channel)

    # --- frames out ---------------------------------------------------------------------------

    def _send_message(self, channel: bytes, type: bytes, body: bytes) -> None:
        """Send or collect; `channel` and `type` are encoded uints."""
        size = len(body)
        if size > MAX_BODY_BYTES:
            raise LocalProtocolError(f"a message of {size} bytes does not fit into a frame")
        if not self._corks:
            self._send(channel + type + body)
            return
        batch = self._batch
        if batch.size and batch.size + size > MAX_BATCH_BYTES:
            self._flush()
        batch.add(channel, type, body)

    def _control(self, type: int, body: bytes) -> None:
        if not self.closed:
            self._send_message(_CONTROL_CHANNEL, encode_uint(type), body)

    def _flush(self) -> None:
        frame = self._batch.take()
        if not self.closed:
            self._send(frame)

    # --- numbers ------------------------------------------------------------------------------

    def _take_number(self) -> int:
        """A number for a channel of ours; 0 when all are taken."""
        if self._free:
            return self._free.pop()
        if len(self._local) >= MAX_CHANNELS:
            return 0
        self._local.append(None)
        return len(self._local)

    def _bind(self, channel: Channel, number: int) -> None:
        channel._remote_id = number
        self._remote[number - 1] = channel

    def _close_channel(self, channel: Channel) -> None:
        # The close leaves before anybody is told: who reopens from `on_close` may get the same number.
        self._control(CLOSE, encode_uint(channel._local_id))
        self._end_channel(channel)

    def _end_channel(self, channel: Channel) -> None:
        channel.closed = True
        self._local[channel._local_id - 1] = None
        if channel._remote_id:
            self._remote[channel._remote_id - 1] = None
            self._free.append(channel._local_id)
        channel._pairing.open_channels -= 1
        self._forget_if_unused(channel._pairing)
        channel._ended()

    def _forget_if_unused(self, pairing: Pairing) -> None:
        if pairing.open_channels or pairing.unanswered:
            return
        for key in pairing.keys:
            if self._pairings.get(key) is pairing:
                del self._pairings[key]
