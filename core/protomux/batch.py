"""Several messages in one frame.

    00 00, channel uint, then per message: length uint, type uint, body; where the channel changes: 00,
    channel uint

A batch of one message is legal, but its plain frame is shorter and cheaper to read, so that is what leaves.

Source: protomux 3.12.1 `index.js` (`_pushBatch`, `_sendBatch`).
"""

from __future__ import annotations

from ..encoding.compact import encode_uint

_HEAD = b"\0\0"


class Batch:
    """Collects messages; `take` gives the frame and starts anew. `size`: bytes collected, 0 when empty."""

    __slots__ = ("_channel", "_messages", "_parts", "_type", "size")

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._channel = b""
        self._type = b""
        self._messages = 0
        self.size = 0

    def add(self, channel: bytes, type: bytes, body: bytes) -> None:
        """`channel` and `type` as encoded uints."""
        parts = self._parts
        if not parts:
            parts.append(_HEAD + channel)
        elif channel != self._channel:
            parts.append(b"\0" + channel)
        length = len(type) + len(body)
        parts.append(encode_uint(length) + type)
        parts.append(body)
        self._channel = channel
        self._type = type
        self._messages += 1
        self.size += length + len(channel) + 4

    def take(self) -> bytes:
        """One frame with everything in it, in order. The batch must not be empty."""
        parts = self._parts
        if self._messages == 1:
            parts = [self._channel, self._type, parts[-1]]
        self._parts = []
        self._messages = 0
        self.size = 0
        return b"".join(parts)
