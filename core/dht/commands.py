"""Numbers of dht-rpc 6.27.0: internal commands, errors, and the clockwork of `index.js`."""

from __future__ import annotations

from typing import Final, TypeAlias

# lib/commands.js
PING: Final = 0
PING_NAT: Final = 1
FIND_NODE: Final = 2
DOWN_HINT: Final = 3
DELAYED_PING: Final = 4

# lib/errors.js
UNKNOWN_COMMAND: Final = 1
INVALID_TOKEN: Final = 2

# index.js, in ticks of TICK_SECONDS
TICK_SECONDS: Final = 5.0
SLEEPING_SECONDS: Final = 3 * TICK_SECONDS
STABLE_TICKS: Final = 240
MORE_STABLE_TICKS: Final = 3 * STABLE_TICKS
REFRESH_TICKS: Final = 60
RECENT_NODE_TICKS: Final = 12
OLD_NODE_TICKS: Final = 360

CONCURRENCY: Final = 10
MAX_PING_DELAY_MS: Final = 10_000
MAX_DOWN_HINTS_PER_TICK: Final = 50
MAX_CHECKS: Final = 10
MAX_SWAPS: Final = 3

# lib/io.js
REQUEST_TIMEOUT_SECONDS: Final = 1.0
REQUEST_RETRIES: Final = 3
QUERY_RETRIES: Final = 5

Socket: TypeAlias = str
"""Names one UDP socket. A node has the two below; hole punching adds names of its own."""

SERVER: Final[Socket] = "server"
CLIENT: Final[Socket] = "client"
