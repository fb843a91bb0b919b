"""Wait for what must happen. A deadline is for what never comes, so it is generous: a true answer ends the wait."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

PATIENCE_SECONDS = 60.0


async def eventually(check: Callable[[], Any], seconds: float = PATIENCE_SECONDS) -> Any:
    """The first true answer of `check()` (plain or a coroutine function); AssertionError after `seconds`."""
    try:
        async with asyncio.timeout(seconds) as limit:
            while True:
                answer = check()
                if asyncio.iscoroutine(answer):
                    answer = await answer
                if answer:
                    return answer
                await asyncio.sleep(0.01)
    except TimeoutError:
        if not limit.expired():
            raise  # the check's own
        raise AssertionError(f"it did not happen within {seconds:.0f} seconds") from None


def wait_for(check: Callable[[], Any], what: str, seconds: float = PATIENCE_SECONDS) -> Any:
    """The first true answer of `check()`, where no event loop runs; AssertionError after `seconds`."""
    deadline = time.monotonic() + seconds
    while not (answer := check()):
        assert time.monotonic() < deadline, f"waited {seconds:.0f} seconds for {what}"
        time.sleep(0.05)
    return answer
