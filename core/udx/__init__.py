"""UDX: reliable streams over UDP, as udx-native 1.21.3 speaks them. Sans I/O; sockets are in `core.net`.

Times are seconds of one monotonic clock that callers pass in. The rules and constants are those of udx-native 1.21.3
where two ends must agree (RTO, death after seven expiries, window probes); where only we are concerned they are the
RFCs'.
"""

from __future__ import annotations

from .stream import UdxStream
from .train import Address, Path, Train

__all__ = ["Address", "Path", "Train", "UdxStream"]
