"""Telling several listeners of one thing, of whom none may silence the others."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any


def call_safely(function: Callable[..., Any], *arguments: Any) -> None:
    """Call one listener of several: its error, a bug of its own, goes to the event loop's exception
    handler.
    """
    try:
        function(*arguments)
    except Exception as error:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            raise error from None
        loop.call_exception_handler({"message": f"{function!r} failed", "exception": error})
