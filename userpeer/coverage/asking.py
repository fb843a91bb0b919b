"""Asking each aggregator for its receipt, one question at a time to each, and keeping the last good answer.

No page waits for this: it shows what was said last, and a fresh answer makes news (`changed`). What is kept is the
signed receipt as it came, in one small file; it is checked again when it is read.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from core.records import is_bee_key
from userpeer.errors import SubmitFailed
from userpeer.files import read_json, write_json

from .beside import Hidden, Unread
from .receipt import MAX_BYTES, MAX_TEXT, BadReceipt, Receipt, read_receipt

if TYPE_CHECKING:
    import httpx2

TIMEOUT_SECONDS: Final = 10.0
FRESH_SECONDS: Final = 60.0
"""An answer of this age is good enough for a page that is opened."""

MAX_HIDDEN: Final = 20
_MAX_STATUS_BYTES: Final = 256 * 1024


@dataclass(frozen=True, slots=True)
class Answer:
    """What is known of one aggregator. `asked`: when it was last asked (seconds since 1970); `problem`: why that
    failed; `receipt`: the last good one, None before there is one; `by_before`: another key that signed earlier ones.
    """

    asked: float
    problem: str | None = None
    signed: str | None = None
    receipt: Receipt | None = None
    by_before: str | None = None
    hidden: tuple[Hidden, ...] = ()
    unread: tuple[Unread, ...] = ()


class Coverage:
    """The answers of all aggregators about `bee` (64 hex)."""

    def __init__(
        self,
        path: Path,
        bee: str,
        changed: Callable[[], None],
        find_unread: Callable[[int], Awaitable[list[Unread]]],
    ) -> None:
        self._path = path
        self._bee = bee
        self._changed = changed
        self._find_unread = find_unread
        self._asking: dict[str, asyncio.Task[Answer]] = {}
        self._answers: dict[str, Answer] | None = None

    def of(self, url: str) -> Answer | None:
        """What is known of the aggregator at `url`; None when it was never asked."""
        return self._known().get(url)

    def is_asking(self, url: str) -> bool:
        return url in self._asking

    def refresh(self, urls: list[str], *, older_than: float = FRESH_SECONDS) -> None:
        """Ask, without waiting, those whose last answer is older than so many seconds."""
        for url in urls:
            known = self.of(url)
            if known is None or not 0 <= time.time() - known.asked < older_than:
                self._start(url)

    async def ask(self, url: str) -> Answer:
        """Ask now and wait for it. Never raises for what the aggregator does: `problem` says it."""
        return await asyncio.shield(self._start(url))

    def forget(self, url: str) -> None:
        """Its answer is of no interest any more."""
        task = self._asking.pop(url, None)
        if task is not None:
            task.cancel()
        if self._known().pop(url, None) is not None:
            self._save()

    async def close(self) -> None:
        tasks = list(self._asking.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # --- inside ---------------------------------------------------------------------------------------

    def _start(self, url: str) -> asyncio.Task[Answer]:
        task = self._asking.get(url)
        if task is None:
            task = self._asking[url] = asyncio.create_task(self._ask(url), name=f"ask {url}")
            task.add_done_callback(lambda done: self._ended(url, done))
        return task

    def _ended(self, url: str, task: asyncio.Task[Answer]) -> None:
        if self._asking.get(url) is task:
            del self._asking[url]
        if not task.cancelled() and task.exception() is None:
            self._known()[url] = task.result()
            self._save()
        self._changed()

    async def _ask(self, url: str) -> Answer:
        before = self.of(url) or Answer(0.0)
        try:
            signed, receipt, hidden = await _fetch(url, self._bee)
        except (SubmitFailed, BadReceipt) as error:
            return replace(before, asked=time.time(), problem=str(error))
        signer = before.receipt.by if before.receipt is not None else None
        by_before = signer if signer not in (None, receipt.by) else before.by_before
        unread = await self._find_unread(sum(receipt.skipped.values())) if receipt.skipped else []
        return Answer(time.time(), None, signed, receipt, by_before, hidden, tuple(unread))

    def _known(self) -> dict[str, Answer]:
        if self._answers is None:
            rows = read_json(self._path, {})
            self._answers = {}
            for url, row in rows.items() if isinstance(rows, dict) else ():
                try:
                    self._answers[url] = _from_row(row, self._bee)
                except (TypeError, KeyError, ValueError, BadReceipt):
                    continue
        return self._answers

    def _save(self) -> None:
        try:
            write_json(self._path, {url: _row(answer) for url, answer in self._known().items()})
        except OSError:
            pass  # only a copy of what can be asked for again


async def _fetch(url: str, bee: str) -> tuple[str, Receipt, tuple[Hidden, ...]]:
    """The signed receipt as text, what it says, and what the aggregator says in public that it hides.

    Raises `SubmitFailed` and `BadReceipt`.
    """
    import httpx2

    try:
        async with httpx2.AsyncClient(timeout=TIMEOUT_SECONDS) as client:
            async with asyncio.timeout(2 * TIMEOUT_SECONDS):
                status, body = await _get(client, f"{url}/receipt/{bee}", MAX_BYTES)
                if status == 404:
                    raise SubmitFailed("It does not know your bee. Give it your key again.")
                if status != 200:
                    raise SubmitFailed(f"It gives no receipt (HTTP {status}); is it an aggregator?")
                signed = body.decode(errors="replace")
                receipt = read_receipt(signed, bee)
                if not receipt.hidden:
                    return signed, receipt, ()
                status, body = await _get(client, f"{url}/api/v1/bees/{bee}", _MAX_STATUS_BYTES)
                return signed, receipt, _hidden(body) if status == 200 else ()
    except TimeoutError:
        raise SubmitFailed("It did not answer in time. Is it up?") from None
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        reason = " ".join(str(error).split())[:MAX_TEXT] or type(error).__name__
        raise SubmitFailed(
            f"It could not be reached: {reason}. Is the address right, and is it up?"
        ) from error


async def _get(client: httpx2.AsyncClient, url: str, most: int) -> tuple[int, bytes]:
    async with client.stream("GET", url, headers={"accept": "application/json"}) as answer:
        body = b""
        async for chunk in answer.aiter_bytes():
            body += chunk
            if len(body) > most:
                raise SubmitFailed("It answered with more than an answer; is it an aggregator?")
        return answer.status_code, body


def _hidden(body: bytes) -> tuple[Hidden, ...]:
    """The records that its public decisions say are hidden now: the latest decision about each counts."""
    try:
        decisions = json.loads(body)["decisions"]
        latest: dict[str, Any] = {}
        for one in decisions:  # newest first
            if one["action"] in ("hidden", "unhidden", "purged") and isinstance(one["key"], str):
                latest.setdefault(one["key"], one)
        return tuple(
            Hidden(key[:MAX_TEXT], " ".join(str(one.get("reason") or "").split())[:MAX_TEXT])
            for key, one in list(latest.items())[:MAX_HIDDEN]
            if one["action"] != "unhidden"
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return ()


def _row(answer: Answer) -> dict[str, Any]:
    return {
        "asked": answer.asked,
        "problem": answer.problem,
        "signed": answer.signed,
        "by_before": answer.by_before,
        "hidden": [[one.key, one.reason] for one in answer.hidden],
        "unread": [[one.key, one.sentence] for one in answer.unread],
    }


def _from_row(row: dict[str, Any], bee: str) -> Answer:
    by_before = row["by_before"]
    return Answer(
        float(row["asked"]),
        row["problem"],
        row["signed"],
        None if row["signed"] is None else read_receipt(row["signed"], bee),
        by_before if is_bee_key(by_before or "") else None,
        tuple(Hidden(key, reason) for key, reason in row["hidden"]),
        tuple(Unread(key, sentence) for key, sentence in row["unread"]),
    )
