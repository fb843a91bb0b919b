"""Giving one's key to an aggregator, and remembering to whom it was given."""

from __future__ import annotations

import json
import socket
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from core.errors import BadArgument

from .errors import SubmitFailed
from .files import write_json
from .settings import Address

TIMEOUT_SECONDS = 20.0
MAX_ANSWER_BYTES = 64 * 1024
_MAX_SENTENCE = 500


@dataclass(frozen=True, slots=True)
class Submission:
    """One aggregator that was given the key: when (seconds since 1970), and what it said last."""

    url: str
    at: float
    accepted: bool
    sentence: str
    page: str | None = None


class Submissions:
    """The list of aggregators, in one small JSON file that is replaced as a whole."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def all(self) -> list[Submission]:
        """The latest first; a file that is not there or not readable as ours counts as empty."""
        try:
            rows = json.loads(self._path.read_bytes())
            found = [Submission(**row) for row in rows]
        except (OSError, ValueError, TypeError):
            return []
        return sorted(found, key=lambda submission: submission.at, reverse=True)

    def remember(self, submission: Submission) -> None:
        rows = [asdict(one) for one in self.all() if one.url != submission.url]
        rows.append(asdict(submission))
        write_json(self._path, rows)

    def forget(self, url: str) -> None:
        """Take it off the list. The aggregator keeps the key that it was given."""
        write_json(self._path, [asdict(one) for one in self.all() if one.url != url])


def aggregator_url(text: str) -> str:
    """The aggregator's own address, from what a person pastes. Raises `BadArgument`."""
    text = text.strip()
    if "://" not in text:
        text = f"http://{text}" if _is_local(text) else f"https://{text}"
    try:
        parts = urlsplit(text)
        host = parts.hostname or ""
        good = parts.scheme in ("http", "https") and host.isprintable() and bool(host) and parts.port != 0
        good = good and not set(host) & set(" <>\"'\\^`{|}")
    except ValueError:
        good = False
    if not good:
        raise BadArgument(f"{text!r} is not the address of an aggregator, such as https://feed.example.org.")
    path = parts.path.rstrip("/").removesuffix("/submit")
    return urlunsplit((parts.scheme, parts.netloc, path, "", ""))


async def submit(url: str, key: str, listening: Address | None) -> Submission:
    """Post the key, and the address at which this peer listens, to `url`/submit.

    Raises `SubmitFailed` when the aggregator does not answer; a refusal is an answer.
    """
    import httpx2

    form = {"key": key}
    peer = None if listening is None else address_for(listening, url)
    if peer is not None:
        form["peer"] = str(peer)
    wants = {"Accept": "application/json"}
    try:
        async with (
            httpx2.AsyncClient(timeout=TIMEOUT_SECONDS) as client,
            client.stream("POST", f"{url}/submit", data=form, headers=wants) as answer,
        ):
            body = b""
            async for chunk in answer.aiter_bytes():
                body += chunk
                if len(body) > MAX_ANSWER_BYTES:
                    raise SubmitFailed(f"{url} answered with more than an answer; is it an aggregator?")
            status = answer.status_code
    except httpx2.HTTPError as error:
        reason = str(error) or type(error).__name__
        sentence = f"{url} could not be reached: {reason}. Is the address right, and is it up?"
        raise SubmitFailed(sentence) from error
    answered = _object(body)
    accepted = 200 <= status < 300
    page = answered.get("page") or answered.get("url")
    return Submission(
        url=url,
        at=time.time(),
        accepted=accepted,
        sentence=_sentence(answered, url, status, accepted),
        page=page if isinstance(page, str) and page.startswith(("/", "http://", "https://")) else None,
    )


def _sentence(answered: dict[str, Any], url: str, status: int, accepted: bool) -> str:
    for name in ("sentence", "message", "error", "detail"):
        said = answered.get(name)
        if isinstance(said, str) and said.strip():
            return " ".join(said.split())[:_MAX_SENTENCE]
    if accepted:
        return f"{url} took the key."
    return f"{url} did not take the key (HTTP {status}); is it an aggregator?"


def _object(body: bytes) -> dict[str, Any]:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def address_for(listening: Address, url: str) -> Address | None:
    """The address to tell: when we listen on all interfaces, the one that faces the aggregator. None when we listen on
    this machine only and the aggregator is elsewhere: it finds us by our key.
    """
    if listening.is_loopback and not Address(urlsplit(url).hostname or "", 0).is_loopback:
        return None
    if listening.host not in ("0.0.0.0", "::"):  # noqa: S104 - compared, not bound
        return listening
    parts = urlsplit(url)
    try:
        port = parts.port or 443
        family, kind, _, _, target = socket.getaddrinfo(parts.hostname, port, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, kind) as probe:
            probe.connect(target)  # a datagram socket sends nothing here; it only picks a route
            return Address(probe.getsockname()[0], listening.port)
    except OSError:
        return listening


def _is_local(text: str) -> bool:
    host = text.partition("/")[0].rpartition(":")[0] or text.partition("/")[0]
    return Address(host.strip("[]"), 0).is_loopback
