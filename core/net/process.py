"""What a long-running peer asks of its process."""

from __future__ import annotations

import gc
from typing import Final

# A burst of puts or blocks makes many short-lived tuples and few cycles. At the default of 700 the collector walks
# them again and again: measured, a quarter of the time of a batch of 4,096 puts.
YOUNG_OBJECTS: Final = 50_000


def settle_garbage_collector() -> None:
    """Call once a program is up: what was imported is never looked at again, and what comes is looked at less often.

    Memory is not affected by more than a few megabytes; reference counting frees what is not in a cycle at once.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, 10, 10)
