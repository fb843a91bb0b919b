"""The largest packet a path carries, found by trying (RFC 8899, in short; udx-native 1.21.3 does it in steps of 32).

A probe is a packet of data with zeros between header and payload. If it is acked, packets may be so large from then on;
if it is lost, its data is sent again without the zeros, and the loss says nothing of congestion. The length of the
zeros is one byte of the header, so the first probe is 252 bytes above the base. Where that gets through, the second
asks for an Ethernet's 1500; where one does not, the gap is halved.
"""

from __future__ import annotations

from typing import Final

from .packet import HEADER_BYTES
from .sent import BASE_PAYLOAD

IP_AND_UDP_BYTES: Final = 28
MAX_PAYLOAD: Final = 1500 - IP_AND_UDP_BYTES - HEADER_BYTES
_MAX_PADDING: Final = 252
_MIN_GAIN: Final = 16
_TRIES: Final = 2


class PathMtu:
    """`payload`: bytes of data that packets may hold now."""

    __slots__ = ("_failures", "_refused", "_tried", "payload", "probe")

    def __init__(self) -> None:
        self.payload = BASE_PAYLOAD
        self.probe: int | None = None
        """The seq of the probe that is out."""
        self._tried = 0
        self._failures = 0
        self._refused = MAX_PAYLOAD + 1  # the least that does not get through

    @property
    def padding(self) -> int:
        """Zeros for the next probe; 0 when one is out, or there is nothing more to try."""
        if self.probe is not None:
            return 0
        if self._refused > MAX_PAYLOAD:
            return min(_MAX_PADDING, MAX_PAYLOAD - self.payload)
        gain = (self._refused - self.payload) // 2
        return gain if gain >= _MIN_GAIN else 0

    def sent(self, seq: int) -> None:
        """The packet `seq` left with `padding`."""
        self._tried = self.payload + self.padding
        self.probe = seq

    def delivered(self) -> None:
        """The probe was acked."""
        self.payload = self._tried
        self.probe = None
        self._failures = 0

    def lost(self) -> None:
        """The probe was not; one loss may be chance."""
        self.probe = None
        self._failures += 1
        if self._failures == _TRIES:
            self._refused = self._tried
            self._failures = 0
