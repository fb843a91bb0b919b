"""Conversations written from top to bottom, without an event loop.

Connecting to a peer is a talk of many turns: ask, wait, compare, ask somebody else. Written as callbacks it cannot be
read; as asyncio tasks it could not be simulated with a clock of our own. So a conversation here is a coroutine that
waits for `Outcome`s only, and whoever sets an outcome runs the coroutine on, there and then, in the same call.

    async def talk():
        reply = await ask(...)          # an Outcome that a datagram will set
        await timers.sleep(1.0)         # an Outcome that time will set
    Flow(talk())
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator, Sequence
from typing import Any, Generic, TypeVar, cast

from ..errors import MeadowError, RequestCancelled

T = TypeVar("T")
_Watcher = Callable[["Outcome[Any]"], None]


class Outcome(Generic[T]):
    """A result that comes later, once: a value or an error. Later calls of `set` and `fail` do nothing."""

    __slots__ = ("_error", "_value", "_watchers", "done")

    def __init__(self) -> None:
        self.done = False
        self._value: T | None = None
        self._error: MeadowError | None = None
        self._watchers: list[_Watcher] = []

    def set(self, value: T) -> None:
        if not self.done:
            self.done = True
            self._value = value
            self._tell()

    def fail(self, error: MeadowError) -> None:
        if not self.done:
            self.done = True
            self._error = error
            self._tell()

    @property
    def error(self) -> MeadowError | None:
        return self._error

    def result(self) -> T:
        """The value; raises the error."""
        if self._error is not None:
            raise self._error
        return cast(T, self._value)

    def settled(self) -> Outcome[None]:
        """Set when this one is, whatever its result."""
        settled: Outcome[None] = Outcome()
        self.when_done(lambda _: settled.set(None))
        return settled

    def when_done(self, watcher: Callable[[Outcome[T]], None]) -> None:
        """Call `watcher` once there is a result, now if there is one already."""
        if self.done:
            watcher(self)
        else:
            self._watchers.append(watcher)

    def _tell(self) -> None:
        watchers, self._watchers = self._watchers, []
        for watcher in watchers:
            watcher(self)

    def __await__(self) -> Generator[Outcome[T], None, T]:
        if not self.done:
            yield self
        return self.result()


class Flow(Generic[T]):
    """Runs a coroutine until it ends or is cancelled. `result` is set with what it returned, or why it failed.

    Errors of this house end the flow and are its result; any other exception is a bug and goes to whoever called.
    """

    __slots__ = ("_cancelled", "_coroutine", "_running", "result")

    def __init__(self, coroutine: Coroutine[Any, Any, T]) -> None:
        self._coroutine = coroutine
        self._running = False
        self._cancelled = False
        self.result: Outcome[T] = Outcome()
        self._step(None)

    def cancel(self) -> None:
        """Stop it where it waits. Its `finally` blocks run; `result` fails with `RequestCancelled`."""
        if self.result.done or self._cancelled:
            return
        self._cancelled = True
        if not self._running:
            self._coroutine.close()
            self.result.fail(RequestCancelled("the conversation was broken off"))

    def _step(self, _: Outcome[Any] | None) -> None:
        if self._cancelled or self.result.done:
            return
        self._running = True
        try:
            awaited = self._coroutine.send(None)
        except StopIteration as end:
            self._running = False
            self.result.set(end.value)
            return
        except MeadowError as error:
            self._running = False
            self.result.fail(error)
            return
        self._running = False
        self._wait_for(awaited)

    def _wait_for(self, awaited: Outcome[Any]) -> None:
        if self._cancelled:  # by something the coroutine itself called
            self._coroutine.close()
            self.result.fail(RequestCancelled("the conversation was broken off"))
        else:
            awaited.when_done(self._step)


async def gather(outcomes: Sequence[Outcome[T]]) -> Sequence[Outcome[T]]:
    """Wait until all have a result, good or bad."""
    for outcome in outcomes:
        await outcome.settled()
    return outcomes
