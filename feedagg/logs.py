"""The log: lines for people, or one JSON object a line for programs; and never a secret in either.

Everything that logs does it by `logging`, our own and the libraries we use; here is how it comes out.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any, Final, TextIO

import structlog

HIDDEN: Final = "[hidden]"

_SECRET_NAMES: Final = re.compile(r"token|password|passwd|secret|authorization|cookie", re.IGNORECASE)
_IN_TEXT: Final = (
    re.compile(r"(?P<keep>://[^/\s:@]*:)[^@\s/]+(?=@)"),  # the password in a URL
    re.compile(r"(?P<keep>\bBearer\s+)[\w.~+/=-]+", re.IGNORECASE),
    re.compile(r"(?P<keep>\bfeedagg_operator=)[^;\s]+"),
)


def configure(kind: str, stream: TextIO | None = None) -> None:
    """Log to `stream` (standard error). `kind`: text or json."""
    times = structlog.processors.TimeStamper(fmt="iso", utc=True)
    shared: list[Any] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        times,
    ]
    ending: list[Any]
    if kind == "json":
        ending = [
            structlog.processors.format_exc_info,
            _hide,
            structlog.processors.JSONRenderer(sort_keys=True),
        ]
    else:
        ending = [structlog.processors.format_exc_info, _hide, _line]
    remove = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared, processors=[remove, *ending], use_get_message=True
    )
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.INFO)
    for name in ("alembic", "apscheduler"):
        logging.getLogger(name).setLevel(logging.ERROR)


def _line(_: Any, __: str, event: MutableMapping[str, Any]) -> str:
    """One line for people; a traceback below it."""
    known = ("timestamp", "level", "logger", "event", "exception")
    facts = "".join(f" {name}={value}" for name, value in event.items() if name not in known)
    level = "" if event["level"] == "info" else f" {event['level']}"
    trace = f"\n{event['exception']}" if "exception" in event else ""
    at = str(event["timestamp"])[:19].replace("T", " ")
    return f"{at}{level} {event['logger']}: {event['event']}{facts}{trace}"


def _hide(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Nothing that opens a door is written down."""
    for name, value in event.items():
        if _SECRET_NAMES.search(name):
            event[name] = HIDDEN
        elif isinstance(value, str):
            event[name] = without_secrets(value)
    return event


def without_secrets(text: str) -> str:
    """The text without passwords in URLs, bearer tokens and session cookies."""
    for pattern in _IN_TEXT:
        text = pattern.sub(rf"\g<keep>{HIDDEN}", text)
    return text
